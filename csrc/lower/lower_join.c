/* Concatenations and sums as oneDNN primitives. */
#include <stdlib.h>

#include "lower/implementation.h"
#include "lower/lower_activation.h"
#include "lower/primitive.h"

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

/* From operands in several layouts oneDNN makes a concatenation slowly, in a layout that few other
 * primitives read.  With channels last throughout it is fast, and all read it. */
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
    gt_format format = builder->formats[index].result;
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
    if (status == GT_OK && gt_activation_exists(&node->activation)) {
        status = gt_lower_activation(builder, index, builder->plan->value_of[index], error);
    }
    (void)dnnl_primitive_desc_destroy(desc);
    free(args);
    return status;
}

const gt_implementation gt_onednn_join = {.lower = lower_join};
