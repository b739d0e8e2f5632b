/* Pools of maps of bytes, and concatenations of any maps, with channels last, in which oneDNN takes
 * several times as long as it takes to move the bytes. */
#ifndef GT_U8_H
#define GT_U8_H

#include <stdbool.h>
#include <stdint.h>

#include "common/geometry.h"

enum { GT_U8_MAX_INPUTS = 8 /* of a concatenation */, GT_U8_PAD_CHANNELS = 3 };

typedef struct {
    int batch;
    gt_shape from;
    gt_shape to;
    gt_window window;
    bool is_max; /* else the mean */
    int threads;
} gt_u8_pool;

typedef struct {
    int64_t pixels; /* of all images */
    int pixel;      /* bytes of a pixel of the result */
    int n_inputs;
    int sizes[GT_U8_MAX_INPUTS];   /* bytes of a pixel of each input */
    int offsets[GT_U8_MAX_INPUTS]; /* where they go in one of the result */
    int threads;
} gt_u8_concat;

typedef struct {
    int batch;
    gt_shape from;
    gt_shape to;                       /* with the padding */
    int before[2];                     /* pixels above and to the left */
    uint8_t pixel[GT_U8_PAD_CHANNELS]; /* of the padding */
    int threads;
} gt_u8_pad;

/* Whether a window is small enough: means then are less than 5/8 off, rounding included. */
bool gt_u8_pool_is_supported(const gt_u8_pool *pool);

/* Pool `source` (batch, from) into `target` (batch, to). */
void gt_u8_pool_run(const gt_u8_pool *pool, const uint8_t *source, uint8_t *target);

/* Put the channels of each pixel of the sources to their place. */
void gt_u8_concat_run(const gt_u8_concat *concat, const uint8_t *const *sources, uint8_t *target);

/* Lay padding around photographs of GT_U8_PAD_CHANNELS channels. */
void gt_u8_pad_run(const gt_u8_pad *pad, const uint8_t *source, uint8_t *target);

#endif
