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

#include "kernels/mbconv/mbconv_avx512.h"

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

INLINE vector
scale_sums(sums_vector sums, vector scale, vector shift)
{
    return add_product(_mm512_cvtepi32_ps((__m512i)sums), scale, shift);
}

/* Integers, of which those beyond a byte are yet to become the least or largest byte. */
INLINE vector
finish_sums(sums_vector sums, vector scale, vector shift, const gt_mbconv_result *result)
{
    vector bounded = least(scale_sums(sums, scale, shift), all(result->high / result->scale));
    return _mm512_castsi512_ps(_mm512_cvtps_epi32(bounded));
}

/* Four vectors of integers as bytes: of each lane of 128 bits four numbers of the first vector, then
 * four of the next. */
INLINE __m512i
pack_bytes(const vector *four)
{
    __m512i first = _mm512_packs_epi32(_mm512_castps_si512(four[0]), _mm512_castps_si512(four[1]));
    __m512i second = _mm512_packs_epi32(_mm512_castps_si512(four[2]), _mm512_castps_si512(four[3]));
    return _mm512_packus_epi16(first, second);
}

/* Four columns, byte by byte in turn. */
INLINE void
store_columns(char *place, const vector *columns)
{
    const __m512i order =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    _mm512_storeu_si512(place, _mm512_shuffle_epi8(pack_bytes(columns), order));
}

/* Results of four pixels at a time. */
INLINE void
store_results(char *place, const vector *results, int count)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    UNROLLED
    for (int i = 0; i < count; i += GROUP) {
        _mm512_storeu_si512(place + i * LANES,
                            _mm512_permutexvar_epi32(order, pack_bytes(results + i)));
    }
}

/* The first channels of a pixel of bytes, zeros behind them. */
INLINE vector
load_column(const gt_mbconv *block, const char *place, int channels)
{
    (void)block;
    char bytes[LANES] = {0};
    if (channels < LANES) {
        memcpy(bytes, place, (size_t)channels);
        place = bytes;
    }
    __m128i packed = _mm_loadu_si128((const __m128i *)(const void *)place);
    return _mm512_castsi512_ps(_mm512_cvtepu8_epi32(packed));
}

typedef sums_vector columns_vector;

INLINE columns_vector
start_columns(const float *shift)
{
    return start_sums(shift);
}

INLINE columns_vector
add_columns(vector columns, vector weights, columns_vector sums)
{
    return add_groups(columns, weights, sums);
}

INLINE vector
finish_columns(columns_vector sums, vector scale, vector shift, const gt_mbconv_result *result)
{
    return finish_sums(sums, scale, shift, result);
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
