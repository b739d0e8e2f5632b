/* Means over whole maps by a kernel of the project's own. */
#include <omp.h>

#include "kernels/mean/map_mean.h"
#include "lower/implementation.h"
#include "lower/lower_activation.h"

static bool
is_supported(const gt_builder *builder, int index)
{
    dnnl_data_type_t type = builder->formats[index].result.type;
    return builder->graph->nodes[index].op == GT_OP_GLOBAL_AVERAGE_POOL &&
           (type == dnnl_f32 || type == dnnl_bf16);
}

/* Whether a value lies in `layout`. */
static gt_status
lies_in(const gt_builder *builder, int value, gt_shape shape, dnnl_format_tag_t layout, bool *does,
        gt_error *error)
{
    const gt_value *known = &builder->plan->values[value];
    dnnl_memory_desc_t desc = NULL;
    gt_status status =
        gt_builder_describe(builder, &desc, shape, known->format.type, layout, error);
    *does = status == GT_OK && dnnl_memory_desc_equal(known->desc, desc);
    (void)dnnl_memory_desc_destroy(desc);
    return status;
}

/* The result of the input in one of the layouts that the kernel reads, and the channels of a block
 * of that. */
static gt_status
fetch(gt_builder *builder, const gt_node *node, gt_format format, int *value, int *block,
      gt_error *error)
{
    static const struct {
        dnnl_format_tag_t layout;
        int block;
    } known[] = {{dnnl_nChw16c, 16}, {dnnl_nChw8c, 8}};
    gt_shape shape = builder->graph->nodes[node->inputs[0]].shape;
    gt_status status = gt_builder_fetch(builder, node->inputs[0], format, value, error);
    for (int i = 0; status == GT_OK && i < 2; i++) {
        bool does = false;
        status = lies_in(builder, *value, shape, known[i].layout, &does, error);
        if (does) {
            *block = known[i].block;
            return GT_OK;
        }
    }
    *block = shape.channels;
    return status == GT_OK ? gt_builder_fetch_last(builder, node, 0, format, value, error) : status;
}

static void
run(const void *context, void *const *memory)
{
    gt_map_mean_run(context, memory[0], memory[1]);
}

static gt_status
lower_map_mean(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_format format = builder->formats[index].result;
    gt_map_mean mean = {.batch = builder->plan->batch,
                        .shape = builder->graph->nodes[node->inputs[0]].shape,
                        .type = format.type == dnnl_bf16 ? GT_MAP_BF16 : GT_MAP_FLOAT32,
                        .threads = omp_get_max_threads()};
    int source = GT_NO_VALUE;
    gt_status status = fetch(builder, node, format, &source, &mean.block, error);
    if (status == GT_OK) {
        status = gt_builder_add_result(builder, index, format, error);
    }
    if (status != GT_OK) {
        return status;
    }
    gt_arg args[2] = {gt_value_arg(DNNL_ARG_SRC, source),
                      gt_value_arg(DNNL_ARG_DST, builder->plan->value_of[index])};
    status =
        gt_builder_add_kernel(builder, (gt_kernel){run, &mean, sizeof(mean), "pooling", "mean"},
                              node->name, args, 2, error);
    return status == GT_OK && gt_activation_exists(&node->activation)
               ? gt_lower_activation(builder, index, builder->plan->value_of[index], error)
               : status;
}

const gt_implementation gt_mean_of_map = {.is_supported = is_supported, .lower = lower_map_mean};
