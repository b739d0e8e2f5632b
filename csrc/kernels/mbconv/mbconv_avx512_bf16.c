/* The stages for bfloat16 on processors with AVX-512 BF16, which all have VNNI.  The file is compiled for any processor of
 * the family; only gt_mbconv_choose lets its functions run. */
#include "kernels/mbconv/mbconv_stages.h"

/* Compilers that know its instructions by name. */
#ifdef __clang__
#define HAS_BF16 (__clang_major__ >= 9)
#else
#define HAS_BF16 (__GNUC__ >= 10)
#endif

#if defined(__x86_64__) && HAS_BF16

#define STAGE __attribute__((target("avx512f,avx512bw,avx512vnni,avx512bf16")))
#define INLINE                                                                                     \
    static inline __attribute__((always_inline, target("avx512f,avx512bw,avx512vnni,avx512bf16")))
#define TYPE GT_MAP_BF16
#define GROUP 2
#define INNER_GROUP 2

#include "kernels/mbconv/mbconv_avx512_words.h"

#include "kernels/mbconv/mbconv_float_sums.h"

INLINE vector
finish_sums(sums_vector sums, vector scale, vector shift, const gt_mbconv_result *result)
{
    (void)scale, (void)shift, (void)result;
    return to_integers(sums, GT_MBCONV_LARGEST);
}

INLINE sums_vector
add_groups(vector groups, vector weights, sums_vector sums)
{
    return _mm512_dpbf16_ps(sums, (__m512bh)groups, (__m512bh)weights);
}

INLINE sums_vector
add_projected(vector groups, vector weights, sums_vector sums)
{
    return add_groups(groups, weights, sums);
}

INLINE vector
finish_columns(columns_vector sums, vector scale, vector shift, const gt_mbconv_result *result)
{
    return bound(scale_columns(sums, scale, shift), result);
}

INLINE void
store_results(char *place, const vector *results, int count)
{
    UNROLLED
    for (int i = 0; i < count; i++) {
        _mm256_storeu_si256((__m256i *)(void *)(place + (size_t)i * LANES * sizeof(uint16_t)),
                            (__m256i)_mm512_cvtneps_pbh(results[i]));
    }
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
