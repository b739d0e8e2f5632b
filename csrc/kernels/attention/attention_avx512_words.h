/* Vectors of AVX-512, for the files that include attention_vectors.h with one type or another. */
#ifndef GT_ATTENTION_AVX512_WORDS_H
#define GT_ATTENTION_AVX512_WORDS_H

#include "common/simd_avx512.h"

enum { ROWS = 12, STEP = 4 };

INLINE vector
times_power(vector value, vector n)
{
    return _mm512_scalef_ps(value, n);
}

#endif
