#include "kernels/maps/maps_axes.h"

void
gt_maps_join_axes(int64_t *extents, int64_t *a, int64_t *b)
{
    int end = GT_MAPS_AXES; /* the first of the axes that are done */
    for (int axis = GT_MAPS_AXES - 1; axis >= 0; axis--) {
        int64_t extent = extents[axis];
        bool is_joined = end < GT_MAPS_AXES && a[axis] == a[end] * extents[end] &&
                         b[axis] == b[end] * extents[end];
        if (extent == 1) {
            continue;
        }
        if (is_joined) {
            extents[end] *= extent;
            continue;
        }
        end--;
        extents[end] = extent;
        a[end] = a[axis];
        b[end] = b[axis];
    }
    if (end == GT_MAPS_AXES) { /* one element */
        end--;
        extents[end] = 1;
        a[end] = 1;
        b[end] = 1;
    }
    for (int axis = 0; axis < end; axis++) {
        extents[axis] = 1;
        a[axis] = 0;
        b[axis] = 0;
    }
}
