/* Pools and concatenations of maps of bytes with channels last, in which oneDNN takes several times
 * as long as it takes to move the bytes. */
#ifndef GT_BYTES_H
#define GT_BYTES_H

#include <stdbool.h>
#include <stdint.h>

#include "graph.h"

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
    int n_inputs;
    int channels[GT_BYTES_MOST_INPUTS];
    int threads;
} gt_byte_concat;

/* Whether a window is small enough: means then are less than 5/8 off, rounding included. */
bool gt_byte_pool_fits(const gt_byte_pool *pool);

/* Pool `source` (batch, from) into `target` (batch, to). */
void gt_byte_pool_run(const gt_byte_pool *pool, const uint8_t *source, uint8_t *target);

/* Put the channels of each pixel of the sources one after the other. */
void gt_byte_concat_run(const gt_byte_concat *concat, const uint8_t *const *sources,
                        uint8_t *target);

#endif
