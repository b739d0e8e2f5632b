#include "lower/primitive.h"

#include <math.h>
#include <string.h>

int
gt_primitive_eltwise(const gt_activation *activation, gt_eltwise *functions)
{
    /* Those of which oneDNN takes our alpha and beta as they are. */
    static const dnnl_alg_kind_t algorithms[GT_FUNCTION_COUNT] = {
        [GT_LEAKY_RELU] = dnnl_eltwise_relu,
        [GT_ELU] = dnnl_eltwise_elu,
        [GT_GELU] = dnnl_eltwise_gelu_erf,
        [GT_GELU_TANH] = dnnl_eltwise_gelu_tanh,
        [GT_SILU] = dnnl_eltwise_swish,
        [GT_HARD_SWISH] = dnnl_eltwise_hardswish,
        [GT_HARD_SIGMOID] = dnnl_eltwise_hardsigmoid,
        [GT_SIGMOID] = dnnl_eltwise_logistic,
        [GT_TANH] = dnnl_eltwise_tanh,
        [GT_SOFTPLUS] = dnnl_eltwise_soft_relu,
        [GT_MISH] = dnnl_eltwise_mish,
        [GT_EXP] = dnnl_eltwise_exp,
        [GT_ABS] = dnnl_eltwise_abs,
        [GT_SQRT] = dnnl_eltwise_sqrt,
        [GT_SQUARE] = dnnl_eltwise_square,
    };
    const float low = activation->low;
    const float high = activation->high;
    if (!gt_activation_exists(activation) || activation->function == GT_SOFTSIGN) {
        return 0;
    }
    if (activation->function == GT_IDENTITY) {
        bool is_plain_relu = low == 0.0f && isinf(high);
        functions[0] = (gt_eltwise){is_plain_relu ? dnnl_eltwise_relu : dnnl_eltwise_clip, low,
                                    is_plain_relu ? 0.0f : high};
        return 1;
    }
    if (activation->function == GT_SELU) {
        functions[0] = (gt_eltwise){dnnl_eltwise_elu, 1.6732632423543772f, 0.0f};
        functions[1] = (gt_eltwise){dnnl_eltwise_linear, 1.0507009873554805f, 0.0f};
        return 2;
    }
    functions[0] =
        (gt_eltwise){algorithms[activation->function], activation->alpha, activation->beta};
    return 1;
}

static dnnl_status_t
append_activation(dnnl_post_ops_t post_ops, const gt_activation *activation)
{
    gt_eltwise functions[GT_MAX_ELTWISE];
    int count = gt_primitive_eltwise(activation, functions);
    dnnl_status_t code = dnnl_success;
    for (int i = 0; code == dnnl_success && i < count; i++) {
        code = dnnl_post_ops_append_eltwise(post_ops, functions[i].algorithm, functions[i].alpha,
                                            functions[i].beta);
    }
    return code;
}

int
gt_primitive_addend_place(float scale)
{
    return scale != 1.0f ? 1 : 0;
}

/* Add an array to a result, which is brought to its scale before. */
static dnnl_status_t
append_addend(dnnl_post_ops_t post_ops, const_dnnl_memory_desc_t addend, float scale)
{
    dnnl_status_t code = dnnl_success;
    if (gt_primitive_addend_place(scale) > 0) {
        code = dnnl_post_ops_append_eltwise(post_ops, dnnl_eltwise_linear, 1.0f / scale, 0.0f);
    }
    return code == dnnl_success ? dnnl_post_ops_append_binary(post_ops, dnnl_binary_add, addend)
                                : code;
}

/* Let what is there of an addend of a scale and an activation follow a primitive. */
static dnnl_status_t
set_post_ops(dnnl_primitive_attr_t attributes, const_dnnl_memory_desc_t addend, float scale,
             const gt_activation *activation)
{
    dnnl_post_ops_t post_ops = NULL;
    dnnl_status_t code = dnnl_post_ops_create(&post_ops);
    if (code == dnnl_success && addend != NULL) {
        code = append_addend(post_ops, addend, scale);
    }
    if (code == dnnl_success && activation != NULL) {
        code = append_activation(post_ops, activation);
    }
    if (code == dnnl_success) {
        code = dnnl_primitive_attr_set_post_ops(attributes, post_ops);
    }
    (void)dnnl_post_ops_destroy(post_ops);
    return code;
}

static gt_status
create_attributes(dnnl_primitive_attr_t *attributes, const char *layer,
                  const_dnnl_memory_desc_t addend, float scale, const gt_activation *activation,
                  gt_error *error)
{
    dnnl_status_t code = dnnl_primitive_attr_create(attributes);
    if (code == dnnl_success) {
        code = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    }
    if (code == dnnl_success && (addend != NULL || activation != NULL)) {
        code = set_post_ops(*attributes, addend, scale, activation);
    }
    return gt_check_engine(code, "setting attributes", layer, error);
}

gt_status
gt_primitive_attributes(dnnl_primitive_attr_t *attributes, const gt_node *node,
                        bool with_activation, gt_error *error)
{
    bool follows = with_activation && gt_activation_exists(&node->activation);
    return create_attributes(attributes, node->name, NULL, 1.0f, follows ? &node->activation : NULL,
                             error);
}

gt_status
gt_primitive_attributes_of_sum(dnnl_primitive_attr_t *attributes, const gt_node *node,
                               const_dnnl_memory_desc_t addend, float scale, gt_error *error)
{
    gt_activation bounds = node->activation; /* an addition has no other */
    bounds.low /= scale;
    bounds.high /= scale;
    return create_attributes(attributes, node->name, addend, scale, &bounds, error);
}

gt_status
gt_primitive_check(dnnl_status_t code, const char *what, const char *layer, gt_error *error)
{
    return code == dnnl_unimplemented ? GT_OK : gt_check_engine(code, what, layer, error);
}

gt_status
gt_primitive_missing(const gt_node *node, gt_error *error)
{
    return gt_fail(error, GT_ERROR_ENGINE,
                   "layer '%s': oneDNN has no implementation of this %s for this processor",
                   node->name, gt_op_name(node->op));
}

const char *
gt_primitive_name(const_dnnl_primitive_desc_t desc)
{
    const char *name = NULL;
    (void)dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name);
    return name != NULL ? name : "";
}

bool
gt_primitive_is_reference(const_dnnl_primitive_desc_t desc)
{
    return strncmp(gt_primitive_name(desc), "ref", 3) == 0;
}

const_dnnl_memory_desc_t
gt_primitive_query(const_dnnl_primitive_desc_t desc, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(desc, what, 0);
}

gt_status
gt_primitive_finish(gt_builder *builder, int index, const_dnnl_primitive_desc_t desc,
                    gt_format format, gt_arg *args, int n_args, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    int *value = &builder->plan->value_of[index];
    gt_status status = gt_builder_add_value(builder, gt_primitive_query(desc, dnnl_query_dst_md),
                                            format, node->name, value, error);
    if (status == GT_OK) {
        args[n_args] = gt_value_arg(DNNL_ARG_DST, *value);
        status = gt_builder_add_step(builder, desc, node->name, args, n_args + 1, error);
    }
    return status;
}
