/* Bilinear resizing by whole factors. */
#include <math.h>

#include "kernels/maps/maps.h"
#include "kernels/maps/maps_elements.h"

/* Two rows or columns, and the share of the second. */
typedef struct {
    int first;
    int second;
    float share;
} between;

static between
locate(gt_coordinates coordinates, int place, int from, int to)
{
    double factor = (double)to / from;
    double at = coordinates == GT_HALF_PIXEL   ? (place + 0.5) / factor - 0.5
                : coordinates == GT_ASYMMETRIC ? place / factor
                : to > 1                       ? place * (from - 1.0) / (to - 1.0)
                                               : 0.0;
    at = at > 0.0 ? at : 0.0;
    int first = (int)at;
    first = first < from - 1 ? first : from - 1;
    return (between){first, first + 1 < from ? first + 1 : first, (float)(at - first)};
}

GT_INLINE void
mix(gt_map_type type, const void *const *corners, float down, float right, int channels,
    void *target)
{
    for (int c = 0; c < channels; c++) {
        float a = load(corners[0], c, type);
        float b = load(corners[1], c, type);
        float e = load(corners[2], c, type);
        float f = load(corners[3], c, type);
        float above = a + (b - a) * right;
        float below = e + (f - e) * right;
        store(target, c, above + (below - above) * down, type);
    }
}

GT_INLINE void
mix_any(gt_map_type type, const void *const *corners, float down, float right, int channels,
        void *target)
{
    if (type == GT_MAP_BF16) {
        mix(GT_MAP_BF16, corners, down, right, channels, target);
    }
    else {
        mix(GT_MAP_FLOAT32, corners, down, right, channels, target);
    }
}

static void
mix_plain(gt_map_type type, const void *const *corners, float down, float right, int channels,
          void *target)
{
    mix_any(type, corners, down, right, channels, target);
}

GT_AVX2 static void
mix_avx2(gt_map_type type, const void *const *corners, float down, float right, int channels,
         void *target)
{
    mix_any(type, corners, down, right, channels, target);
}

void
gt_resize_run(const gt_resize *resize, const void *source, void *target)
{
    void (*mix_pixel)(gt_map_type, const void *const *, float, float, int, void *) =
        gt_has_avx2() ? mix_avx2 : mix_plain;
    const gt_shape *from = &resize->from;
    const gt_shape *to = &resize->to;
    int channels = to->channels;
    int64_t rows = (int64_t)resize->batch * to->height;
#pragma omp parallel for schedule(static) num_threads(resize->threads) if (resize->threads > 1)
    for (int64_t i = 0; i < rows; i++) {
        int64_t image = i / to->height * from->height;
        between y = locate(resize->coordinates, (int)(i % to->height), from->height, to->height);
        for (int place = 0; place < to->width; place++) {
            between x = locate(resize->coordinates, place, from->width, to->width);
            const int64_t pixels[4] = {(image + y.first) * from->width + x.first,
                                       (image + y.first) * from->width + x.second,
                                       (image + y.second) * from->width + x.first,
                                       (image + y.second) * from->width + x.second};
            const void *corners[4];
            for (int k = 0; k < 4; k++) {
                corners[k] = element(source, pixels[k] * channels, resize->type);
            }
            mix_pixel(resize->type, corners, y.share, x.share, channels,
                      element_to_write(target, (i * to->width + place) * channels, resize->type));
        }
    }
}
