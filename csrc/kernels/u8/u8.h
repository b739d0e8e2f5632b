/* Pools of maps of bytes, and concatenations of any maps, with channels last, in which oneDNN takes
 * several times as long as it takes to move the bytes. */
#ifndef GT_BYTES_H
#define GT_BYTES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/geometry.h"

enum { GT_BYTES_MOST_INPUTS = 8 /* of a concatenation */ };

typedef struct {
    int batch;
    gt_shape from;
    gt_shape to;
    gt_window window;
    bool is_max; /* else the mean */
    int threads;
} gt_byte_pool;

typedef struct {
    int64_t pixels; /* of all images */
    int pixel;      /* bytes of a pixel of the result */
    int n_inputs;
    int sizes[GT_BYTES_MOST_INPUTS];   /* bytes of a pixel of each input */
    int offsets[GT_BYTES_MOST_INPUTS]; /* where they go in one of the result */
    int threads;
} gt_byte_concat;

/* Whether a window is small enough: means then are less than 5/8 off, rounding included. */
bool gt_byte_pool_fits(const gt_byte_pool *pool);

/* Pool `source` (batch, from) into `target` (batch, to). */
void gt_byte_pool_run(const gt_byte_pool *pool, const uint8_t *source, uint8_t *target);

/* Put the channels of each pixel of the sources to their place. */
void gt_byte_concat_run(const gt_byte_concat *concat, const uint8_t *const *sources,
                        uint8_t *target);

#endif
