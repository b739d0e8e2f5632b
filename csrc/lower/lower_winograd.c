/* Convolutions by Winograd's minimal filtering. */
#include <omp.h>

#include "kernels/winograd/winograd.h"
#include "lower/implementation.h"

enum { N_ARGS = 5 };

/* What a run of the layer is, but for the layout of its source and the size of its blocks. */
static gt_winograd
describe(const gt_builder *builder, int index)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_map_type type = builder->formats[index].map_type;
    int lanes = gt_winograd_lanes(type);
    gt_winograd winograd = {.batch = builder->plan->batch,
                            .from = builder->graph->nodes[node->inputs[0]].shape,
                            .to = node->shape,
                            .before = {node->window.before[0], node->window.before[1]},
                            .size = node->window.size[0],
                            .type = type,
                            .result_scale = builder->formats[index].result.scale,
                            .lanes = lanes,
                            .target = gt_winograd_channels_last(node->shape, lanes),
                            .low = builder->formats[index].low,
                            .high = builder->formats[index].high,
                            .threads = omp_get_max_threads()};
    return winograd;
}

/* Depends on the type of the maps. */
static bool
is_available(const gt_builder *builder, int index)
{
    return gt_winograd_lanes(builder->formats[index].map_type) > 0;
}

static bool
is_supported(const gt_builder *builder, int index)
{
    const gt_node *node = &builder->graph->nodes[index];
    const gt_window *window = &node->window;
    int channels_in = builder->graph->nodes[node->inputs[0]].shape.channels;
    int lanes = gt_winograd_lanes(builder->formats[index].map_type);
    return builder->formats[index].has_map_type && node->arrays[GT_KERNEL].data != NULL &&
           node->activation.function == GT_IDENTITY && node->groups == 1 &&
           window->size[0] == window->size[1] && (window->size[0] == 3 || window->size[0] == 5) &&
           window->strides[0] == 1 && window->strides[1] == 1 && window->dilations[0] == 1 &&
           window->dilations[1] == 1 && channels_in % lanes == 0 &&
           node->shape.channels % GT_WINOGRAD_COLS == 0;
}

/* Transformed weights take several times the memory. */
static bool
is_profitable(const gt_builder *builder, int index)
{
    gt_winograd winograd = describe(builder, index);
    return !builder->low_memory && gt_winograd_is_profitable(&winograd);
}

static void
run(const void *context, void *const *memory)
{
    gt_winograd_run(context, memory[0], memory[1], memory[2], memory[3], memory[4]);
}

/* Read the source as it is where it has channels last or in blocks of a vector; else bring it into
 * the former layout. */
static gt_status
choose_source(gt_builder *builder, int index, gt_winograd *winograd, int *value, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_format format = builder->formats[index].source;
    dnnl_memory_desc_t blocked = NULL;
    gt_status status = gt_builder_fetch(builder, node->inputs[0], format, value, error);
    if (status == GT_OK) {
        status = gt_builder_describe(builder, &blocked, winograd->from, format.type,
                                     winograd->lanes == 8 ? dnnl_nChw8c : dnnl_nChw16c, error);
    }
    if (status == GT_OK && dnnl_memory_desc_equal(builder->plan->values[*value].desc, blocked)) {
        winograd->source = gt_winograd_blocked(winograd->from, winograd->lanes);
    }
    else if (status == GT_OK) {
        winograd->source = gt_winograd_channels_last(winograd->from, winograd->lanes);
        status = gt_builder_fetch_last(builder, node, 0, format, value, error);
    }
    (void)dnnl_memory_desc_destroy(blocked);
    return status;
}

static gt_status
lower_winograd(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_plan *plan = builder->plan;
    gt_winograd winograd = describe(builder, index);
    int source = GT_NO_VALUE;
    int scratch = GT_NO_VALUE;
    int kernel = -1;
    int shift = -1;
    gt_winograd_prepare(&winograd);
    gt_status status = choose_source(builder, index, &winograd, &source, error);
    if (status == GT_OK) {
        float source_scale = builder->formats[index].source.scale;
        status = gt_weights_winograd(plan->weights, node, &winograd, source_scale, plan->engine,
                                     &kernel, error);
    }
    if (status == GT_OK) {
        status = gt_weights_shift(plan->weights, node, plan->engine, 0.0f, &shift, error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_result(builder, index, builder->formats[index].result, error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_scratch(builder, gt_winograd_scratch_size(&winograd), node->name,
                                        &scratch, error);
    }
    if (status == GT_OK) {
        gt_arg args[N_ARGS] = {gt_value_arg(DNNL_ARG_SRC, source),
                               {DNNL_ARG_WEIGHTS, GT_ARG_WEIGHT, kernel},
                               {DNNL_ARG_BIAS, GT_ARG_WEIGHT, shift},
                               gt_value_arg(DNNL_ARG_DST, plan->value_of[index]),
                               gt_value_arg(DNNL_ARG_SCRATCHPAD, scratch)};
        const char *name = winograd.size == 3 ? "winograd_3x3" : "winograd_5x5";
        status = gt_builder_add_kernel(
            builder, (gt_kernel){run, &winograd, sizeof(winograd), "convolution", name}, node->name,
            args, N_ARGS, error);
    }
    return status;
}

const gt_implementation gt_winograd_convolution = {.is_available = is_available,
                                                   .is_supported = is_supported,
                                                   .is_profitable = is_profitable,
                                                   .lower = lower_winograd};
