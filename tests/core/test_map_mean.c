/* Means over maps against sums in double. */
#include "check.h"
#include "common/arithmetic.h"
#include "common/bf16.h"
#include "common/random.h"
#include "kernels/mean/map_mean.h"

enum { BATCH = 3 };

/* Number of the element of a map in its layout. */
static int64_t
place_of(const gt_map_mean *mean, int image, int64_t pixel, int channel)
{
    int64_t pixels = (int64_t)mean->shape.height * mean->shape.width;
    int64_t blocks = gt_divide_up(mean->shape.channels, mean->block);
    return ((image * blocks + channel / mean->block) * pixels + pixel) * mean->block +
           channel % mean->block;
}

static double
expected(const gt_map_mean *mean, const float *values, int image, int channel)
{
    int64_t pixels = (int64_t)mean->shape.height * mean->shape.width;
    double sum = 0.0;
    for (int64_t i = 0; i < pixels; i++) {
        sum += (double)values[place_of(mean, image, i, channel)];
    }
    return sum / (double)pixels;
}

/* Photographs' layers have numbers far from zero, whose sums are large. */
static float *
random_values(int64_t count)
{
    gt_random random = gt_random_start(7, GT_RANDOM_WEIGHTS, 1);
    float *values = malloc((size_t)count * sizeof(*values));
    for (int64_t i = 0; i < count; i++) {
        values[i] = 1.0f + gt_random_uniform(&random);
    }
    return values;
}

static void
check_float32(gt_map_mean mean, const float *values)
{
    int count = mean.batch * mean.shape.channels;
    float *found = malloc((size_t)count * sizeof(*found));
    float *again = malloc((size_t)count * sizeof(*again));
    gt_map_mean_run(&mean, values, found);
    for (int i = 0; i < count; i++) {
        double wanted = expected(&mean, values, i / mean.shape.channels, i % mean.shape.channels);
        CHECK_CLOSE((double)found[i], wanted, 1e-6);
    }
    mean.threads = 3;
    gt_map_mean_run(&mean, values, again);
    CHECK(memcmp(found, again, (size_t)count * sizeof(*found)) == 0);
    free(again);
    free(found);
}

static void
check_bf16(gt_map_mean mean, float *values, int64_t size)
{
    int count = mean.batch * mean.shape.channels;
    uint16_t *halves = malloc((size_t)size * sizeof(*halves));
    uint16_t *found = malloc((size_t)count * sizeof(*found));
    for (int64_t i = 0; i < size; i++) {
        halves[i] = gt_to_bf16(values[i]);
        values[i] = gt_from_bf16(halves[i]);
    }
    mean.type = GT_MAP_BF16;
    gt_map_mean_run(&mean, halves, found);
    for (int i = 0; i < count; i++) {
        double wanted = expected(&mean, values, i / mean.shape.channels, i % mean.shape.channels);
        CHECK_CLOSE((double)gt_from_bf16(found[i]), wanted, wanted / 256.0);
    }
    free(found);
    free(halves);
}

static void
test_layouts(void)
{
    static const int channels[] = {1, 7, 16, 17, 64, 65, 200};
    static const int sides[][2] = {{1, 1}, {1, 5}, {8, 8}, {13, 11}, {130, 130}};
    static const int blocks[] = {0, 8, 16};
    for (int i = 0; i < 7 * 5 * 3; i++) {
        gt_map_mean mean = {.batch = BATCH,
                            .shape = {sides[i % 5][0], sides[i % 5][1], channels[i / 5 % 7]},
                            .block = blocks[i / 35],
                            .type = GT_MAP_FLOAT32,
                            .threads = 1};
        mean.block = mean.block == 0 ? mean.shape.channels : mean.block;
        int64_t blocked = gt_divide_up(mean.shape.channels, mean.block) * mean.block;
        int64_t size = BATCH * (int64_t)mean.shape.height * mean.shape.width * blocked;
        float *values = random_values(size);
        check_float32(mean, values);
        check_bf16(mean, values, size);
        free(values);
    }
}

int
main(void)
{
    RUN(test_layouts);
    return check_report();
}
