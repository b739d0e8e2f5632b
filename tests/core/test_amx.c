/* Convolutions on the matrix units against the plain sum. */
#include <stdlib.h>
#include <string.h>

#include "amx_bench.h"
#include "older.h"

typedef struct {
    int image;
    int row;
    int column;
} pixel_place;

static pixel_place
place_at(gt_shape shape, size_t pixel)
{
    int row = (int)pixel / shape.width; /* of all images */
    return (pixel_place){row / shape.height, row % shape.height, (int)pixel % shape.width};
}

/* The sum of one result by the definition of a convolution; of bytes it is exact. */
static double
sum_up(const bench *job, pixel_place to, int out)
{
    const gt_amx *amx = &job->amx;
    const size_t channels = (size_t)amx->to.channels;
    double sum = 0.0;
    for (int i = 0; i < amx->size[0] * amx->size[1]; i++) {
        int row = to.row * amx->strides[0] - amx->before[0] + i / amx->size[1];
        int column = to.column * amx->strides[1] - amx->before[1] + i % amx->size[1];
        if (row < 0 || row >= amx->from.height || column < 0 || column >= amx->from.width) {
            continue;
        }
        size_t pixel = (size_t)((to.image * amx->from.height + row) * amx->from.width + column);
        const float *numbers = job->source + pixel * (size_t)amx->from.channels;
        const float *weights = job->weights + (size_t)(i * amx->from.channels) * channels;
        for (size_t in = 0; in < (size_t)amx->from.channels; in++) {
            sum += (double)numbers[in] * (double)weights[in * channels + (size_t)out];
        }
    }
    return sum;
}

/* Of bytes in float32, as a rounding on the way may decide on which side of a half it is. */
static double
wanted_result(const bench *job, double sum, int out)
{
    const gt_amx *amx = &job->amx;
    if (amx->type == GT_MAP_BF16) {
        return fmin(fmax(sum + (double)job->shift[out], amx->low), amx->high);
    }
    float value = (float)sum * (amx->source_scale * job->scales[out]) + job->shift[out];
    value = fminf(fmaxf(value, amx->low), amx->high) * (1.0f / amx->result_scale);
    return (double)fminf(fmaxf(nearbyintf(value), 0.0f), 255.0f);
}

/* Every how manieth result is compared with its plain sum: all of a small convolution, and not the
 * same channels again and again, whose number has no prime factors but 2, 3 and 5. */
static size_t
choose_pace(const gt_amx *amx)
{
    size_t terms = (size_t)(amx->size[0] * amx->size[1] * amx->from.channels);
    return (count_numbers(amx->batch, amx->to) * terms / MAX_PRODUCTS + 29) / 30 * 30 + 1;
}

/* Counted over all convolutions, as a small one has few results. */
static int compared, unequal;

/* A number may be off by the rounding to its 8 bits and a little from sums in float32, a byte by
 * one, which must be seldom. */
static void
verify_results(const bench *job, const char *results)
{
    const gt_amx *amx = &job->amx;
    size_t channels = (size_t)amx->to.channels;
    size_t pace = choose_pace(amx);
    size_t wrong = 0;
    for (size_t i = 0; i < count_numbers(amx->batch, amx->to); i += pace) {
        int out = (int)(i % channels);
        double sum = sum_up(job, place_at(amx->to, i / channels), out);
        double wanted = wanted_result(job, sum, out);
        double distance = fabs((double)result_at(job, results, i) - wanted);
        double tolerance = amx->type == GT_MAP_U8 ? 1.0 : fabs(wanted) / 256.0 + 2e-5;
        wrong += !(distance <= tolerance); /* also a NaN */
        unequal += distance != 0.0;
        compared++;
    }
    CHECK(wrong == 0);
}

/* The same bits however many threads, from either end, and of each image whatever the others. */
static void
verify_threads_and_batch(const bench *job, const char *results)
{
    size_t image_size = count_numbers(1, job->amx.to) * element_size(&job->amx);
    for (int threads = 2; threads <= 3; threads++) {
        char *again = run_bench(job, 0, job->amx.batch, threads);
        CHECK(memcmp(results, again, (size_t)job->amx.batch * image_size) == 0);
        free(again);
    }
    for (int i = 0; i < job->amx.batch; i++) {
        char *alone = run_bench(job, i, 1, 1 + i % 3);
        CHECK(memcmp(results + (size_t)i * image_size, alone, image_size) == 0);
        free(alone);
    }
}

static bool
reads(const gt_amx *amx, pixel_place to, pixel_place from)
{
    int row = from.row - (to.row * amx->strides[0] - amx->before[0]);
    int column = from.column - (to.column * amx->strides[1] - amx->before[1]);
    return to.image == from.image && row >= 0 && row < amx->size[0] && column >= 0 &&
           column < amx->size[1];
}

/* Which results are NaN: those that read number `chosen` of the source, if it is one, no others. */
static void
verify_nan(const bench *job, const char *results, int chosen)
{
    const gt_amx *amx = &job->amx;
    pixel_place from = place_at(amx->from, (size_t)(chosen / amx->from.channels));
    bool is_nan = isnan(job->source[chosen]) != 0;
    size_t wrong = 0;
    for (size_t i = 0; i < count_numbers(amx->batch, amx->to); i++) {
        pixel_place to = place_at(amx->to, i / (size_t)amx->to.channels);
        wrong += (isnan(result_at(job, results, i)) != 0) != (is_nan && reads(amx, to, from));
    }
    CHECK(wrong == 0);
}

/* What lies beyond the last tap may be multiplied too, with weights of 0, unless the pixels are of
 * whole steps of 64 bytes: only then others than those that read a NaN cannot be spoilt. */
static void
verify_layer(bench *job)
{
    size_t pixel = (size_t)job->amx.from.channels * element_size(&job->amx);
    char *results = run_bench(job, 0, job->amx.batch, 1);
    verify_results(job, results);
    verify_nan(job, results, 0);
    verify_threads_and_batch(job, results);
    free(results);
    if (job->amx.type == GT_MAP_BF16 && pixel % GT_AMX_STEP == 0) {
        int count = (int)count_numbers(job->amx.batch, job->amx.from);
        int chosen = gt_net_choice(&job->net, 0, count - 1);
        job->source[chosen] = NAN;
        results = run_bench(job, 0, job->amx.batch, 2);
        verify_nan(job, results, chosen);
        free(results);
    }
}

static const layer layers[] = {
    /* batch, map, channels in and out, kernel, strides, padding above, left, below, right */
    {1, {4, 4}, 16, 16, {1, 1}, {1, 1}, {0}},
    {5, {4, 4}, 48, 32, {1, 1}, {1, 1}, {0}},
    {3, {8, 8}, 192, 80, {1, 1}, {1, 1}, {0}},
    {3, {5, 5}, 32, 16, {1, 1}, {1, 1}, {1, 0, 0, 1}},
    {2, {35, 35}, 288, 48, {1, 1}, {1, 1}, {0}},
    {5, {35, 35}, 64, 80, {1, 1}, {1, 1}, {0}},
    {1, {83, 83}, 80, 48, {1, 1}, {1, 1}, {0}},
    {3, {17, 17}, 48, 16, {1, 1}, {2, 2}, {0}},
    {2, {13, 19}, 160, 48, {1, 1}, {3, 3}, {0}},
    {1, {8, 8}, 16, 32, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {4, {17, 17}, 48, 80, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {2, {35, 35}, 64, 32, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {3, {17, 17}, 32, 48, {3, 3}, {1, 1}, {0}},
    {5, {30, 30}, 80, 16, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {5, {30, 30}, 160, 16, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {2, {75, 75}, 80, 32, {3, 3}, {1, 1}, {0}},
    {1, {75, 74}, 160, 48, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {1, {109, 109}, 48, 16, {3, 3}, {1, 1}, {0}},
    {3, {4, 4}, 192, 16, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {2, {5, 40}, 32, 48, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {1, {40, 5}, 32, 48, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {2, {35, 35}, 288, 16, {3, 3}, {2, 2}, {0}},
    {1, {20, 21}, 48, 32, {3, 3}, {2, 2}, {0, 0, 1, 1}},
    {1, {92, 91}, 80, 16, {3, 3}, {2, 2}, {0}},
    {1, {26, 31}, 32, 16, {3, 3}, {3, 3}, {1, 1, 1, 1}},
    {2, {9, 33}, 64, 32, {3, 3}, {1, 2}, {1, 0, 1, 1}},
    {1, {33, 9}, 80, 48, {3, 3}, {1, 2}, {1, 1, 1, 0}},
    {2, {8, 8}, 48, 16, {5, 5}, {1, 1}, {2, 2, 2, 2}},
    {1, {35, 35}, 48, 32, {5, 5}, {1, 1}, {2, 2, 2, 2}},
    {3, {17, 17}, 64, 16, {5, 5}, {2, 2}, {2, 2, 2, 2}},
    {1, {94, 110}, 48, 16, {5, 5}, {2, 2}, {0}},
    {1, {19, 22}, 80, 48, {5, 5}, {3, 3}, {0, 1, 2, 3}},
    {2, {17, 17}, 160, 48, {1, 7}, {1, 1}, {0, 3, 0, 3}},
    {1, {75, 61}, 80, 16, {1, 7}, {1, 1}, {0, 3, 0, 3}},
    {2, {17, 17}, 160, 80, {7, 1}, {1, 1}, {3, 0, 3, 0}},
    {3, {17, 17}, 48, 32, {7, 1}, {1, 1}, {0}},
    {4, {8, 8}, 80, 48, {1, 3}, {1, 1}, {0, 1, 0, 1}},
    {2, {17, 19}, 48, 16, {1, 3}, {1, 2}, {0, 1, 0, 1}},
    {4, {8, 8}, 288, 32, {3, 1}, {1, 1}, {1, 0, 1, 0}},
    {5, {8, 21}, 16, 80, {3, 1}, {2, 2}, {1, 0, 0, 0}},
    {3, {9, 9}, 80, 32, {2, 2}, {1, 1}, {0}},
    {1, {13, 24}, 32, 16, {2, 2}, {1, 1}, {0, 0, 1, 1}},
    {1, {17, 17}, 48, 32, {2, 2}, {3, 3}, {0}},
};
enum { N_LAYERS = sizeof(layers) / sizeof(layers[0]) };

/* One of them with bounds, where bytes are bounded as well, and in arrays of some channels more. */
static gt_amx
describe_one(int index, gt_map_type type)
{
    static const float bounds[][2] = {{-INFINITY, INFINITY}, {0.0f, 6.0f}, {0.5f, 3.0f}};
    gt_amx amx = describe(&layers[index], type);
    amx.low = fmaxf(amx.low, bounds[index % 3][0]);
    amx.high = fminf(amx.high, bounds[index % 3][1]);
    amx.pixel += index % 4 * 24;
    return amx;
}

enum { MAX_PLAIN = 10000000 /* multiplications */ };

static bool
takes_too_long(const layer *like)
{
    gt_amx amx = describe(like, GT_MAP_BF16);
    return is_plain &&
           (double)count_numbers(amx.batch, amx.to) * like->in * like->size[0] * like->size[1] >
               MAX_PLAIN;
}

/* What the layers are chosen for: all ways to run come about. */
static void
verify_ways(gt_map_type type)
{
    int lower_bands = 0;    /* the last band of a map has fewer rows */
    int fewer_images = 0;   /* as many in the last chunk */
    int ways[2][2] = {{0}}; /* by the outer axis and by whether the map itself is read */
    int by_rows = 0;        /* threads share a single image so, */
    int by_channels = 0;    /* or so, */
    int by_few = 0;         /* of which there are fewer than threads */
    for (int i = 0; i < N_LAYERS; i++) {
        gt_amx amx = describe(&layers[i], type);
        gt_amx_prepare(&amx);
        lower_bands += (amx.axis == 0 ? amx.to.height : amx.to.width) % amx.band != 0;
        fewer_images += amx.batch % amx.images != 0;
        ways[amx.axis][amx.is_in_place]++;
        amx.batch = 1;
        amx.threads = 3;
        gt_amx_prepare(&amx);
        by_rows += amx.parts == 1 && amx.band < (amx.axis == 0 ? amx.to.height : amx.to.width);
        by_channels += amx.parts == 3;
        by_few += amx.parts * 32 > amx.to.channels && amx.parts > 1;
    }
    CHECK(by_rows > 0 && by_channels > 0 && by_few > 0);
    CHECK(lower_bands > 0 && fewer_images > 0);
    CHECK(ways[0][0] > 0 && ways[0][1] > 0 && ways[1][0] > 0);
}

/* Test all of them in turn, and tell which ones have failed. */
static void
verify_layers(gt_map_type type)
{
    verify_ways(type);
    for (int i = 0; i < N_LAYERS; i++) {
        int before = check_failed;
        bench job;
        if (takes_too_long(&layers[i])) {
            continue;
        }
        start_bench(&job, describe_one(i, type));
        verify_layer(&job);
        end_bench(&job);
        if (check_failed > before) {
            fprintf(stderr, "    layer %d in %s\n", i, type == GT_MAP_U8 ? "u8" : "bf16");
        }
    }
}

static void
test_layers(void)
{
    fprintf(stderr, "  %s\n", is_plain ? "in plain C" : "on the matrix units");
    verify_layers(GT_MAP_BF16);
    compared = 0;
    unequal = 0;
    verify_layers(GT_MAP_U8);
    CHECK(unequal * 1000.0 <= compared);
}

static gt_amx_registers
registers_at_hand(void)
{
    gt_amx_registers now;
    gt_amx_begin(&now);
    gt_amx_end(&now);
    return now;
}

/* The thread's tile registers are shaped after a run as they were before, also by ourselves. */
static void
test_registers_are_restored(void)
{
    bench job;
    gt_amx_registers first = registers_at_hand();
    gt_amx_registers before;
    start_bench(&job, describe(&layers[0], GT_MAP_BF16));
    free(run_bench(&job, 0, 1, 1));
    gt_amx_registers after = registers_at_hand();
    CHECK(memcmp(&first, &after, sizeof(first)) == 0);
    gt_amx_begin(&before);
    gt_amx_registers own = registers_at_hand();
    free(run_bench(&job, 0, 1, 1));
    after = registers_at_hand();
    CHECK(memcmp(&own, &after, sizeof(own)) == 0 && memcmp(&own, &first, sizeof(own)) != 0);
    gt_amx_end(&before);
    end_bench(&job);
}

static bool
is_supported(layer one, gt_map_type type)
{
    gt_amx amx = describe(&one, type);
    bool alone = gt_amx_is_supported(&amx);
    amx.batch = 32;
    amx.threads = 8;
    CHECK(gt_amx_is_supported(&amx) == alone);
    return alone;
}

static void
test_what_is_supported(void)
{
    static const layer unfit[] = {
        {1, {8, 8}, 64, 24, {3, 3}, {1, 1}, {1, 1, 1, 1}}, /* no whole tiles of channels out */
        {1, {8, 8}, 8, 32, {3, 3}, {1, 1}, {1, 1, 1, 1}},  /* too few channels in */
        {1, {3, 5}, 64, 32, {3, 3}, {1, 1}, {1, 1, 1, 1}}, /* 15 results */
        {9, {8, 8}, 64, 32, {1, 1}, {3, 3}, {0}},          /* 9 of each image */
        {1, {20, 20}, 64, 32, {13, 5}, {1, 1}, {0}},       /* too many taps */
    };
    for (size_t i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++) {
        CHECK(!is_supported(unfit[i], GT_MAP_BF16) && !is_supported(unfit[i], GT_MAP_U8));
    }
    for (int i = 0; i < N_LAYERS; i++) {
        CHECK(is_supported(layers[i], GT_MAP_BF16) && is_supported(layers[i], GT_MAP_U8));
        CHECK(!is_supported(layers[i], GT_MAP_FLOAT32));
    }
}

/* As on a processor without AMX. */
static void
test_none_is_available(void)
{
    CHECK(!gt_amx_is_available());
    test_what_is_supported();
}

int
main(void)
{
    open_edge();
    check_on_older(dnnl_cpu_isa_avx512_core,
                   test_none_is_available); /* first: oneDNN is not asked yet */
    check_on_older(dnnl_cpu_isa_avx512_core_fp16, test_none_is_available); /* all but AMX */
    RUN(test_what_is_supported);
    if (gt_amx_is_available()) { /* by this also oneDNN asks the system to let us use AMX */
        RUN(test_layers);
        RUN(test_registers_are_restored);
    }
    is_plain = true;
    RUN(test_layers);
    return check_report();
}
