/* The channels of a pixel 64 or 32 at a time.  The file is compiled for any processor of the
 * family; only gt_u8_rows_best lets its functions run. */
#include "kernels/u8/u8_rows.h"

#ifdef __x86_64__

#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))
#define INLINE_AVX512                                                                              \
    static inline __attribute__((always_inline, target("avx512f,avx512bw,avx512vl")))

/* The lowest bits, as many as there are channels left. */
static inline uint64_t
mask_of(int left)
{
    return left >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1;
}

AVX512 static void
largest(const gt_u8_window *window, uint8_t *out)
{
    for (int c = 0; c < window->channels; c += 64) {
        __mmask64 mask = mask_of(window->channels - c);
        __m512i maximum = _mm512_setzero_si512();
        for (int y = 0; y < window->height; y++) {
            const uint8_t *place = window->first + (size_t)y * window->row + c;
            for (int x = 0; x < window->width; x++, place += window->pixel) {
                maximum = _mm512_max_epu8(maximum, _mm512_maskz_loadu_epi8(mask, place));
            }
        }
        _mm512_mask_storeu_epi8(out + c, mask, maximum);
    }
}

INLINE_AVX512 __m512i
widen(__mmask32 mask, const uint8_t *place)
{
    return _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(mask, place));
}

/* (sum * factor + 2^14) >> 15 */
INLINE_AVX512 __m256i
scale(__m512i sums, int factor)
{
    return _mm512_cvtepi16_epi8(_mm512_mulhrs_epi16(sums, _mm512_set1_epi16((short)factor)));
}

AVX512 static void
mean(const gt_u8_window *window, uint8_t *out)
{
    for (int c = 0; c < window->channels; c += 32) {
        __mmask32 mask = (__mmask32)mask_of(window->channels - c);
        __m512i sum = _mm512_setzero_si512();
        for (int y = 0; y < window->height; y++) {
            const uint8_t *place = window->first + (size_t)y * window->row + c;
            for (int x = 0; x < window->width; x++, place += window->pixel) {
                sum = _mm512_add_epi16(sum, widen(mask, place));
            }
        }
        _mm256_mask_storeu_epi8(out + c, mask, scale(sum, window->factor));
    }
}

/* The sums of 32 channels of column x of a strip, nothing beside the map. */
INLINE_AVX512 __m512i
sum_column(const gt_u8_strip *strip, int c, __mmask32 mask, int x)
{
    __m512i sum = _mm512_setzero_si512();
    if (x < 0 || x >= strip->width) {
        return sum;
    }
    const uint8_t *place = strip->first + (size_t)x * (size_t)strip->channels + c;
    for (int y = 0; y < strip->height; y++, place += strip->row) {
        sum = _mm512_add_epi16(sum, widen(mask, place));
    }
    return sum;
}

AVX512 static void
means_of_three(const gt_u8_strip *strip, uint8_t *out)
{
    for (int c = 0; c < strip->channels; c += 32) {
        __mmask32 mask = (__mmask32)mask_of(strip->channels - c);
        __m512i left = sum_column(strip, c, mask, -strip->before);
        __m512i middle = sum_column(strip, c, mask, 1 - strip->before);
        for (int x = 0; x < strip->count; x++) {
            int start = x - strip->before;
            __m512i right = sum_column(strip, c, mask, start + 2);
            __m512i sum = _mm512_add_epi16(_mm512_add_epi16(left, middle), right);
            int factor = strip->factors[gt_u8_strip_width(strip, start)];
            _mm256_mask_storeu_epi8(out + (size_t)x * (size_t)strip->channels + c, mask,
                                    scale(sum, factor));
            left = middle;
            middle = right;
        }
    }
}

AVX512 static void
copy(const uint8_t *from, size_t count, uint8_t *to)
{
    for (size_t c = 0; c < count; c += 64) {
        __mmask64 mask = mask_of(count - c < 64 ? (int)(count - c) : 64);
        _mm512_mask_storeu_epi8(to + c, mask, _mm512_maskz_loadu_epi8(mask, from + c));
    }
}

gt_u8_rows
gt_u8_rows_avx512(void)
{
    return (gt_u8_rows){largest, mean, means_of_three, copy};
}

#else

gt_u8_rows
gt_u8_rows_avx512(void)
{
    return (gt_u8_rows){NULL, NULL, NULL, NULL};
}

#endif
