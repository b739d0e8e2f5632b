/* The channels of a pixel 32 or 16 at a time.  The file is compiled for any processor of the
 * family; only gt_u8_rows_best lets its functions run. */
#include "kernels/u8/u8_rows.h"

#ifdef __x86_64__

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define INLINE_AVX2 static inline __attribute__((always_inline, target("avx2")))

/* Where the vector after the one at channel `c` begins: the last one ends with the last channel,
 * and has some of the channels of the one before. */
static inline int
next_vector(int c, int lanes, int channels)
{
    int next = c + lanes;
    return next < channels && next + lanes > channels ? channels - lanes : next;
}

AVX2 static void
largest(const gt_u8_window *window, uint8_t *out)
{
    if (window->channels < 32) {
        gt_u8_rows_plain().largest(window, out);
        return;
    }
    for (int c = 0; c < window->channels; c = next_vector(c, 32, window->channels)) {
        __m256i maximum = _mm256_setzero_si256();
        for (int y = 0; y < window->height; y++) {
            const uint8_t *place = window->first + (size_t)y * window->row + c;
            for (int x = 0; x < window->width; x++, place += window->pixel) {
                maximum = _mm256_max_epu8(maximum, _mm256_loadu_si256((const __m256i *)place));
            }
        }
        _mm256_storeu_si256((__m256i *)(out + c), maximum);
    }
}

INLINE_AVX2 __m256i
widen(const uint8_t *place)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)place));
}

/* Write (sum * factor + 2^14) >> 15. */
INLINE_AVX2 void
scale(__m256i sums, int factor, uint8_t *out)
{
    __m256i means = _mm256_mulhrs_epi16(sums, _mm256_set1_epi16((short)factor));
    __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(means), _mm256_extracti128_si256(means, 1));
    _mm_storeu_si128((__m128i *)out, bytes);
}

AVX2 static void
mean(const gt_u8_window *window, uint8_t *out)
{
    if (window->channels < 16) {
        gt_u8_rows_plain().mean(window, out);
        return;
    }
    for (int c = 0; c < window->channels; c = next_vector(c, 16, window->channels)) {
        __m256i sum = _mm256_setzero_si256();
        for (int y = 0; y < window->height; y++) {
            const uint8_t *place = window->first + (size_t)y * window->row + c;
            for (int x = 0; x < window->width; x++, place += window->pixel) {
                sum = _mm256_add_epi16(sum, widen(place));
            }
        }
        scale(sum, window->factor, out + c);
    }
}

enum { MAX_VECTORS = 4 };

/* sums (vectors, 16) of as many channels of column x of a strip, nothing beside the map. */
INLINE_AVX2 void
sum_column(const gt_u8_strip *strip, int c, int x, int vectors, __m256i sums[MAX_VECTORS])
{
    for (int k = 0; k < vectors; k++) {
        sums[k] = _mm256_setzero_si256();
    }
    if (x < 0 || x >= strip->width) {
        return;
    }
    const uint8_t *place = strip->first + (size_t)x * (size_t)strip->channels + c;
    for (int y = 0; y < strip->height; y++, place += strip->row) {
        for (int k = 0; k < vectors; k++) {
            sums[k] = _mm256_add_epi16(sums[k], widen(place + 16 * k));
        }
    }
}

/* The means of 16 channels or, where there are as many, of the 64 in a cache line, which then is
 * fetched once. */
INLINE_AVX2 void
means_of_channels(const gt_u8_strip *strip, int c, int vectors, uint8_t *out)
{
    __m256i left[MAX_VECTORS], middle[MAX_VECTORS], right[MAX_VECTORS];
    sum_column(strip, c, -strip->before, vectors, left);
    sum_column(strip, c, 1 - strip->before, vectors, middle);
    for (int x = 0; x < strip->count; x++) {
        int start = x - strip->before;
        int factor = strip->factors[gt_u8_strip_width(strip, start)];
        sum_column(strip, c, start + 2, vectors, right);
        for (int k = 0; k < vectors; k++) {
            __m256i sum = _mm256_add_epi16(_mm256_add_epi16(left[k], middle[k]), right[k]);
            scale(sum, factor, out + (size_t)x * (size_t)strip->channels + c + 16 * k);
            left[k] = middle[k];
            middle[k] = right[k];
        }
    }
}

AVX2 static void
means_of_three(const gt_u8_strip *strip, uint8_t *out)
{
    int c = 0;
    if (strip->channels < 16) {
        gt_u8_rows_plain().means_of_three(strip, out);
        return;
    }
    for (; c + 16 * MAX_VECTORS <= strip->channels; c += 16 * MAX_VECTORS) {
        means_of_channels(strip, c, MAX_VECTORS, out);
    }
    for (c = next_vector(c - 16, 16, strip->channels); c < strip->channels;
         c = next_vector(c, 16, strip->channels)) {
        means_of_channels(strip, c, 1, out);
    }
}

/* Channels are few; a call of memcpy for each of them takes longer than the bytes. */
AVX2 static void
copy(const uint8_t *from, size_t count, uint8_t *to)
{
    if (count < 32) {
        gt_u8_rows_plain().copy(from, count, to);
        return;
    }
    for (size_t c = 0; c < count; c = (size_t)next_vector((int)c, 32, (int)count)) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(from + c));
        _mm256_storeu_si256((__m256i *)(to + c), bytes);
    }
}

gt_u8_rows
gt_u8_rows_avx2(void)
{
    return (gt_u8_rows){largest, mean, means_of_three, copy};
}

#else

gt_u8_rows
gt_u8_rows_avx2(void)
{
    return (gt_u8_rows){NULL, NULL, NULL, NULL};
}

#endif
