#include "lower/lower_activation.h"

#include <math.h>

#include "lower/implementation.h"
#include "lower/primitive.h"

gt_status
gt_lower_relu(gt_builder *builder, int index, int source, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    const_dnnl_memory_desc_t layout = builder->plan->values[source].desc;
    gt_format format = builder->plan->values[source].format;
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
        status = gt_primitive_finish(builder, index, desc, format, args, 1, error);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    (void)dnnl_primitive_desc_destroy(desc);
    return status;
}

static gt_status
lower_relu(gt_builder *builder, int index, gt_error *error)
{
    int source = GT_NO_VALUE;
    gt_status status = gt_builder_fetch(builder, builder->graph->nodes[index].inputs[0],
                                        gt_builder_float_format(builder), &source, error);
    return status == GT_OK ? gt_lower_relu(builder, index, source, error) : status;
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

const gt_implementation gt_onednn_relu = {.lower = lower_relu};
const gt_implementation gt_onednn_softmax = {.lower = lower_softmax};
