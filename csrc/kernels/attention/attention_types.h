/* What an attention is, and the maps of a run. */
#ifndef GT_ATTENTION_TYPES_H
#define GT_ATTENTION_TYPES_H

#include "common/geometry.h"

typedef struct {
    int batch;
    gt_shape queries; /* of one image; the channels are those of the result, of all heads */
    gt_shape keys;    /* likewise, and of the values */
    int heads;
    float scale;      /* of the scores */
    gt_map_type type; /* float32 or bfloat16, of all maps */
    int strides[3];   /* numbers from one token to the next, in queries, keys and values */
    int window[2];    /* (height, width); the whole map where there are no windows */
    int shift[2];
    bool has_value;
    int threads;
    bool is_plain; /* in plain C, as the tests compare with */
} gt_attention;

/* The maps of a run, with channels last; `queries`, `keys` and `values` point to the first number
 * of each, which may be parts of one map. */
typedef struct {
    const void *queries;
    const void *keys;
    const void *values;
    const float *value; /* (heads, queries, keys) of a window, where has_value */
    const float *bias;  /* (3 * channels,) queries, keys and values of tokens that pad windows */
    void *target;
    void *scratch; /* gt_attention_scratch_size bytes */
} gt_attention_maps;

#endif
