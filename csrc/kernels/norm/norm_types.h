/* What a normalisation is. */
#ifndef GT_NORM_TYPES_H
#define GT_NORM_TYPES_H

#include "common/geometry.h"

/* Of layer_norm and group_norm: (x - mean) / sqrt(variance + epsilon) * gamma + beta. */
typedef struct {
    int batch;
    gt_shape shape;   /* of one image */
    int groups;       /* of channels, for group_norm */
    gt_map_type type; /* float32 or bfloat16, of both maps */
    float epsilon;
    int threads;
    bool is_plain; /* in plain C, as the tests compare with */
} gt_norm;

#endif
