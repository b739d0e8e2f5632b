/* Weights in the layouts that oneDNN chose, shared by all plans of one network. */
#ifndef GT_WEIGHTS_H
#define GT_WEIGHTS_H

#include "common/exceptions.h"
#include "graph/graph.h"
#include "kernels/amx/amx.h"
#include "kernels/mbconv/mbconv.h"
#include "kernels/winograd/winograd.h"
#include "plan/weight_store.h"

/* How weights are written.  In pairs: so that the products of two neighbouring channels in with
 * bytes add up to no more than 16 bits hold. */
typedef enum { GT_WEIGHT_FLOAT, GT_WEIGHT_INT8, GT_WEIGHT_INT8_PAIRS } gt_weight_format;

/* The kernel of a convolution or dense node, its scale multiplied in, in the type and layout
 * `desc`, which is of 8-bit integers or not; packed on the first call for that layout.  Runs
 * oneDNN.  On success *index is its place in the store. */
gt_status gt_weights_onednn(gt_weight_store *store, const gt_node *node, dnnl_engine_t engine,
                            const_dnnl_memory_desc_t desc, gt_weight_format format, int *index,
                            gt_error *error);

/* The kernel of a convolution, its scale multiplied in, transformed by gt_winograd_pack; a flat
 * float32 array.  Otherwise like gt_weights_onednn. */
gt_status gt_weights_winograd(gt_weight_store *store, const gt_node *node,
                              const gt_winograd *winograd, float source_scale, dnnl_engine_t engine,
                              int *index, gt_error *error);

/* The kernel laid out by gt_amx_pack; otherwise likewise. */
gt_status gt_weights_amx(gt_weight_store *store, const gt_node *node, const gt_amx *amx,
                         dnnl_engine_t engine, int *index, gt_error *error);

/* The convolutions of an inverted residual block; `expansion` is NULL where there is none. */
typedef struct {
    const gt_node *expansion;
    const gt_node *depthwise;
    const gt_node *projection;
} gt_mbconv_nodes;

/* All weights of a block, laid out by gt_mbconv_pack, as the kernel of its projection. */
gt_status gt_weights_mbconv(gt_weight_store *store, const gt_mbconv_nodes *nodes,
                            const gt_mbconv *mbconv, dnnl_engine_t engine, int *index,
                            gt_error *error);

/* The scales of the node's kernel in 8 bits, float32 (channels out,), likewise. */
gt_status gt_weights_scales(gt_weight_store *store, const gt_node *node, dnnl_engine_t engine,
                            gt_weight_format format, int *index, gt_error *error);

/* The shift of a node as a float32 vector, likewise; `offset` is what is missing from every number
 * that the kernel is multiplied with. */
gt_status gt_weights_shift(gt_weight_store *store, const gt_node *node, dnnl_engine_t engine,
                           float offset, int *index, gt_error *error);

/* The array of a role as it is, in float32; a vector of `otherwise`, one for each channel, where the
 * node has none.  Likewise. */
gt_status gt_weights_array(gt_weight_store *store, const gt_node *node, gt_role role,
                           float otherwise, dnnl_engine_t engine, int *index, gt_error *error);

/* The value of a position embedding in the size of the node's result, float32 (height, width,
 * channels), resampled where the array has another one; likewise. */
gt_status gt_weights_embedding(gt_weight_store *store, const gt_node *node, dnnl_engine_t engine,
                               int *index, gt_error *error);

/* One float32 number, likewise. */
gt_status gt_weights_scalar(gt_weight_store *store, float scale, dnnl_engine_t engine, int *index,
                            gt_error *error);

/* The kernel's extents in oneDNN's order of axes: (groups,) channels out, channels in, height,
 * width, where `channels` arrive; returns their number, 4 or, with groups, 5. */
int gt_kernel_dims(const gt_node *node, int channels, dnnl_dims_t dims);

#endif
