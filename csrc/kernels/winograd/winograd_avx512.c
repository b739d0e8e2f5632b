/* The stages for processors with AVX-512.  A vector holds 16 channels.  The file is compiled for
 * any processor of the family; only gt_winograd_choose lets its functions run. */
#include "kernels/winograd/winograd_stages.h"
#include "kernels/winograd/winograd_types.h"

#ifdef __x86_64__

#include "common/simd_avx512.h"

enum { LANES = SIMD_LANES, PAIRS = LANES / 2, COLS = GT_WINOGRAD_COLS, MAX_ROWS = 14 };

/* Compilers that know its instructions by name. */
#ifdef __clang__
#define HAS_VNNI (__clang_major__ >= 6)
#else
#define HAS_VNNI (__GNUC__ >= 8)
#endif

#define VNNI __attribute__((target("avx512f,avx512vnni")))
#define INLINE_STAGE INLINE_AVX512
#define STAGE AVX512

/* With int16 weights tiles are int16, which always holds them, and sums int32; else both are
 * float32. */
INLINE_AVX512 vector
load_sums(const char *place, gt_winograd_weights weights)
{
    return weights == GT_WINOGRAD_INT16 ? _mm512_cvtepi32_ps(_mm512_load_si512(place))
                                        : _mm512_load_ps(place);
}

INLINE_AVX512 void
store_points(char *place, vector value, gt_winograd_weights weights)
{
    if (weights == GT_WINOGRAD_INT16) {
        __m256i int16 = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(value));
        _mm256_store_si256((__m256i *)(void *)place, int16);
        return;
    }
    _mm512_store_ps(place, value);
}

#include "kernels/winograd/winograd_transforms.h"

DEFINE_READ(read_float32, GT_MAP_FLOAT32, GT_WINOGRAD_FLOAT32)
DEFINE_READ(read_bf16, GT_MAP_BF16, GT_WINOGRAD_FLOAT32)
DEFINE_WRITE(write_float32_3x3, 6, GT_MAP_FLOAT32, GT_WINOGRAD_FLOAT32)
DEFINE_WRITE(write_float32_5x5, 4, GT_MAP_FLOAT32, GT_WINOGRAD_FLOAT32)
DEFINE_WRITE(write_bf16_3x3, 6, GT_MAP_BF16, GT_WINOGRAD_FLOAT32)
DEFINE_WRITE(write_bf16_5x5, 4, GT_MAP_BF16, GT_WINOGRAD_FLOAT32)
#if HAS_VNNI
DEFINE_READ(read_u8, GT_MAP_U8, GT_WINOGRAD_INT16)
DEFINE_WRITE(write_u8_3x3, 6, GT_MAP_U8, GT_WINOGRAD_INT16)
DEFINE_WRITE(write_u8_5x5, 4, GT_MAP_U8, GT_WINOGRAD_INT16)
#endif

/* A product of few rows and two vectors, all of it in registers: with 14 rows four of 32 are left.
 * Each row has variables of its own, because not every compiler keeps an array in registers. */
#define START(r)                                                                                   \
    __m512 left##r = _mm512_setzero_ps();                                                          \
    __m512 right##r = _mm512_setzero_ps();
#define ADD_PRODUCT(r)                                                                             \
    {                                                                                              \
        __m512 value = _mm512_set1_ps(tiles[(r) * LANES]);                                         \
        left##r = _mm512_fmadd_ps(value, first, left##r);                                          \
        right##r = _mm512_fmadd_ps(value, second, right##r);                                       \
    }
#define FINISH(r)                                                                                  \
    _mm512_store_ps(sums + (r) * COLS, left##r);                                                   \
    _mm512_store_ps(sums + (r) * COLS + LANES, right##r);
#define DEFINE_MULTIPLY(rows, EACH_ROW)                                                            \
    static AVX512 void multiply_##rows(const float *tiles, const float *kernel, int groups,        \
                                       float *sums)                                                \
    {                                                                                              \
        EACH_ROW(START)                                                                            \
        for (int group = 0; group < groups; group++) {                                             \
            for (int lane = 0; lane < LANES; lane++) {                                             \
                __m512 first = _mm512_loadu_ps(kernel);                                            \
                __m512 second = _mm512_loadu_ps(kernel + LANES);                                   \
                EACH_ROW(ADD_PRODUCT)                                                              \
                kernel += COLS;                                                                    \
                tiles++;                                                                           \
            }                                                                                      \
            tiles += ((rows) - 1) * LANES;                                                         \
        }                                                                                          \
        EACH_ROW(FINISH)                                                                           \
    }

/* The same for int16: one instruction multiplies two channels of a tile with those of 16 channels
 * out and adds the two products to their sums. */
#define START_INT16(r)                                                                             \
    __m512i left##r = _mm512_setzero_si512();                                                      \
    __m512i right##r = _mm512_setzero_si512();
#define ADD_PAIR(r)                                                                                \
    {                                                                                              \
        __m512i value = _mm512_set1_epi32(tiles[(r) * PAIRS]);                                     \
        left##r = _mm512_dpwssd_epi32(left##r, value, first);                                      \
        right##r = _mm512_dpwssd_epi32(right##r, value, second);                                   \
    }
#define FINISH_INT16(r)                                                                            \
    _mm512_store_si512(sums + (r) * COLS, left##r);                                                \
    _mm512_store_si512(sums + (r) * COLS + LANES, right##r);
#define DEFINE_MULTIPLY_INT16(rows, EACH_ROW)                                                      \
    static VNNI void multiply_int16_##rows(const int32_t *tiles, const int32_t *kernel,            \
                                           int groups, int32_t *sums)                              \
    {                                                                                              \
        EACH_ROW(START_INT16)                                                                      \
        for (int group = 0; group < groups; group++) {                                             \
            for (int pair = 0; pair < PAIRS; pair++) {                                             \
                __m512i first = _mm512_loadu_si512(kernel);                                        \
                __m512i second = _mm512_loadu_si512(kernel + LANES);                               \
                EACH_ROW(ADD_PAIR)                                                                 \
                kernel += COLS;                                                                    \
                tiles++;                                                                           \
            }                                                                                      \
            tiles += ((rows) - 1) * PAIRS;                                                         \
        }                                                                                          \
        EACH_ROW(FINISH_INT16)                                                                     \
    }

#define ROWS_2(DO) DO(0) DO(1)
#define ROWS_4(DO) ROWS_2(DO) DO(2) DO(3)
#define ROWS_6(DO) ROWS_4(DO) DO(4) DO(5)
#define ROWS_8(DO) ROWS_6(DO) DO(6) DO(7)
#define ROWS_10(DO) ROWS_8(DO) DO(8) DO(9)
#define ROWS_12(DO) ROWS_10(DO) DO(10) DO(11)
#define ROWS_14(DO) ROWS_12(DO) DO(12) DO(13)

#define DEFINE_EACH(DEFINE)                                                                        \
    DEFINE(2, ROWS_2)                                                                              \
    DEFINE(4, ROWS_4)                                                                              \
    DEFINE(6, ROWS_6)                                                                              \
    DEFINE(8, ROWS_8)                                                                              \
    DEFINE(10, ROWS_10)                                                                            \
    DEFINE(12, ROWS_12)                                                                            \
    DEFINE(14, ROWS_14)

/* One of them, by the number of rows. */
#define DEFINE_MULTIPLY_ROWS(name, number, multiply)                                               \
    static void name(const void *tiles, const void *kernel, int groups, int rows, void *sums)      \
    {                                                                                              \
        static void (*const by_rows[])(const number *, const number *, int, number *) = {          \
            multiply##_2,  multiply##_4,  multiply##_6, multiply##_8,                              \
            multiply##_10, multiply##_12, multiply##_14};                                          \
        by_rows[rows / 2 - 1](tiles, kernel, groups, sums);                                        \
    }

DEFINE_EACH(DEFINE_MULTIPLY)
DEFINE_MULTIPLY_ROWS(multiply_float32, float, multiply)
#if HAS_VNNI
DEFINE_EACH(DEFINE_MULTIPLY_INT16)
DEFINE_MULTIPLY_ROWS(multiply_int16, int32_t, multiply_int16)
#endif

gt_winograd_stages
gt_winograd_avx512(int size, gt_map_type type)
{
    gt_winograd_stages stages = {.lanes = LANES, .max_rows = MAX_ROWS};
    switch (type) {
    case GT_MAP_FLOAT32:
        stages.read_tile = read_float32;
        stages.multiply = multiply_float32;
        stages.write_tile = size == 3 ? write_float32_3x3 : write_float32_5x5;
        break;
    case GT_MAP_BF16:
        stages.read_tile = read_bf16;
        stages.multiply = multiply_float32;
        stages.write_tile = size == 3 ? write_bf16_3x3 : write_bf16_5x5;
        break;
    case GT_MAP_U8:
#if HAS_VNNI
        stages.weights = GT_WINOGRAD_INT16;
        stages.read_tile = read_u8;
        stages.multiply = multiply_int16;
        stages.write_tile = size == 3 ? write_u8_3x3 : write_u8_5x5;
#else
        stages.lanes = 0;
#endif
        break;
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
