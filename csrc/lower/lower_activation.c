#include "lower/lower_activation.h"

#include "lower/implementation.h"
#include "lower/primitive.h"

/* *desc stays NULL where oneDNN has no such function of that type. */
static gt_status
create_eltwise(const gt_builder *builder, const gt_node *node, const gt_eltwise *function,
               const_dnnl_memory_desc_t layout, dnnl_primitive_desc_t *desc, gt_error *error)
{
    dnnl_primitive_attr_t attributes = NULL;
    gt_status status = gt_primitive_attributes(&attributes, node, false, error);
    if (status == GT_OK) {
        status = gt_primitive_check(dnnl_eltwise_forward_primitive_desc_create(
                                        desc, builder->plan->engine, dnnl_forward_inference,
                                        function->algorithm, layout, layout, function->alpha,
                                        function->beta, attributes),
                                    "choosing an activation", node->name, error);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* In the layout of `source`; where oneDNN has only its reference for that, for the numbers that fill
 * up a block must stay zeros, with channels last. */
static gt_status
append_eltwise(gt_builder *builder, int index, const gt_eltwise *function, int source,
               gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_format format = builder->plan->values[source].format;
    dnnl_memory_desc_t last = NULL;
    dnnl_primitive_desc_t desc = NULL;
    gt_status status =
        create_eltwise(builder, node, function, builder->plan->values[source].desc, &desc, error);
    if (status == GT_OK && (desc == NULL || gt_primitive_is_reference(desc))) {
        (void)dnnl_primitive_desc_destroy(desc);
        desc = NULL;
        status = gt_builder_describe(builder, &last, node->shape, format.type, dnnl_nhwc, error);
        if (status == GT_OK) {
            status = gt_builder_reorder(builder, source, last, format, node->name, &source, error);
        }
        if (status == GT_OK) {
            status = create_eltwise(builder, node, function, last, &desc, error);
        }
    }
    if (status == GT_OK && desc == NULL) {
        status = gt_primitive_missing(node, error);
    }
    if (status == GT_OK) {
        gt_arg args[2] = {gt_value_arg(DNNL_ARG_SRC, source)};
        status = gt_primitive_finish(builder, index, desc, format, args, 1, error);
    }
    (void)dnnl_memory_desc_destroy(last);
    (void)dnnl_primitive_desc_destroy(desc);
    return status;
}

gt_status
gt_lower_activation(gt_builder *builder, int index, int source, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_eltwise functions[GT_MAX_ELTWISE];
    int count = gt_primitive_eltwise(&node->activation, functions);
    gt_status status = GT_OK;
    builder->plan->value_of[index] = source;
    for (int i = 0; status == GT_OK && i < count; i++) {
        status =
            append_eltwise(builder, index, &functions[i], builder->plan->value_of[index], error);
    }
    return status;
}

static bool
is_known_to_onednn(const gt_builder *builder, int index)
{
    return builder->graph->nodes[index].activation.function != GT_SOFTSIGN;
}

static gt_status
lower_activation(gt_builder *builder, int index, gt_error *error)
{
    int source = GT_NO_VALUE;
    gt_status status = gt_builder_fetch(builder, builder->graph->nodes[index].inputs[0],
                                        gt_builder_float_format(builder), &source, error);
    return status == GT_OK ? gt_lower_activation(builder, index, source, error) : status;
}

static gt_status
lower_softmax(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_plan *plan = builder->plan;
    gt_format format = gt_builder_float_format(builder);
    const_dnnl_memory_desc_t layout = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    int source = GT_NO_VALUE;
    gt_status status = gt_builder_fetch_last(builder, node, 0, format, &source, error);
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
        status = gt_primitive_finish(builder, index, desc, format, args, 1, error);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    (void)dnnl_primitive_desc_destroy(desc);
    return status;
}

const gt_implementation gt_onednn_activation = {.is_supported = is_known_to_onednn,
                                                .lower = lower_activation};
const gt_implementation gt_onednn_softmax = {.lower = lower_softmax};
