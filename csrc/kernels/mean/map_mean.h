/* The mean of each channel over a map, as exact as float32 can say it.  A sum of float32 over a large
 * map, as oneDNN has it, loses a digit. */
#ifndef GT_MAP_MEAN_H
#define GT_MAP_MEAN_H

#include <stdint.h>

#include "common/geometry.h"

/* Maps with channels last, or in blocks: the channels of a block of all pixels, then the next. */
typedef struct {
    int batch;
    gt_shape shape;
    int block; /* channels in a block; all of them for channels last */
    gt_map_type type;
    int threads;
} gt_map_mean;

/* Mean of `source` (batch, shape) into `target` (batch, channels), both of the type. */
void gt_map_mean_run(const gt_map_mean *mean, const void *source, void *target);

#endif
