/* Rows in plain C, for any processor. */
#include <math.h>
#include <string.h>

#include "common/bf16.h"
#include "kernels/norm/norm_rows.h"

static float
number_at(const void *row, int i, gt_map_type type)
{
    return type == GT_MAP_BF16 ? gt_from_bf16(((const uint16_t *)row)[i]) : ((const float *)row)[i];
}

static void
set_number(void *row, int i, float number, gt_map_type type)
{
    if (type == GT_MAP_BF16) {
        ((uint16_t *)row)[i] = gt_to_bf16(number);
        return;
    }
    ((float *)row)[i] = number;
}

static inline void
normalise(const void *source, const float *gamma, const float *beta, int count, float epsilon,
          void *target, gt_map_type type)
{
    float sum = 0.0f;
    float squares = 0.0f;
    for (int i = 0; i < count; i++) {
        sum += number_at(source, i, type);
    }
    float mean = sum / (float)count;
    for (int i = 0; i < count; i++) {
        float away = number_at(source, i, type) - mean;
        squares += away * away;
    }
    float factor = 1.0f / sqrtf(squares / (float)count + epsilon);
    for (int i = 0; i < count; i++) {
        float away = number_at(source, i, type) - mean;
        set_number(target, i, away * (factor * gamma[i]) + beta[i], type);
    }
}

static inline void
add(const void *source, const float *addend, int count, void *target, gt_map_type type)
{
    for (int i = 0; i < count; i++) {
        set_number(target, i, number_at(source, i, type) + addend[i], type);
    }
}

static inline void
add_up(const void *source, const float *centres, int count, bool squared, float *sums,
       gt_map_type type)
{
    for (int i = 0; i < count; i++) {
        float away = number_at(source, i, type) - centres[i];
        sums[i] += squared ? away * away : away;
    }
}

static inline void
scale(const void *source, const float *centres, const float *factors, const float *addends,
      int count, void *target, gt_map_type type)
{
    for (int i = 0; i < count; i++) {
        float away = number_at(source, i, type) - centres[i];
        set_number(target, i, away * factors[i] + addends[i], type);
    }
}

static void
normalise_float32(const void *source, const float *gamma, const float *beta, int count,
                  float epsilon, void *target)
{
    normalise(source, gamma, beta, count, epsilon, target, GT_MAP_FLOAT32);
}

static void
normalise_bf16(const void *source, const float *gamma, const float *beta, int count, float epsilon,
               void *target)
{
    normalise(source, gamma, beta, count, epsilon, target, GT_MAP_BF16);
}

static void
add_float32(const void *source, const float *addend, int count, void *target)
{
    add(source, addend, count, target, GT_MAP_FLOAT32);
}

static void
add_bf16(const void *source, const float *addend, int count, void *target)
{
    add(source, addend, count, target, GT_MAP_BF16);
}

static void
add_up_float32(const void *source, const float *centres, int count, bool squared, float *sums)
{
    add_up(source, centres, count, squared, sums, GT_MAP_FLOAT32);
}

static void
add_up_bf16(const void *source, const float *centres, int count, bool squared, float *sums)
{
    add_up(source, centres, count, squared, sums, GT_MAP_BF16);
}

static void
scale_float32(const void *source, const float *centres, const float *factors, const float *addends,
              int count, void *target)
{
    scale(source, centres, factors, addends, count, target, GT_MAP_FLOAT32);
}

static void
scale_bf16(const void *source, const float *centres, const float *factors, const float *addends,
           int count, void *target)
{
    scale(source, centres, factors, addends, count, target, GT_MAP_BF16);
}

gt_norm_rows
gt_norm_plain(gt_map_type type)
{
    gt_norm_rows float32 = {1, normalise_float32, add_float32, add_up_float32, scale_float32};
    gt_norm_rows bf16 = {1, normalise_bf16, add_bf16, add_up_bf16, scale_bf16};
    return type == GT_MAP_BF16 ? bf16 : float32;
}
