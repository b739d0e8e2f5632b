/* The stages for bfloat16 on processors with AVX-512 BF16.  The file is compiled for any processor of the
 * family; only gt_mbconv_choose lets its functions run. */
#include "kernels/mbconv/mbconv_stages.h"

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
#define TYPE_IS_BYTES 0

#include "kernels/mbconv/mbconv_avx512.h"

typedef vector sums_vector;

INLINE vector
start_sums(const float *shift)
{
    return load(shift);
}

INLINE vector
add_words(vector words, vector weights, vector sums)
{
    return _mm512_dpbf16_ps(sums, (__m512bh)words, (__m512bh)weights);
}

#include "kernels/mbconv/mbconv_vectors.h"

gt_mbconv_stages
gt_mbconv_avx512_bf16(void)
{
    return all_stages();
}

#else

gt_mbconv_stages
gt_mbconv_avx512_bf16(void)
{
    return (gt_mbconv_stages){0};
}

#endif
