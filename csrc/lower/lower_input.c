/* The photographs. */
#include "lower/implementation.h"

static gt_status
lower_input(gt_builder *builder, int index, gt_error *error)
{
    gt_plan *plan = builder->plan;
    dnnl_memory_desc_t desc = NULL;
    gt_format format = builder->formats[index].result;
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

const gt_implementation gt_input = {.lower = lower_input};
