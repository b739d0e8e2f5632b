#include "kernels/mean/map_mean.h"

#include <string.h>

#include "common/arithmetic.h"
#include "common/bf16.h"
#include "common/multiversion.h"

/* So many pixels are summed in float32, the sums of those in double. */
enum { PIXELS = 64, CHANNELS = 64 };

/* Some channels of one image. */
typedef struct {
    const void *first;
    int64_t pixels;
    int64_t stride; /* numbers from one pixel to the next */
    int channels;   /* at most CHANNELS */
    gt_map_type type;
} strip;

GT_INLINE void
add_pixel(const strip *part, int64_t pixel, float *sums)
{
    if (part->type == GT_MAP_BF16) {
        const uint16_t *numbers = (const uint16_t *)part->first + pixel * part->stride;
        for (int c = 0; c < part->channels; c++) {
            sums[c] += gt_from_bf16(numbers[c]);
        }
        return;
    }
    const float *numbers = (const float *)part->first + pixel * part->stride;
    for (int c = 0; c < part->channels; c++) {
        sums[c] += numbers[c];
    }
}

GT_INLINE void
mean_of_strip(const strip *part, float *means)
{
    double totals[CHANNELS] = {0.0};
    for (int64_t start = 0; start < part->pixels; start += PIXELS) {
        int64_t end = start + PIXELS < part->pixels ? start + PIXELS : part->pixels;
        float sums[CHANNELS] = {0.0f};
        for (int64_t pixel = start; pixel < end; pixel++) {
            add_pixel(part, pixel, sums);
        }
        for (int c = 0; c < part->channels; c++) {
            totals[c] += (double)sums[c];
        }
    }
    for (int c = 0; c < part->channels; c++) {
        means[c] = (float)(totals[c] / (double)part->pixels);
    }
}

static void
mean_of_strip_anywhere(const strip *part, float *means)
{
    mean_of_strip(part, means);
}

GT_AVX2 static void
mean_of_strip_avx2(const strip *part, float *means)
{
    mean_of_strip(part, means);
}

/* Where the channels from `channel` on begin, and how far it is to those of the next pixel. */
static strip
find_strip(const gt_map_mean *mean, const void *source, int64_t image, int channel)
{
    int64_t pixels = (int64_t)mean->shape.height * mean->shape.width;
    int block = mean->block;
    int in_block = mean->shape.channels - channel;
    int64_t blocks = gt_divide_up(mean->shape.channels, block);
    int64_t place = (image * blocks + channel / block) * pixels * block + channel % block;
    size_t size = mean->type == GT_MAP_BF16 ? sizeof(uint16_t) : sizeof(float);
    in_block = in_block < block - channel % block ? in_block : block - channel % block;
    return (strip){.first = (const char *)source + (size_t)place * size,
                   .pixels = pixels,
                   .stride = block,
                   .channels = in_block < CHANNELS ? in_block : CHANNELS,
                   .type = mean->type};
}

static void
write_means(const gt_map_mean *mean, const float *means, int channels, int64_t place, void *target)
{
    if (mean->type == GT_MAP_FLOAT32) {
        memcpy((float *)target + place, means, (size_t)channels * sizeof(*means));
        return;
    }
    for (int c = 0; c < channels; c++) {
        ((uint16_t *)target)[place + c] = gt_to_bf16(means[c]);
    }
}

void
gt_map_mean_run(const gt_map_mean *mean, const void *source, void *target)
{
    int channels = mean->shape.channels;
    int step = mean->block < CHANNELS ? mean->block : CHANNELS;
    int64_t strips = gt_divide_up(channels, step);
    int64_t count = mean->batch * strips;
    bool has_avx2 = gt_has_avx2();
#pragma omp parallel for schedule(static) num_threads(mean->threads) if (mean->threads > 1)
    for (int64_t i = 0; i < count; i++) {
        float means[CHANNELS];
        int64_t image = i / strips;
        int channel = (int)(i % strips) * step;
        strip part = find_strip(mean, source, image, channel);
        (has_avx2 ? mean_of_strip_avx2 : mean_of_strip_anywhere)(&part, means);
        write_means(mean, means, part.channels, image * channels + channel, target);
    }
}
