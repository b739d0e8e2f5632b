/* The shapes of maps, and the windows that slide over them. */
#ifndef GT_GEOMETRY_H
#define GT_GEOMETRY_H

#include <stdbool.h>
#include <stdint.h>

/* How a map stores its numbers.  In uint8 a number is the byte times the scale of the map. */
typedef enum { GT_MAP_FLOAT32, GT_MAP_BF16, GT_MAP_U8 } gt_map_type;

typedef enum { GT_PAD_VALID, GT_PAD_SAME, GT_PAD_EXPLICIT } gt_pad_mode;

/* What a convolution or a pool slides over its input; pairs are (height, width). */
typedef struct {
    int size[2];
    int strides[2];
    int dilations[2];
    int before[2]; /* padding above and to the left; set by shape inference for GT_PAD_SAME */
    int after[2];  /* padding below and to the right */
    gt_pad_mode pad_mode;
    bool count_padding; /* average_pool: padding counts in the divisor */
    bool ceil_mode;     /* pools: a last window may reach beyond the padding */
    int beyond[2];      /* by so many pixels, which never count; set by shape inference */
} gt_window;

static inline bool
gt_window_has_padding(const gt_window *window)
{
    return window->before[0] + window->before[1] + window->after[0] + window->after[1] > 0;
}

typedef struct {
    int height; /* 1 for a flat value */
    int width;  /* 1 for a flat value */
    int channels;
} gt_shape;

/* What many numbers become. */
typedef enum {
    GT_REDUCE_MEAN,
    GT_REDUCE_SUM,
    GT_REDUCE_MAX,
    GT_REDUCE_MIN,
    GT_REDUCE_L2, /* root of the sum of squares */
    GT_REDUCTION_COUNT
} gt_reduction;

/* Where the pixels of a resized map lie in the given one. */
typedef enum {
    GT_HALF_PIXEL,    /* corners of the maps on each other */
    GT_ALIGN_CORNERS, /* centres of the pixels in the corners on each other */
    GT_ASYMMETRIC,    /* pixel i at i / factor */
    GT_COORDINATES_COUNT
} gt_coordinates;

/* Numbers in a map. */
static inline int64_t
gt_shape_size(gt_shape shape)
{
    return (int64_t)shape.height * shape.width * shape.channels;
}

#endif
