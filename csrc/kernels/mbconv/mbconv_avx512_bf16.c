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

#include "kernels/mbconv/mbconv_avx512.h"

typedef vector sums_vector;

INLINE sums_vector
start_sums(const float *shift)
{
    return load(shift);
}

/* The shift is in the sums already. */
INLINE vector
scale_sums(sums_vector sums, vector scale, vector shift)
{
    (void)scale, (void)shift;
    return sums;
}

/* Integers of 16 bits. */
INLINE vector
finish_sums(sums_vector sums, vector scale, vector shift, const gt_mbconv_result *result)
{
    (void)scale, (void)shift, (void)result;
    vector bounded = least(most(sums, zero()), all(GT_MBCONV_LARGEST));
    return _mm512_castsi512_ps(_mm512_cvtps_epi32(bounded));
}

INLINE vector
load_column(const gt_mbconv *block, const char *place, int channels)
{
    vector scaled = multiply(load_map(place, TYPE, channels), all(gt_mbconv_factor(block)));
    return finish_sums(scaled, scaled, scaled, &block->expansion);
}

INLINE sums_vector
add_groups(vector groups, vector weights, sums_vector sums)
{
    return _mm512_dpbf16_ps(sums, (__m512bh)groups, (__m512bh)weights);
}

/* Two columns, number by number in turn. */
INLINE void
store_columns(char *place, const vector *columns)
{
    const __m512i order =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
    __m512i words =
        _mm512_packs_epi32(_mm512_castps_si512(columns[0]), _mm512_castps_si512(columns[1]));
    _mm512_storeu_si512(place, _mm512_shuffle_epi8(words, order));
}

/* Of 32-bit elements, as the instruction has them: an array of others would not stay in registers. */
typedef int32_t columns_vector __attribute__((vector_size(64)));

INLINE columns_vector
start_columns(const float *shift)
{
    (void)shift; /* is added to the scaled sums */
    return (columns_vector)_mm512_setzero_si512();
}

INLINE columns_vector
add_columns(vector columns, vector weights, columns_vector sums)
{
    return (columns_vector)_mm512_dpwssd_epi32((__m512i)sums, _mm512_castps_si512(columns),
                                               _mm512_castps_si512(weights));
}

INLINE vector
finish_columns(columns_vector sums, vector scale, vector shift, const gt_mbconv_result *result)
{
    return bound(add_product(_mm512_cvtepi32_ps((__m512i)sums), scale, shift), result);
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
