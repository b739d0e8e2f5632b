#include "plan/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/malloc_trim.h"
#include "common/onednn.h"

void
gt_weight_store_clear(gt_weight_store *store)
{
    for (int i = 0; i < store->count; i++) {
        free(store->items[i].layer);
        (void)dnnl_memory_destroy(store->items[i].memory);
    }
    free(store->items);
    memset(store, 0, sizeof(*store));
}

static int
find_item(const gt_weight_store *store, const char *layer, gt_weight_kind kind,
          const_dnnl_memory_desc_t desc)
{
    for (int i = 0; i < store->count; i++) {
        const gt_weight_item *item = &store->items[i];
        const_dnnl_memory_desc_t own = NULL;
        if (item->kind == kind && strcmp(item->layer, layer) == 0 &&
            dnnl_memory_get_memory_desc(item->memory, &own) == dnnl_success &&
            dnnl_memory_desc_equal(own, desc)) {
            return i;
        }
    }
    return -1;
}

/* Append room of layout `desc`; its contents are not yet set. */
static gt_status
add_item(gt_weight_store *store, const char *layer, gt_weight_kind kind, dnnl_engine_t engine,
         const_dnnl_memory_desc_t desc, int *index, gt_error *error)
{
    if (desc == NULL) { /* of which oneDNN would make memory without room */
        return gt_check_engine(dnnl_runtime_error, "asking for a layout", layer, error);
    }
    if (store->count == store->capacity) {
        int capacity = store->capacity == 0 ? 64 : 2 * store->capacity;
        gt_weight_item *items = realloc(store->items, (size_t)capacity * sizeof(*items));
        if (items == NULL) {
            return gt_fail_memory(error, "the list of weights");
        }
        store->items = items;
        store->capacity = capacity;
    }
    size_t length = strlen(layer) + 1;
    gt_weight_item item = {.layer = malloc(length), .kind = kind, .memory = NULL};
    if (item.layer == NULL) {
        return gt_fail_memory(error, "the name of weights");
    }
    memcpy(item.layer, layer, length);
    gt_status status =
        gt_check_engine(dnnl_memory_create(&item.memory, desc, engine, DNNL_MEMORY_ALLOCATE),
                        "memory for weights", layer, error);
    if (status != GT_OK) {
        free(item.layer);
        return status;
    }
    store->items[store->count] = item;
    *index = store->count++;
    return GT_OK;
}

static void
drop_last(gt_weight_store *store)
{
    gt_weight_item *item = &store->items[--store->count];
    free(item->layer);
    (void)dnnl_memory_destroy(item->memory);
}

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

/* Make int8 of a kernel in place, element = number / scales[channel], for a kernel of `rows` rows of
 * `channels` numbers.  What rounding leaves of a weight goes on to the next of its channel (error
 * diffusion, Floyd and Steinberg 1976): so their sum, which is what flat parts of a picture meet,
 * stays the same to half a unit.  `errors` (channels,) is room for that. */
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

/* The weights of each output channel whose sizes decide its scale: each weight by itself, or in pairs
 * the sum of two as well.  2 x 255 x 127 is more than 16 bits hold. */
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
 * of zeros.  Rounded with the error of the last weight, two of them are 128 at most, and 255 x 128 is
 * less than 2^15. */
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

/* The kernel, not yet packed, in float32 or 8-bit integers; to be freed by the caller. */
static gt_status
unpacked_kernel(const gt_node *node, gt_weight_format format, void **values,
                dnnl_memory_desc_t *desc, gt_error *error)
{
    bool in_int8 = format != GT_WEIGHT_FLOAT;
    int channels = node->shape.channels;
    gt_status status = gt_check_engine(describe_kernel(node, in_int8 ? dnnl_s8 : dnnl_f32, desc),
                                       "describing the weights", node->name, error);
    *values = status == GT_OK ? scaled_kernel(node) : NULL;
    if (status == GT_OK && *values == NULL) {
        status = gt_fail_memory(error, "unpacked weights");
    }
    if (status == GT_OK && in_int8) {
        float *scales = malloc(2 * (size_t)channels * sizeof(*scales));
        if (scales == NULL) {
            return gt_fail_memory(error, "8-bit weights");
        }
        measure_scales(node, *values, format, scales);
        quantize_kernel(*values, kernel_rows(node), channels, scales, scales + channels);
        free(scales);
    }
    return status;
}

gt_status
gt_weights_onednn(gt_weight_store *store, const gt_node *node, dnnl_engine_t engine,
                  const_dnnl_memory_desc_t desc, gt_weight_format format, int *index,
                  gt_error *error)
{
    *index = find_item(store, node->name, GT_WEIGHT_KERNEL, desc);
    if (*index >= 0) {
        return GT_OK;
    }
    gt_status status = add_item(store, node->name, GT_WEIGHT_KERNEL, engine, desc, index, error);
    if (status != GT_OK) {
        return status;
    }
    dnnl_memory_desc_t plain = NULL;
    void *values = NULL;
    status = unpacked_kernel(node, format, &values, &plain, error);
    if (status == GT_OK) {
        status =
            reorder_into(values, plain, store->items[*index].memory, engine, node->name, error);
    }
    (void)dnnl_memory_desc_destroy(plain);
    free_unpacked(node, values);
    if (status != GT_OK) {
        drop_last(store);
    }
    return status;
}

/* Append room for a float32 vector of layout `desc`, which is to be filled at *data. */
static gt_status
add_vector(gt_weight_store *store, const char *layer, gt_weight_kind kind, dnnl_engine_t engine,
           const_dnnl_memory_desc_t desc, int *index, float **data, gt_error *error)
{
    void *handle = NULL;
    gt_status status = add_item(store, layer, kind, engine, desc, index, error);
    if (status != GT_OK) {
        return status;
    }
    status = gt_check_engine(dnnl_memory_get_data_handle(store->items[*index].memory, &handle),
                             "memory for a vector", layer, error);
    if (status != GT_OK) {
        drop_last(store);
    }
    *data = handle;
    return status;
}

/* Find a float32 vector, or add one, which then is to be filled at *data; else *data is NULL. */
static gt_status
provide_vector(gt_weight_store *store, const char *layer, gt_weight_kind kind, int64_t length,
               dnnl_engine_t engine, int *index, float **data, gt_error *error)
{
    dnnl_memory_desc_t desc = NULL;
    dnnl_dims_t dims = {length};
    gt_status status =
        gt_check_engine(dnnl_memory_desc_create_with_tag(&desc, 1, dims, dnnl_f32, dnnl_x),
                        "describing a vector", layer, error);
    *data = NULL;
    if (status == GT_OK) {
        *index = find_item(store, layer, kind, desc);
    }
    if (status == GT_OK && *index < 0) {
        status = add_vector(store, layer, kind, engine, desc, index, data, error);
    }
    (void)dnnl_memory_desc_destroy(desc);
    return status;
}

gt_status
gt_weights_scales(gt_weight_store *store, const gt_node *node, dnnl_engine_t engine,
                  gt_weight_format format, int *index, gt_error *error)
{
    float *scales = NULL;
    gt_status status = provide_vector(store, node->name, GT_WEIGHT_KERNEL_SCALES,
                                      node->shape.channels, engine, index, &scales, error);
    if (status != GT_OK || scales == NULL) {
        return status;
    }
    float *values = scaled_kernel(node);
    if (values == NULL) {
        drop_last(store);
        return gt_fail_memory(error, "unpacked weights");
    }
    measure_scales(node, values, format, scales);
    free_unpacked(node, values);
    return GT_OK;
}

/* Add to the shift of each channel out what its weights make of `offset`. */
static gt_status
shift_by_offset(const gt_node *node, float offset, float *shift, gt_error *error)
{
    float *values = scaled_kernel(node);
    int channels = node->shape.channels;
    if (values == NULL) {
        return gt_fail_memory(error, "unpacked weights");
    }
    for (int c = 0; c < channels; c++) {
        double sum = 0.0;
        for (int64_t row = 0; row < kernel_rows(node); row++) {
            sum += values[row * channels + c];
        }
        shift[c] += (float)(offset * sum);
    }
    free(values);
    return GT_OK;
}

gt_status
gt_weights_shift(gt_weight_store *store, const gt_node *node, dnnl_engine_t engine, float offset,
                 int *index, gt_error *error)
{
    float *shift = NULL;
    gt_status status = provide_vector(store, node->name, GT_WEIGHT_SHIFT, node->shape.channels,
                                      engine, index, &shift, error);
    if (status != GT_OK || shift == NULL) {
        return status;
    }
    for (int c = 0; c < node->shape.channels; c++) {
        shift[c] = node->shift != NULL ? node->shift[c] : 0.0f;
    }
    if (offset != 0.0f) {
        status = shift_by_offset(node, offset, shift, error);
    }
    if (status != GT_OK) {
        drop_last(store);
    }
    return status;
}

gt_status
gt_weights_scalar(gt_weight_store *store, float scale, dnnl_engine_t engine, int *index,
                  gt_error *error)
{
    char name[32];
    float *data = NULL;
    (void)snprintf(name, sizeof(name), "(scale %a)", (double)scale);
    gt_status status = provide_vector(store, name, GT_WEIGHT_SCALE, 1, engine, index, &data, error);
    if (data != NULL) {
        *data = scale;
    }
    return status;
}

gt_status
gt_weights_winograd(gt_weight_store *store, const gt_node *node, const gt_winograd *winograd,
                    float scale, dnnl_engine_t engine, int *index, gt_error *error)
{
    int64_t length = (int64_t)(gt_winograd_kernel_size(winograd) / sizeof(float));
    float *packed = NULL;
    gt_status status =
        provide_vector(store, node->name, GT_WEIGHT_KERNEL, length, engine, index, &packed, error);
    if (status != GT_OK || packed == NULL) {
        return status;
    }
    float *values = scaled_kernel(node);
    if (values == NULL) {
        drop_last(store);
        return gt_fail_memory(error, "unpacked weights");
    }
    gt_winograd_pack(winograd, values, scale, packed);
    free_unpacked(node, values);
    return GT_OK;
}

gt_status
gt_weights_amx(gt_weight_store *store, const gt_node *node, const gt_amx *amx, dnnl_engine_t engine,
               int *index, gt_error *error)
{
    int64_t length = (int64_t)(gt_amx_kernel_size(amx) / sizeof(float));
    gt_weight_format format = amx->type == GT_MAP_U8 ? GT_WEIGHT_INT8 : GT_WEIGHT_FLOAT;
    dnnl_memory_desc_t plain = NULL;
    void *values = NULL;
    float *packed = NULL;
    gt_status status =
        provide_vector(store, node->name, GT_WEIGHT_KERNEL, length, engine, index, &packed, error);
    if (status != GT_OK || packed == NULL) {
        return status;
    }
    status = unpacked_kernel(node, format, &values, &plain, error);
    if (status == GT_OK) {
        gt_amx_pack(amx, values, packed);
    }
    (void)dnnl_memory_desc_destroy(plain);
    free_unpacked(node, values);
    if (status != GT_OK) {
        drop_last(store);
    }
    return status;
}

/* The kernel of a node, its scale multiplied in, and its shift, to be freed by the caller. */
static gt_status
unpack_block_part(const gt_node *node, const float **kernel, const float **shift, gt_error *error)
{
    size_t channels = (size_t)node->shape.channels;
    float *shifts = calloc(channels, sizeof(*shifts));
    *shift = shifts;
    *kernel = scaled_kernel(node);
    if (*kernel == NULL || shifts == NULL) {
        return gt_fail_memory(error, "unpacked weights");
    }
    if (node->shift != NULL) {
        memcpy(shifts, node->shift, channels * sizeof(*shifts));
    }
    return GT_OK;
}

static void
free_block_part(const gt_node *node, const float *kernel, const float *shift)
{
    free((void *)(uintptr_t)shift);
    free_unpacked(node, (void *)(uintptr_t)kernel);
}

gt_status
gt_weights_mbconv(gt_weight_store *store, const gt_node *expansion, const gt_node *depthwise,
                  const gt_node *projection, const gt_mbconv *mbconv, dnnl_engine_t engine,
                  int *index, gt_error *error)
{
    int64_t length = (int64_t)(gt_mbconv_packed_size(mbconv) / sizeof(float));
    float *packed = NULL;
    gt_status status = provide_vector(store, projection->name, GT_WEIGHT_KERNEL, length, engine,
                                      index, &packed, error);
    if (status != GT_OK || packed == NULL) {
        return status;
    }
    gt_mbconv_weights weights = {0};
    if (expansion != NULL) {
        status = unpack_block_part(expansion, &weights.expansion, &weights.expansion_shift, error);
    }
    if (status == GT_OK) {
        status = unpack_block_part(depthwise, &weights.depthwise, &weights.depthwise_shift, error);
    }
    if (status == GT_OK) {
        status =
            unpack_block_part(projection, &weights.projection, &weights.projection_shift, error);
    }
    if (status == GT_OK) {
        gt_mbconv_pack(mbconv, &weights, packed);
    }
    if (expansion != NULL) {
        free_block_part(expansion, weights.expansion, weights.expansion_shift);
    }
    free_block_part(depthwise, weights.depthwise, weights.depthwise_shift);
    free_block_part(projection, weights.projection, weights.projection_shift);
    if (status != GT_OK) {
        drop_last(store);
    }
    return status;
}
