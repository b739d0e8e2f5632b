#include "bytes.h"

#include <string.h>

#include "bytes_rows.h"
#include "engine.h"

enum { MOST_PIXELS = 32 };

static void
largest(const gt_byte_window *window, uint8_t *out)
{
    for (int c = 0; c < window->channels; c++) {
        uint8_t most = 0;
        for (int y = 0; y < window->height; y++) {
            const uint8_t *place = window->first + (size_t)y * window->row + c;
            for (int x = 0; x < window->width; x++, place += window->pixel) {
                most = *place > most ? *place : most;
            }
        }
        out[c] = most;
    }
}

static void
mean(const gt_byte_window *window, uint8_t *out)
{
    for (int c = 0; c < window->channels; c++) {
        int sum = 0;
        for (int y = 0; y < window->height; y++) {
            const uint8_t *place = window->first + (size_t)y * window->row + c;
            for (int x = 0; x < window->width; x++, place += window->pixel) {
                sum += *place;
            }
        }
        out[c] = (uint8_t)((sum * window->factor + (1 << 14)) >> 15);
    }
}

static void
means_of_three(const gt_byte_strip *strip, uint8_t *out)
{
    gt_byte_window window = {.height = strip->height,
                             .row = strip->row,
                             .pixel = (size_t)strip->channels,
                             .channels = strip->channels};
    for (int x = 0; x < strip->count; x++) {
        int start = x - strip->before;
        int left = start > 0 ? start : 0;
        window.first = strip->first + (size_t)left * window.pixel;
        window.width = gt_byte_strip_width(strip, start);
        window.factor = strip->factors[window.width];
        mean(&window, out + (size_t)x * window.pixel);
    }
}

static void
copy(const uint8_t *from, size_t count, uint8_t *to)
{
    memcpy(to, from, count);
}

gt_byte_rows
gt_byte_rows_plain(void)
{
    return (gt_byte_rows){largest, mean, means_of_three, copy};
}

gt_byte_rows
gt_byte_rows_best(void)
{
#ifdef __x86_64__
    if (gt_processor_offers(dnnl_cpu_isa_avx512_core)) {
        return gt_byte_rows_avx512();
    }
    if (gt_processor_offers(dnnl_cpu_isa_avx2)) {
        return gt_byte_rows_avx2();
    }
#endif
    return gt_byte_rows_plain();
}

bool
gt_byte_pool_fits(const gt_byte_pool *pool)
{
    const gt_window *window = &pool->window;
    for (int axis = 0; axis < 2; axis++) {
        /* Else a window could lie in the padding. */
        if (window->dilations[axis] != 1 || window->before[axis] >= window->size[axis] ||
            window->after[axis] >= window->size[axis]) {
            return false;
        }
    }
    return (int64_t)window->size[0] * window->size[1] <= MOST_PIXELS;
}

/* The part of a window's axis that lies in the map: from *start on, so many pixels. */
static int
clip(const gt_byte_pool *pool, int axis, int place, int *start)
{
    int extent = axis == 0 ? pool->from.height : pool->from.width;
    int first = place * pool->window.strides[axis] - pool->window.before[axis];
    int end = first + pool->window.size[axis];
    *start = first > 0 ? first : 0;
    return (end < extent ? end : extent) - *start;
}

static int
factor_of(int pixels)
{
    return pixels == 1 ? (1 << 15) - 1 : ((1 << 15) + pixels / 2) / pixels;
}

static int
factor_for(const gt_byte_pool *pool, int height, int width)
{
    const int *size = pool->window.size;
    return factor_of(pool->window.count_padding ? size[0] * size[1] : height * width);
}

/* One row of means over windows three pixels wide, each one pixel further. */
static void
average_row(const gt_byte_pool *pool, const gt_byte_rows *rows, const uint8_t *image, int y,
            uint8_t *out)
{
    int top = 0;
    gt_byte_strip strip = {.width = pool->from.width,
                           .row = (size_t)pool->from.width * (size_t)pool->from.channels,
                           .channels = pool->from.channels,
                           .before = pool->window.before[1],
                           .count = pool->to.width};
    strip.height = clip(pool, 0, y, &top);
    strip.first = image + (size_t)top * strip.row;
    for (int width = 1; width <= 3; width++) {
        strip.factors[width] = factor_for(pool, strip.height, width);
    }
    rows->means_of_three(&strip, out);
}

/* One row of results. */
static void
pool_row(const gt_byte_pool *pool, const gt_byte_rows *rows, const uint8_t *image, int y,
         uint8_t *out)
{
    gt_byte_window window = {.pixel = (size_t)pool->from.channels,
                             .row = (size_t)pool->from.width * (size_t)pool->from.channels,
                             .channels = pool->from.channels};
    int top = 0;
    window.height = clip(pool, 0, y, &top);
    for (int x = 0; x < pool->to.width; x++, out += pool->to.channels) {
        int left = 0;
        window.width = clip(pool, 1, x, &left);
        window.first = image + (size_t)top * window.row + (size_t)left * window.pixel;
        if (pool->is_max) {
            rows->largest(&window, out);
            continue;
        }
        window.factor = factor_for(pool, window.height, window.width);
        rows->mean(&window, out);
    }
}

void
gt_byte_pool_run(const gt_byte_pool *pool, const uint8_t *source, uint8_t *target)
{
    gt_byte_rows rows = gt_byte_rows_best();
    int64_t count = (int64_t)pool->batch * pool->to.height;
    size_t width = (size_t)pool->to.width * (size_t)pool->to.channels;
    bool in_strips =
        !pool->is_max && pool->window.size[1] == 3 && pool->window.strides[1] == 1;
    size_t size = (size_t)gt_shape_size(pool->from);
#pragma omp parallel for schedule(static) num_threads(pool->threads) if (pool->threads > 1)
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *image = source + (size_t)(i / pool->to.height) * size;
        (in_strips ? average_row : pool_row)(pool, &rows, image, (int)(i % pool->to.height),
                                             target + (size_t)i * width);
    }
}

void
gt_byte_concat_run(const gt_byte_concat *concat, const uint8_t *const *sources, uint8_t *target)
{
    gt_byte_rows rows = gt_byte_rows_best();
#pragma omp parallel for schedule(static) num_threads(concat->threads) if (concat->threads > 1)
    for (int64_t i = 0; i < concat->pixels; i++) {
        uint8_t *out = target + (size_t)i * (size_t)concat->pixel;
        for (int k = 0; k < concat->n_inputs; k++) {
            size_t size = (size_t)concat->sizes[k];
            rows.copy(sources[k] + (size_t)i * size, size, out + concat->offsets[k]);
        }
    }
}
