/* Which values of a network are 8-bit integers, and what one unit of each integer means. */
#ifndef GT_QUANTIZE_H
#define GT_QUANTIZE_H

#include <oneapi/dnnl/dnnl.h>

#include "common/onednn.h"
#include "graph/graph.h"

/* How pixels become numbers: value = byte * scale + offset. */
typedef struct {
    float scale;
    float offset;
} gt_preprocessing;

/* How a value is stored: number = element * scale; scale is 1 for floats. */
typedef struct {
    dnnl_data_type_t type;
    float scale;
} gt_format;

/* Decide how the result of every node is written in a plan of that precision: formats[i] for node
 * i of an optimised graph.  In int8, results that an 8-bit convolution reads are 8-bit where their
 * range is known; values that are joined or pooled share a scale with what becomes of them; the
 * photographs are read as the bytes that they are where the first convolution has no padding.
 * What nobody reads in 8 bits is float32.
 * is_fused[i] says whether node i is part of a block that one kernel computes, which keeps what lies
 * inside to itself: it reads bfloat16, or bytes where it begins with a depthwise convolution, and
 * results that only such kernels read are bfloat16. */
gt_status gt_quantize(const gt_graph *graph, gt_precision precision, gt_preprocessing preprocessing,
                      const bool *is_fused, gt_format *formats, gt_error *error);

/* Whether the node is computed in 8 bits, given what gt_quantize decided. */
bool gt_runs_in_int8(const gt_graph *graph, const gt_format *formats, int index);

bool gt_same_format(gt_format a, gt_format b);

/* Whether elements of that type are 8-bit integers. */
bool gt_is_8_bit(dnnl_data_type_t type);

#endif
