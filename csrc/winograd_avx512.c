/* The stages for processors with AVX-512.  A vector holds 16 channels, so that the transforms are
 * plain arithmetic on vectors.  The file is compiled for any processor of the family; only
 * gt_winograd_is_available lets its functions run. */
#include "winograd.h"
#include "winograd_stages.h"

#ifdef __x86_64__

#include <immintrin.h>

enum {
    TILE = GT_WINOGRAD_TILE,
    LANES = GT_WINOGRAD_LANES,
    COLS = GT_WINOGRAD_COLS,
    MOST_RESULTS = TILE + 1 - 3
};

#define AVX512 __attribute__((target("avx512f")))
#define INLINE_AVX512 static inline __attribute__((always_inline, target("avx512f")))

/* 16 numbers of a map, bfloat16 or float32, as float32. */
INLINE_AVX512 __m512
load(const char *place, bool bf16)
{
    if (!bf16) {
        return _mm512_loadu_ps(place);
    }
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)place));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* The nearest bfloat16, ties to even, in integer arithmetic: the instruction for it is newer than
 * some compilers. */
INLINE_AVX512 void
store(char *place, __m512 value, bool bf16)
{
    if (!bf16) {
        _mm512_storeu_ps(place, value);
        return;
    }
    __m512i bits = _mm512_castps_si512(value);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    _mm256_storeu_si256((__m256i *)place, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
}

INLINE_AVX512 __m512
times(float factor, __m512 value)
{
    return _mm512_mul_ps(_mm512_set1_ps(factor), value);
}

/* factor * value + addend */
INLINE_AVX512 __m512
add_times(float factor, __m512 value, __m512 addend)
{
    return _mm512_fmadd_ps(_mm512_set1_ps(factor), value, addend);
}

/* B^T d.  Row p holds the coefficients of the product of (x - q) over the points q other than p, in
 * ascending order; those of +-p share their even and, but for the sign, their odd ones. */
INLINE_AVX512 void
transform_pixels(const __m512 d[TILE], __m512 out[TILE])
{
    __m512 even_half = add_times(4.0f, d[2], add_times(-5.0f, d[4], d[6]));
    __m512 odd_half = add_times(4.0f, d[1], add_times(-5.0f, d[3], d[5]));
    __m512 even_one = add_times(-4.25f, d[4], _mm512_add_ps(d[2], d[6]));
    __m512 odd_one = add_times(-4.25f, d[3], _mm512_add_ps(d[1], d[5]));
    __m512 even_two = add_times(0.25f, d[2], add_times(-1.25f, d[4], d[6]));
    __m512 odd_two = add_times(0.25f, d[1], add_times(-1.25f, d[3], d[5]));
    out[0] = add_times(5.25f, _mm512_sub_ps(d[2], d[4]), _mm512_sub_ps(d[6], d[0]));
    out[1] = add_times(0.5f, odd_half, even_half);
    out[2] = add_times(-0.5f, odd_half, even_half);
    out[3] = _mm512_add_ps(even_one, odd_one);
    out[4] = _mm512_sub_ps(even_one, odd_one);
    out[5] = add_times(2.0f, odd_two, even_two);
    out[6] = add_times(-2.0f, odd_two, even_two);
    out[7] = add_times(5.25f, _mm512_sub_ps(d[3], d[5]), _mm512_sub_ps(d[7], d[1]));
}

/* A^T m.  Row k holds the k-th powers of the points; infinity takes part in the highest only. */
INLINE_AVX512 void
transform_products(const __m512 m[TILE], int results, __m512 out[MOST_RESULTS])
{
    __m512 even_half = _mm512_add_ps(m[1], m[2]);
    __m512 odd_half = _mm512_sub_ps(m[1], m[2]);
    __m512 even_one = _mm512_add_ps(m[3], m[4]);
    __m512 odd_one = _mm512_sub_ps(m[3], m[4]);
    __m512 even_two = _mm512_add_ps(m[5], m[6]);
    __m512 odd_two = _mm512_sub_ps(m[5], m[6]);
    out[0] = _mm512_add_ps(_mm512_add_ps(m[0], even_half), _mm512_add_ps(even_one, even_two));
    out[1] = add_times(2.0f, odd_two, add_times(0.5f, odd_half, odd_one));
    out[2] = add_times(4.0f, even_two, add_times(0.25f, even_half, even_one));
    if (results == 4) {
        odd_one = _mm512_add_ps(odd_one, m[7]);
    }
    out[3] = add_times(8.0f, odd_two, add_times(0.125f, odd_half, odd_one));
    if (results == 6) {
        out[4] = add_times(16.0f, even_two, add_times(0.0625f, even_half, even_one));
        odd_one = _mm512_add_ps(odd_one, m[7]);
        out[5] = add_times(32.0f, odd_two, add_times(0.03125f, odd_half, odd_one));
    }
}

INLINE_AVX512 void
read_tile(const char *tile, size_t row, size_t pixel, bool bf16, float *out, size_t stride)
{
    __m512 halfway[TILE][TILE];
    for (int x = 0; x < TILE; x++) {
        const char *place = tile;
        __m512 column[TILE];
        __m512 result[TILE];
        for (int y = 0; y < TILE; y++) {
            column[y] = load(place, bf16);
            place += row;
        }
        transform_pixels(column, result);
        for (int y = 0; y < TILE; y++) {
            halfway[y][x] = result[y];
        }
        tile += pixel;
    }
    for (int y = 0; y < TILE; y++) {
        __m512 result[TILE];
        transform_pixels(halfway[y], result);
        for (int x = 0; x < TILE; x++) {
            _mm512_store_ps(out, result[x]);
            out += stride;
        }
    }
}

INLINE_AVX512 void
write_tile(const float *products, size_t stride, const gt_winograd_target *target, int results,
           bool bf16)
{
    const __m512 low = _mm512_set1_ps(target->low);
    const __m512 high = _mm512_set1_ps(target->high);
    const __m512 addend = _mm512_loadu_ps(target->shift);
    __m512 halfway[MOST_RESULTS][TILE];
    for (int x = 0; x < TILE; x++) {
        const float *place = products;
        __m512 column[TILE];
        __m512 result[MOST_RESULTS];
        for (int y = 0; y < TILE; y++) {
            column[y] = _mm512_load_ps(place);
            place += TILE * stride;
        }
        transform_products(column, results, result);
        for (int y = 0; y < results; y++) {
            halfway[y][x] = result[y];
        }
        products += stride;
    }
    char *row = target->place;
    for (int y = 0; y < results && y < target->height; y++) {
        char *place = row;
        __m512 result[MOST_RESULTS];
        transform_products(halfway[y], results, result);
        for (int x = 0; x < results && x < target->width; x++) {
            __m512 value = _mm512_add_ps(result[x], addend);
            value = _mm512_min_ps(high, _mm512_max_ps(low, value)); /* lets NaN through */
            store(place, value, bf16);
            place += target->pixel;
        }
        row += target->row;
    }
}

static AVX512 void
read_float32(const char *tile, size_t row, size_t pixel, float *out, size_t stride)
{
    read_tile(tile, row, pixel, false, out, stride);
}

static AVX512 void
read_bf16(const char *tile, size_t row, size_t pixel, float *out, size_t stride)
{
    read_tile(tile, row, pixel, true, out, stride);
}

static AVX512 void
write_float32_3x3(const float *products, size_t stride, const gt_winograd_target *target)
{
    write_tile(products, stride, target, 6, false);
}

static AVX512 void
write_float32_5x5(const float *products, size_t stride, const gt_winograd_target *target)
{
    write_tile(products, stride, target, 4, false);
}

static AVX512 void
write_bf16_3x3(const float *products, size_t stride, const gt_winograd_target *target)
{
    write_tile(products, stride, target, 6, true);
}

static AVX512 void
write_bf16_5x5(const float *products, size_t stride, const gt_winograd_target *target)
{
    write_tile(products, stride, target, 4, true);
}

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
multiply(const float *tiles, const float *kernel, int groups, int rows, float *products)
{
    static void (*const by_rows[])(const float *, const float *, int, float *) = {
        multiply_2, multiply_4, multiply_6, multiply_8, multiply_10, multiply_12, multiply_14};
    by_rows[rows / 2 - 1](tiles, kernel, groups, products);
}

gt_winograd_stages
gt_winograd_avx512(int size, bool bf16)
{
    gt_winograd_stages stages = {.read_tile = bf16 ? read_bf16 : read_float32,
                                 .multiply = multiply};
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
gt_winograd_avx512(int size, bool bf16)
{
    (void)size, (void)bf16;
    return (gt_winograd_stages){NULL, NULL, NULL};
}

#endif
