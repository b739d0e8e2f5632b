#include "lower/lower_u8.h"

#include <omp.h>

#include "kernels/u8/u8.h"

static gt_u8_pool
describe_pool(const gt_builder *builder, const gt_node *node)
{
    return (gt_u8_pool){.batch = builder->plan->batch,
                        .from = builder->graph->nodes[node->inputs[0]].shape,
                        .to = node->shape,
                        .window = node->window,
                        .is_max = node->op == GT_OP_MAX_POOL,
                        .threads = omp_get_max_threads()};
}

bool
gt_u8_pool_suits(const gt_builder *builder, int index)
{
    const gt_node *node = &builder->graph->nodes[index];
    if (!gt_runs_in_int8(builder->graph, builder->formats, index) ||
        builder->formats[index].type != dnnl_u8) {
        return false;
    }
    gt_u8_pool pool = describe_pool(builder, node);
    return (node->op == GT_OP_MAX_POOL || node->op == GT_OP_AVERAGE_POOL) &&
           gt_u8_pool_is_supported(&pool);
}

static void
run_pool(const void *context, void *const *memory)
{
    gt_u8_pool_run(context, memory[0], memory[1]);
}

gt_status
gt_lower_u8_pool(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_format format = builder->formats[index];
    int source = GT_NO_VALUE;
    gt_status status = gt_builder_fetch_last(builder, node, 0, format, &source, error);
    if (status == GT_OK) {
        status = gt_builder_add_result(builder, index, format, error);
    }
    if (status != GT_OK) {
        return status;
    }
    gt_arg args[2] = {gt_value_arg(DNNL_ARG_SRC, source),
                      gt_value_arg(DNNL_ARG_DST, builder->plan->value_of[index])};
    gt_u8_pool pool = describe_pool(builder, node);
    return gt_builder_add_kernel(builder,
                                 (gt_kernel){run_pool, &pool, sizeof(pool), "pooling", "u8"},
                                 node->name, args, 2, error);
}
