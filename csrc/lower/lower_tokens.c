/* Normalisations, position embeddings and attention by kernels of the project's own. */
#include <omp.h>
#include <stddef.h>

#include "kernels/attention/attention.h"
#include "kernels/norm/norm.h"
#include "lower/implementation.h"

static gt_norm
describe_norm(const gt_builder *builder, int index)
{
    const gt_node *node = &builder->graph->nodes[index];
    return (gt_norm){.batch = builder->plan->batch,
                     .shape = node->shape,
                     .groups = node->groups,
                     .type = builder->formats[index].map_type,
                     .epsilon = (float)node->epsilon,
                     .threads = omp_get_max_threads()};
}

static void
run_layer_norm(const void *context, void *const *memory)
{
    gt_layer_norm_run(context, memory[0], memory[1], memory[2], memory[3]);
}

static void
run_group_norm(const void *context, void *const *memory)
{
    gt_group_norm_run(context, memory[0], memory[1], memory[2], memory[3], memory[4]);
}

static void
run_embedding(const void *context, void *const *memory)
{
    gt_embedding_run(context, memory[0], memory[1], memory[2]);
}

static gt_status
lower_norm(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_plan *plan = builder->plan;
    gt_norm norm = describe_norm(builder, index);
    gt_format format = builder->formats[index].source;
    bool is_layer_norm = node->op == GT_OP_LAYER_NORM;
    int source = GT_NO_VALUE;
    int scratch = GT_NO_VALUE;
    int gamma = -1;
    int beta = -1;
    gt_status status = gt_builder_fetch_last(builder, node, 0, format, &source, error);
    if (status == GT_OK) {
        status = gt_weights_array(plan->weights, node, GT_GAMMA, 1.0f, plan->engine, &gamma, error);
    }
    if (status == GT_OK) {
        status = gt_weights_array(plan->weights, node, GT_BETA, 0.0f, plan->engine, &beta, error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_result(builder, index, format, error);
    }
    if (status == GT_OK && !is_layer_norm) {
        status = gt_builder_add_scratch(builder, gt_group_norm_scratch_size(&norm), node->name,
                                        &scratch, error);
    }
    if (status == GT_OK) {
        gt_arg args[5] = {gt_value_arg(DNNL_ARG_SRC, source),
                          {DNNL_ARG_SCALE, GT_ARG_WEIGHT, gamma},
                          {DNNL_ARG_SHIFT, GT_ARG_WEIGHT, beta},
                          gt_value_arg(DNNL_ARG_DST, plan->value_of[index]),
                          gt_value_arg(DNNL_ARG_SCRATCHPAD, scratch)};
        gt_kernel kernel = {is_layer_norm ? run_layer_norm : run_group_norm, &norm, sizeof(norm),
                            "normalisation", is_layer_norm ? "layer_norm" : "group_norm"};
        status =
            gt_builder_add_kernel(builder, kernel, node->name, args, is_layer_norm ? 4 : 5, error);
    }
    return status;
}

static gt_status
lower_embedding(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_plan *plan = builder->plan;
    gt_norm norm = describe_norm(builder, index);
    gt_format format = builder->formats[index].source;
    int source = GT_NO_VALUE;
    int value = -1;
    gt_status status = gt_builder_fetch_last(builder, node, 0, format, &source, error);
    if (status == GT_OK) {
        status = gt_weights_embedding(plan->weights, node, plan->engine, &value, error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_result(builder, index, format, error);
    }
    if (status == GT_OK) {
        gt_arg args[3] = {gt_value_arg(DNNL_ARG_SRC, source),
                          {DNNL_ARG_WEIGHTS, GT_ARG_WEIGHT, value},
                          gt_value_arg(DNNL_ARG_DST, plan->value_of[index])};
        gt_kernel kernel = {run_embedding, &norm, sizeof(norm), "addition", "embedding"};
        status = gt_builder_add_kernel(builder, kernel, node->name, args, 3, error);
    }
    return status;
}

/* The maps that a step of attention reads stand first, then what the graph may lack. */
typedef struct {
    gt_attention attention;
    int n_inputs;
    int value; /* places among the memory; -1 for none */
    int bias;
    int target;
    int scratch;
} attention_step;

static void
run_attention(const void *context, void *const *memory)
{
    const attention_step *step = context;
    const gt_attention *attention = &step->attention;
    gt_attention_maps maps = {.queries = memory[0],
                              .keys = memory[step->n_inputs == 3],
                              .values = memory[step->n_inputs == 3 ? 2 : 0],
                              .value = step->value < 0 ? NULL : memory[step->value],
                              .bias = step->bias < 0 ? NULL : memory[step->bias],
                              .target = memory[step->target],
                              .scratch = memory[step->scratch]};
    if (step->n_inputs == 1) { /* side by side */
        size_t size = attention->type == GT_MAP_BF16 ? sizeof(uint16_t) : sizeof(float);
        size_t bytes = (size_t)attention->queries.channels * size;
        maps.keys = (const char *)maps.queries + bytes;
        maps.values = (const char *)maps.queries + 2 * bytes;
    }
    gt_attention_run(attention, &maps);
}

static gt_attention
describe_attention(const gt_builder *builder, int index)
{
    const gt_node *nodes = builder->graph->nodes;
    const gt_node *node = &nodes[index];
    bool has_windows = node->attending.window[0] != 0;
    gt_attention attention = {.batch = builder->plan->batch,
                              .queries = node->shape,
                              .keys = nodes[node->inputs[node->n_inputs == 3]].shape,
                              .heads = node->attending.heads,
                              .scale = node->attending.scale,
                              .type = builder->formats[index].map_type,
                              .window = {node->shape.height, node->shape.width},
                              .has_value = node->arrays[GT_VALUE].data != NULL,
                              .threads = omp_get_max_threads()};
    for (int k = 0; k < 3; k++) {
        attention.strides[k] =
            node->n_inputs == 1 ? 3 * node->shape.channels : node->shape.channels;
    }
    for (int axis = 0; has_windows && axis < 2; axis++) {
        attention.window[axis] = node->attending.window[axis];
        attention.shift[axis] = node->attending.shift[axis];
    }
    return attention;
}

/* Append the arguments that are weights; sets their places. */
static gt_status
add_arrays(gt_builder *builder, const gt_node *node, attention_step *step, gt_arg *args,
           int *n_args, gt_error *error)
{
    gt_plan *plan = builder->plan;
    const gt_role roles[2] = {GT_VALUE, GT_BIAS};
    int *places[2] = {&step->value, &step->bias};
    for (int k = 0; k < 2; k++) {
        int index = -1;
        *places[k] = -1;
        if (node->arrays[roles[k]].data == NULL) {
            continue;
        }
        gt_status status =
            gt_weights_array(plan->weights, node, roles[k], 0.0f, plan->engine, &index, error);
        if (status != GT_OK) {
            return status;
        }
        *places[k] = *n_args;
        args[(*n_args)++] = (gt_arg){DNNL_ARG_WEIGHTS, GT_ARG_WEIGHT, index};
    }
    return GT_OK;
}

static gt_status
lower_attention(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_plan *plan = builder->plan;
    gt_format format = builder->formats[index].source;
    attention_step step = {.attention = describe_attention(builder, index),
                           .n_inputs = node->n_inputs};
    gt_arg args[GT_KERNEL_MAX_ARGS] = {{0}};
    int scratch = GT_NO_VALUE;
    int n_args = 0;
    gt_status status = GT_OK;
    for (int k = 0; status == GT_OK && k < node->n_inputs; k++) {
        int source = GT_NO_VALUE;
        status = gt_builder_fetch_last(builder, node, k, format, &source, error);
        args[n_args++] = gt_value_arg(DNNL_ARG_MULTIPLE_SRC + k, source);
    }
    if (status == GT_OK) {
        status = add_arrays(builder, node, &step, args, &n_args, error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_result(builder, index, format, error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_scratch(builder, gt_attention_scratch_size(&step.attention),
                                        node->name, &scratch, error);
    }
    if (status == GT_OK) {
        step.target = n_args;
        args[n_args++] = gt_value_arg(DNNL_ARG_DST, plan->value_of[index]);
        step.scratch = n_args;
        args[n_args++] = gt_value_arg(DNNL_ARG_SCRATCHPAD, scratch);
        gt_kernel kernel = {run_attention, &step, sizeof(step), "attention",
                            gt_attention_name(&step.attention)};
        status = gt_builder_add_kernel(builder, kernel, node->name, args, n_args, error);
    }
    return status;
}

const gt_implementation gt_norm_of_rows = {.lower = lower_norm};
const gt_implementation gt_position_embedding = {.lower = lower_embedding};
const gt_implementation gt_attention_of_heads = {.lower = lower_attention};
