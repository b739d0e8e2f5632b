#include "lower.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lower_winograd.h"

/* Attributes of every primitive: the scratchpad is the caller's, a ReLU may follow. */
static gt_status
create_attributes(dnnl_primitive_attr_t *attributes, const gt_node *node, bool with_relu,
                  gt_error *error)
{
    dnnl_post_ops_t post_ops = NULL;
    dnnl_status_t code = dnnl_primitive_attr_create(attributes);
    if (code == dnnl_success) {
        code = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    }
    if (code == dnnl_success && with_relu) {
        code = dnnl_post_ops_create(&post_ops);
        if (code == dnnl_success) {
            bool bounded = isfinite(node->relu_max);
            code = dnnl_post_ops_append_eltwise(post_ops,
                                                bounded ? dnnl_eltwise_clip : dnnl_eltwise_relu,
                                                0.0f, bounded ? node->relu_max : 0.0f);
        }
        if (code == dnnl_success) {
            code = dnnl_primitive_attr_set_post_ops(*attributes, post_ops);
        }
        (void)dnnl_post_ops_destroy(post_ops);
    }
    return gt_check_engine(code, "setting attributes", node->name, error);
}

/* A reference implementation is a hundred times slower than a fast one. */
static bool
is_reference(const_dnnl_primitive_desc_t desc)
{
    const char *name = NULL;
    (void)dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name);
    return name != NULL && strncmp(name, "ref", 3) == 0;
}

static gt_status
refuse_reference(const_dnnl_primitive_desc_t desc, const gt_node *node, gt_error *error)
{
    if (!is_reference(desc)) {
        return GT_OK;
    }
    return gt_fail(error, GT_ERROR_ENGINE,
                   "layer '%s': oneDNN has only its slow reference implementation for this %s on "
                   "this processor",
                   node->name, gt_op_name(node->op));
}

static int
input_value(const gt_builder *builder, const gt_node *node, int k)
{
    return builder->value_of[node->inputs[k]];
}

static const_dnnl_memory_desc_t
query(const_dnnl_primitive_desc_t desc, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(desc, what, 0);
}

/* Add the value of a node's result and the step that makes it from `args`, which has room for one
 * argument more. */
static gt_status
finish(gt_builder *builder, int index, const_dnnl_primitive_desc_t desc, gt_arg *args, int n_args,
       gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    int *value = &builder->value_of[index];
    gt_status status = gt_builder_add_value(builder, query(desc, dnnl_query_dst_md), node->name,
                                            value, error);
    if (status == GT_OK) {
        args[n_args] = gt_value_arg(DNNL_ARG_DST, *value);
        status = gt_builder_add_step(builder, desc, node->name, args, n_args + 1, error);
    }
    return status;
}

static gt_status
create_convolution(const gt_builder *builder, const gt_node *node, dnnl_primitive_desc_t *desc,
                   gt_error *error)
{
    const gt_plan *plan = builder->plan;
    const gt_window *window = &node->window;
    gt_shape from = builder->graph->nodes[node->inputs[0]].shape;
    gt_shape to = node->shape;
    dnnl_memory_desc_t source = NULL;
    dnnl_memory_desc_t weights = NULL;
    dnnl_memory_desc_t bias = NULL;
    dnnl_memory_desc_t result = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_dims_t kernel = {0};
    int rank = gt_kernel_dims(node, from.channels, kernel);
    dnnl_dims_t channels = {to.channels};
    dnnl_dims_t strides = {window->strides[0], window->strides[1]};
    dnnl_dims_t dilations = {window->dilations[0] - 1, window->dilations[1] - 1};
    dnnl_dims_t before = {window->before[0], window->before[1]};
    dnnl_dims_t after = {window->after[0], window->after[1]};
    gt_status status = gt_builder_describe(builder, &source, from, dnnl_format_tag_any, error);
    if (status == GT_OK) {
        status = gt_builder_describe(builder, &result, to, dnnl_format_tag_any, error);
    }
    if (status == GT_OK) {
        status = create_attributes(&attributes, node, node->relu, error);
    }
    if (status == GT_OK) {
        dnnl_status_t code = dnnl_memory_desc_create_with_tag(
            &weights, rank, kernel, plan->type, dnnl_format_tag_any);
        if (code == dnnl_success) {
            code = dnnl_memory_desc_create_with_tag(&bias, 1, channels, dnnl_f32, dnnl_x);
        }
        if (code == dnnl_success) {
            code = dnnl_convolution_forward_primitive_desc_create(
                desc, plan->engine, dnnl_forward_inference, dnnl_convolution_direct, source,
                weights, bias, result, strides, dilations, before, after, attributes);
        }
        status = gt_check_engine(code, "choosing a convolution", node->name, error);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    (void)dnnl_memory_desc_destroy(result);
    (void)dnnl_memory_desc_destroy(bias);
    (void)dnnl_memory_desc_destroy(weights);
    (void)dnnl_memory_desc_destroy(source);
    return status;
}

/* The photographs are written straight into the layout that the first convolution wants, if it
 * is one of the two plain ones and nothing else, not even a flat view, relies on the other. */
static gt_status
adopt_input_layout(gt_builder *builder, const_dnnl_memory_desc_t wanted, gt_error *error)
{
    gt_plan *plan = builder->plan;
    gt_value *input = &plan->values[plan->input_value];
    dnnl_memory_desc_t planes = NULL;
    if (plan->n_values > 1 || dnnl_memory_desc_equal(input->desc, wanted)) {
        return GT_OK;
    }
    gt_status status = gt_builder_describe(builder, &planes, plan->input, dnnl_nchw, error);
    if (status == GT_OK && dnnl_memory_desc_equal(planes, wanted)) {
        (void)dnnl_memory_desc_destroy(input->desc);
        input->desc = planes;
        plan->input_channels_last = false;
        planes = NULL;
    }
    (void)dnnl_memory_desc_destroy(planes);
    return status;
}

/* A dense layer is a 1x1 convolution of a map of one pixel. */
static gt_status
lower_convolution(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_plan *plan = builder->plan;
    dnnl_primitive_desc_t desc = NULL;
    int source = input_value(builder, node, 0);
    int kernel = -1;
    int shift = -1;
    gt_status status = create_convolution(builder, node, &desc, error);
    if (status == GT_OK) {
        status = refuse_reference(desc, node, error);
    }
    if (status == GT_OK && source == plan->input_value) {
        status = adopt_input_layout(builder, query(desc, dnnl_query_src_md), error);
    }
    if (status == GT_OK) {
        status = gt_builder_reorder(builder, source, query(desc, dnnl_query_src_md), node->name,
                                    &source, error);
    }
    if (status == GT_OK) {
        status = gt_constants_kernel(plan->constants, node, plan->engine,
                                     query(desc, dnnl_query_weights_md), &kernel, error);
    }
    if (status == GT_OK) {
        const_dnnl_memory_desc_t bias =
            dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 1);
        status = gt_constants_shift(plan->constants, node, plan->engine, bias, &shift, error);
    }
    if (status == GT_OK) {
        gt_arg args[4] = {gt_value_arg(DNNL_ARG_SRC, source),
                          {DNNL_ARG_WEIGHTS, GT_ARG_CONSTANT, kernel},
                          {DNNL_ARG_BIAS, GT_ARG_CONSTANT, shift}};
        status = finish(builder, index, desc, args, 3, error);
    }
    (void)dnnl_primitive_desc_destroy(desc);
    return status;
}

/* A ReLU as a step of its own, reading `source`. */
static gt_status
lower_relu(gt_builder *builder, int index, int source, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    const_dnnl_memory_desc_t layout = builder->plan->values[source].desc;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    bool bounded = isfinite(node->relu_max);
    gt_status status = create_attributes(&attributes, node, false, error);
    if (status == GT_OK) {
        status = gt_check_engine(
            dnnl_eltwise_forward_primitive_desc_create(
                &desc, builder->plan->engine, dnnl_forward_inference,
                bounded ? dnnl_eltwise_clip : dnnl_eltwise_relu, layout, layout, 0.0f,
                bounded ? node->relu_max : 0.0f, attributes),
            "choosing a ReLU", node->name, error);
    }
    if (status == GT_OK) {
        gt_arg args[2] = {gt_value_arg(DNNL_ARG_SRC, source)};
        status = finish(builder, index, desc, args, 1, error);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    (void)dnnl_primitive_desc_destroy(desc);
    return status;
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
create_pool(const gt_builder *builder, const gt_node *node, bool with_relu,
            dnnl_primitive_desc_t *desc, gt_error *error)
{
    const gt_plan *plan = builder->plan;
    const_dnnl_memory_desc_t source = plan->values[input_value(builder, node, 0)].desc;
    dnnl_memory_desc_t result = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    gt_window window = pool_window(builder, node);
    dnnl_dims_t size = {window.size[0], window.size[1]};
    dnnl_dims_t strides = {window.strides[0], window.strides[1]};
    dnnl_dims_t dilations = {0, 0};
    dnnl_dims_t before = {window.before[0], window.before[1]};
    dnnl_dims_t after = {window.after[0], window.after[1]};
    gt_status status =
        gt_builder_describe(builder, &result, node->shape, dnnl_format_tag_any, error);
    if (status == GT_OK) {
        status = create_attributes(&attributes, node, with_relu, error);
    }
    if (status == GT_OK) {
        status = gt_check_engine(dnnl_pooling_forward_primitive_desc_create(
                                     desc, plan->engine, dnnl_forward_inference,
                                     pool_algorithm(node), source, result, strides, size,
                                     dilations, before, after, attributes),
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
    gt_status status = create_pool(builder, node, fused, &desc, error);
    if (fused && (status == GT_ERROR_ENGINE || (status == GT_OK && is_reference(desc)))) {
        (void)dnnl_primitive_desc_destroy(desc);
        desc = NULL;
        fused = false;
        status = create_pool(builder, node, false, &desc, error);
    }
    if (status == GT_OK) {
        status = refuse_reference(desc, node, error);
    }
    if (status == GT_OK) {
        gt_arg args[2] = {gt_value_arg(DNNL_ARG_SRC, input_value(builder, node, 0))};
        status = finish(builder, index, desc, args, 1, error);
    }
    if (status == GT_OK && node->relu && !fused) {
        status = lower_relu(builder, index, builder->value_of[index], error);
    }
    (void)dnnl_primitive_desc_destroy(desc);
    return status;
}

/* The operands of a join, brought into one layout; `args` has room for them. */
static gt_status
gather_operands(gt_builder *builder, const gt_node *node, gt_arg *args, gt_error *error)
{
    gt_status status = GT_OK;
    for (int k = 0; status == GT_OK && k < node->n_inputs; k++) {
        int value = input_value(builder, node, k);
        if (node->op == GT_OP_ADD && k > 0) {
            const_dnnl_memory_desc_t first = builder->plan->values[args[0].index].desc;
            status = gt_builder_reorder(builder, value, first, node->name, &value, error);
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
        status = create_attributes(&attributes, node, false, error);
    }
    if (status == GT_OK && node->op == GT_OP_CONCAT) {
        status = gt_check_engine(dnnl_concat_primitive_desc_create(desc, plan->engine, result, n,
                                                                   1, sources, attributes),
                                 "choosing a concatenation", node->name, error);
    }
    else if (status == GT_OK) {
        status = gt_check_engine(dnnl_sum_primitive_desc_create(desc, plan->engine, result, n,
                                                                ones, sources, attributes),
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
join_channels_last(gt_builder *builder, const gt_node *node, gt_arg *args,
                   dnnl_primitive_desc_t *desc, gt_error *error)
{
    dnnl_memory_desc_t result = NULL;
    gt_status status = gt_builder_describe(builder, &result, node->shape, dnnl_nhwc, error);
    for (int k = 0; status == GT_OK && k < node->n_inputs; k++) {
        dnnl_memory_desc_t operand = NULL;
        gt_shape shape = builder->graph->nodes[node->inputs[k]].shape;
        status = gt_builder_describe(builder, &operand, shape, dnnl_nhwc, error);
        if (status == GT_OK) {
            status = gt_builder_reorder(builder, args[k].index, operand, node->name,
                                        &args[k].index, error);
        }
        (void)dnnl_memory_desc_destroy(operand);
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
    status = gather_operands(builder, node, args, error);
    if (status == GT_OK) {
        status = create_join(builder, node, args, NULL, &desc, error);
    }
    if (status == GT_OK && node->op == GT_OP_CONCAT && is_reference(desc)) {
        (void)dnnl_primitive_desc_destroy(desc);
        desc = NULL;
        status = join_channels_last(builder, node, args, &desc, error);
    }
    if (status == GT_OK) {
        status = finish(builder, index, desc, args, node->n_inputs, error);
    }
    if (status == GT_OK && node->relu) {
        status = lower_relu(builder, index, builder->value_of[index], error);
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
    dnnl_memory_desc_t plain = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    int source = input_value(builder, node, 0);
    gt_status status = gt_builder_describe(builder, &plain, node->shape, dnnl_nhwc, error);
    if (status == GT_OK) {
        status = gt_builder_reorder(builder, source, plain, node->name, &source, error);
    }
    if (status == GT_OK) {
        status = create_attributes(&attributes, node, false, error);
    }
    if (status == GT_OK) {
        status = gt_check_engine(dnnl_softmax_forward_primitive_desc_create(
                                     &desc, plan->engine, dnnl_forward_inference,
                                     dnnl_softmax_accurate, plain, plain, 1, attributes),
                                 "choosing a softmax", node->name, error);
    }
    if (status == GT_OK) {
        gt_arg args[2] = {gt_value_arg(DNNL_ARG_SRC, source)};
        status = finish(builder, index, desc, args, 1, error);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    (void)dnnl_primitive_desc_destroy(desc);
    (void)dnnl_memory_desc_destroy(plain);
    return status;
}

/* Lay the map out with channels last; the same bytes then are the flat value. */
static gt_status
lower_flatten(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_shape from = builder->graph->nodes[node->inputs[0]].shape;
    dnnl_memory_desc_t map = NULL;
    dnnl_memory_desc_t flat = NULL;
    int source = input_value(builder, node, 0);
    int *value = &builder->value_of[index];
    gt_status status = gt_builder_describe(builder, &map, from, dnnl_nhwc, error);
    if (status == GT_OK) {
        status = gt_builder_describe(builder, &flat, node->shape, dnnl_nhwc, error);
    }
    if (status == GT_OK) {
        status = gt_builder_reorder(builder, source, map, node->name, &source, error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_value(builder, flat, node->name, value, error);
    }
    if (status == GT_OK) {
        builder->plan->values[*value].alias_of = source;
    }
    (void)dnnl_memory_desc_destroy(flat);
    (void)dnnl_memory_desc_destroy(map);
    return status;
}

static gt_status
lower_input(gt_builder *builder, int index, gt_error *error)
{
    gt_plan *plan = builder->plan;
    dnnl_memory_desc_t desc = NULL;
    gt_status status = gt_builder_describe(builder, &desc, plan->input, dnnl_nhwc, error);
    if (status == GT_OK) {
        status = gt_builder_add_value(builder, desc, "input", &plan->input_value, error);
    }
    if (status == GT_OK) {
        plan->values[plan->input_value].first = -1;
        plan->input_channels_last = true;
        builder->value_of[index] = plan->input_value;
    }
    (void)dnnl_memory_desc_destroy(desc);
    return status;
}

gt_status
gt_lower_node(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    switch (node->op) {
    case GT_OP_INPUT:
        return lower_input(builder, index, error);
    case GT_OP_CONV2D:
        return gt_winograd_suits(builder, node) ? gt_lower_winograd(builder, index, error)
                                                : lower_convolution(builder, index, error);
    case GT_OP_DENSE:
        return lower_convolution(builder, index, error);
    case GT_OP_RELU:
        return lower_relu(builder, index, input_value(builder, node, 0), error);
    case GT_OP_MAX_POOL:
    case GT_OP_AVERAGE_POOL:
    case GT_OP_GLOBAL_AVERAGE_POOL:
    case GT_OP_GLOBAL_MAX_POOL:
        return lower_pool(builder, index, error);
    case GT_OP_CONCAT:
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
