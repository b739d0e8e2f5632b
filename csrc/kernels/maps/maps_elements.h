/* One element of a map, as a float32 number. */
#ifndef GT_MAPS_ELEMENTS_H
#define GT_MAPS_ELEMENTS_H

#include "common/bf16.h"
#include "common/geometry.h"
#include "common/multiversion.h"

GT_INLINE float
load(const void *map, int64_t i, gt_map_type type)
{
    return type == GT_MAP_BF16 ? gt_from_bf16(((const uint16_t *)map)[i]) : ((const float *)map)[i];
}

GT_INLINE void
store(void *map, int64_t i, float value, gt_map_type type)
{
    if (type == GT_MAP_BF16) {
        ((uint16_t *)map)[i] = gt_to_bf16(value);
    }
    else {
        ((float *)map)[i] = value;
    }
}

/* The address of an element. */
GT_INLINE const void *
element(const void *map, int64_t i, gt_map_type type)
{
    return (const char *)map + i * (type == GT_MAP_BF16 ? 2 : 4);
}

GT_INLINE void *
element_to_write(void *map, int64_t i, gt_map_type type)
{
    return (char *)map + i * (type == GT_MAP_BF16 ? 2 : 4);
}

#endif
