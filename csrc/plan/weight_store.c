#include "plan/weight_store.h"

#include <stdlib.h>
#include <string.h>

#include "common/arithmetic.h"

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
        gt_weight_item *items = gt_grow(store->items, &store->capacity, sizeof(*items));
        if (items == NULL) {
            return gt_fail_memory(error, "the list of weights");
        }
        store->items = items;
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

gt_status
gt_weight_provide(gt_weight_store *store, const char *layer, gt_weight_kind kind,
                  const_dnnl_memory_desc_t desc, dnnl_engine_t engine, gt_weight_filler fill,
                  const void *wanted, int *index, gt_error *error)
{
    void *data = NULL;
    *index = find_item(store, layer, kind, desc);
    if (*index >= 0) {
        return GT_OK;
    }
    gt_status status = add_item(store, layer, kind, engine, desc, index, error);
    if (status != GT_OK) {
        return status;
    }
    dnnl_memory_t memory = store->items[*index].memory;
    status = gt_check_engine(dnnl_memory_get_data_handle(memory, &data), "memory for weights",
                             layer, error);
    if (status == GT_OK) {
        status = fill(wanted, memory, data, error);
    }
    if (status != GT_OK) {
        drop_last(store);
    }
    return status;
}

gt_status
gt_weight_provide_vector(gt_weight_store *store, const char *layer, gt_weight_kind kind,
                         int64_t length, dnnl_engine_t engine, gt_weight_filler fill,
                         const void *wanted, int *index, gt_error *error)
{
    dnnl_memory_desc_t desc = NULL;
    dnnl_dims_t dims = {length};
    gt_status status =
        gt_check_engine(dnnl_memory_desc_create_with_tag(&desc, 1, dims, dnnl_f32, dnnl_x),
                        "describing a vector", layer, error);
    if (status == GT_OK) {
        status = gt_weight_provide(store, layer, kind, desc, engine, fill, wanted, index, error);
    }
    (void)dnnl_memory_desc_destroy(desc);
    return status;
}
