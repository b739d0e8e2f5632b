/* Layers that kernels of our own compute over the pixels or channels of one map, channels last. */
#include <omp.h>

#include "kernels/maps/maps.h"
#include "lower/implementation.h"

static gt_shape
input_shape(const gt_builder *builder, int index)
{
    return builder->graph->nodes[builder->graph->nodes[index].inputs[0]].shape;
}

static void
run_reduce(const void *context, void *const *memory)
{
    gt_reduce_run(context, memory[0], memory[1]);
}

static gt_status
lower_reduce(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    const gt_reduce reduce = {.batch = builder->plan->batch,
                              .from = input_shape(builder, index),
                              .type = gt_builder_float_map_type(builder),
                              .function = node->reduction,
                              .over_channels = node->axis != GT_AXIS_MAP,
                              .threads = omp_get_max_threads()};
    return gt_builder_add_map_kernel(
        builder, index, gt_builder_float_format(builder),
        (gt_kernel){run_reduce, &reduce, sizeof(reduce), "reduction", "maps"}, error);
}

static void
run_resize(const void *context, void *const *memory)
{
    gt_resize_run(context, memory[0], memory[1]);
}

static gt_status
lower_resize(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    const gt_resize resize = {.batch = builder->plan->batch,
                              .from = input_shape(builder, index),
                              .to = node->shape,
                              .type = gt_builder_float_map_type(builder),
                              .coordinates = node->coordinates,
                              .threads = omp_get_max_threads()};
    return gt_builder_add_map_kernel(
        builder, index, gt_builder_float_format(builder),
        (gt_kernel){run_resize, &resize, sizeof(resize), "resize", "maps"}, error);
}

static void
run_response_norm(const void *context, void *const *memory)
{
    gt_response_norm_run(context, memory[0], memory[1]);
}

static gt_status
lower_response_norm(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    const gt_response_norm norm = {.pixels = (int64_t)builder->plan->batch * node->shape.height *
                                             node->shape.width,
                                   .channels = node->shape.channels,
                                   .type = gt_builder_float_map_type(builder),
                                   .size = node->size,
                                   .alpha = node->alpha,
                                   .beta = node->beta,
                                   .bias = node->offset,
                                   .threads = omp_get_max_threads()};
    return gt_builder_add_map_kernel(
        builder, index, gt_builder_float_format(builder),
        (gt_kernel){run_response_norm, &norm, sizeof(norm), "normalisation", "maps"}, error);
}

/* Padding counts in the mean, what is beyond it does not: oneDNN knows both alone. */
static bool
counts_padding_only(const gt_builder *builder, int index)
{
    const gt_node *node = &builder->graph->nodes[index];
    const gt_window *window = &node->window;
    return node->op == GT_OP_AVERAGE_POOL && window->count_padding &&
           gt_window_has_padding(window) && window->beyond[0] + window->beyond[1] > 0;
}

static void
run_mean_pool(const void *context, void *const *memory)
{
    gt_mean_pool_run(context, memory[0], memory[1]);
}

static gt_status
lower_mean_pool(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    const gt_mean_pool pool = {.batch = builder->plan->batch,
                               .from = input_shape(builder, index),
                               .to = node->shape,
                               .type = gt_builder_float_map_type(builder),
                               .window = node->window,
                               .threads = omp_get_max_threads()};
    return gt_builder_add_map_kernel(
        builder, index, gt_builder_float_format(builder),
        (gt_kernel){run_mean_pool, &pool, sizeof(pool), "pooling", "maps"}, error);
}

const gt_implementation gt_reduced_map = {.lower = lower_reduce};
const gt_implementation gt_bilinear_resize = {.lower = lower_resize};
const gt_implementation gt_response_normalisation = {.lower = lower_response_norm};
const gt_implementation gt_mean_pool_beyond = {.is_supported = counts_padding_only,
                                               .lower = lower_mean_pool};
