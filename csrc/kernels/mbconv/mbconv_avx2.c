/* The stages for float32 on processors with AVX2 and FMA.  The file is compiled for any processor of the
 * family; only gt_mbconv_choose lets its functions run. */
#include "kernels/mbconv/mbconv_stages.h"

#ifdef __x86_64__

#include <immintrin.h>
#include <string.h>

#define STAGE __attribute__((target("avx2,fma")))
#define INLINE static inline __attribute__((always_inline, target("avx2,fma")))
#define TYPE GT_MAP_FLOAT32
#define GROUP 1
#define INNER_GROUP 1

typedef __m256 vector;

enum { LANES = 8, PIXELS = 4 };

INLINE vector
zero(void)
{
    return _mm256_setzero_ps();
}

INLINE vector
all(float number)
{
    return _mm256_set1_ps(number);
}

INLINE vector
load(const void *place)
{
    return _mm256_loadu_ps(place);
}

INLINE void
store(void *place, vector value)
{
    _mm256_storeu_ps(place, value);
}

INLINE vector
load_group(const char *place)
{
    float number = 0.0f;
    memcpy(&number, place, sizeof(number));
    return _mm256_set1_ps(number);
}

INLINE vector
add(vector a, vector b)
{
    return _mm256_add_ps(a, b);
}

INLINE vector
multiply(vector a, vector b)
{
    return _mm256_mul_ps(a, b);
}

INLINE vector
add_product(vector a, vector b, vector addend)
{
    return _mm256_fmadd_ps(a, b, addend);
}

INLINE vector
least(vector a, vector b)
{
    return _mm256_min_ps(a, b);
}

INLINE vector
most(vector a, vector b)
{
    return _mm256_max_ps(a, b);
}

INLINE vector
bound(vector value, const gt_mbconv_result *result)
{
    return least(most(value, all(result->low)), all(result->high));
}

/* All bits of the lanes of the first channels. */
INLINE __m256i
mask_of(int channels)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(channels), lanes);
}

/* Maps are of float32 beside it. */
INLINE vector
load_map(const char *place, gt_map_type type, int channels)
{
    (void)type;
    return _mm256_maskload_ps((const float *)(const void *)place, mask_of(channels));
}

INLINE void
store_map(char *place, gt_map_type type, int channels, vector value)
{
    (void)type;
    _mm256_maskstore_ps((float *)(void *)place, mask_of(channels), value);
}

/* Beside float32 no source is narrowed. */
INLINE void
store_signed(uint8_t *place, int count, vector value)
{
    (void)place, (void)count, (void)value;
}

#include "kernels/mbconv/mbconv_float32.h"

gt_mbconv_stages
gt_mbconv_avx2(void)
{
    return all_stages();
}

#else

gt_mbconv_stages
gt_mbconv_avx2(void)
{
    return (gt_mbconv_stages){0};
}

#endif
