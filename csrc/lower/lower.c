#include "lower/lower.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lower/lower_amx.h"
#include "lower/lower_concat.h"
#include "lower/lower_mbconv.h"
#include "lower/lower_u8.h"
#include "lower/lower_winograd.h"
#include "lower/primitive.h"

/* A ReLU as a step of its own, reading `source`. */
static gt_status
lower_relu(gt_builder *builder, int index, int source, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    const_dnnl_memory_desc_t layout = builder->plan->values[source].desc;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    bool bounded = isfinite(node->relu_max);
    gt_status status = gt_primitive_attributes(&attributes, node, false, error);
    if (status == GT_OK) {
        status = gt_check_engine(dnnl_eltwise_forward_primitive_desc_create(
                                     &desc, builder->plan->engine, dnnl_forward_inference,
                                     bounded ? dnnl_eltwise_clip : dnnl_eltwise_relu, layout,
                                     layout, 0.0f, bounded ? node->relu_max : 0.0f, attributes),
                                 "choosing a ReLU", node->name, error);
    }
    if (status == GT_OK) {
        gt_arg args[2] = {gt_value_arg(DNNL_ARG_SRC, source)};
        status = gt_primitive_finish(builder, index, desc, gt_builder_float_format(builder), args,
                                     1, error);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    (void)dnnl_primitive_desc_destroy(desc);
    return status;
}

static gt_status
lower_own_relu(gt_builder *builder, int index, gt_error *error)
{
    int source = GT_NO_VALUE;
    gt_status status = gt_builder_fetch(builder, builder->graph->nodes[index].inputs[0],
                                        gt_builder_float_format(builder), &source, error);
    return status == GT_OK ? lower_relu(builder, index, source, error) : status;
}

static dnnl_alg_kind_t
pool_algorithm(const gt_node *node)
{
    if (node->op == GT_OP_MAX_POOL || node->op == GT_OP_GLOBAL_MAX_POOL) {
        return dnnl_pooling_max;
    }
    return node->window.count_padding ? dnnl_pooling_avg_include_padding
                                      : dnnl_pooling_avg_exclude_padding;
}

/* The window of a pool; that of a global one is the whole map. */
static gt_window
pool_window(const gt_builder *builder, const gt_node *node)
{
    gt_window window = node->window;
    if (node->op == GT_OP_GLOBAL_AVERAGE_POOL || node->op == GT_OP_GLOBAL_MAX_POOL) {
        const gt_shape *from = &builder->graph->nodes[node->inputs[0]].shape;
        window.size[0] = from->height;
        window.size[1] = from->width;
    }
    return window;
}

static gt_status
create_pool(const gt_builder *builder, const gt_node *node, int value, bool with_relu,
            dnnl_primitive_desc_t *desc, gt_error *error)
{
    const gt_plan *plan = builder->plan;
    const_dnnl_memory_desc_t source = plan->values[value].desc;
    dnnl_data_type_t type = plan->values[value].format.type;
    dnnl_memory_desc_t result = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    gt_window window = pool_window(builder, node);
    dnnl_dims_t size = {window.size[0], window.size[1]};
    dnnl_dims_t strides = {window.strides[0], window.strides[1]};
    dnnl_dims_t dilations = {0, 0};
    dnnl_dims_t before = {window.before[0], window.before[1]};
    dnnl_dims_t after = {window.after[0], window.after[1]};
    gt_status status =
        gt_builder_describe(builder, &result, node->shape, type, dnnl_format_tag_any, error);
    if (status == GT_OK) {
        status = gt_primitive_attributes(&attributes, node, with_relu, error);
    }
    if (status == GT_OK) {
        status = gt_check_engine(dnnl_pooling_forward_primitive_desc_create(
                                     desc, plan->engine, dnnl_forward_inference,
                                     pool_algorithm(node), source, result, strides, size, dilations,
                                     before, after, attributes),
                                 "choosing a pool", node->name, error);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    (void)dnnl_memory_desc_destroy(result);
    return status;
}

static gt_status
lower_pool(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    dnnl_primitive_desc_t desc = NULL;
    bool fused = node->relu;
    gt_format format = gt_builder_result_format(builder, index);
    int source = GT_NO_VALUE;
    gt_status status = gt_builder_fetch(builder, node->inputs[0], format, &source, error);
    if (status == GT_OK) {
        status = create_pool(builder, node, source, fused, &desc, error);
    }
    if (source != GT_NO_VALUE && fused &&
        (status == GT_ERROR_ENGINE || (status == GT_OK && gt_primitive_is_reference(desc)))) {
        (void)dnnl_primitive_desc_destroy(desc);
        desc = NULL;
        fused = false;
        status = create_pool(builder, node, source, false, &desc, error);
    }
    if (status == GT_OK) {
        status = gt_primitive_refuse_reference(desc, node, error);
    }
    if (status == GT_OK) {
        gt_arg args[2] = {gt_value_arg(DNNL_ARG_SRC, source)};
        status = gt_primitive_finish(builder, index, desc, format, args, 1, error);
    }
    if (status == GT_OK && node->relu && !fused) {
        status = lower_relu(builder, index, builder->plan->value_of[index], error);
    }
    (void)dnnl_primitive_desc_destroy(desc);
    return status;
}

/* The operands of a join, brought into one layout; `args` has room for them. */
static gt_status
gather_operands(gt_builder *builder, const gt_node *node, gt_format format, gt_arg *args,
                gt_error *error)
{
    gt_status status = GT_OK;
    for (int k = 0; status == GT_OK && k < node->n_inputs; k++) {
        int value = GT_NO_VALUE;
        status = gt_builder_fetch(builder, node->inputs[k], format, &value, error);
        if (status == GT_OK && node->op == GT_OP_ADD && k > 0) {
            const_dnnl_memory_desc_t first = builder->plan->values[args[0].index].desc;
            status = gt_builder_reorder(builder, value, first, format, node->name, &value, error);
        }
        args[k] = gt_value_arg(DNNL_ARG_MULTIPLE_SRC + k, value);
    }
    return status;
}

/* `result` is NULL where oneDNN may choose its layout. */
static gt_status
create_join(const gt_builder *builder, const gt_node *node, const gt_arg *args,
            const_dnnl_memory_desc_t result, dnnl_primitive_desc_t *desc, gt_error *error)
{
    const gt_plan *plan = builder->plan;
    int n = node->n_inputs;
    dnnl_primitive_attr_t attributes = NULL;
    const_dnnl_memory_desc_t *sources = malloc((size_t)n * sizeof(*sources));
    float *ones = malloc((size_t)n * sizeof(*ones));
    gt_status status = GT_OK;
    if (sources == NULL || ones == NULL) {
        status = gt_fail_memory(error, "the inputs of a layer");
    }
    for (int k = 0; status == GT_OK && k < n; k++) {
        sources[k] = plan->values[args[k].index].desc;
        ones[k] = 1.0f;
    }
    if (status == GT_OK) {
        status = gt_primitive_attributes(&attributes, node, false, error);
    }
    if (status == GT_OK && node->op == GT_OP_CONCAT) {
        status = gt_check_engine(dnnl_concat_primitive_desc_create(desc, plan->engine, result, n, 1,
                                                                   sources, attributes),
                                 "choosing a concatenation", node->name, error);
    }
    else if (status == GT_OK) {
        status = gt_check_engine(dnnl_sum_primitive_desc_create(desc, plan->engine, result, n, ones,
                                                                sources, attributes),
                                 "choosing a sum", node->name, error);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    free(ones);
    free(sources);
    return status;
}

/* Out of operands in several layouts oneDNN slowly concatenates a result in one that hardly another
 * primitive reads; with channels last throughout it does neither. */
static gt_status
join_channels_last(gt_builder *builder, const gt_node *node, gt_format format, gt_arg *args,
                   dnnl_primitive_desc_t *desc, gt_error *error)
{
    dnnl_memory_desc_t result = NULL;
    gt_status status =
        gt_builder_describe(builder, &result, node->shape, format.type, dnnl_nhwc, error);
    for (int k = 0; status == GT_OK && k < node->n_inputs; k++) {
        status = gt_builder_fetch_last(builder, node, k, format, &args[k].index, error);
    }
    if (status == GT_OK) {
        status = create_join(builder, node, args, result, desc, error);
    }
    (void)dnnl_memory_desc_destroy(result);
    return status;
}

/* concat and add. */
static gt_status
lower_join(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    dnnl_primitive_desc_t desc = NULL;
    gt_arg *args = calloc((size_t)node->n_inputs + 1, sizeof(*args));
    gt_status status = GT_OK;
    if (args == NULL) {
        return gt_fail_memory(error, "the inputs of a layer");
    }
    gt_format format = gt_builder_result_format(builder, index);
    status = gather_operands(builder, node, format, args, error);
    if (status == GT_OK) {
        status = create_join(builder, node, args, NULL, &desc, error);
    }
    if (status == GT_OK && node->op == GT_OP_CONCAT && gt_primitive_is_reference(desc)) {
        (void)dnnl_primitive_desc_destroy(desc);
        desc = NULL;
        status = join_channels_last(builder, node, format, args, &desc, error);
    }
    if (status == GT_OK) {
        status = gt_primitive_finish(builder, index, desc, format, args, node->n_inputs, error);
    }
    if (status == GT_OK && node->relu) {
        status = lower_relu(builder, index, builder->plan->value_of[index], error);
    }
    (void)dnnl_primitive_desc_destroy(desc);
    free(args);
    return status;
}

static gt_status
lower_softmax(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_plan *plan = builder->plan;
    const_dnnl_memory_desc_t layout = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    int source = GT_NO_VALUE;
    gt_status status =
        gt_builder_fetch_last(builder, node, 0, gt_builder_float_format(builder), &source, error);
    if (status == GT_OK) {
        status = gt_primitive_attributes(&attributes, node, false, error);
    }
    if (status == GT_OK) {
        layout = plan->values[source].desc;
        status = gt_check_engine(dnnl_softmax_forward_primitive_desc_create(
                                     &desc, plan->engine, dnnl_forward_inference,
                                     dnnl_softmax_accurate, layout, layout, 1, attributes),
                                 "choosing a softmax", node->name, error);
    }
    if (status == GT_OK) {
        gt_arg args[2] = {gt_value_arg(DNNL_ARG_SRC, source)};
        status = gt_primitive_finish(builder, index, desc, gt_builder_float_format(builder), args,
                                     1, error);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    (void)dnnl_primitive_desc_destroy(desc);
    return status;
}

/* Lay the map out with channels last; the same bytes then are the flat value. */
static gt_status
lower_flatten(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    dnnl_memory_desc_t flat = NULL;
    gt_plan *plan = builder->plan;
    gt_format full = gt_builder_float_format(builder);
    int source = GT_NO_VALUE;
    int *value = &plan->value_of[index];
    gt_status status =
        gt_builder_describe(builder, &flat, node->shape, full.type, dnnl_nhwc, error);
    if (status == GT_OK) {
        status = gt_builder_fetch_last(builder, node, 0, full, &source, error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_value(builder, flat, full, node->name, value, error);
    }
    if (status == GT_OK) {
        plan->values[*value].alias_of = source;
    }
    (void)dnnl_memory_desc_destroy(flat);
    return status;
}

static gt_status
lower_input(gt_builder *builder, int index, gt_error *error)
{
    gt_plan *plan = builder->plan;
    dnnl_memory_desc_t desc = NULL;
    gt_format format = builder->formats[index];
    gt_status status =
        gt_builder_describe(builder, &desc, plan->input, format.type, dnnl_nhwc, error);
    if (status == GT_OK) {
        status = gt_builder_add_value(builder, desc, format, "input", &plan->input_value, error);
    }
    if (status == GT_OK) {
        plan->values[plan->input_value].first = -1;
        plan->input_channels_last = true;
        plan->reads_u8 = gt_is_8_bit(format.type);
        builder->plan->value_of[index] = plan->input_value;
    }
    (void)dnnl_memory_desc_destroy(desc);
    return status;
}

gt_status
gt_lower_node(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    if (builder->is_fused[index]) {
        return gt_lower_mbconv(builder, index, error);
    }
    if (gt_u8_pool_suits(builder, index)) {
        return gt_lower_u8_pool(builder, index, error);
    }
    switch (node->op) {
    case GT_OP_INPUT:
        return lower_input(builder, index, error);
    case GT_OP_CONV2D:
        return gt_lower_amx_suits(builder, index)  ? gt_lower_amx(builder, index, error)
               : gt_winograd_suits(builder, index) ? gt_lower_winograd(builder, index, error)
                                                   : gt_lower_convolution(builder, index, error);
    case GT_OP_DENSE:
        return gt_lower_convolution(builder, index, error);
    case GT_OP_RELU:
        return lower_own_relu(builder, index, error);
    case GT_OP_MAX_POOL:
    case GT_OP_AVERAGE_POOL:
    case GT_OP_GLOBAL_AVERAGE_POOL:
    case GT_OP_GLOBAL_MAX_POOL:
        return lower_pool(builder, index, error);
    case GT_OP_CONCAT:
        return gt_concat_suits(builder, index) ? gt_lower_concat(builder, index, error)
                                               : lower_join(builder, index, error);
    case GT_OP_ADD:
        return lower_join(builder, index, error);
    case GT_OP_FLATTEN:
        return lower_flatten(builder, index, error);
    case GT_OP_SOFTMAX:
        return lower_softmax(builder, index, error);
    case GT_OP_BATCH_NORM:
    case GT_OP_BIAS:
    case GT_OP_COUNT:
        break;
    }
    return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': %s was not folded before planning",
                   node->name, gt_op_name(node->op));
}
