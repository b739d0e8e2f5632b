/* Convolutions and dense layers as oneDNN primitives. */
#include <omp.h>
#include <string.h>

#include "graph/additions.h"
#include "kernels/u8/u8.h"
#include "lower/implementation.h"
#include "lower/lower_activation.h"
#include "lower/primitive.h"

/* How a convolution reads and writes its numbers. */
typedef struct {
    const gt_node
        *weighted; /* the node, or what becomes of it where it reads bytes of photographs */
    bool in_int8;
    gt_weight_format weights;
    gt_format source;
    gt_format result;
    bool fuses_activation;
    gt_format addend;  /* of what is added to the result; scale 1 where there is none */
    bool reads_padded; /* photographs' bytes with the padding around them */
    gt_shape from;     /* what the convolution then reads */
    gt_window window;
} conv_formats;

/* Whether a node reads photographs that the plan has as they are, without scale and offset. */
static bool
reads_bytes(const gt_builder *builder, int index)
{
    return builder->plan->reads_u8 && builder->graph->nodes[index].inputs[0] == 0;
}

/* What the convolution slides over.  oneDNN pads with bytes of 0, which stand for the offset. */
static void
set_geometry(const gt_builder *builder, int index, conv_formats *formats)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_window *window = &formats->window;
    formats->from = builder->graph->nodes[node->inputs[0]].shape;
    *window = node->window;
    formats->reads_padded = reads_bytes(builder, index) && gt_window_has_padding(window) &&
                            !gt_pixels_lack_offset(&builder->preprocessing);
    if (formats->reads_padded) {
        formats->from.height += window->before[0] + window->after[0];
        formats->from.width += window->before[1] + window->after[1];
        memset(window->before, 0, sizeof(window->before));
        memset(window->after, 0, sizeof(window->after));
    }
}

static conv_formats
chosen_formats(const gt_builder *builder, int index)
{
    conv_formats formats = {.in_int8 = builder->formats[index].in_int8,
                            .source = builder->formats[index].source,
                            .result = builder->formats[index].result,
                            .addend = gt_builder_float_format(builder),
                            .fuses_activation = true};
    if (formats.in_int8) {
        /* For signed numbers oneDNN halves the weights itself where it must. */
        bool in_pairs = formats.source.type == dnnl_u8 && !gt_adds_products_in_32_bits();
        formats.weights = in_pairs ? GT_WEIGHT_INT8_PAIRS : GT_WEIGHT_INT8;
    }
    set_geometry(builder, index, &formats);
    return formats;
}

/* The result's scale in units of what is added. */
static float
scale_of_result(const conv_formats *formats)
{
    return formats->result.scale / formats->addend.scale;
}

static gt_status
set_scales(dnnl_primitive_attr_t attributes, const conv_formats *formats, const gt_node *node,
           gt_error *error)
{
    enum { WHOLE = 0, PER_CHANNEL_OUT = 1 << 0 };
    dnnl_status_t code = dnnl_success;
    if (formats->source.scale != 1.0f) {
        code = dnnl_primitive_attr_set_scales_mask(attributes, DNNL_ARG_SRC, WHOLE);
    }
    if (code == dnnl_success) {
        code = dnnl_primitive_attr_set_scales_mask(attributes, DNNL_ARG_WEIGHTS, PER_CHANNEL_OUT);
    }
    if (code == dnnl_success && scale_of_result(formats) != 1.0f) {
        code = dnnl_primitive_attr_set_scales_mask(attributes, DNNL_ARG_DST, WHOLE);
    }
    return gt_check_engine(code, "setting the scales of 8-bit numbers", node->name, error);
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
describe_arrays(const gt_builder *builder, const gt_node *node, const conv_formats *formats,
                description *described, gt_error *error)
{
    gt_shape from = formats->from;
    dnnl_dims_t kernel = {0};
    int rank = gt_kernel_dims(node, from.channels, kernel);
    dnnl_dims_t channels = {node->shape.channels};
    dnnl_data_type_t weights = formats->in_int8 ? dnnl_s8 : formats->source.type;
    gt_status status = gt_builder_describe(builder, &described->arrays[0], from,
                                           formats->source.type, dnnl_format_tag_any, error);
    if (status == GT_OK) {
        status = gt_builder_describe(builder, &described->arrays[3], node->shape,
                                     formats->result.type, dnnl_format_tag_any, error);
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

/* What follows the convolution: an array of its result's shape, of bytes or beside them with channels
 * last, else in any layout, is added where `sum` is an addition, whose activation follows then. */
static gt_status
create_attributes(const gt_builder *builder, const gt_node *node, const gt_node *sum,
                  const conv_formats *formats, dnnl_primitive_attr_t *attributes, gt_error *error)
{
    dnnl_memory_desc_t addend = NULL;
    if (sum == NULL) {
        return gt_primitive_attributes(attributes, node, formats->fuses_activation, error);
    }
    gt_status status =
        gt_builder_describe(builder, &addend, node->shape, formats->addend.type,
                            formats->in_int8 ? dnnl_nhwc : dnnl_format_tag_any, error);
    if (status == GT_OK) {
        status =
            gt_primitive_attributes_of_sum(attributes, sum, addend, formats->addend.scale, error);
    }
    (void)dnnl_memory_desc_destroy(addend);
    return status;
}

/* *desc stays NULL where oneDNN has no such convolution; `sum` is an addition that follows, or
 * NULL. */
static gt_status
create_convolution(const gt_builder *builder, const gt_node *node, const gt_node *sum,
                   const conv_formats *formats, dnnl_primitive_desc_t *desc, gt_error *error)
{
    const gt_window *window = &formats->window;
    dnnl_dims_t strides = {window->strides[0], window->strides[1]};
    dnnl_dims_t dilations = {window->dilations[0] - 1, window->dilations[1] - 1};
    dnnl_dims_t before = {window->before[0], window->before[1]};
    dnnl_dims_t after = {window->after[0], window->after[1]};
    description described = {0};
    gt_status status = describe_arrays(builder, node, formats, &described, error);
    if (status == GT_OK) {
        status = create_attributes(builder, node, sum, formats, &described.attributes, error);
    }
    if (status == GT_OK && formats->in_int8) {
        status = set_scales(described.attributes, formats, node, error);
    }
    if (status == GT_OK) {
        status = gt_primitive_check(
            dnnl_convolution_forward_primitive_desc_create(
                desc, builder->plan->engine, dnnl_forward_inference, dnnl_convolution_direct,
                described.arrays[0], described.arrays[1], described.arrays[2], described.arrays[3],
                strides, dilations, before, after, described.attributes),
            "choosing a convolution", node->name, error);
    }
    clear_description(&described);
    return status;
}

/* oneDNN 3.2 runs out of registers for the tile of five pixels that a 1x1 convolution with a result
 * of five takes, where products of bytes are not added in 32 bits at once: results are garbage. */
static bool
is_faulty(const gt_node *node, const_dnnl_primitive_desc_t desc)
{
    return node->shape.height * node->shape.width == 5 && !gt_adds_products_in_32_bits() &&
           strcmp(gt_primitive_name(desc), "jit_int8_1x1:avx512_core") == 0;
}

/* Go on to oneDNN's next implementation; *desc becomes NULL where there is none. */
static gt_status
skip_implementation(const gt_node *node, dnnl_primitive_desc_t *desc, gt_error *error)
{
    dnnl_status_t code = dnnl_primitive_desc_next_impl(*desc);
    if (code == dnnl_last_impl_reached) {
        (void)dnnl_primitive_desc_destroy(*desc);
        *desc = NULL;
        return GT_OK;
    }
    return gt_check_engine(code, "choosing a convolution", node->name, error);
}

/* The first implementation in the chosen formats that is right. */
static gt_status
create_right(const gt_builder *builder, const gt_node *node, const gt_node *sum,
             const conv_formats *formats, dnnl_primitive_desc_t *desc, gt_error *error)
{
    gt_status status = create_convolution(builder, node, sum, formats, desc, error);
    while (status == GT_OK && *desc != NULL && is_faulty(node, *desc)) {
        status = skip_implementation(node, desc, error);
    }
    return status;
}

static bool
is_slow(const_dnnl_primitive_desc_t desc)
{
    return desc == NULL || gt_primitive_is_reference(desc);
}

/* Choose again, in float32. */
static gt_status
choose_in_float32(const gt_builder *builder, const gt_node *node, bool fuses_activation,
                  conv_formats *formats, dnnl_primitive_desc_t *desc, gt_error *error)
{
    const conv_formats float32 = {.source = {dnnl_f32, 1.0f},
                                  .result = {dnnl_f32, 1.0f},
                                  .addend = {dnnl_f32, 1.0f},
                                  .fuses_activation = fuses_activation,
                                  .reads_padded = formats->reads_padded,
                                  .from = formats->from,
                                  .window = formats->window};
    (void)dnnl_primitive_desc_destroy(*desc);
    *desc = NULL;
    *formats = float32;
    return create_convolution(builder, node, NULL, formats, desc, error);
}

/* The implementation in the node's formats, or where oneDNN has only its slow reference for them,
 * in float32, then without the activation; where that too is all that it has, its reference.  Sets
 * `formats` to those chosen. */
static gt_status
choose_convolution(const gt_builder *builder, int index, conv_formats *formats,
                   dnnl_primitive_desc_t *desc, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    *formats = chosen_formats(builder, index);
    gt_status status = create_right(builder, node, NULL, formats, desc, error);
    if (status == GT_OK && formats->source.type != dnnl_f32 && is_slow(*desc)) {
        status = choose_in_float32(builder, node, true, formats, desc, error);
    }
    if (status == GT_OK && is_slow(*desc) && gt_activation_exists(&node->activation)) {
        status = choose_in_float32(builder, node, false, formats, desc, error);
    }
    return status == GT_OK && *desc == NULL ? gt_primitive_missing(node, error) : status;
}

/* Let the photographs be written straight into the layout that the first convolution wants.  It
 * must be one of the two plain layouts, and nothing else, not even a flat view, may rely on the
 * other. */
static gt_status
adopt_input_layout(gt_builder *builder, const_dnnl_memory_desc_t wanted, gt_error *error)
{
    gt_plan *plan = builder->plan;
    gt_value *input = &plan->values[plan->input_value];
    dnnl_memory_desc_t planes = NULL;
    if (plan->n_values > 1 || plan->reads_maps || dnnl_memory_desc_equal(input->desc, wanted)) {
        return GT_OK;
    }
    gt_status status = gt_builder_describe(builder, &planes, plan->input,
                                           builder->formats[0].result.type, dnnl_nchw, error);
    if (status == GT_OK && dnnl_memory_desc_equal(planes, wanted)) {
        (void)dnnl_memory_desc_destroy(input->desc);
        input->desc = planes;
        plan->input_channels_last = false;
        planes = NULL;
    }
    (void)dnnl_memory_desc_destroy(planes);
    return status;
}

static void
run_padding(const void *context, void *const *memory)
{
    gt_u8_pad_run(context, memory[0], memory[1]);
}

/* The photographs' bytes with those around them that stand for 0. */
static gt_status
pad_bytes(gt_builder *builder, const gt_node *node, const conv_formats *formats, int *value,
          gt_error *error)
{
    gt_plan *plan = builder->plan;
    gt_format format = builder->formats[0].result;
    gt_u8_pad pad = {.batch = plan->batch,
                     .from = plan->input,
                     .to = formats->from,
                     .before = {node->window.before[0], node->window.before[1]},
                     .threads = omp_get_max_threads()};
    dnnl_memory_desc_t desc = NULL;
    int bytes = GT_NO_VALUE;
    (void)gt_zeros_are_bytes(&builder->preprocessing, pad.pixel);
    gt_status status = gt_builder_fetch_last(builder, node, 0, format, &bytes, error);
    if (status == GT_OK) {
        status = gt_builder_describe(builder, &desc, pad.to, dnnl_u8, dnnl_nhwc, error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_value(builder, desc, format, node->name, value, error);
    }
    (void)dnnl_memory_desc_destroy(desc);
    if (status != GT_OK) {
        return status;
    }
    const gt_arg args[2] = {gt_value_arg(DNNL_ARG_SRC, bytes), gt_value_arg(DNNL_ARG_DST, *value)};
    return gt_builder_add_kernel(builder, (gt_kernel){run_padding, &pad, sizeof(pad), "pad", "u8"},
                                 node->name, args, 2, error);
}

/* The source in the layout that the primitive wants, as its first argument. */
static gt_status
add_source(gt_builder *builder, int index, const conv_formats *formats,
           const_dnnl_primitive_desc_t desc, gt_arg *args, int *n_args, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    const_dnnl_memory_desc_t wanted = gt_primitive_query(desc, dnnl_query_src_md);
    gt_status status = GT_OK;
    int source = builder->plan->value_of[node->inputs[0]];
    if (formats->reads_padded) {
        status = pad_bytes(builder, node, formats, &source, error);
    }
    else if (source == builder->plan->input_value) {
        status = adopt_input_layout(builder, wanted, error);
    }
    if (status == GT_OK) {
        status = gt_builder_reorder(builder, source, wanted, formats->source, node->name, &source,
                                    error);
    }
    args[(*n_args)++] = gt_value_arg(DNNL_ARG_SRC, source);
    return status;
}

static gt_status
add_weights(gt_builder *builder, int index, const conv_formats *formats,
            const_dnnl_primitive_desc_t desc, gt_arg *args, int *n_args, gt_error *error)
{
    const gt_node *node = formats->weighted;
    gt_plan *plan = builder->plan;
    bool lacks_offset = reads_bytes(builder, index) && !builder->preprocessing.by_channel;
    int kernel = -1;
    int shift = -1;
    gt_status status = gt_weights_onednn(plan->weights, node, plan->engine,
                                         gt_primitive_query(desc, dnnl_query_weights_md),
                                         formats->weights, &kernel, error);
    if (status == GT_OK) {
        status =
            gt_weights_shift(plan->weights, node, plan->engine,
                             lacks_offset ? builder->preprocessing.offset : 0.0f, &shift, error);
    }
    args[(*n_args)++] = (gt_arg){DNNL_ARG_WEIGHTS, GT_ARG_WEIGHT, kernel};
    args[(*n_args)++] = (gt_arg){DNNL_ARG_BIAS, GT_ARG_WEIGHT, shift};
    return status;
}

static gt_status
add_scales(gt_builder *builder, const conv_formats *formats, gt_arg *args, int *n_args,
           gt_error *error)
{
    gt_plan *plan = builder->plan;
    int scales = -1;
    gt_status status = gt_weights_scales(plan->weights, formats->weighted, plan->engine,
                                         formats->weights, &scales, error);
    args[(*n_args)++] = (gt_arg){DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, GT_ARG_WEIGHT, scales};
    if (status == GT_OK) {
        status =
            gt_builder_scale_arg(builder, DNNL_ARG_SRC, formats->source.scale, args, n_args, error);
    }
    if (status == GT_OK) {
        status = gt_builder_scale_arg(builder, DNNL_ARG_DST, scale_of_result(formats), args, n_args,
                                      error);
    }
    return status;
}

/* The arguments of a convolution but its result. */
static gt_status
add_args(gt_builder *builder, int index, conv_formats *formats, const_dnnl_primitive_desc_t desc,
         gt_arg *args, int *n_args, gt_error *error)
{
    gt_node folded = {0};
    gt_status status = GT_OK;
    formats->weighted = &builder->graph->nodes[index];
    if (reads_bytes(builder, index) && builder->preprocessing.by_channel) {
        status = gt_pixels_fold(&builder->preprocessing, formats->weighted, &folded, error);
        formats->weighted = &folded;
    }
    if (status == GT_OK) {
        status = add_source(builder, index, formats, desc, args, n_args, error);
    }
    if (status == GT_OK) {
        status = add_weights(builder, index, formats, desc, args, n_args, error);
    }
    if (status == GT_OK && formats->in_int8) {
        status = add_scales(builder, formats, args, n_args, error);
    }
    formats->weighted = NULL;
    gt_pixels_clear_folded(&folded);
    return status;
}

enum { MAX_ARGS = 8 }; /* source, kernel, shift, three scales, addend, result */

/* A dense layer is a 1x1 convolution of a map of one pixel. */
static gt_status
lower_convolution(gt_builder *builder, int index, gt_error *error)
{
    conv_formats formats = {.in_int8 = false};
    dnnl_primitive_desc_t desc = NULL;
    gt_arg args[MAX_ARGS] = {{0}};
    int n_args = 0;
    gt_status status = choose_convolution(builder, index, &formats, &desc, error);
    if (status == GT_OK) {
        status = add_args(builder, index, &formats, desc, args, &n_args, error);
    }
    if (status == GT_OK) {
        status = gt_primitive_finish(builder, index, desc, formats.result, args, n_args, error);
    }
    if (status == GT_OK && !formats.fuses_activation) {
        status = gt_lower_activation(builder, index, builder->plan->value_of[index], error);
    }
    (void)dnnl_primitive_desc_destroy(desc);
    return status;
}

const gt_implementation gt_onednn_convolution = {.lower = lower_convolution};

/* --- and an addition ----------------------------------------------------------------------- */

static bool
has_partner(const gt_builder *builder, int index)
{
    return builder->partners[index] != GT_NO_VALUE;
}

/* The addition appends the steps. */
static gt_status
lower_nothing(gt_builder *builder, int index, gt_error *error)
{
    (void)builder;
    (void)index;
    (void)error;
    return GT_OK;
}

static int
addend_of(const gt_builder *builder, int index)
{
    return gt_addition_other(builder->graph, index, builder->partners[index]);
}

/* How what is added is stored: a convolution in int8 reads that as it is. */
static gt_format
addend_format(const gt_builder *builder, int index, const conv_formats *formats)
{
    const gt_plan *plan = builder->plan;
    gt_format stored = plan->values[plan->value_of[addend_of(builder, index)]].format;
    return formats->in_int8 && gt_is_8_bit(stored.type) ? stored : gt_builder_float_format(builder);
}

/* What is added, in the layout that the primitive wants. */
static gt_status
add_addend(gt_builder *builder, int index, const conv_formats *formats,
           const_dnnl_primitive_desc_t desc, gt_arg *args, int *n_args, gt_error *error)
{
    const gt_node *sum = &builder->graph->nodes[index];
    int other = addend_of(builder, index);
    int place = gt_primitive_addend_place(formats->addend.scale);
    int value = GT_NO_VALUE;
    gt_status status = formats->in_int8
                           ? gt_builder_fetch_last(builder, sum, sum->inputs[0] == other ? 0 : 1,
                                                   formats->addend, &value, error)
                           : gt_builder_reorder(builder, builder->plan->value_of[other],
                                                gt_primitive_query(desc, dnnl_query_dst_md),
                                                formats->addend, sum->name, &value, error);
    args[(*n_args)++] = gt_value_arg(DNNL_ARG_ATTR_MULTIPLE_POST_OP(place) | DNNL_ARG_SRC_1, value);
    return status;
}

/* Each by itself and in floats, where oneDNN has nothing fast for both, at best `desc`. */
static gt_status
lower_apart(gt_builder *builder, int index, dnnl_primitive_desc_t desc, gt_error *error)
{
    int convolution = builder->partners[index];
    (void)dnnl_primitive_desc_destroy(desc);
    builder->formats[convolution].result = gt_builder_float_format(builder);
    builder->formats[index].result = gt_builder_float_format(builder);
    gt_status status = lower_convolution(builder, convolution, error);
    return status == GT_OK ? gt_binary_map.lower(builder, index, error) : status;
}

static gt_status
lower_both(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *nodes = builder->graph->nodes;
    int convolution = builder->partners[index];
    conv_formats formats = chosen_formats(builder, convolution);
    formats.addend = addend_format(builder, index, &formats);
    dnnl_primitive_desc_t desc = NULL;
    gt_arg args[MAX_ARGS] = {{0}};
    int n_args = 0;
    gt_status status =
        create_right(builder, &nodes[convolution], &nodes[index], &formats, &desc, error);
    if (status == GT_OK && is_slow(desc)) {
        return lower_apart(builder, index, desc, error);
    }
    if (status == GT_OK) {
        status = add_args(builder, convolution, &formats, desc, args, &n_args, error);
    }
    if (status == GT_OK) {
        status = add_addend(builder, index, &formats, desc, args, &n_args, error);
    }
    if (status == GT_OK) {
        status = gt_primitive_finish(builder, index, desc, formats.result, args, n_args, error);
    }
    (void)dnnl_primitive_desc_destroy(desc);
    return status;
}

const gt_implementation gt_deferred_convolution = {.is_supported = has_partner,
                                                   .lower = lower_nothing};
const gt_implementation gt_convolution_and_addition = {.is_supported = has_partner,
                                                       .lower = lower_both};
