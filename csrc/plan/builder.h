/* How a plan grows while it is built: values, and the steps that make one from others. */
#ifndef GT_BUILDER_H
#define GT_BUILDER_H

#include "plan/plan.h"

enum { GT_NO_VALUE = -1 };

typedef struct {
    gt_plan *plan;
    const gt_graph *graph;
    gt_precision precision;
    gt_preprocessing preprocessing;
    bool low_memory;         /* prefer weights that take little memory to speed */
    gt_node_format *formats; /* (graph->count,) */
    gt_block *blocks;        /* (graph->count,) that each node is fused in */
    int *partners; /* (graph->count,) of a convolution the addition that it computes as well, and of
                    * that the convolution; else GT_NO_VALUE */
} gt_builder;

/* The argument of a step that reads or writes a value. */
gt_arg gt_value_arg(int role, int value);

/* Add a value of layout `desc`, which is copied and is of the format's type. */
gt_status gt_builder_add_value(gt_builder *builder, const_dnnl_memory_desc_t desc, gt_format format,
                               const char *layer, int *value, gt_error *error);

/* Append the primitive of `desc`, with its scratchpad as one more value, and extend the life of
 * the values that it touches. */
gt_status gt_builder_add_step(gt_builder *builder, const_dnnl_primitive_desc_t desc,
                              const char *layer, const gt_arg *args, int n_args, gt_error *error);

/* One of the project's own kernels, as a step runs it. */
typedef struct {
    gt_kernel_fn run;
    const void *context; /* a single block, of which the step gets a copy */
    size_t size;         /* its bytes */
    const char *operation;
    const char *name;
} gt_kernel;

/* Append its step, with at most GT_KERNEL_MAX_ARGS arguments. */
gt_status gt_builder_add_kernel(gt_builder *builder, gt_kernel kernel, const char *layer,
                                const gt_arg *args, int n_args, gt_error *error);

/* Add the value of a node's result, in `format` with channels last. */
gt_status gt_builder_add_result(gt_builder *builder, int index, gt_format format, gt_error *error);

/* Bring `value` into the layout `desc` of that format: the same value where it is so already, else
 * one that a reorder makes of it, and later calls for that layout take the same one. */
gt_status gt_builder_reorder(gt_builder *builder, int value, const_dnnl_memory_desc_t desc,
                             gt_format format, const char *layer, int *reordered, gt_error *error);

/* The result of a node in `format`, in the layout it has or else with channels last. */
gt_status gt_builder_fetch(gt_builder *builder, int index, gt_format format, int *value,
                           gt_error *error);

/* Input `k` of a node in `format`, with channels last. */
gt_status gt_builder_fetch_last(gt_builder *builder, const gt_node *node, int k, gt_format format,
                                int *value, gt_error *error);

/* Append to `args` the scale of what is read or written in `role`, unless that is 1. */
gt_status gt_builder_scale_arg(gt_builder *builder, int role, float scale, gt_arg *args,
                               int *n_args, gt_error *error);

/* Append the step that writes output `index` of the graph, as float32 with channels last, into
 * memory that the caller of the run owns. */
gt_status gt_builder_add_output(gt_builder *builder, int index, gt_error *error);

/* A descriptor of a batch of `shape` in a given type and layout, in oneDNN's order of axes (batch,
 * channels, height, width). */
gt_status gt_builder_describe(const gt_builder *builder, dnnl_memory_desc_t *desc, gt_shape shape,
                              dnnl_data_type_t type, dnnl_format_tag_t layout, gt_error *error);

/* The format of floats in the plan that is being built. */
gt_format gt_builder_float_format(const gt_builder *builder);

/* The same for the project's own kernels. */
gt_map_type gt_builder_float_map_type(const gt_builder *builder);

/* Append a kernel that reads the map of a node's only input and writes its result, both in `format`
 * with channels last. */
gt_status gt_builder_add_map_kernel(gt_builder *builder, int index, gt_format format,
                                    gt_kernel kernel, gt_error *error);

/* Add a value of so many bytes for what a kernel of our own writes on the way. */
gt_status gt_builder_add_scratch(gt_builder *builder, size_t size, const char *layer, int *value,
                                 gt_error *error);

#endif
