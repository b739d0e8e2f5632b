/* The stages for bfloat16 on processors with AVX-512 BF16.  The file is compiled for any processor
 * of the family; only gt_attention_choose lets its functions run. */
#include "kernels/attention/attention_stages.h"

/* Compilers that know its instructions by name. */
#ifdef __clang__
#define HAS_BF16 (__clang_major__ >= 9)
#else
#define HAS_BF16 (__GNUC__ >= 10)
#endif

#if defined(__x86_64__) && HAS_BF16

#define STAGE __attribute__((target("avx512f,avx512bf16")))
#define INLINE static inline __attribute__((always_inline, target("avx512f,avx512bf16")))
#define TYPE GT_MAP_BF16

#include "kernels/attention/attention_avx512_words.h"

INLINE vector
load_word(const uint32_t *word)
{
    int32_t pair = 0;
    __builtin_memcpy(&pair, word, sizeof(pair));
    return _mm512_castsi512_ps(_mm512_set1_epi32(pair));
}

INLINE vector
add_words(vector a, vector b, vector sums)
{
    return _mm512_dpbf16_ps(sums, (__m512bh)a, (__m512bh)b);
}

/* Half as far from the start of the row as the scores that they are made of. */
INLINE void
store_weights(float *row, int i, vector weights)
{
    _mm256_storeu_si256((__m256i *)(void *)((char *)row + (size_t)i * sizeof(uint16_t)),
                        (__m256i)_mm512_cvtneps_pbh(weights));
}

#include "kernels/attention/attention_vectors.h"

gt_attention_stages
gt_attention_avx512_bf16(void)
{
    return (gt_attention_stages){LANES,          STEP,         "attention:avx512_bf16",
                                 multiply_words, weigh_scores, finish_sums};
}

#else

gt_attention_stages
gt_attention_avx512_bf16(void)
{
    return (gt_attention_stages){0};
}

#endif
