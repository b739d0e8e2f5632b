/* Winograd's convolution against the plain sum. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "common/bf16.h"
#include "common/onednn.h"
#include "kernels/winograd/winograd_dispatch.h"
#include "older.h"
#include "twin.h"

/* A convolution and everything it reads and writes, each in memory of exactly its size. */
typedef struct {
    gt_winograd winograd;
    gt_net net;    /* keeps the random numbers */
    float *source; /* (batch, height, width, channels), as its type can hold them */
    gt_array kernel;
    gt_array shift;
    double *wanted; /* (batch, height, width, channels) of the result */
} bench;

static size_t
count_numbers(const bench *job, gt_shape shape)
{
    return (size_t)(job->winograd.batch * gt_shape_size(shape));
}

/* One result by the definition of a convolution. */
static double
convolve(const bench *job, int image, int y, int x, int out)
{
    const gt_winograd *winograd = &job->winograd;
    gt_shape from = winograd->from;
    int size = winograd->size;
    double sum = gt_array_at(&job->shift, out);
    for (int i = 0; i < size * size; i++) {
        int row = y - winograd->before[0] + i / size;
        int column = x - winograd->before[1] + i % size;
        if (row < 0 || row >= from.height || column < 0 || column >= from.width) {
            continue;
        }
        const float *pixel =
            job->source +
            (((int64_t)image * from.height + row) * from.width + column) * from.channels;
        for (int in = 0; in < from.channels; in++) {
            int64_t place = ((int64_t)i * from.channels + in) * winograd->to.channels + out;
            sum += (double)pixel[in] * gt_array_at(&job->kernel, place);
        }
    }
    return fmin(fmax(sum, winograd->low), winograd->high);
}

/* A scale with which the largest results are beyond the largest byte. */
static void
choose_result_scale(bench *job)
{
    double largest = 0.0;
    for (size_t i = 0; i < count_numbers(job, job->winograd.to); i++) {
        largest = fmax(largest, job->wanted[i]);
    }
    job->winograd.result_scale = (float)fmax(largest, 1.0) / 300.0f;
    job->winograd.low = 0.0f;
    job->winograd.high = 255.0f * job->winograd.result_scale;
    for (size_t i = 0; i < count_numbers(job, job->winograd.to); i++) {
        job->wanted[i] = fmin(fmax(job->wanted[i], 0.0), (double)job->winograd.high);
    }
}

/* Leave each pair of channels one weight, of +-8,100 / 2^13. 8,100 is the common denominator of the
 * transform, so that all transformed weights have 11 bits at most and are the same in 16. */
static void
leave_single_weights(bench *job)
{
    int taps = job->winograd.size * job->winograd.size;
    int pairs = job->winograd.from.channels * job->winograd.to.channels;
    float *weights = (float *)(uintptr_t)job->kernel.data;
    for (int pair = 0; pair < pairs; pair++) {
        int chosen = gt_net_choice(&job->net, 0, taps - 1);
        for (int tap = 0; tap < taps; tap++) {
            float *weight = weights + tap * pairs + pair;
            *weight = tap != chosen ? 0.0f : *weight < 0.0f ? -8100.0f / 8192 : 8100.0f / 8192;
        }
    }
}

/* What the result must be, and for bytes their scale. */
static void
set_wanted(bench *job)
{
    const gt_winograd *winograd = &job->winograd;
    double *next = job->wanted;
    for (int image = 0; image < winograd->batch; image++) {
        for (int i = 0; i < winograd->to.height * winograd->to.width; i++) {
            for (int out = 0; out < winograd->to.channels; out++) {
                *next++ = convolve(job, image, i / winograd->to.width, i % winograd->to.width, out);
            }
        }
    }
    if (winograd->type == GT_MAP_U8) {
        choose_result_scale(job);
    }
}

static void
start_bench(bench *job, gt_winograd winograd, bool dense)
{
    job->winograd = winograd;
    gt_net_start(&job->net, 1, 1, 1);
    size_t size = count_numbers(job, winograd.from);
    job->source = malloc(size * sizeof(float));
    for (size_t i = 0; i < size; i++) {
        float value = (float)gt_net_random(&job->net, -1.0, 1.0);
        job->source[i] = winograd.type == GT_MAP_BF16 ? gt_from_bf16(gt_to_bf16(value))
                         : winograd.type == GT_MAP_U8 ? (float)gt_net_choice(&job->net, 0, 255)
                                                      : value;
    }
    job->kernel = gt_net_kernel(&job->net, winograd.size, winograd.size, winograd.from.channels,
                                winograd.to.channels);
    if (!dense) {
        leave_single_weights(job);
    }
    job->shift = gt_net_vector(&job->net, winograd.to.channels, -0.5, 0.5);
    job->wanted = malloc(count_numbers(job, winograd.to) * sizeof(double));
    set_wanted(job);
}

static void
end_bench(bench *job)
{
    free(job->source);
    free(job->wanted);
    gt_net_clear(&job->net);
}

/* The source in its type and layout. */
static void *
write_source(const bench *job)
{
    const gt_winograd *winograd = &job->winograd;
    gt_shape from = winograd->from;
    size_t lanes = (size_t)winograd->lanes;
    size_t size = count_numbers(job, from);
    float *full = malloc(size * sizeof(float));
    uint16_t *half = malloc(size * sizeof(uint16_t));
    uint8_t *bytes = malloc(size);
    for (size_t i = 0; i < size; i++) {
        size_t channel = i % (size_t)from.channels;
        size_t pixel = i / (size_t)from.channels;
        size_t y = pixel / (size_t)from.width % (size_t)from.height;
        size_t image = pixel / (size_t)from.width / (size_t)from.height;
        size_t place = image * winograd->source.image + y * winograd->source.row +
                       pixel % (size_t)from.width * winograd->source.pixel +
                       channel / lanes * winograd->source.group + channel % lanes;
        full[place] = job->source[i];
        half[place] = gt_to_bf16(job->source[i]);
        bytes[place] = winograd->type == GT_MAP_U8 ? (uint8_t)job->source[i] : 0;
    }
    void *maps[] = {full, half, bytes};
    for (int type = 0; type < 3; type++) {
        if (type != (int)winograd->type) {
            free(maps[type]);
        }
    }
    return maps[winograd->type];
}

/* Run it; the result as float32, to be freed. */
static float *
run_bench(const bench *job)
{
    const gt_winograd *winograd = &job->winograd;
    size_t size = count_numbers(job, winograd->to);
    static const size_t elements[] = {sizeof(float), sizeof(uint16_t), 1};
    size_t element = elements[winograd->type];
    void *source = write_source(job);
    void *packed = malloc(gt_winograd_kernel_size(winograd));
    char *target = malloc(size * element);
    float *result = malloc(size * sizeof(float));
    void *scratch = NULL;
    CHECK(posix_memalign(&scratch, 64, gt_winograd_scratch_size(winograd)) == 0);
    memset(scratch, 0x7f, gt_winograd_scratch_size(winograd)); /* large numbers of any type */
    memset(target, 0xff, size * element);
    gt_winograd_pack(winograd, job->kernel.data, 1.0f, packed);
    gt_winograd_run(winograd, source, packed, job->shift.data, target, scratch);
    for (size_t i = 0; i < size; i++) {
        result[i] = winograd->type == GT_MAP_BF16 ? gt_from_bf16(((uint16_t *)(void *)target)[i])
                    : winograd->type == GT_MAP_U8 ? winograd->result_scale * ((uint8_t *)target)[i]
                                                  : ((float *)(void *)target)[i];
    }
    free(scratch);
    free(target);
    free(packed);
    free(source);
    return result;
}

/* The root mean square of what results are off, in units of their bytes. */
static double
units_off(const bench *job)
{
    float *result = run_bench(job);
    size_t count = count_numbers(job, job->winograd.to);
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        double distance = (result[i] - job->wanted[i]) / (double)job->winograd.result_scale;
        sum += distance * distance;
    }
    free(result);
    return sqrt(sum / (double)count);
}

/* max |result - wanted| / max |wanted|; INFINITY where a result is not finite. */
static double
distance_of_bench(const bench *job)
{
    float *result = run_bench(job);
    double furthest = 0.0;
    double largest = 1e-3;
    for (size_t i = 0; i < count_numbers(job, job->winograd.to); i++) {
        double distance = fabs(result[i] - job->wanted[i]);
        furthest = distance < INFINITY ? fmax(furthest, distance) : INFINITY;
        largest = fmax(largest, fabs(job->wanted[i]));
    }
    free(result);
    return furthest / largest;
}

/* A convolution with channels last and room around the map for so much padding. */
static gt_winograd
describe(int batch, gt_shape from, int channels, int size, int above, int left, int padding,
         gt_map_type type)
{
    gt_winograd winograd = {
        .batch = batch,
        .from = from,
        .to = {from.height + padding - size + 1, from.width + padding - size + 1, channels},
        .before = {above, left},
        .size = size,
        .type = type,
        .result_scale = 1.0f,
        .lanes = gt_winograd_lanes(type),
        .low = -INFINITY,
        .high = INFINITY,
        .threads = 1};
    winograd.source = gt_winograd_channels_last(winograd.from, winograd.lanes);
    winograd.target = gt_winograd_channels_last(winograd.to, winograd.lanes);
    if (winograd.lanes > 0) {
        gt_winograd_prepare(&winograd);
    }
    return winograd;
}

static bool
uses_int16(const gt_winograd *winograd)
{
    return gt_winograd_choose(winograd).weights == GT_WINOGRAD_INT16;
}

/* Half a unit in the last of 8 bits, half a unit, or some units in the last of 24; with int16 some
 * units, of which all but half a unit is seldom. */
static double
tolerance(const gt_winograd *winograd)
{
    return winograd->type == GT_MAP_BF16 ? 0.004
           : uses_int16(winograd)        ? 2.5 / 255.0
           : winograd->type == GT_MAP_U8 ? 0.501 / 255.0
                                         : 2e-5;
}

/* In bfloat16 and bytes only where this processor can. */
static void
verify_bench(gt_winograd winograd)
{
    bench job;
    if (winograd.lanes == 0) {
        CHECK(winograd.type != GT_MAP_FLOAT32);
        return;
    }
    start_bench(&job, winograd, winograd.type != GT_MAP_U8 || uses_int16(&winograd));
    CHECK_CLOSE(distance_of_bench(&job), 0.0, tolerance(&winograd));
    if (uses_int16(&winograd)) {
        CHECK_CLOSE(units_off(&job), 0.0, 0.5);
    }
    end_bench(&job);
}

static void
test_shapes(void)
{
    static const int shapes[][7] = {
        /* height, width, above, left, padding, channels in, channels out */
        {3, 3, 0, 0, 0, 16, 32},   {6, 6, 0, 0, 0, 16, 32},  {7, 5, 1, 1, 2, 16, 32},
        {8, 8, 1, 1, 2, 48, 64},   {9, 17, 0, 0, 0, 32, 32}, {1, 1, 1, 1, 2, 16, 32},
        {1, 1, 0, 2, 2, 16, 32},   {2, 30, 2, 2, 4, 16, 32}, {35, 35, 1, 1, 2, 16, 32},
        {30, 2, 0, 1, 3, 16, 32},  {5, 6, 9, 9, 12, 16, 32}, {10, 11, 4, 0, 4, 80, 96},
        {12, 13, 2, 2, 4, 64, 64}, {20, 3, 1, 0, 1, 32, 96},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const int *s = shapes[i];
        for (int kind = 0; kind < 6; kind++) {
            int size = kind < 3 ? 3 : 5;
            int padding = s[4] + (size == 5 ? 2 : 0);
            gt_shape from = {s[0], s[1], s[5]};
            verify_bench(describe(1 + (int)i % 3, from, s[6], size, s[2], s[3], padding,
                                  (gt_map_type)(kind % 3)));
        }
    }
}

static void
test_bounds(void)
{
    gt_winograd winograd = describe(1, (gt_shape){9, 8, 16}, 32, 3, 1, 1, 2, GT_MAP_FLOAT32);
    winograd.low = 0.0f;
    verify_bench(winograd);
    winograd.high = 0.25f;
    verify_bench(winograd);
    gt_winograd half = describe(1, winograd.from, 32, 3, 1, 1, 2, GT_MAP_BF16);
    half.low = winograd.low;
    half.high = winograd.high;
    verify_bench(half);
}

static void
test_blocked_source(void)
{
    static const gt_map_type types[] = {GT_MAP_FLOAT32, GT_MAP_BF16, GT_MAP_U8, GT_MAP_U8};
    for (int i = 0; i < 4; i++) {
        gt_shape from = {9, 11, i < 3 ? 48 : 32};
        gt_winograd winograd = describe(2, from, 32, 3, 1, 1, 2, types[i]);
        if (winograd.lanes > 0) {
            winograd.source = gt_winograd_blocked(winograd.from, winograd.lanes);
        }
        verify_bench(winograd);
    }
}

/* What 16 bits of a weight lack, and of a tile, costs less than the rounding of results to bytes,
 * which alone is 0.29 units on average; of int16 with as many channels as they are used for. */
static void
test_weights_of_16_bits_are_close(void)
{
    static const int shapes[][3] = {{3, 35, 48},  {5, 35, 48}, {3, 17, 128},
                                    {5, 17, 128}, {3, 35, 32}, {5, 17, 160}};
    for (int i = 0; i < 6; i++) {
        int size = shapes[i][0];
        gt_shape from = {shapes[i][1], shapes[i][1], shapes[i][2]};
        gt_winograd winograd = describe(1, from, 64, size, size / 2, size / 2, size - 1, GT_MAP_U8);
        bench job;
        if (winograd.lanes == 0 || (i >= 4 && uses_int16(&winograd))) {
            continue;
        }
        start_bench(&job, winograd, true);
        CHECK_CLOSE(units_off(&job), 0.0, 0.29 * sqrt(2.0));
        end_bench(&job);
    }
}

static const double points[] = {0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0};
enum { N_POINTS = 7 }; /* and infinity */

/* A row of B^T: the coefficients of the product of (x - q) over the points q other than p, or over
 * all of them. */
static void
set_coefficients(int p, double row[GT_WINOGRAD_TILE])
{
    memset(row, 0, GT_WINOGRAD_TILE * sizeof(*row));
    row[0] = 1.0;
    for (int q = 0; q < N_POINTS; q++) {
        for (int k = GT_WINOGRAD_TILE - 1; q != p && k >= 0; k--) {
            row[k] = (k > 0 ? row[k - 1] : 0.0) - points[q] * row[k];
        }
    }
}

/* Bytes and weights that make the sum of one point as large as it can be: all of one sign in the
 * tile's transform, and weights that grow in no direction but that of the point. */
static void
set_extreme(bench *job, int point, bool negative)
{
    double down[GT_WINOGRAD_TILE];
    double across[GT_WINOGRAD_TILE];
    int channels = job->winograd.from.channels;
    int size = job->winograd.size;
    int pairs = channels * job->winograd.to.channels;
    float *weights = (float *)(uintptr_t)job->kernel.data;
    int p = point / GT_WINOGRAD_TILE;
    int q = point % GT_WINOGRAD_TILE;
    set_coefficients(p, down);
    set_coefficients(q, across);
    for (int i = 0; i < GT_WINOGRAD_POINTS * channels; i++) {
        int pixel = i / channels;
        double factor = down[pixel / GT_WINOGRAD_TILE] * across[pixel % GT_WINOGRAD_TILE];
        job->source[i] = (negative ? factor < 0.0 : factor > 0.0) ? 255.0f : 0.0f;
    }
    for (int i = 0; i < size * size * pairs; i++) {
        int tap = i / pairs;
        bool odd = (p < N_POINTS && points[p] < 0.0 && tap / size % 2 == 1) !=
                   (q < N_POINTS && points[q] < 0.0 && tap % size % 2 == 1);
        double amount = gt_net_random(&job->net, 0.5, 1.0);
        weights[i] = (float)(odd != negative ? -amount : amount);
    }
}

/* Lift all results above 0, where bytes can tell them apart. */
static void
lift_results(bench *job)
{
    gt_winograd *winograd = &job->winograd;
    float *shift = (float *)(uintptr_t)job->shift.data;
    memset(shift, 0, (size_t)winograd->to.channels * sizeof(*shift));
    winograd->low = -INFINITY;
    winograd->high = INFINITY;
    for (int out = 0; out < winograd->to.channels; out++) {
        double least = 0.0;
        for (int i = 0; i < winograd->to.height * winograd->to.width; i++) {
            least =
                fmin(least, convolve(job, 0, i / winograd->to.width, i % winograd->to.width, out));
        }
        shift[out] = (float)-least;
    }
    set_wanted(job);
}

/* No sum leaves 32 bits. */
static void
test_largest_sums(void)
{
    for (int size = 3; size <= 5; size += 2) {
        gt_winograd winograd = describe(1, (gt_shape){GT_WINOGRAD_TILE, GT_WINOGRAD_TILE, 128}, 32,
                                        size, 0, 0, 0, GT_MAP_U8);
        bench job;
        if (!uses_int16(&winograd)) {
            continue;
        }
        start_bench(&job, winograd, true);
        for (int i = 0; i < 2 * GT_WINOGRAD_POINTS; i++) {
            set_extreme(&job, i / 2, i % 2 == 1);
            lift_results(&job);
            CHECK_CLOSE(distance_of_bench(&job), 0.0, 0.25); /* beyond 32 bits it is 1 */
        }
        end_bench(&job);
    }
}

/* A tile gives the same bits wherever it is computed. */
static void
verify_threads_and_blocks(int channels, gt_map_type type)
{
    gt_winograd winograd = describe(3, (gt_shape){23, 19, channels}, 64, 3, 1, 1, 2, type);
    bench job;
    if (winograd.lanes == 0) {
        return;
    }
    start_bench(&job, winograd, true);
    float *first = run_bench(&job);
    for (int threads = 1; threads <= 4; threads++) {
        for (int rows = 1; rows <= 7; rows++) {
            job.winograd.threads = threads;
            job.winograd.rows = 2 * rows;
            job.winograd.block = job.winograd.rows * (5 - threads);
            float *again = run_bench(&job);
            CHECK(memcmp(first, again, count_numbers(&job, winograd.to) * sizeof(float)) == 0);
            free(again);
        }
    }
    free(first);
    end_bench(&job);
}

static void
test_threads_and_blocks_change_nothing(void)
{
    verify_threads_and_blocks(32, GT_MAP_FLOAT32);
    verify_threads_and_blocks(32, GT_MAP_BF16);
    verify_threads_and_blocks(32, GT_MAP_U8);
    verify_threads_and_blocks(48, GT_MAP_U8);
}

/* Channels out whose weights are 0, tiny, or large beside those of others. */
static void
verify_scales(int channels)
{
    static const float factors[] = {0.0f, 1e-30f, 1e-6f, 1.0f};
    gt_winograd winograd = describe(1, (gt_shape){9, 9, channels}, 32, 3, 1, 1, 2, GT_MAP_U8);
    bench job;
    if (winograd.lanes == 0) {
        return;
    }
    start_bench(&job, winograd, true);
    float *weights = (float *)(uintptr_t)job.kernel.data;
    for (int i = 0; i < 3 * 3 * channels * 32; i++) {
        weights[i] *= factors[i % 32 % 4];
    }
    set_wanted(&job);
    CHECK_CLOSE(units_off(&job), 0.0, 0.5);
    end_bench(&job);
}

static void
test_scales_of_channels(void)
{
    verify_scales(48);
    verify_scales(32);
}

static void
test_special_numbers_pass(void)
{
    gt_winograd winograd = describe(1, (gt_shape){4, 4, 16}, 32, 3, 1, 1, 2, GT_MAP_FLOAT32);
    bench job;
    winograd.low = 0.0f;
    start_bench(&job, winograd, true);
    job.source[0] = NAN;
    float *result = run_bench(&job);
    CHECK(isnan(result[0])); /* and not the bound of a ReLU */
    free(result);
    end_bench(&job);
}

static void
test_all(void)
{
    if (gt_winograd_lanes(GT_MAP_FLOAT32) > 0) {
        RUN(test_shapes);
        RUN(test_bounds);
        RUN(test_blocked_source);
        RUN(test_weights_of_16_bits_are_close);
        RUN(test_largest_sums);
        RUN(test_threads_and_blocks_change_nothing);
        RUN(test_scales_of_channels);
        RUN(test_special_numbers_pass);
    }
}

static void
verify_older(int float32, int bf16, int bytes)
{
    CHECK(gt_winograd_lanes(GT_MAP_FLOAT32) == float32);
    CHECK(gt_winograd_lanes(GT_MAP_BF16) == bf16);
    CHECK(gt_winograd_lanes(GT_MAP_U8) == bytes);
    test_all();
}

static int
lanes_of_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 8 : 0;
}

/* Without VNNI bytes are for the stages in AVX2. */
static void
test_with_avx512(void)
{
    if (gt_processor_has(dnnl_cpu_isa_avx512_core)) {
        verify_older(16, 16, lanes_of_avx2());
    }
}

static void
test_with_avx2(void)
{
    verify_older(lanes_of_avx2(), 0, lanes_of_avx2());
}

static void
test_with_sse41(void)
{
    verify_older(0, 0, 0);
}

int
main(void)
{
    check_on_older(dnnl_cpu_isa_avx512_core, test_with_avx512); /* first: oneDNN is not asked yet */
    check_on_older(dnnl_cpu_isa_avx2, test_with_avx2);
    check_on_older(dnnl_cpu_isa_sse41, test_with_sse41);
    test_all();
    return check_report();
}
