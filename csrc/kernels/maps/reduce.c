/* Many numbers become one. */
#include <math.h>

#include "kernels/maps/maps.h"
#include "kernels/maps/maps_elements.h"

/* Accumulators side by side, and pixels summed before they are added to the sums of others. */
enum { LANES = 64, RUN = 128 };

GT_INLINE float
start_of(gt_reduction function)
{
    return function == GT_REDUCE_MAX ? -INFINITY : function == GT_REDUCE_MIN ? INFINITY : 0.0f;
}

GT_INLINE float
take(gt_reduction function, float sum, float value)
{
    switch (function) {
    case GT_REDUCE_MAX:
        return value > sum ? value : sum;
    case GT_REDUCE_MIN:
        return value < sum ? value : sum;
    case GT_REDUCE_L2:
        return sum + value * value;
    case GT_REDUCE_MEAN:
    case GT_REDUCE_SUM:
    case GT_REDUCTION_COUNT:
        break;
    }
    return sum + value;
}

/* Join what two runs have come to. */
GT_INLINE float
join(gt_reduction function, float sum, float other)
{
    return take(function == GT_REDUCE_L2 ? GT_REDUCE_SUM : function, sum, other);
}

static float
finish(gt_reduction function, float sum, int64_t count)
{
    return function == GT_REDUCE_MEAN ? sum / (float)count
           : function == GT_REDUCE_L2 ? sqrtf(sum)
                                      : sum;
}

/* Take `lanes` channels of `count` pixels, `step` numbers apart, into the accumulators. */
GT_INLINE void
accumulate(gt_reduction function, gt_map_type type, const void *source, int64_t count, int64_t step,
           int lanes, float *sums)
{
    for (int64_t first = 0; first < count; first += RUN) {
        int64_t end = first + RUN < count ? first + RUN : count;
        float run[LANES];
        for (int k = 0; k < lanes; k++) {
            run[k] = start_of(function);
        }
        for (int64_t i = first; i < end; i++) {
            for (int k = 0; k < lanes; k++) {
                run[k] = take(function, run[k], load(source, i * step + k, type));
            }
        }
        for (int k = 0; k < lanes; k++) {
            sums[k] = join(function, sums[k], run[k]);
        }
    }
}

GT_INLINE void
accumulate_of(gt_reduction function, gt_map_type type, const void *source, int64_t count,
              int64_t step, int lanes, float *sums)
{
    if (type == GT_MAP_BF16 && lanes == LANES) {
        accumulate(function, GT_MAP_BF16, source, count, step, LANES, sums);
    }
    else if (type == GT_MAP_BF16) {
        accumulate(function, GT_MAP_BF16, source, count, step, lanes, sums);
    }
    else if (lanes == LANES) {
        accumulate(function, GT_MAP_FLOAT32, source, count, step, LANES, sums);
    }
    else {
        accumulate(function, GT_MAP_FLOAT32, source, count, step, lanes, sums);
    }
}

GT_INLINE void
accumulate_any(gt_reduction function, gt_map_type type, const void *source, int64_t count,
               int64_t step, int lanes, float *sums)
{
    switch (function) {
    case GT_REDUCE_MAX:
        accumulate_of(GT_REDUCE_MAX, type, source, count, step, lanes, sums);
        break;
    case GT_REDUCE_MIN:
        accumulate_of(GT_REDUCE_MIN, type, source, count, step, lanes, sums);
        break;
    case GT_REDUCE_L2:
        accumulate_of(GT_REDUCE_L2, type, source, count, step, lanes, sums);
        break;
    case GT_REDUCE_MEAN:
    case GT_REDUCE_SUM:
    case GT_REDUCTION_COUNT:
        accumulate_of(GT_REDUCE_SUM, type, source, count, step, lanes, sums);
        break;
    }
}

static void
accumulate_plain(gt_reduction function, gt_map_type type, const void *source, int64_t count,
                 int64_t step, int lanes, float *sums)
{
    accumulate_any(function, type, source, count, step, lanes, sums);
}

GT_AVX2 static void
accumulate_avx2(gt_reduction function, gt_map_type type, const void *source, int64_t count,
                int64_t step, int lanes, float *sums)
{
    accumulate_any(function, type, source, count, step, lanes, sums);
}

typedef void (*accumulator)(gt_reduction function, gt_map_type type, const void *source,
                            int64_t count, int64_t step, int lanes, float *sums);

static void
reduce_map(const gt_reduce *reduce, accumulator take_all, const void *source, void *target)
{
    int channels = reduce->from.channels;
    int64_t pixels = (int64_t)reduce->from.height * reduce->from.width;
    int64_t parts = (channels + LANES - 1) / LANES;
#pragma omp parallel for schedule(static) num_threads(reduce->threads) if (reduce->threads > 1)
    for (int64_t i = 0; i < reduce->batch * parts; i++) {
        int64_t image = i / parts;
        int first = (int)(i % parts) * LANES;
        int lanes = channels - first < LANES ? channels - first : LANES;
        float sums[LANES];
        for (int k = 0; k < lanes; k++) {
            sums[k] = start_of(reduce->function);
        }
        take_all(reduce->function, reduce->type,
                 element(source, image * pixels * channels + first, reduce->type), pixels, channels,
                 lanes, sums);
        for (int k = 0; k < lanes; k++) {
            store(target, image * channels + first + k, finish(reduce->function, sums[k], pixels),
                  reduce->type);
        }
    }
}

/* The channels of one pixel, sixteen sums side by side. */
static float
reduce_pixel(const gt_reduce *reduce, accumulator take_all, const void *pixel)
{
    enum { SUMS = 16 };
    int channels = reduce->from.channels;
    int whole = channels / SUMS;
    gt_reduction function = reduce->function;
    float sums[SUMS];
    float tail[1] = {start_of(function)};
    for (int k = 0; k < SUMS; k++) {
        sums[k] = start_of(function);
    }
    take_all(function, reduce->type, pixel, whole, SUMS, SUMS, sums);
    take_all(function, reduce->type, element(pixel, (int64_t)whole * SUMS, reduce->type),
             channels - whole * SUMS, 1, 1, tail);
    for (int k = 0; k < SUMS; k++) {
        tail[0] = join(function, tail[0], sums[k]);
    }
    return finish(function, tail[0], channels);
}

static void
reduce_channels(const gt_reduce *reduce, accumulator take_all, const void *source, void *target)
{
    int64_t pixels = (int64_t)reduce->batch * reduce->from.height * reduce->from.width;
    int channels = reduce->from.channels;
#pragma omp parallel for schedule(static) num_threads(reduce->threads) if (reduce->threads > 1)
    for (int64_t i = 0; i < pixels; i++) {
        store(target, i,
              reduce_pixel(reduce, take_all, element(source, i * channels, reduce->type)),
              reduce->type);
    }
}

void
gt_reduce_run(const gt_reduce *reduce, const void *source, void *target)
{
    accumulator take_all = gt_has_avx2() ? accumulate_avx2 : accumulate_plain;
    (reduce->over_channels ? reduce_channels : reduce_map)(reduce, take_all, source, target);
}
