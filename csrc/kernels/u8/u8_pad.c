#include <string.h>

#include "kernels/u8/u8.h"

enum { CHANNELS = GT_U8_PAD_CHANNELS };

static void
fill_pixels(const gt_u8_pad *pad, int count, uint8_t *to)
{
    for (int x = 0; x < count; x++) {
        memcpy(to + (size_t)x * CHANNELS, pad->pixel, CHANNELS);
    }
}

/* Row `y` of the padded photograph. */
static void
pad_row(const gt_u8_pad *pad, int y, const uint8_t *image, uint8_t *to)
{
    int row = y - pad->before[0];
    int right = pad->before[1] + pad->from.width;
    size_t size = (size_t)(pad->from.width * CHANNELS);
    if (row < 0 || row >= pad->from.height) {
        fill_pixels(pad, pad->to.width, to);
        return;
    }
    fill_pixels(pad, pad->before[1], to);
    memcpy(to + (size_t)(pad->before[1] * CHANNELS), image + (size_t)row * size, size);
    fill_pixels(pad, pad->to.width - right, to + (size_t)(right * CHANNELS));
}

void
gt_u8_pad_run(const gt_u8_pad *pad, const uint8_t *source, uint8_t *target)
{
    int64_t rows = (int64_t)pad->batch * pad->to.height;
#pragma omp parallel for num_threads(pad->threads) if (pad->threads > 1) schedule(static)
    for (int64_t i = 0; i < rows; i++) {
        int64_t image = i / pad->to.height;
        pad_row(pad, (int)(i % pad->to.height), source + image * gt_shape_size(pad->from),
                target + i * pad->to.width * CHANNELS);
    }
}
