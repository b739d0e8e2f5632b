/* In which format each node of a network reads and writes its numbers. */
#ifndef GT_QUANTIZE_H
#define GT_QUANTIZE_H

#include "common/onednn.h"
#include "graph/blocks.h"
#include "graph/graph.h"
#include "graph/pixels.h"

/* How a value is stored: number = element * scale; scale is 1 for floats. */
typedef struct {
    dnnl_data_type_t type;
    float scale;
} gt_format;

/* How one node computes.  A convolution in int8 reads 8-bit numbers and writes 8-bit numbers or
 * floats; a pool or concatenation in int8 does both with numbers of one format; an addition in int8
 * is computed by one of the convolutions that it reads, which has its format.  A node that is not
 * in int8 reads and writes floats. */
typedef struct {
    bool in_int8;
    gt_format source;     /* its first input, as the node reads it */
    gt_format result;     /* its result, as the node writes it */
    gt_map_type map_type; /* of both, for the project's own kernels */
    bool has_map_type;    /* false: no map type describes both */
    int convolution;      /* of an addition in int8 */
    float low;            /* bounds of the result: those of a ReLU and of the map type */
    float high;
} gt_node_format;

/* Decide how every node of an optimised graph computes in a plan of that precision: formats[i] for
 * node i.  In int8 a convolution reads 8 bits where the range of what it reads is known; values
 * that are concatenated or pooled share a scale with the result, unless their ranges are so far
 * apart that the smaller values would be lost.  Photographs are read as the bytes that they are
 * where every first convolution can pad them with bytes; else, and where nobody reads 8 bits, values are floats.
 *
 * blocks[i] is the block that node i is fused in.  In int8 a fused block of bytes reads floats, of
 * which it makes bytes itself, or the photographs as they are; what only such blocks read is
 * bfloat16. */
gt_status gt_choose_formats(const gt_graph *graph, gt_precision precision,
                            gt_preprocessing preprocessing, const gt_block *blocks,
                            gt_node_format *formats, gt_error *error);

bool gt_same_format(gt_format a, gt_format b);

/* Whether elements of that type are 8-bit integers. */
bool gt_is_8_bit(dnnl_data_type_t type);

#endif
