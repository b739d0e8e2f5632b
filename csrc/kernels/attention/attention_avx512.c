/* The stages for float32 on processors with AVX-512.  The file is compiled for any processor of the
 * family; only gt_attention_choose lets its functions run. */
#include "kernels/attention/attention_stages.h"

#ifdef __x86_64__

#define STAGE __attribute__((target("avx512f")))
#define INLINE static inline __attribute__((always_inline, target("avx512f")))
#define TYPE GT_MAP_FLOAT32

#include "kernels/attention/attention_avx512_words.h"

INLINE vector
load_word(const uint32_t *word)
{
    float number = 0.0f;
    __builtin_memcpy(&number, word, sizeof(number));
    return _mm512_set1_ps(number);
}

INLINE vector
add_words(vector a, vector b, vector sums)
{
    return _mm512_fmadd_ps(a, b, sums);
}

INLINE void
store_weights(float *row, int i, vector weights)
{
    _mm512_storeu_ps(row + i, weights);
}

#include "kernels/attention/attention_vectors.h"

gt_attention_stages
gt_attention_avx512(void)
{
    return (gt_attention_stages){LANES,          STEP,         "attention:avx512",
                                 multiply_words, weigh_scores, finish_sums};
}

#else

gt_attention_stages
gt_attention_avx512(void)
{
    return (gt_attention_stages){0};
}

#endif
