/* What describes a convolution by Winograd's minimal filtering, and the strides of its maps. */
#ifndef GT_WINOGRAD_TYPES_H
#define GT_WINOGRAD_TYPES_H

#include <stddef.h>

#include "common/geometry.h"

enum {
    GT_WINOGRAD_TILE = 8, /* pixels along a side */
    GT_WINOGRAD_POINTS = GT_WINOGRAD_TILE * GT_WINOGRAD_TILE,
    GT_WINOGRAD_COLS = 32 /* channels out at a time, of which they are a multiple */
};

/* Where a map has its numbers: distances in elements. */
typedef struct {
    size_t image;
    size_t row;
    size_t pixel;
    size_t group; /* from a vector of channels of a pixel to the next */
} gt_map_strides;

typedef struct {
    int batch;
    gt_shape from;
    gt_shape to;
    int before[2];      /* padding above and to the left */
    int size;           /* of the kernel: 3 or 5 */
    gt_map_type type;   /* of both maps */
    float result_scale; /* of the results' bytes; the kernel knows that of the source's */
    int lanes;          /* gt_winograd_lanes; channels in are a multiple of it */
    float low;          /* bounds of the results */
    float high;
    gt_map_strides source;
    gt_map_strides target;
    int threads;
    int rows;  /* tiles multiplied at a time, even; this and the next set by gt_winograd_prepare */
    int block; /* tiles transformed at a time, a multiple of rows */
} gt_winograd;

#endif
