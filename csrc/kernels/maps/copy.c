/* Copies of boxes of numbers, in any order of axes. */
#include <string.h>

#include "kernels/maps/maps_axes.h"
#include "kernels/maps/maps_elements.h"

enum { LAST = GT_MAPS_AXES - 1 };

void
gt_copy_prepare(gt_copy *copy)
{
    gt_maps_join_axes(copy->extents, copy->from, copy->to);
}

/* One line along the last axis. */
static void
copy_line(const gt_copy *copy, const char *source, char *target)
{
    int64_t count = copy->extents[LAST];
    int64_t from = copy->from[LAST];
    int64_t to = copy->to[LAST];
    if (from == 1 && to == 1) {
        memcpy(target, source, (size_t)(count * copy->size));
    }
    else if (copy->size == 4) {
        for (int64_t i = 0; i < count; i++) {
            ((uint32_t *)(void *)target)[i * to] =
                ((const uint32_t *)(const void *)source)[i * from];
        }
    }
    else {
        for (int64_t i = 0; i < count; i++) {
            ((uint16_t *)(void *)target)[i * to] =
                ((const uint16_t *)(const void *)source)[i * from];
        }
    }
}

static void
fill(const gt_copy *copy, void *target)
{
    gt_map_type type = copy->size == 2 ? GT_MAP_BF16 : GT_MAP_FLOAT32;
#pragma omp parallel for schedule(static) num_threads(copy->threads) if (copy->threads > 1)
    for (int64_t i = 0; i < copy->filled; i++) {
        store(target, i, copy->fill, type);
    }
}

void
gt_copy_run(const gt_copy *copy, const void *source, void *target)
{
    const char *from = (const char *)source + copy->first_from * copy->size;
    char *to = (char *)target + copy->first_to * copy->size;
    int64_t count = gt_maps_count(copy->extents, LAST);
    if (copy->filled > 0) {
        fill(copy, target);
    }
#pragma omp parallel for schedule(static) num_threads(copy->threads) if (copy->threads > 1)
    for (int64_t i = 0; i < count; i++) {
        copy_line(copy, from + gt_maps_place(copy->extents, copy->from, LAST, i) * copy->size,
                  to + gt_maps_place(copy->extents, copy->to, LAST, i) * copy->size);
    }
}

void
gt_repeat_run(const float *source, int64_t count, int batch, gt_map_type type, void *target)
{
    for (int64_t image = 0; image < batch; image++) {
        for (int64_t i = 0; i < count; i++) {
            store(target, image * count + i, source[i], type);
        }
    }
}
