#include "plan/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arithmetic.h"
#include "common/malloc_trim.h"
#include "common/onednn.h"

/* What a new item is filled with; a filler reads what concerns it. */
typedef struct {
    const gt_node *node;
    dnnl_engine_t engine;
    gt_weight_format format;
    const gt_winograd *winograd;
    const gt_amx *amx;
    const gt_mbconv_nodes *block;
    const gt_mbconv *mbconv;
    float number; /* the source's scale, the offset, or the scalar itself */
} contents;

/* Rows of the array that scaled_kernel makes. */
static int64_t
kernel_rows(const gt_node *node)
{
    const gt_array *kernel = &node->arrays[GT_KERNEL];
    int64_t rows = 1;
    for (int axis = 0; kernel->data != NULL && axis + 1 < kernel->rank; axis++) {
        rows *= kernel->shape[axis];
    }
    return rows;
}

/* The kernel as float32 (rows, channels_out), scaled per output channel; to be freed by the
 * caller; NULL when memory is out.  A convolution without a kernel scales each channel. */
static float *
scaled_kernel(const gt_node *node)
{
    const gt_array *kernel = &node->arrays[GT_KERNEL];
    int64_t channels = node->shape.channels;
    int64_t rows = kernel_rows(node);
    float *values = malloc((size_t)(rows * channels) * sizeof(*values));
    for (int64_t row = 0; values != NULL && row < rows; row++) {
        float *out = values + row * channels;
        if (kernel->data != NULL) {
            gt_array_read(kernel, row * channels, channels, out);
        }
        for (int64_t c = 0; kernel->data == NULL && c < channels; c++) {
            out[c] = 1.0f;
        }
        for (int64_t c = 0; node->scale != NULL && c < channels; c++) {
            out[c] *= node->scale[c];
        }
    }
    return values;
}

/* Free what scaled_kernel returned, and give back what it was read from. */
static void
free_unpacked(const gt_node *node, void *values)
{
    free(values);
    gt_array_release_pages(&node->arrays[GT_KERNEL]);
    gt_heap_freed((size_t)(kernel_rows(node) * node->shape.channels) * sizeof(float));
}

/* Channels that each channel out is made of. */
static int
kernel_channels_in(const gt_node *node)
{
    const gt_array *kernel = &node->arrays[GT_KERNEL];
    return kernel->data == NULL ? 1 : (int)kernel->shape[kernel->rank - 2];
}

int
gt_kernel_dims(const gt_node *node, int channels, dnnl_dims_t dims)
{
    int rank = 0;
    if (node->groups > 1) {
        dims[rank++] = node->groups;
    }
    dims[rank++] = node->shape.channels / node->groups;
    dims[rank++] = channels / node->groups;
    dims[rank++] = node->window.size[0];
    dims[rank++] = node->window.size[1];
    return rank;
}

/* Descriptor of the array that scaled_kernel makes: (height, width, in, groups x out). */
static dnnl_status_t
describe_kernel(const gt_node *node, dnnl_data_type_t type, dnnl_memory_desc_t *desc)
{
    int64_t out = node->shape.channels;
    int64_t in = kernel_channels_in(node);
    dnnl_dims_t dims = {0};
    dnnl_dims_t strides = {0};
    int rank = gt_kernel_dims(node, (int)in * node->groups, dims);
    int axis = 0;
    if (node->groups > 1) {
        strides[axis++] = out / node->groups;
    }
    strides[axis++] = 1;
    strides[axis++] = out;
    strides[axis++] = node->window.size[1] * in * out;
    strides[axis++] = in * out;
    return dnnl_memory_desc_create_with_strides(desc, rank, dims, type, strides);
}

static gt_status
reorder_into(void *values, dnnl_memory_desc_t desc, dnnl_memory_t target, dnnl_engine_t engine,
             const char *layer, gt_error *error)
{
    dnnl_memory_t source = NULL;
    dnnl_primitive_desc_t reorder_desc = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_stream_t stream = NULL;
    const_dnnl_memory_desc_t target_desc = NULL;
    dnnl_status_t code = dnnl_memory_get_memory_desc(target, &target_desc);
    if (code == dnnl_success) {
        code = dnnl_memory_create(&source, desc, engine, values);
    }
    if (code == dnnl_success) {
        code = dnnl_reorder_primitive_desc_create(&reorder_desc, desc, engine, target_desc, engine,
                                                  NULL);
    }
    if (code == dnnl_success) {
        code = dnnl_primitive_create(&reorder, reorder_desc);
    }
    if (code == dnnl_success) {
        code = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    }
    if (code == dnnl_success) {
        dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, target}};
        code = dnnl_primitive_execute(reorder, stream, 2, args);
    }
    if (code == dnnl_success) {
        code = dnnl_stream_wait(stream);
    }
    (void)dnnl_stream_destroy(stream);
    (void)dnnl_primitive_destroy(reorder);
    (void)dnnl_primitive_desc_destroy(reorder_desc);
    (void)dnnl_memory_destroy(source);
    return gt_check_engine(code, "packing the weights", layer, error);
}

/* Make int8 of a kernel in place, element = number / scales[channel], for a kernel of `rows` rows
 * of `channels` numbers.  What rounding leaves of a weight goes on to the next of its channel
 * (error diffusion, Floyd and Steinberg 1976): so their sum, which is what flat parts of a picture
 * meet, stays the same to half a unit.  `errors` (channels,) is room for that. */
static void
quantize_kernel(float *values, int64_t rows, int channels, const float *scales, float *errors)
{
    int8_t *bytes = (int8_t *)values; /* the byte of a number lies before or within it */
    memset(errors, 0, (size_t)channels * sizeof(*errors));
    for (int64_t row = 0; row < rows; row++) {
        for (int c = 0; c < channels; c++) {
            float number = values[row * channels + c] / scales[c] + errors[c];
            long nearest = lrintf(number);
            nearest = nearest > 127 ? 127 : nearest < -127 ? -127 : nearest;
            errors[c] = number - (float)nearest;
            bytes[row * channels + c] = (int8_t)nearest;
        }
    }
}

/* The weights of each output channel whose sizes decide its scale: each weight by itself, or in
 * pairs the sum of two as well. 2 x 255 x 127 is more than 16 bits hold. */
static void
measure_sizes(const gt_node *node, const float *values, gt_weight_format format, float *sizes)
{
    int channels = node->shape.channels;
    int channels_in = kernel_channels_in(node);
    for (int64_t row = 0; row < kernel_rows(node); row++) {
        const float *own = values + row * channels;
        bool has_other = format == GT_WEIGHT_INT8_PAIRS && row % channels_in % 2 == 1;
        for (int c = 0; c < channels; c++) {
            float other = has_other ? own[c - channels] : 0.0f;
            float single = fabsf(own[c]);
            float pair = fabsf(own[c] + other);
            float size = pair > single ? pair : single;
            sizes[c] = size > sizes[c] ? size : sizes[c];
        }
    }
}

/* The scale of each output channel at which the largest of those sizes becomes 127; 1 for a channel
 * of zeros.  Rounded with the error of the last weight, two of them are 128 at most, and 255 x 128
 * is less than 2^15. */
static void
measure_scales(const gt_node *node, const float *values, gt_weight_format format, float *scales)
{
    int channels = node->shape.channels;
    for (int c = 0; c < channels; c++) {
        scales[c] = 0.0f;
    }
    measure_sizes(node, values, format, scales);
    for (int c = 0; c < channels; c++) {
        scales[c] = scales[c] > 0.0f ? scales[c] / 127.0f : 1.0f;
    }
}

/* The scaled kernel as 8-bit integers, in place. */
static gt_status
quantize(const gt_node *node, gt_weight_format format, float *values, gt_error *error)
{
    int channels = node->shape.channels;
    float *scales = malloc(2 * (size_t)channels * sizeof(*scales));
    if (scales == NULL) {
        return gt_fail_memory(error, "8-bit weights");
    }
    measure_scales(node, values, format, scales);
    quantize_kernel(values, kernel_rows(node), channels, scales, scales + channels);
    free(scales);
    return GT_OK;
}

/* The kernel, not yet packed, in float32 or 8-bit integers; to be freed by free_unpacked, also
 * after a failure. */
static gt_status
unpack_kernel(const gt_node *node, gt_weight_format format, float **values, gt_error *error)
{
    *values = scaled_kernel(node);
    if (*values == NULL) {
        return gt_fail_memory(error, "unpacked weights");
    }
    return format == GT_WEIGHT_FLOAT ? GT_OK : quantize(node, format, *values, error);
}

/* --- what items are filled with ------------------------------------------------------------ */

static gt_status
fill_onednn(const void *context, dnnl_memory_t memory, void *data, gt_error *error)
{
    const contents *wanted = context;
    const gt_node *node = wanted->node;
    dnnl_memory_desc_t plain = NULL;
    float *values = NULL;
    dnnl_data_type_t type = wanted->format == GT_WEIGHT_FLOAT ? dnnl_f32 : dnnl_s8;
    gt_status status = gt_check_engine(describe_kernel(node, type, &plain),
                                       "describing the weights", node->name, error);
    (void)data;
    if (status == GT_OK) {
        status = unpack_kernel(node, wanted->format, &values, error);
    }
    if (status == GT_OK) {
        status = reorder_into(values, plain, memory, wanted->engine, node->name, error);
    }
    (void)dnnl_memory_desc_destroy(plain);
    free_unpacked(node, values);
    return status;
}

static gt_status
fill_winograd(const void *context, dnnl_memory_t memory, void *data, gt_error *error)
{
    const contents *wanted = context;
    float *values = NULL;
    gt_status status = unpack_kernel(wanted->node, GT_WEIGHT_FLOAT, &values, error);
    (void)memory;
    if (status == GT_OK) {
        gt_winograd_pack(wanted->winograd, values, wanted->number, data);
    }
    free_unpacked(wanted->node, values);
    return status;
}

static gt_status
fill_amx(const void *context, dnnl_memory_t memory, void *data, gt_error *error)
{
    const contents *wanted = context;
    float *values = NULL;
    gt_status status = unpack_kernel(wanted->node, wanted->format, &values, error);
    (void)memory;
    if (status == GT_OK) {
        gt_amx_pack(wanted->amx, values, data);
    }
    free_unpacked(wanted->node, values);
    return status;
}

static gt_status
fill_scales(const void *context, dnnl_memory_t memory, void *data, gt_error *error)
{
    const contents *wanted = context;
    float *values = NULL;
    gt_status status = unpack_kernel(wanted->node, GT_WEIGHT_FLOAT, &values, error);
    (void)memory;
    if (status == GT_OK) {
        measure_scales(wanted->node, values, wanted->format, data);
    }
    free_unpacked(wanted->node, values);
    return status;
}

/* Add to the shift of each channel out what its weights make of the offset. */
static gt_status
add_offset(const contents *wanted, float *shift, gt_error *error)
{
    const gt_node *node = wanted->node;
    float *values = NULL;
    int channels = node->shape.channels;
    gt_status status = unpack_kernel(node, GT_WEIGHT_FLOAT, &values, error);
    for (int c = 0; status == GT_OK && c < channels; c++) {
        double sum = 0.0;
        for (int64_t row = 0; row < kernel_rows(node); row++) {
            sum += values[row * channels + c];
        }
        shift[c] += (float)(wanted->number * sum);
    }
    free_unpacked(node, values);
    return status;
}

static gt_status
fill_shift(const void *context, dnnl_memory_t memory, void *data, gt_error *error)
{
    const contents *wanted = context;
    const gt_node *node = wanted->node;
    float *shift = data;
    (void)memory;
    for (int c = 0; c < node->shape.channels; c++) {
        shift[c] = node->shift != NULL ? node->shift[c] : 0.0f;
    }
    return wanted->number != 0.0f ? add_offset(wanted, shift, error) : GT_OK;
}

static gt_status
fill_scalar(const void *context, dnnl_memory_t memory, void *data, gt_error *error)
{
    const contents *wanted = context;
    (void)memory;
    (void)error;
    *(float *)data = wanted->number;
    return GT_OK;
}

/* --- items --------------------------------------------------------------------------------- */

gt_status
gt_weights_onednn(gt_weight_store *store, const gt_node *node, dnnl_engine_t engine,
                  const_dnnl_memory_desc_t desc, gt_weight_format format, int *index,
                  gt_error *error)
{
    const contents wanted = {.node = node, .engine = engine, .format = format};
    return gt_weight_provide(store, node->name, GT_WEIGHT_KERNEL, desc, engine, fill_onednn,
                             &wanted, index, error);
}

gt_status
gt_weights_winograd(gt_weight_store *store, const gt_node *node, const gt_winograd *winograd,
                    float source_scale, dnnl_engine_t engine, int *index, gt_error *error)
{
    const contents wanted = {
        .node = node, .engine = engine, .winograd = winograd, .number = source_scale};
    int64_t length = (int64_t)(gt_winograd_kernel_size(winograd) / sizeof(float));
    return gt_weight_provide_vector(store, node->name, GT_WEIGHT_KERNEL, length, engine,
                                    fill_winograd, &wanted, index, error);
}

gt_status
gt_weights_amx(gt_weight_store *store, const gt_node *node, const gt_amx *amx, dnnl_engine_t engine,
               int *index, gt_error *error)
{
    const contents wanted = {.node = node,
                             .engine = engine,
                             .format = amx->type == GT_MAP_U8 ? GT_WEIGHT_INT8 : GT_WEIGHT_FLOAT,
                             .amx = amx};
    int64_t length = (int64_t)(gt_amx_kernel_size(amx) / sizeof(float));
    return gt_weight_provide_vector(store, node->name, GT_WEIGHT_KERNEL, length, engine, fill_amx,
                                    &wanted, index, error);
}

gt_status
gt_weights_scales(gt_weight_store *store, const gt_node *node, dnnl_engine_t engine,
                  gt_weight_format format, int *index, gt_error *error)
{
    const contents wanted = {.node = node, .engine = engine, .format = format};
    return gt_weight_provide_vector(store, node->name, GT_WEIGHT_KERNEL_SCALES,
                                    node->shape.channels, engine, fill_scales, &wanted, index,
                                    error);
}

gt_status
gt_weights_shift(gt_weight_store *store, const gt_node *node, dnnl_engine_t engine, float offset,
                 int *index, gt_error *error)
{
    const contents wanted = {.node = node, .engine = engine, .number = offset};
    return gt_weight_provide_vector(store, node->name, GT_WEIGHT_SHIFT, node->shape.channels,
                                    engine, fill_shift, &wanted, index, error);
}

gt_status
gt_weights_scalar(gt_weight_store *store, float scale, dnnl_engine_t engine, int *index,
                  gt_error *error)
{
    const contents wanted = {.engine = engine, .number = scale};
    char name[32];
    (void)snprintf(name, sizeof(name), "(scale %a)", (double)scale);
    return gt_weight_provide_vector(store, name, GT_WEIGHT_SCALE, 1, engine, fill_scalar, &wanted,
                                    index, error);
}

static gt_status
fill_mbconv(const void *context, dnnl_memory_t memory, void *data, gt_error *error)
{
    const contents *wanted = context;
    const gt_mbconv_nodes *nodes = wanted->block;
    float *expansion = nodes->expansion != NULL ? scaled_kernel(nodes->expansion) : NULL;
    float *depthwise = scaled_kernel(nodes->depthwise);
    float *projection = scaled_kernel(nodes->projection);
    bool has_all =
        depthwise != NULL && projection != NULL && (expansion != NULL || nodes->expansion == NULL);
    (void)memory;
    if (has_all) {
        gt_mbconv_weights weights = {.expansion = expansion,
                                     .depthwise = depthwise,
                                     .depthwise_shift = nodes->depthwise->shift,
                                     .projection = projection,
                                     .projection_shift = nodes->projection->shift};
        if (nodes->expansion != NULL) {
            weights.expansion_shift = nodes->expansion->shift;
        }
        gt_mbconv_pack(wanted->mbconv, &weights, data);
    }
    if (nodes->expansion != NULL) {
        free_unpacked(nodes->expansion, expansion);
    }
    free_unpacked(nodes->depthwise, depthwise);
    free_unpacked(nodes->projection, projection);
    return has_all ? GT_OK : gt_fail_memory(error, "unpacked weights");
}

gt_status
gt_weights_mbconv(gt_weight_store *store, const gt_mbconv_nodes *nodes, const gt_mbconv *mbconv,
                  dnnl_engine_t engine, int *index, gt_error *error)
{
    const contents wanted = {.engine = engine, .block = nodes, .mbconv = mbconv};
    int64_t length = (int64_t)(gt_mbconv_packed_size(mbconv) / sizeof(float));
    return gt_weight_provide_vector(store, nodes->projection->name, GT_WEIGHT_KERNEL, length,
                                    engine, fill_mbconv, &wanted, index, error);
}
