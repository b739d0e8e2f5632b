#include <string.h>

#include "kernels/u8/u8_rows.h"

static void
largest(const gt_u8_window *window, uint8_t *out)
{
    for (int c = 0; c < window->channels; c++) {
        uint8_t maximum = 0;
        for (int y = 0; y < window->height; y++) {
            const uint8_t *place = window->first + (size_t)y * window->row + c;
            for (int x = 0; x < window->width; x++, place += window->pixel) {
                maximum = *place > maximum ? *place : maximum;
            }
        }
        out[c] = maximum;
    }
}

static void
mean(const gt_u8_window *window, uint8_t *out)
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
means_of_three(const gt_u8_strip *strip, uint8_t *out)
{
    gt_u8_window window = {.height = strip->height,
                           .row = strip->row,
                           .pixel = (size_t)strip->channels,
                           .channels = strip->channels};
    for (int x = 0; x < strip->count; x++) {
        int start = x - strip->before;
        int left = start > 0 ? start : 0;
        window.first = strip->first + (size_t)left * window.pixel;
        window.width = gt_u8_strip_width(strip, start);
        window.factor = strip->factors[window.width];
        mean(&window, out + (size_t)x * window.pixel);
    }
}

static void
copy(const uint8_t *from, size_t count, uint8_t *to)
{
    memcpy(to, from, count);
}

gt_u8_rows
gt_u8_rows_plain(void)
{
    return (gt_u8_rows){largest, mean, means_of_three, copy};
}
