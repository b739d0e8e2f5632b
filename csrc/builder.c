#include "builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gt_status
describe(dnnl_memory_desc_t *desc, dnnl_data_type_t type, int batch, gt_shape shape,
         dnnl_format_tag_t layout, gt_error *error)
{
    dnnl_dims_t dims = {batch, shape.channels, shape.height, shape.width};
    return gt_check_engine(dnnl_memory_desc_create_with_tag(desc, 4, dims, type, layout),
                           "describing memory", "(any)", error);
}

gt_status
gt_builder_describe(const gt_builder *builder, dnnl_memory_desc_t *desc, gt_shape shape,
                    dnnl_format_tag_t layout, gt_error *error)
{
    const gt_plan *plan = builder->plan;
    return describe(desc, plan->type, plan->batch, shape, layout, error);
}

gt_arg
gt_value_arg(int role, int value)
{
    return (gt_arg){.role = role, .kind = GT_ARG_VALUE, .index = value};
}

gt_status
gt_builder_add_value(gt_builder *builder, const_dnnl_memory_desc_t desc, const char *layer,
                     int *value, gt_error *error)
{
    gt_plan *plan = builder->plan;
    if (desc == NULL) {
        return gt_check_engine(dnnl_runtime_error, "asking for a layout", layer, error);
    }
    if (plan->n_values == plan->value_capacity) {
        int capacity = plan->value_capacity == 0 ? 64 : 2 * plan->value_capacity;
        gt_value *values = realloc(plan->values, (size_t)capacity * sizeof(*values));
        if (values == NULL) {
            return gt_fail_memory(error, "the plan's values");
        }
        plan->values = values;
        plan->value_capacity = capacity;
    }
    gt_value added = {.size = dnnl_memory_desc_get_size(desc),
                      .first = plan->n_steps,
                      .last = plan->n_steps,
                      .alias_of = GT_NO_VALUE};
    gt_status status = gt_check_engine(dnnl_memory_desc_clone(&added.desc, desc),
                                       "copying a descriptor", layer, error);
    if (status == GT_OK) {
        plan->values[plan->n_values] = added;
        *value = plan->n_values++;
    }
    return status;
}

static gt_status
reserve_step(gt_plan *plan, gt_error *error)
{
    if (plan->n_steps < plan->step_capacity) {
        return GT_OK;
    }
    int capacity = plan->step_capacity == 0 ? 64 : 2 * plan->step_capacity;
    gt_step *steps = realloc(plan->steps, (size_t)capacity * sizeof(*steps));
    if (steps == NULL) {
        return gt_fail_memory(error, "the plan's steps");
    }
    plan->steps = steps;
    plan->step_capacity = capacity;
    return GT_OK;
}

/* Add the scratchpad of a primitive as a value where it needs one, else GT_NO_VALUE. */
static gt_status
add_scratchpad(gt_builder *builder, const_dnnl_primitive_desc_t desc, const char *layer,
               int *value, gt_error *error)
{
    const_dnnl_memory_desc_t scratchpad =
        dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
    *value = GT_NO_VALUE;
    if (scratchpad == NULL) {
        return gt_check_engine(dnnl_runtime_error, "asking for a scratchpad", layer, error);
    }
    if (dnnl_memory_desc_get_size(scratchpad) == 0) {
        return GT_OK;
    }
    return gt_builder_add_value(builder, scratchpad, layer, value, error);
}

static void
extend_lives(gt_plan *plan, const gt_step *step)
{
    for (int i = 0; i < step->n_args; i++) {
        int value = step->args[i].kind == GT_ARG_VALUE ? step->args[i].index : GT_NO_VALUE;
        for (; value != GT_NO_VALUE; value = plan->values[value].alias_of) {
            plan->values[value].last = plan->n_steps;
        }
    }
}

static const char *
operation_name(const_dnnl_primitive_desc_t desc)
{
    dnnl_primitive_kind_t kind = dnnl_undefined_primitive;
    (void)dnnl_primitive_desc_query(desc, dnnl_query_primitive_kind, 0, &kind);
    switch (kind) {
    case dnnl_reorder:
        return "reorder";
    case dnnl_concat:
        return "concatenation";
    case dnnl_sum:
        return "sum";
    case dnnl_convolution:
        return "convolution";
    case dnnl_eltwise:
        return "elementwise";
    case dnnl_softmax:
        return "softmax";
    case dnnl_pooling:
        return "pooling";
    default:
        return "other";
    }
}

/* Append a step that has its names, with a copy of its arguments; `scratchpad` is one more of them
 * unless it is GT_NO_VALUE.  Takes over what the step owns if it succeeds. */
static gt_status
append_step(gt_plan *plan, gt_step step, const gt_arg *args, int n_args, int scratchpad,
            gt_error *error)
{
    gt_status status = reserve_step(plan, error);
    if (status != GT_OK) {
        return status;
    }
    step.args = malloc((size_t)(n_args + 1) * sizeof(*step.args));
    if (step.args == NULL) {
        return gt_fail_memory(error, "a step's arguments");
    }
    memcpy(step.args, args, (size_t)n_args * sizeof(*args));
    step.n_args = n_args;
    if (scratchpad != GT_NO_VALUE) {
        step.args[step.n_args++] = gt_value_arg(DNNL_ARG_SCRATCHPAD, scratchpad);
    }
    extend_lives(plan, &step);
    plan->steps[plan->n_steps++] = step;
    return GT_OK;
}

static gt_step
name_step(const char *layer, const char *operation, const char *implementation)
{
    gt_step step = {.primitive = NULL};
    (void)snprintf(step.layer, sizeof(step.layer), "%s", layer);
    (void)snprintf(step.operation, sizeof(step.operation), "%s", operation);
    (void)snprintf(step.implementation, sizeof(step.implementation), "%s",
                   implementation != NULL ? implementation : "?");
    return step;
}

gt_status
gt_builder_add_step(gt_builder *builder, const_dnnl_primitive_desc_t desc, const char *layer,
                    const gt_arg *args, int n_args, gt_error *error)
{
    int scratchpad = GT_NO_VALUE;
    gt_status status = add_scratchpad(builder, desc, layer, &scratchpad, error);
    if (status != GT_OK) {
        return status;
    }
    const char *implementation = NULL;
    (void)dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &implementation);
    gt_step step = name_step(layer, operation_name(desc), implementation);
    status = gt_check_engine(dnnl_primitive_create(&step.primitive, desc), "creating a primitive",
                             layer, error);
    if (status == GT_OK) {
        status = append_step(builder->plan, step, args, n_args, scratchpad, error);
    }
    if (status != GT_OK) {
        (void)dnnl_primitive_destroy(step.primitive);
    }
    return status;
}

gt_status
gt_builder_add_kernel(gt_builder *builder, gt_kernel kernel, void *context,
                      const char *implementation, const char *layer, const gt_arg *args,
                      gt_error *error)
{
    gt_step step = name_step(layer, "convolution", implementation);
    step.kernel = kernel;
    step.context = context;
    gt_status status =
        append_step(builder->plan, step, args, GT_KERNEL_ARGS, GT_NO_VALUE, error);
    if (status != GT_OK) {
        free(context);
    }
    return status;
}

/* Descriptor of a reorder that keeps its scratchpad with the caller. */
static gt_status
create_reorder(dnnl_primitive_desc_t *reorder, const_dnnl_memory_desc_t from,
               const_dnnl_memory_desc_t to, dnnl_engine_t engine, const char *layer,
               gt_error *error)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t code = dnnl_primitive_attr_create(&attributes);
    if (code == dnnl_success) {
        code = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    }
    if (code == dnnl_success) {
        code = dnnl_reorder_primitive_desc_create(reorder, from, engine, to, engine, attributes);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    return gt_check_engine(code, "a reorder", layer, error);
}

gt_status
gt_builder_reorder(gt_builder *builder, int value, const_dnnl_memory_desc_t desc,
                   const char *layer, int *reordered, gt_error *error)
{
    const_dnnl_memory_desc_t own = builder->plan->values[value].desc;
    if (dnnl_memory_desc_equal(own, desc)) {
        *reordered = value;
        return GT_OK;
    }
    dnnl_primitive_desc_t reorder = NULL;
    gt_status status =
        create_reorder(&reorder, own, desc, builder->plan->engine, layer, error);
    if (status == GT_OK) {
        status = gt_builder_add_value(builder, desc, layer, reordered, error);
    }
    if (status == GT_OK) {
        gt_arg args[2] = {gt_value_arg(DNNL_ARG_FROM, value),
                          gt_value_arg(DNNL_ARG_TO, *reordered)};
        status = gt_builder_add_step(builder, reorder, layer, args, 2, error);
    }
    (void)dnnl_primitive_desc_destroy(reorder);
    return status;
}

gt_status
gt_builder_add_output(gt_builder *builder, int index, gt_error *error)
{
    gt_plan *plan = builder->plan;
    int node_index = builder->graph->outputs[index];
    const gt_node *node = &builder->graph->nodes[node_index];
    int value = builder->value_of[node_index];
    gt_status status = describe(&plan->outputs[index], dnnl_f32, plan->batch, node->shape,
                                dnnl_nhwc, error);
    if (status != GT_OK) {
        return status;
    }
    plan->n_outputs = index + 1;
    dnnl_primitive_desc_t reorder = NULL;
    status = create_reorder(&reorder, plan->values[value].desc, plan->outputs[index],
                            plan->engine, node->name, error);
    if (status == GT_OK) {
        gt_arg args[2] = {gt_value_arg(DNNL_ARG_FROM, value),
                          {.role = DNNL_ARG_TO, .kind = GT_ARG_OUTPUT, .index = index}};
        status = gt_builder_add_step(builder, reorder, node->name, args, 2, error);
    }
    (void)dnnl_primitive_desc_destroy(reorder);
    return status;
}
