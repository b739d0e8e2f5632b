#include "lower_bytes.h"

#include <omp.h>
#include <stdlib.h>

#include "bytes.h"

static gt_byte_pool
describe_pool(const gt_builder *builder, const gt_node *node)
{
    return (gt_byte_pool){.batch = builder->plan->batch,
                          .from = builder->graph->nodes[node->inputs[0]].shape,
                          .to = node->shape,
                          .window = node->window,
                          .is_max = node->op == GT_OP_MAX_POOL,
                          .threads = omp_get_max_threads()};
}

bool
gt_bytes_suit(const gt_builder *builder, int index)
{
    const gt_node *node = &builder->graph->nodes[index];
    if (!gt_runs_in_int8(builder->graph, builder->numbers, index) ||
        builder->numbers[index].type != dnnl_u8) {
        return false;
    }
    if (node->op == GT_OP_CONCAT) {
        return node->n_inputs <= GT_BYTES_MOST_INPUTS;
    }
    gt_byte_pool pool = describe_pool(builder, node);
    return (node->op == GT_OP_MAX_POOL || node->op == GT_OP_AVERAGE_POOL) &&
           gt_byte_pool_fits(&pool);
}

static void
run_pool(const void *context, void *const *memory)
{
    gt_byte_pool_run(context, memory[0], memory[1]);
}

static void
run_concat(const void *context, void *const *memory)
{
    const gt_byte_concat *concat = context;
    const uint8_t *sources[GT_BYTES_MOST_INPUTS] = {NULL};
    for (int k = 0; k < concat->n_inputs; k++) {
        sources[k] = memory[k];
    }
    gt_byte_concat_run(concat, sources, memory[concat->n_inputs]);
}

static gt_status
add_pool(gt_builder *builder, const gt_node *node, const gt_arg *args, gt_error *error)
{
    gt_byte_pool *pool = malloc(sizeof(*pool));
    if (pool == NULL) {
        return gt_fail_memory(error, "a step's kernel");
    }
    *pool = describe_pool(builder, node);
    gt_step step = {.kernel = run_pool, .context = pool};
    return gt_builder_add_kernel(builder, step, "pooling", "bytes", node->name, args, 2, error);
}

static gt_status
add_concat(gt_builder *builder, const gt_node *node, const gt_arg *args, gt_error *error)
{
    gt_byte_concat *concat = malloc(sizeof(*concat));
    if (concat == NULL) {
        return gt_fail_memory(error, "a step's kernel");
    }
    *concat = (gt_byte_concat){
        .pixels = (int64_t)builder->plan->batch * node->shape.height * node->shape.width,
        .n_inputs = node->n_inputs,
        .threads = omp_get_max_threads()};
    for (int k = 0; k < node->n_inputs; k++) {
        concat->channels[k] = builder->graph->nodes[node->inputs[k]].shape.channels;
    }
    gt_step step = {.kernel = run_concat, .context = concat};
    return gt_builder_add_kernel(builder, step, "concatenation", "bytes", node->name, args,
                                 node->n_inputs + 1, error);
}

gt_status
gt_lower_bytes(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_number number = builder->numbers[index];
    gt_arg args[GT_BYTES_MOST_INPUTS + 1];
    gt_status status = GT_OK;
    for (int k = 0; status == GT_OK && k < node->n_inputs; k++) {
        int value = GT_NO_VALUE;
        status = gt_builder_fetch_last(builder, node, k, number, &value, error);
        args[k] = gt_value_arg(DNNL_ARG_MULTIPLE_SRC + k, value);
    }
    if (status == GT_OK) {
        status = gt_builder_add_result(builder, index, number, error);
    }
    if (status != GT_OK) {
        return status;
    }
    args[node->n_inputs] = gt_value_arg(DNNL_ARG_DST, builder->plan->value_of[index]);
    return node->op == GT_OP_CONCAT ? add_concat(builder, node, args, error)
                                    : add_pool(builder, node, args, error);
}
