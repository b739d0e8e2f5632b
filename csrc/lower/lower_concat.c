#include "lower/lower_concat.h"

#include <omp.h>

#include "kernels/u8/u8.h"
#include "lower/implementation.h"

/* Bytes of a number of a result. */
static int
element_size(const gt_builder *builder, int index)
{
    return (int)dnnl_data_type_size(builder->formats[index].result.type);
}

/* Whether our kernel copies the operands of that concatenation. */
static bool
can_copy(const gt_builder *builder, int index)
{
    const gt_node *node = &builder->graph->nodes[index];
    return node->op == GT_OP_CONCAT && node->axis == GT_AXIS_CHANNELS &&
           node->n_inputs <= GT_U8_MAX_INPUTS;
}

/* The concatenation that alone reads a result, as it is written; -1 where there is none. */
static int
only_concat(const gt_builder *builder, int index)
{
    int reader = gt_graph_only_reader(builder->graph, index);
    if (reader < 0 || !can_copy(builder, reader) ||
        !gt_same_format(builder->formats[reader].result, builder->formats[index].result)) {
        return -1;
    }
    return reader;
}

/* All of uint8, and those of bfloat16 into which a kernel has begun to write. */
static bool
is_supported(const gt_builder *builder, int index)
{
    if (builder->plan->value_of[index] != GT_NO_VALUE) {
        return true;
    }
    return can_copy(builder, index) && builder->formats[index].result.type == dnnl_u8;
}

gt_status
gt_concat_destination(gt_builder *builder, int index, int *value, int *channel, int *channels,
                      gt_error *error)
{
    const gt_graph *graph = builder->graph;
    int concat = only_concat(builder, index);
    int owner = concat >= 0 ? concat : index;
    gt_status status = GT_OK;
    *channel = 0;
    for (int k = 0; concat >= 0 && graph->nodes[concat].inputs[k] != index; k++) {
        *channel += graph->nodes[graph->nodes[concat].inputs[k]].shape.channels;
    }
    if (builder->plan->value_of[owner] == GT_NO_VALUE) {
        status = gt_builder_add_result(builder, owner, builder->formats[owner].result, error);
    }
    *value = builder->plan->value_of[owner];
    *channels = graph->nodes[owner].shape.channels;
    return status;
}

static void
run(const void *context, void *const *memory)
{
    const gt_u8_concat *concat = context;
    const uint8_t *sources[GT_U8_MAX_INPUTS] = {NULL};
    for (int k = 0; k < concat->n_inputs; k++) {
        sources[k] = memory[k];
    }
    gt_u8_concat_run(concat, sources, memory[concat->n_inputs]);
}

/* The operands that are not in their place yet, as arguments and in `concat`. */
static gt_status
gather(gt_builder *builder, int index, gt_u8_concat *concat, gt_arg *args, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_format format = builder->formats[index].result;
    gt_status status = GT_OK;
    int offset = 0;
    for (int k = 0; status == GT_OK && k < node->n_inputs; k++) {
        int size =
            builder->graph->nodes[node->inputs[k]].shape.channels * element_size(builder, index);
        if (builder->plan->value_of[node->inputs[k]] != GT_NO_VALUE) {
            int n = concat->n_inputs++;
            int value = GT_NO_VALUE;
            status = gt_builder_fetch_last(builder, node, k, format, &value, error);
            args[n] = gt_value_arg(DNNL_ARG_MULTIPLE_SRC + n, value);
            concat->sizes[n] = size;
            concat->offsets[n] = offset;
        }
        offset += size;
    }
    return status;
}

static gt_status
lower_concat(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    int *value = &builder->plan->value_of[index];
    gt_u8_concat concat = {.pixels = (int64_t)builder->plan->batch * node->shape.height *
                                     node->shape.width,
                           .pixel = node->shape.channels * element_size(builder, index),
                           .threads = omp_get_max_threads()};
    gt_arg args[GT_U8_MAX_INPUTS + 1];
    gt_status status = gather(builder, index, &concat, args, error);
    if (status == GT_OK && *value == GT_NO_VALUE) {
        status = gt_builder_add_result(builder, index, builder->formats[index].result, error);
    }
    if (status != GT_OK || concat.n_inputs == 0) {
        return status;
    }
    args[concat.n_inputs] = gt_value_arg(DNNL_ARG_DST, *value);
    return gt_builder_add_kernel(builder,
                                 (gt_kernel){run, &concat, sizeof(concat), "concatenation", "u8"},
                                 node->name, args, concat.n_inputs + 1, error);
}

const gt_implementation gt_copying_concat = {.is_supported = is_supported, .lower = lower_concat};
