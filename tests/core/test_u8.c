/* Pools and concatenations of bytes: against their definitions, and in plain C against the
 * others. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kernels/u8/u8.h"
#include "kernels/u8/u8_dispatch.h"
#include "older.h"
#include "twin.h"

static gt_net net; /* keeps the random numbers */

static uint8_t *
random_bytes(size_t count)
{
    uint8_t *bytes = malloc(count);
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)gt_net_choice(&net, 0, 255);
    }
    return bytes;
}

static size_t
count_bytes(int batch, gt_shape shape)
{
    return (size_t)batch * (size_t)shape.height * (size_t)shape.width * (size_t)shape.channels;
}

/* --- pools --------------------------------------------------------------------------------- */

/* What byte `out` of the result differs from the definition by. */
static double
distance_of_byte(const gt_u8_pool *pool, const uint8_t *source, size_t out, uint8_t found)
{
    const gt_window *window = &pool->window;
    size_t channels = (size_t)pool->to.channels;
    size_t pixel = out / channels;
    int x = (int)(pixel % (size_t)pool->to.width) * window->strides[1] - window->before[1];
    int y = (int)(pixel / (size_t)pool->to.width % (size_t)pool->to.height) * window->strides[0] -
            window->before[0];
    size_t image = pixel / (size_t)pool->to.width / (size_t)pool->to.height;
    int most = 0;
    int sum = 0;
    int count = 0;
    for (int i = 0; i < window->size[0] * window->size[1]; i++) {
        int row = y + i / window->size[1];
        int column = x + i % window->size[1];
        if (row < 0 || row >= pool->from.height || column < 0 || column >= pool->from.width) {
            continue;
        }
        size_t place =
            (image * (size_t)pool->from.height + (size_t)row) * (size_t)pool->from.width +
            (size_t)column;
        int byte = source[place * channels + out % channels];
        most = byte > most ? byte : most;
        sum += byte;
        count++;
    }
    count = window->count_padding ? window->size[0] * window->size[1] : count;
    return fabs(found - (pool->is_max ? (double)most : (double)sum / count));
}

static void
verify_pool(const gt_u8_pool *pool)
{
    size_t size = count_bytes(pool->batch, pool->to);
    uint8_t *source = random_bytes(count_bytes(pool->batch, pool->from));
    uint8_t *target = random_bytes(size);
    double furthest = 0.0;
    CHECK(gt_u8_pool_is_supported(pool));
    gt_u8_pool_run(pool, source, target);
    for (size_t i = 0; i < size; i++) {
        furthest = fmax(furthest, distance_of_byte(pool, source, i, target[i]));
    }
    CHECK_CLOSE(furthest, 0.0, pool->is_max ? 0.0 : 0.625);
    free(target);
    free(source);
}

/* A pool with as many results as fit, and so much padding on every side. */
static gt_u8_pool
describe(gt_shape from, int height, int width, int stride, int padding, bool is_max)
{
    gt_u8_pool pool = {.batch = 2, .from = from, .is_max = is_max, .threads = 1};
    pool.window = (gt_window){.size = {height, width},
                              .strides = {stride, stride},
                              .dilations = {1, 1},
                              .before = {padding, padding},
                              .after = {padding, padding}};
    pool.to = (gt_shape){(from.height + 2 * padding - height) / stride + 1,
                         (from.width + 2 * padding - width) / stride + 1, from.channels};
    return pool;
}

static void
test_pools(void)
{
    static const int windows[][4] = {{3, 3, 1, 1}, {3, 3, 1, 0}, {3, 3, 2, 0},
                                     {3, 3, 2, 1}, {2, 2, 2, 0}, {1, 1, 1, 0},
                                     {5, 3, 1, 2}, {4, 8, 3, 3}, {1, 3, 1, 0}};
    static const int channels[] = {1, 31, 32, 33, 64, 65, 120, 192};
    for (size_t i = 0; i < 2 * sizeof(windows) / sizeof(*windows); i++) {
        const int *window = windows[i / 2];
        int padding = window[3] < window[0] ? window[3] : window[0] - 1;
        for (size_t k = 0; k < sizeof(channels) / sizeof(*channels); k++) {
            gt_shape from = {gt_net_choice(&net, 5, 9), gt_net_choice(&net, 8, 12), channels[k]};
            gt_u8_pool pool = describe(from, window[0], window[1], window[2], padding, i % 2 == 0);
            verify_pool(&pool);
            pool.window.count_padding = true;
            pool.threads = 2;
            verify_pool(&pool);
        }
    }
}

static void
test_maps_smaller_than_the_window(void)
{
    for (int side = 1; side <= 3; side++) {
        gt_u8_pool pool = describe((gt_shape){side, side, 40}, 3, 3, 1, 1, false);
        verify_pool(&pool);
        pool.is_max = true;
        verify_pool(&pool);
    }
}

static void
test_what_does_not_fit(void)
{
    gt_shape from = {20, 20, 8};
    gt_u8_pool pool = describe(from, 6, 6, 1, 0, false);
    CHECK(!gt_u8_pool_is_supported(&pool)); /* too many pixels for the mean's arithmetic */
    pool = describe(from, 3, 3, 1, 3, false);
    CHECK(!gt_u8_pool_is_supported(&pool)); /* windows of nothing but padding */
    pool = describe(from, 3, 3, 1, 1, false);
    pool.window.dilations[1] = 2;
    CHECK(!gt_u8_pool_is_supported(&pool));
}

static void
test_constant_maps_keep_their_byte(void)
{
    uint8_t source[6 * 6 * 33];
    uint8_t target[6 * 6 * 33];
    gt_u8_pool pool = describe((gt_shape){6, 6, 33}, 3, 3, 1, 1, false);
    pool.batch = 1;
    for (int byte = 0; byte < 256; byte++) {
        memset(source, byte, sizeof(source));
        gt_u8_pool_run(&pool, source, target);
        CHECK(memcmp(source, target, sizeof(source)) == 0);
    }
}

/* --- concatenations ------------------------------------------------------------------------ */

/* Of the inputs some may be in their place already: those then are left out. */
static void
test_concatenations(void)
{
    for (int round = 0; round < 20; round++) {
        gt_u8_concat concat = {.pixels = gt_net_choice(&net, 1, 30), .threads = 1 + round % 2};
        uint8_t *sources[GT_U8_MAX_INPUTS] = {NULL};
        int n_places = gt_net_choice(&net, 1, GT_U8_MAX_INPUTS);
        for (int k = 0; k < n_places; k++) {
            int size = gt_net_choice(&net, 1, 150);
            if (k == 0 || gt_net_choice(&net, 0, 3) > 0) {
                int n = concat.n_inputs++;
                concat.sizes[n] = size;
                concat.offsets[n] = concat.pixel;
                sources[n] = random_bytes((size_t)(concat.pixels * size));
            }
            concat.pixel += size;
        }
        size_t length = (size_t)(concat.pixels * concat.pixel);
        uint8_t *target = random_bytes(length);
        uint8_t *expected = malloc(length);
        memcpy(expected, target, length);
        for (int64_t i = 0; i < concat.pixels; i++) {
            for (int k = 0; k < concat.n_inputs; k++) {
                memcpy(expected + i * concat.pixel + concat.offsets[k],
                       sources[k] + i * concat.sizes[k], (size_t)concat.sizes[k]);
            }
        }
        gt_u8_concat_run(&concat, (const uint8_t *const *)sources, target);
        CHECK(memcmp(target, expected, length) == 0);
        for (int k = 0; k < concat.n_inputs; k++) {
            free(sources[k]);
        }
        free(expected);
        free(target);
    }
}

/* --- plain C and vectors ------------------------------------------------------------------- */

static void
test_rows_agree(void)
{
    gt_u8_rows plain = gt_u8_rows_plain();
    gt_u8_rows fast = gt_u8_rows_best();
    for (int round = 0; round < 200; round++) {
        int height = gt_net_choice(&net, 1, 4);
        int width = gt_net_choice(&net, 1, 8);
        int channels = gt_net_choice(&net, 1, 200);
        size_t size = (size_t)(height * width * channels);
        uint8_t *source = random_bytes(size);
        uint8_t *wanted = malloc((size_t)channels);
        uint8_t *found = malloc((size_t)channels);
        gt_u8_window window = {source,
                               height,
                               width,
                               (size_t)(width * channels),
                               (size_t)channels,
                               channels,
                               32767 / (height * width)};
        plain.largest(&window, wanted);
        fast.largest(&window, found);
        CHECK(memcmp(wanted, found, (size_t)channels) == 0);
        plain.mean(&window, wanted);
        fast.mean(&window, found);
        CHECK(memcmp(wanted, found, (size_t)channels) == 0);
        free(found);
        free(wanted);
        free(source);
    }
}

/* Rows of means, some of whose windows reach beyond the map. */
static void
test_strips_agree(void)
{
    gt_u8_rows plain = gt_u8_rows_plain();
    gt_u8_rows fast = gt_u8_rows_best();
    for (int round = 0; round < 200; round++) {
        gt_u8_strip strip = {.height = gt_net_choice(&net, 1, 4),
                             .width = gt_net_choice(&net, 1, 8),
                             .channels = gt_net_choice(&net, 1, 200),
                             .before = gt_net_choice(&net, 0, 2)};
        int after = gt_net_choice(&net, 0, 2);
        strip.count = strip.width + strip.before + after - 2;
        if (strip.count < 1) {
            continue;
        }
        strip.row = (size_t)(strip.width * strip.channels);
        for (int width = 1; width <= 3; width++) {
            strip.factors[width] = 32767 / (strip.height * width);
        }
        size_t size = (size_t)(strip.count * strip.channels);
        uint8_t *source = random_bytes((size_t)strip.height * strip.row);
        uint8_t *wanted = malloc(size);
        uint8_t *found = malloc(size);
        strip.first = source;
        plain.means_of_three(&strip, wanted);
        fast.means_of_three(&strip, found);
        CHECK(memcmp(wanted, found, size) == 0);
        free(found);
        free(wanted);
        free(source);
    }
}

static void
test_all(void)
{
    RUN(test_pools);
    RUN(test_maps_smaller_than_the_window);
    RUN(test_what_does_not_fit);
    RUN(test_constant_maps_keep_their_byte);
    RUN(test_concatenations);
    RUN(test_rows_agree);
    RUN(test_strips_agree);
}

static void
test_with_avx2(void)
{
    CHECK(gt_u8_rows_best().mean ==
          (__builtin_cpu_supports("avx2") ? gt_u8_rows_avx2() : gt_u8_rows_plain()).mean);
    test_all();
}

static void
test_with_sse41(void)
{
    CHECK(gt_u8_rows_best().mean == gt_u8_rows_plain().mean);
    test_all();
}

int
main(void)
{
    gt_net_start(&net, 1, 1, 1);
    check_on_older(dnnl_cpu_isa_sse41, test_with_sse41); /* first: nothing has asked oneDNN yet */
    check_on_older(dnnl_cpu_isa_avx2, test_with_avx2);
    test_all();
    gt_net_clear(&net);
    return check_report();
}
