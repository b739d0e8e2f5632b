/* Vectors of sixteen float32 in plain words, for processors with AVX-512.  To be included by one
 * source of a kernel, whose functions only a dispatcher lets run. */
#ifndef GT_SIMD_AVX512_H
#define GT_SIMD_AVX512_H

#ifdef __x86_64__

#include <immintrin.h>

#include "common/geometry.h"

#define AVX512 __attribute__((target("avx512f")))
#define INLINE_AVX512 static inline __attribute__((always_inline, target("avx512f")))

enum { SIMD_LANES = 16 };

typedef __m512 vector;

/* Numbers of a map as float32; bytes are not yet times their scale. */
INLINE_AVX512 vector
load(const char *place, gt_map_type type)
{
    if (type == GT_MAP_FLOAT32) {
        return _mm512_loadu_ps(place);
    }
    if (type == GT_MAP_U8) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)place);
        return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
    }
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)place));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* Rounds to the nearest that the map holds, ties to even.  For bfloat16 that is done in integers:
 * the instruction for it is newer than some compilers. */
INLINE_AVX512 void
store(char *place, vector value, gt_map_type type)
{
    if (type == GT_MAP_FLOAT32) {
        _mm512_storeu_ps(place, value);
        return;
    }
    if (type == GT_MAP_U8) {
        __m128i bytes = _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(value));
        _mm_storeu_si128((__m128i *)(void *)place, bytes);
        return;
    }
    __m512i bits = _mm512_castps_si512(value);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    _mm256_storeu_si256((__m256i *)place, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
}

INLINE_AVX512 vector
add(vector a, vector b)
{
    return _mm512_add_ps(a, b);
}

INLINE_AVX512 vector
subtract(vector a, vector b)
{
    return _mm512_sub_ps(a, b);
}

/* factor * value + addend */
INLINE_AVX512 vector
add_times(float factor, vector value, vector addend)
{
    return _mm512_fmadd_ps(_mm512_set1_ps(factor), value, addend);
}

/* a * b + addend */
INLINE_AVX512 vector
add_product(vector a, vector b, vector addend)
{
    return _mm512_fmadd_ps(a, b, addend);
}

/* A vector of one number. */
INLINE_AVX512 vector
all(float number)
{
    return _mm512_set1_ps(number);
}

INLINE_AVX512 vector
multiply(vector a, vector b)
{
    return _mm512_mul_ps(a, b);
}

/* This and the next give b where either is not a number. */
INLINE_AVX512 vector
min_of(vector a, vector b)
{
    return _mm512_min_ps(a, b);
}

INLINE_AVX512 vector
max_of(vector a, vector b)
{
    return _mm512_max_ps(a, b);
}

/* The upper half of a vector beside its lower one. */
INLINE_AVX512 __m256
upper_half(vector x)
{
    return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
}

/* Of the lanes, in a fixed order. */
INLINE_AVX512 float
sum_of(vector x)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), upper_half(x));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

INLINE_AVX512 float
largest_of(vector x)
{
    __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(x), upper_half(x));
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

#endif

#endif
