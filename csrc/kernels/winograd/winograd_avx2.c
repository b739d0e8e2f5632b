/* The stages for processors with AVX2, FMA and F16C.  A vector holds 8 channels.  The file is
 * compiled for any processor of the family; only gt_winograd_choose lets its functions run. */
#include "kernels/winograd/winograd_stages.h"
#include "kernels/winograd/winograd_types.h"

#ifdef __x86_64__

#include "common/simd_avx2.h"

#define INLINE_STAGE INLINE_AVX2
#define STAGE AVX2

enum {
    LANES = SIMD_LANES,
    PAIRS = LANES / 2,
    COLS = GT_WINOGRAD_COLS,
    STEP_COLS = 2 * LANES, /* multiplied at a time */
    MAX_ROWS = 12
};

/* With int16 weights tiles are int16, which always holds them, and sums int32; else both are
 * float32. */
INLINE_AVX2 vector
load_sums(const char *place, gt_winograd_weights weights)
{
    if (weights == GT_WINOGRAD_INT16) {
        return _mm256_cvtepi32_ps(_mm256_load_si256((const __m256i *)(const void *)place));
    }
    return _mm256_load_ps((const float *)(const void *)place);
}

INLINE_AVX2 void
store_points(char *place, vector value, gt_winograd_weights weights)
{
    if (weights == GT_WINOGRAD_INT16) {
        _mm_store_si128((__m128i *)(void *)place, to_int16(_mm256_cvtps_epi32(value)));
        return;
    }
    _mm256_store_ps((float *)(void *)place, value);
}

#include "kernels/winograd/winograd_transforms.h"

DEFINE_READ(read_float32, GT_MAP_FLOAT32, GT_WINOGRAD_FLOAT32)
DEFINE_READ(read_u8, GT_MAP_U8, GT_WINOGRAD_FP16)
DEFINE_READ(read_to_int16, GT_MAP_U8, GT_WINOGRAD_INT16)
DEFINE_WRITE(write_float32_3x3, 6, GT_MAP_FLOAT32, GT_WINOGRAD_FLOAT32)
DEFINE_WRITE(write_float32_5x5, 4, GT_MAP_FLOAT32, GT_WINOGRAD_FLOAT32)
DEFINE_WRITE(write_u8_3x3, 6, GT_MAP_U8, GT_WINOGRAD_FP16)
DEFINE_WRITE(write_u8_5x5, 4, GT_MAP_U8, GT_WINOGRAD_FP16)
DEFINE_WRITE(write_from_int16_3x3, 6, GT_MAP_U8, GT_WINOGRAD_INT16)
DEFINE_WRITE(write_from_int16_5x5, 4, GT_MAP_U8, GT_WINOGRAD_INT16)

/* A product of few rows and two vectors: with 6 rows, 12 of the 16 registers hold sums.  Each row
 * has variables of its own, because not every compiler keeps an array in registers. */
#define START(r)                                                                                   \
    __m256 left##r = _mm256_setzero_ps();                                                          \
    __m256 right##r = _mm256_setzero_ps();
#define ADD_PRODUCT(r)                                                                             \
    {                                                                                              \
        __m256 value = _mm256_broadcast_ss(tiles + (r) * LANES + lane);                            \
        left##r = _mm256_fmadd_ps(value, first, left##r);                                          \
        right##r = _mm256_fmadd_ps(value, second, right##r);                                       \
    }
#define FINISH(r)                                                                                  \
    _mm256_storeu_ps(products + (r) * COLS, left##r);                                              \
    _mm256_storeu_ps(products + (r) * COLS + LANES, right##r);
#define DEFINE_MULTIPLY(name, number, load_kernel, EACH_ROW)                                       \
    static AVX2 void name(const float *tiles, size_t stride, const number *kernel, int groups,     \
                          float *products)                                                         \
    {                                                                                              \
        EACH_ROW(START)                                                                            \
        for (int group = 0; group < groups; group++) {                                             \
            for (int lane = 0; lane < LANES; lane++) {                                             \
                __m256 first = load_kernel(kernel);                                                \
                __m256 second = load_kernel(kernel + LANES);                                       \
                EACH_ROW(ADD_PRODUCT)                                                              \
                kernel += COLS;                                                                    \
            }                                                                                      \
            tiles += stride;                                                                       \
        }                                                                                          \
        EACH_ROW(FINISH)                                                                           \
    }

#define ROWS_2(DO) DO(0) DO(1)
#define ROWS_4(DO) ROWS_2(DO) DO(2) DO(3)
#define ROWS_6(DO) ROWS_4(DO) DO(4) DO(5)

INLINE_AVX2 vector
load_fp16(const uint16_t *place)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)place));
}

/* Rows are taken 6 at a time, but for the last of them: 4 and 4 are faster than 6 and 2. */
#define DEFINE_MULTIPLY_ROWS(name, number, load_kernel)                                            \
    DEFINE_MULTIPLY(name##_2, number, load_kernel, ROWS_2)                                         \
    DEFINE_MULTIPLY(name##_4, number, load_kernel, ROWS_4)                                         \
    DEFINE_MULTIPLY(name##_6, number, load_kernel, ROWS_6)                                         \
    static void name(const void *tiles, const void *kernel, int groups, int rows, void *sums)      \
    {                                                                                              \
        const float *from = tiles;                                                                 \
        size_t stride = (size_t)rows * LANES;                                                      \
        for (int done = 0; done < rows;) {                                                         \
            int left = rows - done;                                                                \
            int step = left == 8 || left == 4 ? 4 : left == 2 ? 2 : 6;                             \
            for (int column = 0; column < COLS; column += STEP_COLS) {                             \
                const number *columns = (const number *)kernel + column;                           \
                float *to = (float *)sums + done * COLS + column;                                  \
                (step == 6   ? name##_6                                                            \
                 : step == 4 ? name##_4                                                            \
                             : name##_2)(from + done * LANES, stride, columns, groups, to);        \
            }                                                                                      \
            done += step;                                                                          \
        }                                                                                          \
    }

DEFINE_MULTIPLY_ROWS(multiply_float32, float, _mm256_loadu_ps)
DEFINE_MULTIPLY_ROWS(multiply_fp16, uint16_t, load_fp16)

/* The same for int16: two channels of a tile are multiplied with those of 8 channels out, and the
 * two products added, by one instruction.  Sums wait for one cycle only, so 4 rows do, and
 * registers are left.  Left alone, compilers would first multiply what is added much later, and run
 * out of them; and a loop over the pairs is too short for some processors to read it fast. */
#if defined(__clang__) && __clang_major__ < 10 /* it asks the whole file for the registers */
#define KEEP_ORDER(a, b)
#else
#define KEEP_ORDER(a, b) __asm__("" : "+x"(a), "+x"(b))
#endif
#define START_INT16(r)                                                                             \
    __m256i left##r = _mm256_setzero_si256();                                                      \
    __m256i right##r = _mm256_setzero_si256();
#define ADD_PAIR(r)                                                                                \
    {                                                                                              \
        __m256i value = _mm256_set1_epi32(channels[(r) * PAIRS]);                                  \
        left##r = _mm256_add_epi32(left##r, _mm256_madd_epi16(value, first));                      \
        right##r = _mm256_add_epi32(right##r, _mm256_madd_epi16(value, second));                   \
        KEEP_ORDER(left##r, right##r);                                                             \
    }
#define ADD_PAIRS(pair, EACH_ROW)                                                                  \
    {                                                                                              \
        const int32_t *channels = tiles + (pair);                                                  \
        const __m256i *weights = (const __m256i *)(const void *)(kernel + (pair) * COLS);          \
        __m256i first = _mm256_loadu_si256(weights);                                               \
        __m256i second = _mm256_loadu_si256(weights + 1);                                          \
        EACH_ROW(ADD_PAIR)                                                                         \
    }
#define FINISH_INT16(r)                                                                            \
    _mm256_store_si256((__m256i *)(void *)(sums + (r) * COLS), left##r);                           \
    _mm256_store_si256((__m256i *)(void *)(sums + (r) * COLS + LANES), right##r);
#define DEFINE_MULTIPLY_INT16(name, EACH_ROW)                                                      \
    static AVX2 void name(const int32_t *tiles, size_t stride, const int32_t *kernel, int groups,  \
                          int32_t *sums)                                                           \
    {                                                                                              \
        EACH_ROW(START_INT16)                                                                      \
        for (int group = 0; group < groups; group++) {                                             \
            ADD_PAIRS(0, EACH_ROW)                                                                 \
            ADD_PAIRS(1, EACH_ROW)                                                                 \
            ADD_PAIRS(2, EACH_ROW)                                                                 \
            ADD_PAIRS(3, EACH_ROW)                                                                 \
            kernel += PAIRS * COLS;                                                                \
            tiles += stride;                                                                       \
        }                                                                                          \
        EACH_ROW(FINISH_INT16)                                                                     \
    }

DEFINE_MULTIPLY_INT16(multiply_int16_2, ROWS_2)
DEFINE_MULTIPLY_INT16(multiply_int16_4, ROWS_4)

static void
multiply_int16(const void *tiles, const void *kernel, int groups, int rows, void *sums)
{
    size_t stride = (size_t)rows * PAIRS;
    for (int done = 0; done < rows; done += 4) {
        const int32_t *from = (const int32_t *)tiles + done * PAIRS;
        for (int column = 0; column < COLS; column += STEP_COLS) {
            (rows - done >= 4 ? multiply_int16_4
                              : multiply_int16_2)(from, stride, (const int32_t *)kernel + column,
                                                  groups, (int32_t *)sums + done * COLS + column);
        }
    }
}

static AVX2 void
narrow(const float *numbers, uint16_t *fp16)
{
    for (int i = 0; i < COLS; i += LANES) {
        __m128i eight = _mm256_cvtps_ph(_mm256_loadu_ps(numbers + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(void *)(fp16 + i), eight);
    }
}

gt_winograd_stages
gt_winograd_avx2(int size, gt_map_type type, bool int16)
{
    gt_winograd_stages stages = {.lanes = LANES,
                                 .max_rows = MAX_ROWS,
                                 .read_tile = read_float32,
                                 .multiply = multiply_float32,
                                 .write_tile = size == 3 ? write_float32_3x3 : write_float32_5x5};
    if (type == GT_MAP_BF16) {
        return (gt_winograd_stages){0};
    }
    if (type == GT_MAP_U8 && int16) {
        stages.read_tile = read_to_int16;
        stages.weights = GT_WINOGRAD_INT16;
        stages.multiply = multiply_int16;
        stages.write_tile = size == 3 ? write_from_int16_3x3 : write_from_int16_5x5;
    }
    else if (type == GT_MAP_U8) {
        stages.read_tile = read_u8;
        stages.weights = GT_WINOGRAD_FP16;
        stages.multiply = multiply_fp16;
        stages.narrow = narrow;
        stages.write_tile = size == 3 ? write_u8_3x3 : write_u8_5x5;
    }
    return stages;
}

#else

gt_winograd_stages
gt_winograd_avx2(int size, gt_map_type type, bool int16)
{
    (void)size, (void)type, (void)int16;
    return (gt_winograd_stages){0};
}

#endif
