/* The stages for float32 on processors with AVX2 and FMA.  The file is compiled for any processor of
 * the family; only gt_attention_choose lets its functions run. */
#include "kernels/attention/attention_stages.h"

#ifdef __x86_64__

#include "common/simd_avx2.h"

#define STAGE AVX2
#define INLINE INLINE_AVX2
#define TYPE GT_MAP_FLOAT32

enum { ROWS = 6, STEP = 2 };

INLINE vector
load_word(const uint32_t *word)
{
    float number = 0.0f;
    __builtin_memcpy(&number, word, sizeof(number));
    return _mm256_set1_ps(number);
}

INLINE vector
add_words(vector a, vector b, vector sums)
{
    return _mm256_fmadd_ps(a, b, sums);
}

INLINE void
store_weights(float *row, int i, vector weights)
{
    _mm256_storeu_ps(row + i, weights);
}

INLINE vector
times_power(vector value, vector n)
{
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(value, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}

#include "kernels/attention/attention_vectors.h"

gt_attention_stages
gt_attention_avx2(void)
{
    return (gt_attention_stages){LANES,          STEP,         "attention:avx2",
                                 multiply_words, weigh_scores, finish_sums};
}

#else

gt_attention_stages
gt_attention_avx2(void)
{
    return (gt_attention_stages){0};
}

#endif
