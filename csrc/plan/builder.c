#include "plan/builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arithmetic.h"

gt_status
gt_builder_describe(const gt_builder *builder, dnnl_memory_desc_t *desc, gt_shape shape,
                    dnnl_data_type_t type, dnnl_format_tag_t layout, gt_error *error)
{
    dnnl_dims_t dims = {builder->plan->batch, shape.channels, shape.height, shape.width};
    return gt_check_engine(dnnl_memory_desc_create_with_tag(desc, 4, dims, type, layout),
                           "describing memory", "(any)", error);
}

gt_format
gt_builder_float_format(const gt_builder *builder)
{
    return (gt_format){builder->plan->type, 1.0f};
}

gt_map_type
gt_builder_float_map_type(const gt_builder *builder)
{
    return builder->plan->type == dnnl_bf16 ? GT_MAP_BF16 : GT_MAP_FLOAT32;
}

gt_arg
gt_value_arg(int role, int value)
{
    return (gt_arg){.role = role, .kind = GT_ARG_VALUE, .index = value};
}

gt_status
gt_builder_add_value(gt_builder *builder, const_dnnl_memory_desc_t desc, gt_format format,
                     const char *layer, int *value, gt_error *error)
{
    gt_plan *plan = builder->plan;
    if (desc == NULL) {
        return gt_check_engine(dnnl_runtime_error, "asking for a layout", layer, error);
    }
    if (plan->n_values == plan->value_capacity) {
        gt_value *values = gt_grow(plan->values, &plan->value_capacity, sizeof(*values));
        if (values == NULL) {
            return gt_fail_memory(error, "the plan's values");
        }
        plan->values = values;
    }
    gt_value added = {.format = format,
                      .size = dnnl_memory_desc_get_size(desc),
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

gt_status
gt_builder_add_scratch(gt_builder *builder, size_t size, const char *layer, int *value,
                       gt_error *error)
{
    dnnl_memory_desc_t desc = NULL;
    dnnl_dims_t dims = {(dnnl_dim_t)size};
    gt_status status =
        gt_check_engine(dnnl_memory_desc_create_with_tag(&desc, 1, dims, dnnl_u8, dnnl_x),
                        "describing a scratchpad", layer, error);
    if (status == GT_OK) {
        status =
            gt_builder_add_value(builder, desc, (gt_format){dnnl_u8, 1.0f}, layer, value, error);
    }
    (void)dnnl_memory_desc_destroy(desc);
    return status;
}

static gt_status
reserve_step(gt_plan *plan, gt_error *error)
{
    if (plan->n_steps < plan->step_capacity) {
        return GT_OK;
    }
    gt_step *steps = gt_grow(plan->steps, &plan->step_capacity, sizeof(*steps));
    if (steps == NULL) {
        return gt_fail_memory(error, "the plan's steps");
    }
    plan->steps = steps;
    return GT_OK;
}

/* Add the scratchpad of a primitive as a value where it needs one, else GT_NO_VALUE. */
static gt_status
add_scratchpad(gt_builder *builder, const_dnnl_primitive_desc_t desc, const char *layer, int *value,
               gt_error *error)
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
    return gt_builder_add_value(builder, scratchpad, (gt_format){dnnl_u8, 1.0f}, layer, value,
                                error);
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
gt_builder_add_kernel(gt_builder *builder, gt_kernel kernel, const char *layer, const gt_arg *args,
                      int n_args, gt_error *error)
{
    gt_step step = name_step(layer, kernel.operation, kernel.name);
    step.kernel_fn = kernel.run;
    step.context = malloc(kernel.size);
    if (step.context == NULL) {
        return gt_fail_memory(error, "a step's kernel");
    }
    memcpy(step.context, kernel.context, kernel.size);
    gt_status status = append_step(builder->plan, step, args, n_args, GT_NO_VALUE, error);
    if (status != GT_OK) {
        free(step.context);
    }
    return status;
}

gt_status
gt_builder_add_result(gt_builder *builder, int index, gt_format format, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    dnnl_memory_desc_t desc = NULL;
    gt_status status =
        gt_builder_describe(builder, &desc, node->shape, format.type, dnnl_nhwc, error);
    if (status == GT_OK) {
        status = gt_builder_add_value(builder, desc, format, node->name,
                                      &builder->plan->value_of[index], error);
    }
    (void)dnnl_memory_desc_destroy(desc);
    return status;
}

/* Descriptor of a reorder that keeps its scratchpad with the caller, with a scale at either end
 * where that is not 1. */
static gt_status
create_reorder(dnnl_primitive_desc_t *reorder, const_dnnl_memory_desc_t from, float from_scale,
               const_dnnl_memory_desc_t to, float to_scale, dnnl_engine_t engine, const char *layer,
               gt_error *error)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t code = dnnl_primitive_attr_create(&attributes);
    if (code == dnnl_success) {
        code = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    }
    if (code == dnnl_success && from_scale != 1.0f) {
        code = dnnl_primitive_attr_set_scales_mask(attributes, DNNL_ARG_FROM, 0);
    }
    if (code == dnnl_success && to_scale != 1.0f) {
        code = dnnl_primitive_attr_set_scales_mask(attributes, DNNL_ARG_TO, 0);
    }
    if (code == dnnl_success) {
        code = dnnl_reorder_primitive_desc_create(reorder, from, engine, to, engine, attributes);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    return gt_check_engine(code, "a reorder", layer, error);
}

gt_status
gt_builder_scale_arg(gt_builder *builder, int role, float scale, gt_arg *args, int *n_args,
                     gt_error *error)
{
    if (scale == 1.0f) {
        return GT_OK;
    }
    int index = -1;
    gt_status status =
        gt_weights_scalar(builder->plan->weights, scale, builder->plan->engine, &index, error);
    args[*n_args] = (gt_arg){DNNL_ARG_ATTR_SCALES | role, GT_ARG_WEIGHT, index};
    *n_args += 1;
    return status;
}

/* Append the reorder of `value` to `to`, which is a value or an output of layout `desc` with that
 * scale. */
static gt_status
add_reorder(gt_builder *builder, int value, gt_arg to, const_dnnl_memory_desc_t desc, float scale,
            const char *layer, gt_error *error)
{
    gt_plan *plan = builder->plan;
    const gt_value *from = &plan->values[value];
    float from_scale = from->format.scale;
    int n_args = 2;
    gt_arg args[4] = {gt_value_arg(DNNL_ARG_FROM, value), to};
    dnnl_primitive_desc_t reorder = NULL;
    gt_status status =
        create_reorder(&reorder, from->desc, from_scale, desc, scale, plan->engine, layer, error);
    if (status == GT_OK) {
        status = gt_builder_scale_arg(builder, DNNL_ARG_FROM, from_scale, args, &n_args, error);
    }
    if (status == GT_OK) {
        status = gt_builder_scale_arg(builder, DNNL_ARG_TO, scale, args, &n_args, error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_step(builder, reorder, layer, args, n_args, error);
    }
    (void)dnnl_primitive_desc_destroy(reorder);
    return status;
}

static bool
is_written_so(const gt_value *value, const_dnnl_memory_desc_t desc, gt_format format)
{
    return gt_same_format(value->format, format) && dnnl_memory_desc_equal(value->desc, desc);
}

/* The value that an earlier reorder made of `value` for such a place, or GT_NO_VALUE. */
static int
find_reordered(const gt_plan *plan, int value, const_dnnl_memory_desc_t desc, gt_format format)
{
    for (int i = 0; i < plan->n_steps; i++) {
        const gt_arg *args = plan->steps[i].args;
        if (plan->steps[i].is_reorder && args[0].index == value && args[1].kind == GT_ARG_VALUE &&
            is_written_so(&plan->values[args[1].index], desc, format)) {
            return args[1].index;
        }
    }
    return GT_NO_VALUE;
}

gt_status
gt_builder_reorder(gt_builder *builder, int value, const_dnnl_memory_desc_t desc, gt_format format,
                   const char *layer, int *reordered, gt_error *error)
{
    gt_plan *plan = builder->plan;
    if (is_written_so(&plan->values[value], desc, format)) {
        *reordered = value;
        return GT_OK;
    }
    int known = find_reordered(plan, value, desc, format);
    if (known != GT_NO_VALUE) {
        *reordered = known;
        return GT_OK;
    }
    int added = GT_NO_VALUE;
    gt_status status = gt_builder_add_value(builder, desc, format, layer, &added, error);
    if (status == GT_OK) {
        status = add_reorder(builder, value, gt_value_arg(DNNL_ARG_TO, added), desc, format.scale,
                             layer, error);
    }
    if (status == GT_OK) {
        plan->steps[plan->n_steps - 1].is_reorder = true;
        *reordered = added;
    }
    return status;
}

/* The result of a node as such numbers with channels last; `layer` is what wants it. */
static gt_status
fetch_channels_last(gt_builder *builder, int index, gt_format format, const char *layer, int *value,
                    gt_error *error)
{
    dnnl_memory_desc_t desc = NULL;
    gt_status status = gt_builder_describe(builder, &desc, builder->graph->nodes[index].shape,
                                           format.type, dnnl_nhwc, error);
    if (status == GT_OK) {
        status = gt_builder_reorder(builder, builder->plan->value_of[index], desc, format, layer,
                                    value, error);
    }
    (void)dnnl_memory_desc_destroy(desc);
    return status;
}

gt_status
gt_builder_fetch(gt_builder *builder, int index, gt_format format, int *value, gt_error *error)
{
    *value = builder->plan->value_of[index];
    if (gt_same_format(builder->plan->values[*value].format, format)) {
        return GT_OK;
    }
    return fetch_channels_last(builder, index, format, builder->graph->nodes[index].name, value,
                               error);
}

gt_status
gt_builder_fetch_last(gt_builder *builder, const gt_node *node, int k, gt_format format, int *value,
                      gt_error *error)
{
    return fetch_channels_last(builder, node->inputs[k], format, node->name, value, error);
}

gt_status
gt_builder_add_output(gt_builder *builder, int index, gt_error *error)
{
    gt_plan *plan = builder->plan;
    int node_index = builder->graph->outputs[index];
    const gt_node *node = &builder->graph->nodes[node_index];
    gt_arg to = {.role = DNNL_ARG_TO, .kind = GT_ARG_OUTPUT, .index = index};
    gt_status status = gt_builder_describe(builder, &plan->outputs[index], node->shape, dnnl_f32,
                                           dnnl_nhwc, error);
    if (status != GT_OK) {
        return status;
    }
    plan->n_outputs = index + 1;
    return add_reorder(builder, plan->value_of[node_index], to, plan->outputs[index], 1.0f,
                       node->name, error);
}

gt_status
gt_builder_add_map_kernel(gt_builder *builder, int index, gt_format format, gt_kernel kernel,
                          gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    int source = GT_NO_VALUE;
    gt_status status = gt_builder_fetch_last(builder, node, 0, format, &source, error);
    if (status == GT_OK) {
        status = gt_builder_add_result(builder, index, format, error);
    }
    if (status != GT_OK) {
        return status;
    }
    const gt_arg args[2] = {gt_value_arg(DNNL_ARG_SRC, source),
                            gt_value_arg(DNNL_ARG_DST, builder->plan->value_of[index])};
    return gt_builder_add_kernel(builder, kernel, node->name, args, 2, error);
}
