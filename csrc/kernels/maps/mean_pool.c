/* Means of windows of which the last may reach beyond the padding. */
#include "kernels/maps/maps.h"
#include "kernels/maps/maps_elements.h"

/* The pixels of the map in a window along one axis, and how many count in the divisor. */
typedef struct {
    int first;
    int end;
    int counted;
} stretch;

static stretch
locate(const gt_window *window, int axis, int place, int extent)
{
    int start = place * window->strides[axis] - window->before[axis];
    int end = start + window->size[axis];
    int room = extent + window->after[axis];
    return (stretch){start > 0 ? start : 0, end < extent ? end : extent,
                     (end < room ? end : room) - start};
}

static void
pool_pixel(const gt_mean_pool *pool, const void *image, stretch rows, stretch columns, void *target)
{
    int channels = pool->from.channels;
    float counted = (float)rows.counted * (float)columns.counted;
    for (int c = 0; c < channels; c++) {
        float sum = 0.0f;
        for (int y = rows.first; y < rows.end; y++) {
            for (int x = columns.first; x < columns.end; x++) {
                int64_t pixel = (int64_t)y * pool->from.width + x;
                sum += load(image, pixel * channels + c, pool->type);
            }
        }
        store(target, c, sum / counted, pool->type);
    }
}

void
gt_mean_pool_run(const gt_mean_pool *pool, const void *source, void *target)
{
    const gt_shape *to = &pool->to;
    int64_t rows = (int64_t)pool->batch * to->height;
#pragma omp parallel for schedule(static) num_threads(pool->threads) if (pool->threads > 1)
    for (int64_t i = 0; i < rows; i++) {
        const void *image = element(source, i / to->height * gt_shape_size(pool->from), pool->type);
        stretch y = locate(&pool->window, 0, (int)(i % to->height), pool->from.height);
        for (int place = 0; place < to->width; place++) {
            stretch x = locate(&pool->window, 1, place, pool->from.width);
            pool_pixel(
                pool, image, y, x,
                element_to_write(target, (i * to->width + place) * to->channels, pool->type));
        }
    }
}
