/* Depthwise convolutions of 16-bit integers with AVX-512 VNNI, for the files that multiply bfloat16 or
 * bytes beside them. */
#ifndef GT_MBCONV_AVX512_WORDS_H
#define GT_MBCONV_AVX512_WORDS_H

#include "kernels/mbconv/mbconv_avx512.h"

/* Two columns of integers, number by number in turn. */
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
scale_columns(columns_vector sums, vector scale, vector shift)
{
    return add_product(_mm512_cvtepi32_ps((__m512i)sums), scale, shift);
}

/* The nearest integers from 0 to the largest. */
INLINE vector
to_integers(vector value, float largest)
{
    return _mm512_castsi512_ps(_mm512_cvtps_epi32(least(most(value, zero()), all(largest))));
}

INLINE vector
load_column(const gt_mbconv *block, const char *place, int channels)
{
    vector number = load_map(place, block->source, channels);
    return to_integers(multiply(number, all(gt_mbconv_factor(block))), GT_MBCONV_LARGEST);
}

#endif
