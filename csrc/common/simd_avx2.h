/* Vectors of eight float32 in plain words, for processors with AVX2, FMA and F16C.  To be included
 * by one source of a kernel, whose functions only a dispatcher lets run. */
#ifndef GT_SIMD_AVX2_H
#define GT_SIMD_AVX2_H

#ifdef __x86_64__

#include <immintrin.h>

#include "common/geometry.h"

#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define INLINE_AVX2 static inline __attribute__((always_inline, target("avx2,fma,f16c")))

enum { SIMD_LANES = 8 };

typedef __m256 vector;

/* 8 whole numbers as int16, saturated. */
INLINE_AVX2 __m128i
to_int16(__m256i wide)
{
    return _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
}

/* Numbers of a map of float32 or uint8 as float32; bytes are not yet times their scale. */
INLINE_AVX2 vector
load(const char *place, gt_map_type type)
{
    if (type == GT_MAP_FLOAT32) {
        return _mm256_loadu_ps((const float *)(const void *)place);
    }
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)place);
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
}

/* Rounds to the nearest byte, saturated. */
INLINE_AVX2 void
store(char *place, vector value, gt_map_type type)
{
    if (type == GT_MAP_FLOAT32) {
        _mm256_storeu_ps((float *)(void *)place, value);
        return;
    }
    __m128i int16 = to_int16(_mm256_cvtps_epi32(value));
    _mm_storel_epi64((__m128i *)(void *)place, _mm_packus_epi16(int16, int16));
}

INLINE_AVX2 vector
add(vector a, vector b)
{
    return _mm256_add_ps(a, b);
}

INLINE_AVX2 vector
subtract(vector a, vector b)
{
    return _mm256_sub_ps(a, b);
}

/* factor * value + addend */
INLINE_AVX2 vector
add_times(float factor, vector value, vector addend)
{
    return _mm256_fmadd_ps(_mm256_set1_ps(factor), value, addend);
}

/* a * b + addend */
INLINE_AVX2 vector
add_product(vector a, vector b, vector addend)
{
    return _mm256_fmadd_ps(a, b, addend);
}

/* A vector of one number. */
INLINE_AVX2 vector
all(float number)
{
    return _mm256_set1_ps(number);
}

INLINE_AVX2 vector
multiply(vector a, vector b)
{
    return _mm256_mul_ps(a, b);
}

/* This and the next give b where either is not a number. */
INLINE_AVX2 vector
min_of(vector a, vector b)
{
    return _mm256_min_ps(a, b);
}

INLINE_AVX2 vector
max_of(vector a, vector b)
{
    return _mm256_max_ps(a, b);
}

/* Of the lanes, in a fixed order. */
INLINE_AVX2 float
sum_of(vector x)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

INLINE_AVX2 float
largest_of(vector x)
{
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

#endif

#endif
