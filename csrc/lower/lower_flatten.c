/* Flat values, and maps of another shape. */
#include "lower/implementation.h"

/* Lay the map out with channels last; the same bytes then are the value. */
static gt_status
lower_flatten(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    dnnl_memory_desc_t flat = NULL;
    gt_plan *plan = builder->plan;
    gt_format format = gt_builder_float_format(builder);
    int source = GT_NO_VALUE;
    int *value = &plan->value_of[index];
    gt_status status =
        gt_builder_describe(builder, &flat, node->shape, format.type, dnnl_nhwc, error);
    if (status == GT_OK) {
        status = gt_builder_fetch_last(builder, node, 0, format, &source, error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_value(builder, flat, format, node->name, value, error);
    }
    if (status == GT_OK) {
        plan->values[*value].alias_of = source;
    }
    (void)dnnl_memory_desc_destroy(flat);
    return status;
}

const gt_implementation gt_flatten = {.lower = lower_flatten};
