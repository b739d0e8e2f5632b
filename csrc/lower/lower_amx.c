/* Convolutions by products of tiles on matrix units. */
#include <omp.h>

#include "kernels/amx/amx.h"
#include "lower/implementation.h"
#include "lower/lower_concat.h"

enum { N_ARGS = 5 };

static gt_amx
describe(const gt_builder *builder, int index)
{
    const gt_node *node = &builder->graph->nodes[index];
    const gt_window *window = &node->window;
    gt_amx amx = {.batch = builder->plan->batch,
                  .from = builder->graph->nodes[node->inputs[0]].shape,
                  .to = node->shape,
                  .size = {window->size[0], window->size[1]},
                  .strides = {window->strides[0], window->strides[1]},
                  .before = {window->before[0], window->before[1]},
                  .type = builder->formats[index].map_type,
                  .source_scale = builder->formats[index].source.scale,
                  .result_scale = builder->formats[index].result.scale,
                  .pixel = node->shape.channels,
                  .low = builder->formats[index].low,
                  .high = builder->formats[index].high,
                  .threads = omp_get_max_threads()};
    return amx;
}

static bool
is_available(const gt_builder *builder, int index)
{
    (void)builder;
    (void)index;
    return gt_amx_is_available();
}

static bool
is_supported(const gt_builder *builder, int index)
{
    const gt_node *node = &builder->graph->nodes[index];
    if (node->arrays[GT_KERNEL].data == NULL || node->groups != 1 ||
        node->window.dilations[0] != 1 || node->window.dilations[1] != 1 ||
        !builder->formats[index].has_map_type || node->activation.function != GT_IDENTITY) {
        return false;
    }
    gt_amx amx = describe(builder, index);
    return gt_amx_is_supported(&amx);
}

/* A step of the plan. */
typedef struct {
    gt_amx amx;
    size_t offset; /* bytes from the target's begin to the first result */
} amx_step;

static void
run(const void *context, void *const *memory)
{
    const amx_step *step = context;
    gt_amx_convolve(&step->amx, memory[0], memory[1], memory[2], memory[5],
                    (char *)memory[3] + step->offset, memory[4]);
}

static bool
touches(const gt_step *step, int value)
{
    for (int i = 0; i < step->n_args; i++) {
        if (step->args[i].kind == GT_ARG_VALUE && step->args[i].index == value) {
            return true;
        }
    }
    return false;
}

/* Whether a map is best read from its end: the last step that wrote or read it came there last, so
 * it is still in the caches.  All steps but those of this kernel go forwards. */
static bool
is_read_backwards(const gt_plan *plan, int value)
{
    for (int i = plan->n_steps - 1; i >= 0; i--) {
        const gt_step *step = &plan->steps[i];
        if (touches(step, value)) {
            return step->kernel_fn != run || !((const amx_step *)step->context)->amx.backwards;
        }
    }
    return false;
}

/* The kernel, the shift and, of bytes, the scales of the kernel. */
static gt_status
add_weights(gt_builder *builder, int index, const gt_amx *amx, gt_arg *args, int *n_args,
            gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_plan *plan = builder->plan;
    bool is_u8 = amx->type == GT_MAP_U8;
    int kernel = -1;
    int shift = -1;
    int scales = -1;
    gt_status status = gt_weights_amx(plan->weights, node, amx, plan->engine, &kernel, error);
    if (status == GT_OK) {
        status = gt_weights_shift(plan->weights, node, plan->engine, 0.0f, &shift, error);
    }
    if (status == GT_OK && is_u8) {
        status =
            gt_weights_scales(plan->weights, node, plan->engine, GT_WEIGHT_INT8, &scales, error);
    }
    args[1] = (gt_arg){DNNL_ARG_WEIGHTS, GT_ARG_WEIGHT, kernel};
    args[2] = (gt_arg){DNNL_ARG_BIAS, GT_ARG_WEIGHT, shift};
    if (is_u8) {
        args[(*n_args)++] =
            (gt_arg){DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, GT_ARG_WEIGHT, scales};
    }
    return status;
}

static gt_status
lower_amx(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_format format = builder->formats[index].source;
    amx_step step = {.amx = describe(builder, index)};
    int source = GT_NO_VALUE;
    int target = GT_NO_VALUE;
    int scratch = GT_NO_VALUE;
    int channel = 0;
    int n_args = N_ARGS;
    gt_arg args[N_ARGS + 1];
    gt_status status = gt_builder_fetch_last(builder, node, 0, format, &source, error);
    if (status == GT_OK) {
        status = gt_concat_destination(builder, index, &target, &channel, &step.amx.pixel, error);
    }
    if (status == GT_OK) {
        dnnl_data_type_t type = builder->plan->values[target].format.type;
        step.offset = (size_t)channel * dnnl_data_type_size(type);
        step.amx.backwards = step.amx.threads == 1 && is_read_backwards(builder->plan, source);
        gt_amx_prepare(&step.amx);
        status = add_weights(builder, index, &step.amx, args, &n_args, error);
    }
    if (status == GT_OK) {
        size_t size = gt_amx_scratch_size(&step.amx);
        status = gt_builder_add_scratch(builder, size > 0 ? size : 1, node->name, &scratch, error);
    }
    args[0] = gt_value_arg(DNNL_ARG_SRC, source);
    args[3] = gt_value_arg(DNNL_ARG_DST, target);
    args[4] = gt_value_arg(DNNL_ARG_SCRATCHPAD, scratch);
    if (status == GT_OK) {
        status = gt_builder_add_kernel(builder,
                                       (gt_kernel){run, &step, sizeof(step), "convolution", "amx"},
                                       node->name, args, n_args, error);
    }
    return status;
}

const gt_implementation gt_amx_convolution = {
    .is_available = is_available, .is_supported = is_supported, .lower = lower_amx};
