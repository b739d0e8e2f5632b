/* Vectors of AVX-512, for the files that include mbconv_vectors.h with one type or another. */
#ifndef GT_MBCONV_AVX512_H
#define GT_MBCONV_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "kernels/mbconv/mbconv_stages.h"

typedef __m512 vector;

enum { LANES = 16, PIXELS = 8 };

INLINE vector
zero(void)
{
    return _mm512_setzero_ps();
}

INLINE vector
all(float number)
{
    return _mm512_set1_ps(number);
}

INLINE vector
load(const void *place)
{
    return _mm512_loadu_ps(place);
}

INLINE void
store(void *place, vector value)
{
    _mm512_storeu_ps(place, value);
}

INLINE vector
load_group(const char *place)
{
    int32_t group = 0;
    memcpy(&group, place, sizeof(group));
    return _mm512_castsi512_ps(_mm512_set1_epi32(group));
}

INLINE vector
add(vector a, vector b)
{
    return _mm512_add_ps(a, b);
}

INLINE vector
multiply(vector a, vector b)
{
    return _mm512_mul_ps(a, b);
}

INLINE vector
add_product(vector a, vector b, vector addend)
{
    return _mm512_fmadd_ps(a, b, addend);
}

INLINE vector
least(vector a, vector b)
{
    return _mm512_min_ps(a, b);
}

INLINE vector
most(vector a, vector b)
{
    return _mm512_max_ps(a, b);
}

INLINE vector
bound(vector value, const gt_mbconv_result *result)
{
    return least(most(value, all(result->low)), all(result->high));
}

INLINE __mmask16
mask_of(int channels)
{
    return (__mmask16)((1u << channels) - 1u);
}

/* The first channels of a pixel of a map, as float32; zeros behind them. */
INLINE vector
load_map(const char *place, gt_map_type type, int channels)
{
    __mmask16 mask = mask_of(channels);
    if (type == GT_MAP_FLOAT32) {
        return _mm512_maskz_loadu_ps(mask, place);
    }
    uint16_t halves[LANES] = {0};
    if (channels < LANES) {
        memcpy(halves, place, (size_t)channels * sizeof(*halves));
        place = (const char *)halves;
    }
    __m256i narrow_halves = _mm256_loadu_si256((const __m256i *)(const void *)place);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow_halves), 16));
}

/* The nearest bfloat16 in the lower half of each element, ties to even; in integer arithmetic, as the
 * instruction for it is not everywhere. */
INLINE __m512i
round_to_bf16(vector value)
{
    __m512i bits = _mm512_castps_si512(value);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_srli_epi32(bits, 16);
}

/* To bfloat16 the nearest, ties to even; to bytes of numbers from 0 on, those beyond 255 as 255. */
INLINE void
store_map(char *place, gt_map_type type, int channels, vector value)
{
    __mmask16 mask = mask_of(channels);
    if (type == GT_MAP_FLOAT32) {
        _mm512_mask_storeu_ps(place, mask, value);
        return;
    }
    if (type == GT_MAP_U8) {
        __m512i integers = _mm512_cvtps_epi32(least(value, all(255.0f)));
        _mm512_mask_cvtusepi32_storeu_epi8(place, mask, integers);
        return;
    }
    _mm512_mask_cvtepi32_storeu_epi16(place, mask, round_to_bf16(value));
}

/* Numbers from -128 to 127, as the bytes of a source of signed numbers. */
INLINE void
store_signed(uint8_t *place, int count, vector value)
{
    __m512i shifted =
        _mm512_add_epi32(_mm512_cvtps_epi32(value), _mm512_set1_epi32(GT_MBCONV_ZERO));
    _mm512_mask_cvtepi32_storeu_epi8(place, mask_of(count), shifted);
}

#endif
