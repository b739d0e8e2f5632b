/* Rows of numbers, for each set of instructions. */
#ifndef GT_NORM_ROWS_H
#define GT_NORM_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/norm/norm_types.h"

typedef struct {
    int lanes; /* 0 where there are no rows */

    /* Normalise one row. */
    void (*normalise)(const void *source, const float *gamma, const float *beta, int count,
                      float epsilon, void *target);

    /* Add a row of float32. */
    void (*add)(const void *source, const float *addend, int count, void *target);

    /* Add how far a row is from the centres, or the squares of that, to sums. */
    void (*add_up)(const void *source, const float *centres, int count, bool squared, float *sums);

    /* How far each number is from its centre, times a factor, and an addend. */
    void (*scale)(const void *source, const float *centres, const float *factors,
                  const float *addends, int count, void *target);
} gt_norm_rows;

gt_norm_rows gt_norm_plain(gt_map_type type);
gt_norm_rows gt_norm_avx2(gt_map_type type); /* float32 */
gt_norm_rows gt_norm_avx512(gt_map_type type);

/* Those of this processor. */
gt_norm_rows gt_norm_choose(const gt_norm *norm);

/* Bytes of a number. */
static inline size_t
gt_norm_size(gt_map_type type)
{
    return type == GT_MAP_BF16 ? sizeof(uint16_t) : sizeof(float);
}

#endif
