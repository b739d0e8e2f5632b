#include "kernels/norm/norm.h"

#include <math.h>

#include "common/bf16.h"
#include "kernels/norm/norm_rows.h"

void
gt_layer_norm_run(const gt_norm *norm, const void *source, const float *gamma, const float *beta,
                  void *target)
{
    gt_norm_rows rows = gt_norm_choose(norm);
    int64_t count = (int64_t)norm->batch * norm->shape.height * norm->shape.width;
    size_t size = (size_t)norm->shape.channels * gt_norm_size(norm->type);
#pragma omp parallel for schedule(static) num_threads(norm->threads) if (norm->threads > 1)
    for (int64_t i = 0; i < count; i++) {
        rows.normalise((const char *)source + (size_t)i * size, gamma, beta, norm->shape.channels,
                       norm->epsilon, (char *)target + (size_t)i * size);
    }
}

void
gt_embedding_run(const gt_norm *norm, const void *source, const float *value, void *target)
{
    gt_norm_rows rows = gt_norm_choose(norm);
    int pixels = norm->shape.height * norm->shape.width;
    int64_t count = (int64_t)norm->batch * pixels;
    size_t channels = (size_t)norm->shape.channels;
    size_t size = channels * gt_norm_size(norm->type);
#pragma omp parallel for schedule(static) num_threads(norm->threads) if (norm->threads > 1)
    for (int64_t i = 0; i < count; i++) {
        rows.add((const char *)source + (size_t)i * size, value + (size_t)(i % pixels) * channels,
                 (int)channels, (char *)target + (size_t)i * size);
    }
}

/* One group of one image: `width` channels of every pixel. */
typedef struct {
    const void *source;
    void *target;
    gt_map_type type;
    int64_t first; /* number of the first pixel's first channel of the group */
    int64_t pixels;
    int channels;
    int width;
} group;

static float
number_at(const group *own, int64_t pixel, int c)
{
    int64_t i = own->first + pixel * own->channels + c;
    return own->type == GT_MAP_BF16 ? gt_from_bf16(((const uint16_t *)own->source)[i])
                                    : ((const float *)own->source)[i];
}

/* The mean over the group of numbers less `centre`, or of their squares. */
static double
mean_of_group(const group *own, float centre, bool squared)
{
    double total = 0.0;
    for (int64_t pixel = 0; pixel < own->pixels; pixel++) {
        float sum = 0.0f;
        for (int c = 0; c < own->width; c++) {
            float away = number_at(own, pixel, c) - centre;
            sum += squared ? away * away : away;
        }
        total += (double)sum;
    }
    return total / (double)(own->pixels * own->width);
}

static void
normalise_group(const group *own, const float *gamma, const float *beta, float epsilon)
{
    float mean = (float)mean_of_group(own, 0.0f, false);
    float factor = 1.0f / sqrtf((float)mean_of_group(own, mean, true) + epsilon);
    for (int64_t pixel = 0; pixel < own->pixels; pixel++) {
        for (int c = 0; c < own->width; c++) {
            int64_t i = own->first + pixel * own->channels + c;
            float number = (number_at(own, pixel, c) - mean) * (factor * gamma[c]) + beta[c];
            if (own->type == GT_MAP_BF16) {
                ((uint16_t *)own->target)[i] = gt_to_bf16(number);
            }
            else {
                ((float *)own->target)[i] = number;
            }
        }
    }
}

void
gt_group_norm_run(const gt_norm *norm, const void *source, const float *gamma, const float *beta,
                  void *target)
{
    int channels = norm->shape.channels;
    int64_t count = (int64_t)norm->batch * norm->groups;
    int64_t image = gt_shape_size(norm->shape);
#pragma omp parallel for schedule(static) num_threads(norm->threads) if (norm->threads > 1)
    for (int64_t i = 0; i < count; i++) {
        int width = channels / norm->groups;
        int first = (int)(i % norm->groups) * width;
        group own = {.source = source,
                     .target = target,
                     .type = norm->type,
                     .first = i / norm->groups * image + first,
                     .pixels = (int64_t)norm->shape.height * norm->shape.width,
                     .channels = channels,
                     .width = width};
        normalise_group(&own, gamma + first, beta + first, norm->epsilon);
    }
}
