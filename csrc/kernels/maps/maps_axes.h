/* Nested loops over axes, of which those that lie behind each other count as one. */
#ifndef GT_MAPS_AXES_H
#define GT_MAPS_AXES_H

#include "kernels/maps/maps.h"

/* Join the axes of two operands.  Axes of one element go; the others move to the end. */
void gt_maps_join_axes(int64_t *extents, int64_t *a, int64_t *b);

/* Where place i of the loops over the first `axes` axes is in an operand. */
static inline int64_t
gt_maps_place(const int64_t *extents, const int64_t *strides, int axes, int64_t i)
{
    int64_t place = 0;
    for (int axis = axes - 1; axis >= 0; axis--) {
        place += i % extents[axis] * strides[axis];
        i /= extents[axis];
    }
    return place;
}

/* Places of the loops over the first `axes` axes. */
static inline int64_t
gt_maps_count(const int64_t *extents, int axes)
{
    int64_t count = 1;
    for (int axis = 0; axis < axes; axis++) {
        count *= extents[axis];
    }
    return count;
}

#endif
