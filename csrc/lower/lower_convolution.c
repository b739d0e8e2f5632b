#include "lower/lower.h"

#include "lower/primitive.h"

/* How a convolution reads and writes its numbers. */
typedef struct {
    bool in_int8;
    gt_weights weights;
    gt_number source;
    gt_number result;
} numbers_of;

static numbers_of
choose_numbers(const gt_builder *builder, int index)
{
    numbers_of numbers = {.in_int8 = gt_runs_in_int8(builder->graph, builder->numbers, index),
                          .source = gt_builder_source_number(builder, index),
                          .result = gt_builder_result_number(builder, index)};
    if (numbers.in_int8) {
        /* Of signed numbers oneDNN halves the weights itself where it must. */
        bool in_pairs = numbers.source.type == dnnl_u8 && !gt_adds_products_in_32_bits();
        numbers.weights = in_pairs ? GT_WEIGHTS_INT8_PAIRS : GT_WEIGHTS_INT8;
    }
    return numbers;
}

static gt_status
set_steps(dnnl_primitive_attr_t attributes, const numbers_of *numbers, const gt_node *node,
          gt_error *error)
{
    enum { WHOLE = 0, PER_CHANNEL_OUT = 1 << 0 };
    dnnl_status_t code = dnnl_success;
    if (numbers->source.step != 1.0f) {
        code = dnnl_primitive_attr_set_scales_mask(attributes, DNNL_ARG_SRC, WHOLE);
    }
    if (code == dnnl_success) {
        code = dnnl_primitive_attr_set_scales_mask(attributes, DNNL_ARG_WEIGHTS, PER_CHANNEL_OUT);
    }
    if (code == dnnl_success && numbers->result.step != 1.0f) {
        code = dnnl_primitive_attr_set_scales_mask(attributes, DNNL_ARG_DST, WHOLE);
    }
    return gt_check_engine(code, "setting the steps of 8-bit numbers", node->name, error);
}

/* Attributes and descriptors of the four arrays: source, weights, bias, result. */
typedef struct {
    dnnl_primitive_attr_t attributes;
    dnnl_memory_desc_t arrays[4];
} description;

static void
clear_description(description *described)
{
    (void)dnnl_primitive_attr_destroy(described->attributes);
    for (int i = 0; i < 4; i++) {
        (void)dnnl_memory_desc_destroy(described->arrays[i]);
    }
}

static gt_status
describe_arrays(const gt_builder *builder, const gt_node *node, const numbers_of *numbers,
                description *described, gt_error *error)
{
    gt_shape from = builder->graph->nodes[node->inputs[0]].shape;
    dnnl_dims_t kernel = {0};
    int rank = gt_kernel_dims(node, from.channels, kernel);
    dnnl_dims_t channels = {node->shape.channels};
    dnnl_data_type_t weights = numbers->in_int8 ? dnnl_s8 : builder->plan->type;
    gt_status status = gt_builder_describe(builder, &described->arrays[0], from,
                                           numbers->source.type, dnnl_format_tag_any, error);
    if (status == GT_OK) {
        status = gt_builder_describe(builder, &described->arrays[3], node->shape,
                                     numbers->result.type, dnnl_format_tag_any, error);
    }
    if (status != GT_OK) {
        return status;
    }
    dnnl_status_t code = dnnl_memory_desc_create_with_tag(&described->arrays[1], rank, kernel,
                                                          weights, dnnl_format_tag_any);
    if (code == dnnl_success) {
        code =
            dnnl_memory_desc_create_with_tag(&described->arrays[2], 1, channels, dnnl_f32, dnnl_x);
    }
    return gt_check_engine(code, "describing a convolution", node->name, error);
}

static gt_status
create_convolution(const gt_builder *builder, const gt_node *node, const numbers_of *numbers,
                   dnnl_primitive_desc_t *desc, gt_error *error)
{
    const gt_window *window = &node->window;
    dnnl_dims_t strides = {window->strides[0], window->strides[1]};
    dnnl_dims_t dilations = {window->dilations[0] - 1, window->dilations[1] - 1};
    dnnl_dims_t before = {window->before[0], window->before[1]};
    dnnl_dims_t after = {window->after[0], window->after[1]};
    description described = {0};
    gt_status status = describe_arrays(builder, node, numbers, &described, error);
    if (status == GT_OK) {
        status = gt_primitive_attributes(&described.attributes, node, node->relu, error);
    }
    if (status == GT_OK && numbers->in_int8) {
        status = set_steps(described.attributes, numbers, node, error);
    }
    if (status == GT_OK) {
        status = gt_check_engine(dnnl_convolution_forward_primitive_desc_create(
                                     desc, builder->plan->engine, dnnl_forward_inference,
                                     dnnl_convolution_direct, described.arrays[0],
                                     described.arrays[1], described.arrays[2], described.arrays[3],
                                     strides, dilations, before, after, described.attributes),
                                 "choosing a convolution", node->name, error);
    }
    clear_description(&described);
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
    if (plan->n_values > 1 || plan->reads_maps || dnnl_memory_desc_equal(input->desc, wanted)) {
        return GT_OK;
    }
    gt_status status = gt_builder_describe(builder, &planes, plan->input, builder->numbers[0].type,
                                           dnnl_nchw, error);
    if (status == GT_OK && dnnl_memory_desc_equal(planes, wanted)) {
        (void)dnnl_memory_desc_destroy(input->desc);
        input->desc = planes;
        plan->input_channels_last = false;
        planes = NULL;
    }
    (void)dnnl_memory_desc_destroy(planes);
    return status;
}

/* The source in the layout that the primitive wants, as its first argument. */
static gt_status
add_source(gt_builder *builder, int index, const numbers_of *numbers,
           const_dnnl_primitive_desc_t desc, gt_arg *args, int *n_args, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    const_dnnl_memory_desc_t wanted = gt_primitive_query(desc, dnnl_query_src_md);
    gt_status status = GT_OK;
    int source = builder->plan->value_of[node->inputs[0]];
    if (source == builder->plan->input_value) {
        status = adopt_input_layout(builder, wanted, error);
    }
    if (status == GT_OK) {
        status = gt_builder_reorder(builder, source, wanted, numbers->source, node->name, &source,
                                    error);
    }
    args[(*n_args)++] = gt_value_arg(DNNL_ARG_SRC, source);
    return status;
}

static gt_status
add_constants(gt_builder *builder, int index, const numbers_of *numbers,
              const_dnnl_primitive_desc_t desc, gt_arg *args, int *n_args, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_plan *plan = builder->plan;
    bool reads_bytes = numbers->in_int8 && node->inputs[0] == 0;
    int kernel = -1;
    int shift = -1;
    gt_status status = gt_constants_kernel(plan->constants, node, plan->engine,
                                           gt_primitive_query(desc, dnnl_query_weights_md),
                                           numbers->weights, &kernel, error);
    if (status == GT_OK) {
        status =
            gt_constants_shift(plan->constants, node, plan->engine,
                               reads_bytes ? builder->preprocessing.offset : 0.0f, &shift, error);
    }
    args[(*n_args)++] = (gt_arg){DNNL_ARG_WEIGHTS, GT_ARG_CONSTANT, kernel};
    args[(*n_args)++] = (gt_arg){DNNL_ARG_BIAS, GT_ARG_CONSTANT, shift};
    return status;
}

static gt_status
add_steps(gt_builder *builder, int index, const numbers_of *numbers, gt_arg *args, int *n_args,
          gt_error *error)
{
    gt_plan *plan = builder->plan;
    int steps = -1;
    gt_status status = gt_constants_kernel_steps(plan->constants, &builder->graph->nodes[index],
                                                 plan->engine, numbers->weights, &steps, error);
    args[(*n_args)++] = (gt_arg){DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, GT_ARG_CONSTANT, steps};
    if (status == GT_OK) {
        status =
            gt_builder_step_arg(builder, DNNL_ARG_SRC, numbers->source.step, args, n_args, error);
    }
    if (status == GT_OK) {
        status =
            gt_builder_step_arg(builder, DNNL_ARG_DST, numbers->result.step, args, n_args, error);
    }
    return status;
}

/* A dense layer is a 1x1 convolution of a map of one pixel. */
gt_status
gt_lower_convolution(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    numbers_of numbers = choose_numbers(builder, index);
    dnnl_primitive_desc_t desc = NULL;
    gt_arg args[8] = {{0}};
    int n_args = 0;
    gt_status status = create_convolution(builder, node, &numbers, &desc, error);
    if (status == GT_OK) {
        status = gt_primitive_refuse_reference(desc, node, error);
    }
    if (status == GT_OK) {
        status = add_source(builder, index, &numbers, desc, args, &n_args, error);
    }
    if (status == GT_OK) {
        status = add_constants(builder, index, &numbers, desc, args, &n_args, error);
    }
    if (status == GT_OK && numbers.in_int8) {
        status = add_steps(builder, index, &numbers, args, &n_args, error);
    }
    if (status == GT_OK) {
        status = gt_primitive_finish(builder, index, desc, numbers.result, args, n_args, error);
    }
    (void)dnnl_primitive_desc_destroy(desc);
    return status;
}
