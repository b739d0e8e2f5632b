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
#define TYPE_IS_BYTES 1

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
add_words(vector words, vector weights, sums_vector sums)
{
    return (sums_vector)_mm512_dpbusd_epi32((__m512i)sums, _mm512_castps_si512(words),
                                            _mm512_castps_si512(weights));
}

INLINE vector
to_floats(sums_vector sums)
{
    return _mm512_cvtepi32_ps((__m512i)sums);
}

/* Four vectors of integers as bytes, those beyond their range as the least or largest: of each lane of
 * 128 bits four numbers of the first vector, then four of the next. */
INLINE __m512i
pack_bytes(vector a, vector b, vector c, vector d)
{
    __m512i first = _mm512_packs_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b));
    __m512i second = _mm512_packs_epi32(_mm512_castps_si512(c), _mm512_castps_si512(d));
    return _mm512_packus_epi16(first, second);
}

/* A quad of columns of expanded numbers: (lanes, 4). */
INLINE void
store_quad(char *place, vector a, vector b, vector c, vector d)
{
    const __m512i order =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    _mm512_storeu_si512(place, _mm512_shuffle_epi8(pack_bytes(a, b, c, d), order));
}

/* Four pixels of depthwise results: (4, lanes). */
INLINE void
store_pixels(char *place, vector a, vector b, vector c, vector d)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(place, _mm512_permutexvar_epi32(order, pack_bytes(a, b, c, d)));
}

/* The first channels of a pixel of bytes, zeros behind them. */
INLINE vector
load_integers(const char *place, int channels)
{
    char bytes[LANES] = {0};
    if (channels < LANES) {
        memcpy(bytes, place, (size_t)channels);
        place = bytes;
    }
    __m128i packed = _mm_loadu_si128((const __m128i *)(const void *)place);
    return _mm512_castsi512_ps(_mm512_cvtepu8_epi32(packed));
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
