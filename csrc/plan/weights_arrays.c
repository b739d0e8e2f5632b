/* Arrays of a network as its kernels read them, in float32. */
#include <stdlib.h>

#include "kernels/resample/resample.h"
#include "plan/weights.h"

/* What a new item is filled with. */
typedef struct {
    const gt_node *node;
    gt_role role;
    float otherwise; /* where the node has no such array */
} contents;

static int64_t
array_size(const gt_array *array)
{
    int64_t size = 1;
    for (int axis = 0; axis < array->rank; axis++) {
        size *= array->shape[axis];
    }
    return size;
}

static gt_status
fill_vector(const void *context, dnnl_memory_t memory, void *data, gt_error *error)
{
    const contents *wanted = context;
    const gt_array *array = &wanted->node->arrays[wanted->role];
    float *values = data;
    (void)memory;
    (void)error;
    if (array->data != NULL) {
        gt_array_read(array, 0, array_size(array), values);
        gt_array_release_pages(array);
        return GT_OK;
    }
    for (int c = 0; c < wanted->node->shape.channels; c++) {
        values[c] = wanted->otherwise;
    }
    return GT_OK;
}

static gt_status
fill_embedding(const void *context, dnnl_memory_t memory, void *data, gt_error *error)
{
    const contents *wanted = context;
    const gt_array *array = &wanted->node->arrays[GT_VALUE];
    gt_shape to = wanted->node->shape;
    gt_shape from = {(int)array->shape[0], (int)array->shape[1], to.channels};
    int64_t size = array_size(array);
    (void)memory;
    if (from.height == to.height && from.width == to.width) {
        gt_array_read(array, 0, size, data);
        return GT_OK;
    }
    float *values = malloc((size_t)size * sizeof(*values));
    if (values == NULL) {
        return gt_fail_memory(error, "a position embedding");
    }
    gt_array_read(array, 0, size, values);
    gt_status status = gt_resample_bicubic(values, from, data, to, error);
    free(values);
    return status;
}

gt_status
gt_weights_array(gt_weight_store *store, const gt_node *node, gt_role role, float otherwise,
                 dnnl_engine_t engine, int *index, gt_error *error)
{
    const contents wanted = {.node = node, .role = role, .otherwise = otherwise};
    const gt_array *array = &node->arrays[role];
    int64_t length = array->data != NULL ? array_size(array) : node->shape.channels;
    return gt_weight_provide_vector(store, node->name,
                                    (gt_weight_kind)(GT_WEIGHT_ARRAY + (int)role), length, engine,
                                    fill_vector, &wanted, index, error);
}

gt_status
gt_weights_embedding(gt_weight_store *store, const gt_node *node, dnnl_engine_t engine, int *index,
                     gt_error *error)
{
    const contents wanted = {.node = node};
    dnnl_memory_desc_t desc = NULL;
    dnnl_dims_t dims = {node->shape.height, node->shape.width, node->shape.channels};
    gt_status status =
        gt_check_engine(dnnl_memory_desc_create_with_tag(&desc, 3, dims, dnnl_f32, dnnl_abc),
                        "describing a position embedding", node->name, error);
    if (status == GT_OK) {
        status = gt_weight_provide(store, node->name, (gt_weight_kind)(GT_WEIGHT_ARRAY + GT_VALUE),
                                   desc, engine, fill_embedding, &wanted, index, error);
    }
    (void)dnnl_memory_desc_destroy(desc);
    return status;
}
