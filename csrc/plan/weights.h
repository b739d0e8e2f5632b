/* Weights in the layouts that oneDNN chose, shared by all plans of one network. */
#ifndef GT_CONSTANTS_H
#define GT_CONSTANTS_H

#include <oneapi/dnnl/dnnl.h>

#include "graph/graph.h"
#include "kernels/amx/amx.h"
#include "kernels/winograd/winograd.h"

/* What a constant is for. */
typedef enum {
    GT_CONSTANT_KERNEL,
    GT_CONSTANT_KERNEL_STEPS, /* of 8-bit kernels: number = element * step of its channel out */
    GT_CONSTANT_SHIFT,
    GT_CONSTANT_STEP /* of an 8-bit value */
} gt_constant_kind;

/* How weights are written.  In pairs: so that the products of two neighbouring channels in with
 * bytes add up to no more than 16 bits hold. */
typedef enum { GT_WEIGHTS_FLOAT, GT_WEIGHTS_INT8, GT_WEIGHTS_INT8_PAIRS } gt_weights;

typedef struct {
    char *layer; /* name of the node they belong to; owned */
    gt_constant_kind kind;
    dnnl_memory_t memory; /* owned */
} gt_constant;

typedef struct {
    gt_constant *items; /* (count,) */
    int count;
    int capacity;
} gt_constants;

/* Releases what the store owns; accepts a zeroed store. */
void gt_constants_clear(gt_constants *constants);

/* The kernel of a convolution or dense node, its scale multiplied in, in the type and layout
 * `desc`, which is of 8-bit integers or not; packed on the first call for that layout.  Runs
 * oneDNN.  On success *index is its place in the store. */
gt_status gt_constants_kernel(gt_constants *constants, const gt_node *node, dnnl_engine_t engine,
                              const_dnnl_memory_desc_t desc, gt_weights weights, int *index,
                              gt_error *error);

/* The kernel of a convolution, its scale multiplied in, transformed by gt_winograd_pack; a flat
 * float32 array.  Otherwise like gt_constants_kernel. */
gt_status gt_constants_winograd(gt_constants *constants, const gt_node *node,
                                const gt_winograd *winograd, float step, dnnl_engine_t engine,
                                int *index, gt_error *error);

/* The kernel laid out by gt_amx_pack; otherwise likewise. */
gt_status gt_constants_amx(gt_constants *constants, const gt_node *node, const gt_amx *amx,
                           dnnl_engine_t engine, int *index, gt_error *error);

/* The steps of the node's kernel in 8 bits, float32 (channels out,), likewise. */
gt_status gt_constants_kernel_steps(gt_constants *constants, const gt_node *node,
                                    dnnl_engine_t engine, gt_weights weights, int *index,
                                    gt_error *error);

/* The shift of a node as a float32 vector, likewise; `offset` is what is missing from every number
 * that the kernel is multiplied with. */
gt_status gt_constants_shift(gt_constants *constants, const gt_node *node, dnnl_engine_t engine,
                             float offset, int *index, gt_error *error);

/* One float32 number, likewise. */
gt_status gt_constants_step(gt_constants *constants, float step, dnnl_engine_t engine, int *index,
                            gt_error *error);

/* The kernel's extents in oneDNN's order of axes: (groups,) channels out, channels in, height,
 * width, where `channels` arrive; returns their number, 4 or, with groups, 5. */
int gt_kernel_dims(const gt_node *node, int channels, dnnl_dims_t dims);

#endif
