/* Rows over vectors, for each set of instructions once.  Before the inclusion stand one of
 * common/simd_*.h, the attributes STAGE and INLINE of a function, and sum_of, the sum of the lanes. */
#ifndef GT_NORM_VECTORS_H
#define GT_NORM_VECTORS_H

#include <math.h>
#include <string.h>

#include "kernels/norm/norm_rows.h"

enum { LANES = SIMD_LANES };

/* The numbers of a row from `i` on, with zeros behind its last. */
INLINE vector
load_part(const char *row, int i, int count, gt_map_type type)
{
    size_t size = gt_norm_size(type);
    char rest[LANES * sizeof(float)] = {0};
    if (i + LANES <= count) {
        return load(row + (size_t)i * size, type);
    }
    memcpy(rest, row + (size_t)i * size, (size_t)(count - i) * size);
    return load(rest, type);
}

INLINE void
store_part(char *row, int i, int count, vector value, gt_map_type type)
{
    size_t size = gt_norm_size(type);
    char rest[LANES * sizeof(float)];
    if (i + LANES <= count) {
        store(row + (size_t)i * size, value, type);
        return;
    }
    store(rest, value, type);
    memcpy(row + (size_t)i * size, rest, (size_t)(count - i) * size);
}

/* Four sums side by side, for an addition takes as long as four. */
enum { SUMS = 4 };

INLINE float
mean_of_row(const char *row, int count, gt_map_type type)
{
    vector sums[SUMS] = {all(0.0f), all(0.0f), all(0.0f), all(0.0f)};
    int i = 0;
    for (; i + SUMS * LANES <= count; i += SUMS * LANES) {
        for (int k = 0; k < SUMS; k++) {
            sums[k] = add(sums[k], load_part(row, i + k * LANES, count, type));
        }
    }
    for (; i < count; i += LANES) {
        sums[0] = add(sums[0], load_part(row, i, count, type));
    }
    return sum_of(add(add(sums[0], sums[1]), add(sums[2], sums[3]))) / (float)count;
}

INLINE float
variance_of_row(const char *row, int count, float mean, gt_map_type type)
{
    vector sums[SUMS] = {all(0.0f), all(0.0f), all(0.0f), all(0.0f)};
    float rest = 0.0f;
    int i = 0;
    for (; i + SUMS * LANES <= count; i += SUMS * LANES) {
        for (int k = 0; k < SUMS; k++) {
            vector away = subtract(load_part(row, i + k * LANES, count, type), all(mean));
            sums[k] = add_product(away, away, sums[k]);
        }
    }
    for (; i + LANES <= count; i += LANES) {
        vector away = subtract(load_part(row, i, count, type), all(mean));
        sums[0] = add_product(away, away, sums[0]);
    }
    if (i < count) { /* not the zeros behind the last */
        float numbers[LANES];
        vector away = subtract(load_part(row, i, count, type), all(mean));
        store((char *)numbers, multiply(away, away), GT_MAP_FLOAT32);
        for (int k = 0; i + k < count; k++) {
            rest += numbers[k];
        }
    }
    return (sum_of(add(add(sums[0], sums[1]), add(sums[2], sums[3]))) + rest) / (float)count;
}

INLINE void
normalise_row(const char *row, const float *gamma, const float *beta, int count, float epsilon,
              char *target, gt_map_type type)
{
    float mean = mean_of_row(row, count, type);
    float factor = 1.0f / sqrtf(variance_of_row(row, count, mean, type) + epsilon);
    for (int i = 0; i < count; i += LANES) {
        vector away = subtract(load_part(row, i, count, type), all(mean));
        vector scale =
            multiply(load_part((const char *)gamma, i, count, GT_MAP_FLOAT32), all(factor));
        vector shift = load_part((const char *)beta, i, count, GT_MAP_FLOAT32);
        store_part(target, i, count, add_product(away, scale, shift), type);
    }
}

INLINE void
add_row(const char *row, const float *addend, int count, char *target, gt_map_type type)
{
    for (int i = 0; i < count; i += LANES) {
        vector sum = add(load_part(row, i, count, type),
                         load_part((const char *)addend, i, count, GT_MAP_FLOAT32));
        store_part(target, i, count, sum, type);
    }
}

INLINE void
add_up_row(const char *row, const float *centres, int count, bool squared, float *sums,
           gt_map_type type)
{
    for (int i = 0; i < count; i += LANES) {
        vector away = subtract(load_part(row, i, count, type),
                               load_part((const char *)centres, i, count, GT_MAP_FLOAT32));
        vector sum = load_part((const char *)sums, i, count, GT_MAP_FLOAT32);
        sum = squared ? add_product(away, away, sum) : add(away, sum);
        store_part((char *)sums, i, count, sum, GT_MAP_FLOAT32);
    }
}

INLINE void
scale_row(const char *row, const float *centres, const float *factors, const float *addends,
          int count, char *target, gt_map_type type)
{
    for (int i = 0; i < count; i += LANES) {
        vector factor = load_part((const char *)factors, i, count, GT_MAP_FLOAT32);
        vector addend = load_part((const char *)addends, i, count, GT_MAP_FLOAT32);
        vector away = subtract(load_part(row, i, count, type),
                               load_part((const char *)centres, i, count, GT_MAP_FLOAT32));
        store_part(target, i, count, add_product(away, factor, addend), type);
    }
}

#define DEFINE_ROWS(NAME, TYPE)                                                                    \
    static STAGE void normalise_##NAME(const void *source, const float *gamma, const float *beta,  \
                                       int count, float epsilon, void *target)                     \
    {                                                                                              \
        normalise_row(source, gamma, beta, count, epsilon, target, TYPE);                          \
    }                                                                                              \
    static STAGE void add_##NAME(const void *source, const float *addend, int count, void *target) \
    {                                                                                              \
        add_row(source, addend, count, target, TYPE);                                              \
    }                                                                                              \
    static STAGE void add_up_##NAME(const void *source, const float *centres, int count,           \
                                    bool squared, float *sums)                                     \
    {                                                                                              \
        add_up_row(source, centres, count, squared, sums, TYPE);                                   \
    }                                                                                              \
    static STAGE void scale_##NAME(const void *source, const float *centres, const float *factors, \
                                   const float *addends, int count, void *target)                  \
    {                                                                                              \
        scale_row(source, centres, factors, addends, count, target, TYPE);                         \
    }

#endif
