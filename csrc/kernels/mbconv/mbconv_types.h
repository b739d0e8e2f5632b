/* What describes an inverted residual block. */
#ifndef GT_MBCONV_TYPES_H
#define GT_MBCONV_TYPES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/geometry.h"

/* One of the three convolutions: what becomes of its sums. */
typedef struct {
    float low; /* bounds of the results */
    float high;
    float scale; /* of the block's results where they are bytes: number = byte * scale */
} gt_mbconv_result;

typedef struct {
    int batch;
    gt_shape from;      /* of the source */
    gt_shape inner;     /* of what the depthwise convolution reads */
    gt_shape to;        /* of the result */
    bool has_expansion; /* a convolution before it; else it reads the source */
    int expansion_size; /* of the expansion's kernel: 1, or more for a network's first layer */
    int expansion_stride;
    int expansion_before[2];    /* padding above and to the left */
    bool has_residual;          /* the source is added to the result */
    int size;                   /* of the depthwise kernel: 3 or 5 */
    int stride;                 /* 1 or 2 */
    int before[2];              /* padding above and to the left, less than the kernel's size */
    gt_map_type type;           /* of the numbers between the convolutions */
    gt_map_type source;         /* of the map that is read, with channels last */
    gt_map_type target;         /* of the map that is written, with channels last */
    float source_scale;         /* with which the source is read where `type` is bytes */
    int source_zero;            /* the byte that stands for 0 in a source of bytes */
    gt_mbconv_result expansion; /* without one, what the source is bounded to */
    gt_mbconv_result depthwise; /* both have low = 0 where `type` is bytes */
    gt_mbconv_result projection;
    int threads;
    bool is_plain;  /* without vectors: what they compute, for any processor */
    int lanes;      /* channels in a vector; this and what follows is set by gt_mbconv_prepare */
    int rows;       /* of results at a time */
    bool is_shared; /* all threads make one image at a time, each some of its channels */
} gt_mbconv;

#endif
