#include "kernels/u8/u8.h"

#include "kernels/u8/u8_dispatch.h"

enum { MAX_PIXELS = 32 };

bool
gt_u8_pool_is_supported(const gt_u8_pool *pool)
{
    const gt_window *window = &pool->window;
    for (int axis = 0; axis < 2; axis++) {
        /* Else a window could lie in the padding. */
        if (window->dilations[axis] != 1 || window->before[axis] >= window->size[axis] ||
            window->after[axis] >= window->size[axis]) {
            return false;
        }
    }
    return (int64_t)window->size[0] * window->size[1] <= MAX_PIXELS;
}

/* The part of a window's axis that lies in the map: from *start on, so many pixels. */
static int
clip(const gt_u8_pool *pool, int axis, int place, int *start)
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
factor_for(const gt_u8_pool *pool, int height, int width)
{
    const int *size = pool->window.size;
    return factor_of(pool->window.count_padding ? size[0] * size[1] : height * width);
}

/* One row of means over windows three pixels wide, each one pixel further. */
static void
average_row(const gt_u8_pool *pool, const gt_u8_rows *rows, const uint8_t *image, int y,
            uint8_t *out)
{
    int top = 0;
    gt_u8_strip strip = {.width = pool->from.width,
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
pool_row(const gt_u8_pool *pool, const gt_u8_rows *rows, const uint8_t *image, int y, uint8_t *out)
{
    gt_u8_window window = {.pixel = (size_t)pool->from.channels,
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
gt_u8_pool_run(const gt_u8_pool *pool, const uint8_t *source, uint8_t *target)
{
    gt_u8_rows rows = gt_u8_rows_best();
    int64_t count = (int64_t)pool->batch * pool->to.height;
    size_t width = (size_t)pool->to.width * (size_t)pool->to.channels;
    bool in_strips = !pool->is_max && pool->window.size[1] == 3 && pool->window.strides[1] == 1;
    size_t size = (size_t)gt_shape_size(pool->from);
#pragma omp parallel for schedule(static) num_threads(pool->threads) if (pool->threads > 1)
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *image = source + (size_t)(i / pool->to.height) * size;
        (in_strips ? average_row : pool_row)(pool, &rows, image, (int)(i % pool->to.height),
                                             target + (size_t)i * width);
    }
}

void
gt_u8_concat_run(const gt_u8_concat *concat, const uint8_t *const *sources, uint8_t *target)
{
    gt_u8_rows rows = gt_u8_rows_best();
#pragma omp parallel for schedule(static) num_threads(concat->threads) if (concat->threads > 1)
    for (int64_t i = 0; i < concat->pixels; i++) {
        uint8_t *out = target + (size_t)i * (size_t)concat->pixel;
        for (int k = 0; k < concat->n_inputs; k++) {
            size_t size = (size_t)concat->sizes[k];
            rows.copy(sources[k] + (size_t)i * size, size, out + concat->offsets[k]);
        }
    }
}
