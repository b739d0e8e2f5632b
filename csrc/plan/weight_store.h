/* Weights as the steps of all plans of one network read them, each made once. */
#ifndef GT_WEIGHT_STORE_H
#define GT_WEIGHT_STORE_H

#include "common/onednn.h"
#include "graph/graph.h"

/* What an item of the store is for. */
typedef enum {
    GT_WEIGHT_KERNEL,
    GT_WEIGHT_KERNEL_SCALES, /* of 8-bit kernels: number = element * scale of its channel out */
    GT_WEIGHT_SHIFT,
    GT_WEIGHT_SCALE, /* of an 8-bit value */
    GT_WEIGHT_ARRAY  /* of a role: this kind plus the role */
} gt_weight_kind;

typedef struct {
    char *layer; /* name of the node they belong to; owned */
    gt_weight_kind kind;
    dnnl_memory_t memory; /* owned */
} gt_weight_item;

typedef struct {
    gt_weight_item *items; /* (count,) */
    int count;
    int capacity;
} gt_weight_store;

/* Releases what the store owns; accepts a zeroed store. */
void gt_weight_store_clear(gt_weight_store *store);

/* Fill an item's memory, whose numbers are at `data`. */
typedef gt_status (*gt_weight_filler)(const void *context, dnnl_memory_t memory, void *data,
                                      gt_error *error);

/* Find the item of a layer, of that kind and layout, or add and fill it; nothing is added after a
 * failure. */
gt_status gt_weight_provide(gt_weight_store *store, const char *layer, gt_weight_kind kind,
                            const_dnnl_memory_desc_t desc, dnnl_engine_t engine,
                            gt_weight_filler fill, const void *wanted, int *index, gt_error *error);

/* The same for a flat float32 array. */
gt_status gt_weight_provide_vector(gt_weight_store *store, const char *layer, gt_weight_kind kind,
                                   int64_t length, dnnl_engine_t engine, gt_weight_filler fill,
                                   const void *wanted, int *index, gt_error *error);

#endif
