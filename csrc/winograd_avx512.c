/* The stages for processors with AVX-512.  A vector holds 16 channels.  The file is compiled for any
 * processor of the family; only gt_winograd_lanes lets its functions run. */
#include "winograd.h"
#include "winograd_stages.h"

#ifdef __x86_64__

#include <immintrin.h>

enum {
    LANES = 16,
    COLS = GT_WINOGRAD_COLS,
    MOST_ROWS = 14
};

typedef __m512 vector;

#define AVX512 __attribute__((target("avx512f")))
#define INLINE_AVX512 static inline __attribute__((always_inline, target("avx512f")))
#define INLINE_STAGE INLINE_AVX512
#define STAGE AVX512

/* 16 numbers of a map, bfloat16 or float32, as float32. */
INLINE_AVX512 vector
load(const char *place, gt_map_type type)
{
    if (type != GT_MAP_BF16) {
        return _mm512_loadu_ps(place);
    }
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)place));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* The nearest bfloat16, ties to even, in integer arithmetic: the instruction for it is newer than
 * some compilers. */
INLINE_AVX512 void
store(char *place, vector value, gt_map_type type)
{
    if (type != GT_MAP_BF16) {
        _mm512_storeu_ps(place, value);
        return;
    }
    __m512i bits = _mm512_castps_si512(value);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    _mm256_storeu_si256((__m256i *)place, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
}

INLINE_AVX512 vector
load_numbers(const float *place)
{
    return _mm512_load_ps(place);
}

INLINE_AVX512 void
store_numbers(float *place, vector value)
{
    _mm512_store_ps(place, value);
}

INLINE_AVX512 vector
add(vector a, vector b)
{
    return _mm512_add_ps(a, b);
}

INLINE_AVX512 vector
subtract(vector a, vector b)
{
    return _mm512_sub_ps(a, b);
}

INLINE_AVX512 vector
add_times(float factor, vector value, vector addend)
{
    return _mm512_fmadd_ps(_mm512_set1_ps(factor), value, addend);
}

INLINE_AVX512 vector
all(float number)
{
    return _mm512_set1_ps(number);
}

INLINE_AVX512 vector
multiply(vector a, vector b)
{
    return _mm512_mul_ps(a, b);
}

INLINE_AVX512 vector
least(vector a, vector b)
{
    return _mm512_min_ps(a, b);
}

INLINE_AVX512 vector
most(vector a, vector b)
{
    return _mm512_max_ps(a, b);
}

#include "winograd_transforms.h"

DEFINE_READ(read_float32, GT_MAP_FLOAT32)
DEFINE_READ(read_bf16, GT_MAP_BF16)
DEFINE_WRITE(write_float32_3x3, 6, GT_MAP_FLOAT32)
DEFINE_WRITE(write_float32_5x5, 4, GT_MAP_FLOAT32)
DEFINE_WRITE(write_bf16_3x3, 6, GT_MAP_BF16)
DEFINE_WRITE(write_bf16_5x5, 4, GT_MAP_BF16)

/* A product of few rows and two vectors, all of it in registers: with 14 rows four of 32 are left.
 * Each row has variables of its own, because not every compiler keeps an array in registers. */
#define START(r)                                                                                  \
    __m512 left##r = _mm512_setzero_ps();                                                         \
    __m512 right##r = _mm512_setzero_ps();
#define ADD_PRODUCT(r)                                                                            \
    {                                                                                             \
        __m512 value = _mm512_set1_ps(tiles[(r)*LANES]);                                          \
        left##r = _mm512_fmadd_ps(value, first, left##r);                                         \
        right##r = _mm512_fmadd_ps(value, second, right##r);                                      \
    }
#define FINISH(r)                                                                                 \
    _mm512_store_ps(products + (r)*COLS, left##r);                                                \
    _mm512_store_ps(products + (r)*COLS + LANES, right##r);
#define DEFINE_MULTIPLY(rows, EACH_ROW)                                                           \
    static AVX512 void multiply_##rows(const float *tiles, const float *kernel, int groups,       \
                                       float *products)                                           \
    {                                                                                             \
        EACH_ROW(START)                                                                           \
        for (int group = 0; group < groups; group++) {                                            \
            for (int lane = 0; lane < LANES; lane++) {                                            \
                __m512 first = _mm512_loadu_ps(kernel);                                           \
                __m512 second = _mm512_loadu_ps(kernel + LANES);                                  \
                EACH_ROW(ADD_PRODUCT)                                                             \
                kernel += COLS;                                                                   \
                tiles++;                                                                          \
            }                                                                                     \
            tiles += ((rows)-1) * LANES;                                                          \
        }                                                                                         \
        EACH_ROW(FINISH)                                                                          \
    }

#define ROWS_2(DO) DO(0) DO(1)
#define ROWS_4(DO) ROWS_2(DO) DO(2) DO(3)
#define ROWS_6(DO) ROWS_4(DO) DO(4) DO(5)
#define ROWS_8(DO) ROWS_6(DO) DO(6) DO(7)
#define ROWS_10(DO) ROWS_8(DO) DO(8) DO(9)
#define ROWS_12(DO) ROWS_10(DO) DO(10) DO(11)
#define ROWS_14(DO) ROWS_12(DO) DO(12) DO(13)

DEFINE_MULTIPLY(2, ROWS_2)
DEFINE_MULTIPLY(4, ROWS_4)
DEFINE_MULTIPLY(6, ROWS_6)
DEFINE_MULTIPLY(8, ROWS_8)
DEFINE_MULTIPLY(10, ROWS_10)
DEFINE_MULTIPLY(12, ROWS_12)
DEFINE_MULTIPLY(14, ROWS_14)

static void
multiply_rows(const float *tiles, const void *kernel, int groups, int rows, float *products)
{
    static void (*const by_rows[])(const float *, const float *, int, float *) = {
        multiply_2, multiply_4, multiply_6, multiply_8, multiply_10, multiply_12, multiply_14};
    by_rows[rows / 2 - 1](tiles, kernel, groups, products);
}

gt_winograd_stages
gt_winograd_avx512(int size, gt_map_type type)
{
    bool bf16 = type == GT_MAP_BF16;
    if (type == GT_MAP_BYTES) {
        return (gt_winograd_stages){0};
    }
    gt_winograd_stages stages = {.lanes = LANES,
                                 .most_rows = MOST_ROWS,
                                 .read_tile = bf16 ? read_bf16 : read_float32,
                                 .multiply = multiply_rows};
    if (size == 3) {
        stages.write_tile = bf16 ? write_bf16_3x3 : write_float32_3x3;
    }
    else {
        stages.write_tile = bf16 ? write_bf16_5x5 : write_float32_5x5;
    }
    return stages;
}

#else

gt_winograd_stages
gt_winograd_avx512(int size, gt_map_type type)
{
    (void)size, (void)type;
    return (gt_winograd_stages){0};
}

#endif
