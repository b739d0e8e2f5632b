/* The stages for bytes on processors with AVX-512 VNNI.  The file is compiled for any processor of the
 * family; only gt_mbconv_choose lets its functions run. */
#include "kernels/mbconv/mbconv_stages.h"

/* Compilers that know its instructions by name. */
#ifdef __clang__
#define HAS_VNNI (__clang_major__ >= 6)
#else
#define HAS_VNNI (__GNUC__ >= 8)
#endif

#if defined(__x86_64__) && HAS_VNNI

#define STAGE __attribute__((target("avx512f,avx512bw,avx512vnni")))
#define INLINE static inline __attribute__((always_inline, target("avx512f,avx512bw,avx512vnni")))
#define TYPE GT_MAP_U8
#define GROUP 4
#define INNER_GROUP 2

#include "kernels/mbconv/mbconv_avx512_words.h"

/* Of 32-bit elements, as the instruction has them: an array of others would not stay in registers. */
typedef int32_t sums_vector __attribute__((vector_size(64)));

INLINE sums_vector
start_sums(const float *shift)
{
    (void)shift; /* is added to the scaled sums */
    return (sums_vector)_mm512_setzero_si512();
}

INLINE sums_vector
add_groups(vector groups, vector weights, sums_vector sums)
{
    return (sums_vector)_mm512_dpbusd_epi32((__m512i)sums, _mm512_castps_si512(groups),
                                            _mm512_castps_si512(weights));
}

INLINE sums_vector
add_projected(vector groups, vector weights, sums_vector sums)
{
    return add_columns(groups, weights, sums);
}

INLINE vector
scale_sums(sums_vector sums, vector scale, vector shift)
{
    return scale_columns(sums, scale, shift);
}

INLINE vector
finish_sums(sums_vector sums, vector scale, vector shift, const gt_mbconv_result *result)
{
    (void)result; /* its bounds are the least and the largest integer */
    return to_integers(scale_sums(sums, scale, shift), GT_MBCONV_LARGEST);
}

INLINE vector
finish_columns(columns_vector sums, vector scale, vector shift, const gt_mbconv_result *result)
{
    (void)result;
    return to_integers(scale_columns(sums, scale, shift), GT_MBCONV_LARGEST_RESULT);
}

INLINE void
store_results(char *place, const vector *results, int count)
{
    UNROLLED
    for (int i = 0; i < count; i++) {
        __m256i words = _mm512_cvtepi32_epi16(_mm512_castps_si512(results[i]));
        _mm256_storeu_si256((__m256i *)(void *)(place + (size_t)i * LANES * sizeof(int16_t)),
                            words);
    }
}

#include "kernels/mbconv/mbconv_vectors.h"

gt_mbconv_stages
gt_mbconv_avx512_vnni(void)
{
    return all_stages();
}

#else

gt_mbconv_stages
gt_mbconv_avx512_vnni(void)
{
    return (gt_mbconv_stages){0};
}

#endif
