/* The three stages of one block, for processors with AVX-512.  A vector holds 16 channels, so the
 * transforms are plain arithmetic on vectors.  The file is compiled for any processor of the
 * family; only gt_winograd_is_available lets its functions run. */
#include "winograd.h"

#ifdef __x86_64__

#include <immintrin.h>
#include <string.h>

enum {
    TILE = GT_WINOGRAD_TILE,
    POINTS = GT_WINOGRAD_POINTS,
    LANES = GT_WINOGRAD_LANES,
    COLS = GT_WINOGRAD_COLS,
    ROWS = GT_WINOGRAD_ROWS,
    MOST_RESULTS = 4
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
constant(double value)
{
    return _mm512_set1_ps((float)value);
}

/* B^T d: each row holds the coefficients of the product of (x - point) over the other points. */
INLINE_AVX512 void
transform_input_line(const __m512 d[TILE], __m512 out[TILE])
{
    const __m512 a = constant(GT_WINOGRAD_A);
    const __m512 b = constant(GT_WINOGRAD_B);
    const __m512 a2 = constant(GT_WINOGRAD_A * GT_WINOGRAD_A);
    const __m512 b2 = constant(GT_WINOGRAD_B * GT_WINOGRAD_B);
    const __m512 sum = constant(GT_WINOGRAD_A * GT_WINOGRAD_A + GT_WINOGRAD_B * GT_WINOGRAD_B);
    __m512 even_a = _mm512_fnmadd_ps(b2, d[2], d[4]);
    __m512 odd_a = _mm512_fnmadd_ps(b2, d[1], d[3]);
    __m512 even_b = _mm512_fnmadd_ps(a2, d[2], d[4]);
    __m512 odd_b = _mm512_fnmadd_ps(a2, d[1], d[3]);
    out[0] = _mm512_fnmadd_ps(sum, d[2], _mm512_add_ps(d[0], d[4])); /* a * b is 1 */
    out[1] = _mm512_fmadd_ps(a, odd_a, even_a);
    out[2] = _mm512_fnmadd_ps(a, odd_a, even_a);
    out[3] = _mm512_fmadd_ps(b, odd_b, even_b);
    out[4] = _mm512_fnmadd_ps(b, odd_b, even_b);
    out[5] = _mm512_fnmadd_ps(sum, d[3], _mm512_add_ps(d[1], d[5]));
}

/* B^T d B of 16 channels of a tile; row and pixel are distances in bytes.  Point i goes to
 * out[i * stride]. */
INLINE_AVX512 void
transform_input(const char *tile, size_t row, size_t pixel, bool bf16, float *out, size_t stride)
{
    __m512 halfway[TILE][TILE];
    for (size_t x = 0; x < TILE; x++) {
        __m512 column[TILE];
        __m512 result[TILE];
        for (size_t y = 0; y < TILE; y++) {
            column[y] = load(tile + y * row + x * pixel, bf16);
        }
        transform_input_line(column, result);
        for (size_t y = 0; y < TILE; y++) {
            halfway[y][x] = result[y];
        }
    }
    for (size_t y = 0; y < TILE; y++) {
        __m512 result[TILE];
        transform_input_line(halfway[y], result);
        for (size_t x = 0; x < TILE; x++) {
            _mm512_store_ps(out + (y * TILE + x) * stride, result[x]);
        }
    }
}

/* A^T m: the powers of the points; infinity takes part in the highest only. */
INLINE_AVX512 void
transform_output_line(const __m512 m[TILE], int results, __m512 out[MOST_RESULTS])
{
    const __m512 a = constant(GT_WINOGRAD_A);
    const __m512 b = constant(GT_WINOGRAD_B);
    __m512 even_a = _mm512_add_ps(m[1], m[2]);
    __m512 even_b = _mm512_add_ps(m[3], m[4]);
    __m512 odd_a = _mm512_sub_ps(m[1], m[2]);
    __m512 odd_b = _mm512_sub_ps(m[3], m[4]);
    out[0] = _mm512_add_ps(m[0], _mm512_add_ps(even_a, even_b));
    if (results == 2) {
        out[1] = _mm512_fmadd_ps(b, odd_b, _mm512_fmadd_ps(a, odd_a, m[5]));
        return;
    }
    const __m512 a2 = constant(GT_WINOGRAD_A * GT_WINOGRAD_A);
    const __m512 b2 = constant(GT_WINOGRAD_B * GT_WINOGRAD_B);
    const __m512 a3 = constant(GT_WINOGRAD_A * GT_WINOGRAD_A * GT_WINOGRAD_A);
    const __m512 b3 = constant(GT_WINOGRAD_B * GT_WINOGRAD_B * GT_WINOGRAD_B);
    out[1] = _mm512_fmadd_ps(b, odd_b, _mm512_mul_ps(a, odd_a));
    out[2] = _mm512_fmadd_ps(b2, even_b, _mm512_mul_ps(a2, even_a));
    out[3] = _mm512_fmadd_ps(b3, odd_b, _mm512_fmadd_ps(a3, odd_a, m[5]));
}

/* A^T m A of 16 channels of a tile; point i is in[i * stride]. */
INLINE_AVX512 void
transform_output(const float *in, size_t stride, int results,
                 __m512 out[MOST_RESULTS][MOST_RESULTS])
{
    __m512 halfway[MOST_RESULTS][TILE];
    for (size_t x = 0; x < TILE; x++) {
        __m512 column[TILE];
        __m512 result[MOST_RESULTS];
        for (size_t y = 0; y < TILE; y++) {
            column[y] = _mm512_load_ps(in + (y * TILE + x) * stride);
        }
        transform_output_line(column, results, result);
        for (int y = 0; y < results; y++) {
            halfway[y][x] = result[y];
        }
    }
    for (int y = 0; y < results; y++) {
        transform_output_line(halfway[y], results, out[y]);
    }
}

/* For each row of a product: 14 rows of two vectors leave four registers of 32. */
#define EACH_ROW(DO)                                                                              \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13)
#define START(r)                                                                                  \
    __m512 left##r = _mm512_setzero_ps();                                                         \
    __m512 right##r = _mm512_setzero_ps();
#define ADD_PRODUCT(r)                                                                            \
    {                                                                                             \
        __m512 value = _mm512_set1_ps(tiles[(r)*LANES]);                                          \
        left##r = _mm512_fmadd_ps(value, first, left##r);                                         \
        right##r = _mm512_fmadd_ps(value, second, right##r);                                      \
    }
#define STORE_ROW(r)                                                                              \
    _mm512_store_ps(products + (r)*COLS, left##r);                                                \
    _mm512_store_ps(products + (r)*COLS + LANES, right##r);

/* products (14, 32) = tiles x kernel, where tiles are (groups, 14, 16) for 14 tiles and 16 * groups
 * channels, and kernel is (16 * groups, 32). */
AVX512 static void
multiply(const float *tiles, const float *kernel, int groups, float *products)
{
    EACH_ROW(START)
    for (int group = 0; group < groups; group++) {
        for (int lane = 0; lane < LANES; lane++) {
            __m512 first = _mm512_loadu_ps(kernel);
            __m512 second = _mm512_loadu_ps(kernel + LANES);
            EACH_ROW(ADD_PRODUCT)
            kernel += COLS;
            tiles++;
        }
        tiles += (ROWS - 1) * LANES;
    }
    EACH_ROW(STORE_ROW)
}

/* Where a tile lies: its image, and the results that it begins with. */
typedef struct {
    size_t image;
    int y;
    int x;
} tile_place;

static tile_place
place_of(const gt_winograd *winograd, int64_t tile)
{
    int across = gt_winograd_tiles(winograd, winograd->to.width);
    int down = gt_winograd_tiles(winograd, winograd->to.height);
    int results = gt_winograd_results(winograd);
    return (tile_place){.image = (size_t)(tile / across / down),
                        .y = (int)(tile / across % down) * results,
                        .x = (int)(tile % across) * results};
}

/* Copy 16 channels of a tile that reaches beyond its map, with zeros for the padding. */
static void
copy_edge(const gt_winograd *winograd, const char *image, int top, int left, size_t size,
          char *edge)
{
    size_t length = LANES * size;
    for (int i = 0; i < POINTS; i++) {
        int y = top + i / TILE;
        int x = left + i % TILE;
        char *pixel = edge + (size_t)i * length;
        if (y < 0 || y >= winograd->from.height || x < 0 || x >= winograd->from.width) {
            memset(pixel, 0, length);
            continue;
        }
        size_t offset = (size_t)y * winograd->source.row + (size_t)x * winograd->source.pixel;
        memcpy(pixel, image + offset * size, length);
    }
}

/* Transform one tile; its first channel at point 0 goes to *out, its next 16 channels go 14 vectors
 * further, its next point `stride` further. */
INLINE_AVX512 void
read_tile(const gt_winograd *winograd, const char *source, tile_place place, bool bf16, float *out,
          size_t stride)
{
    size_t size = bf16 ? sizeof(uint16_t) : sizeof(float);
    int top = place.y - winograd->before[0];
    int left = place.x - winograd->before[1];
    bool whole = top >= 0 && left >= 0 && top + TILE <= winograd->from.height &&
                 left + TILE <= winograd->from.width;
    const char *image = source + place.image * winograd->source.image * size;
    for (int group = 0; group < winograd->from.channels / LANES; group++) {
        if (whole) {
            size_t offset = (size_t)top * winograd->source.row +
                            (size_t)left * winograd->source.pixel;
            transform_input(image + offset * size, winograd->source.row * size,
                            winograd->source.pixel * size, bf16, out, stride);
        }
        else {
            char edge[POINTS * LANES * sizeof(float)];
            copy_edge(winograd, image, top, left, size, edge);
            transform_input(edge, TILE * LANES * size, LANES * size, bf16, out, stride);
        }
        image += winograd->source.group * size;
        out += ROWS * LANES;
    }
}

/* Transform the products of one tile back, 16 channels of it, and write what lies in the map. */
INLINE_AVX512 void
write_tile(const gt_winograd *winograd, const float *products, size_t stride, const float *shift,
           tile_place place, int results, bool bf16, char *target)
{
    size_t size = bf16 ? sizeof(uint16_t) : sizeof(float);
    const __m512 low = constant((double)winograd->low);
    const __m512 high = constant((double)winograd->high);
    const __m512 addend = _mm512_loadu_ps(shift);
    int height = winograd->to.height - place.y;
    int width = winograd->to.width - place.x;
    __m512 values[MOST_RESULTS][MOST_RESULTS];
    target += (place.image * winograd->target.image + (size_t)place.y * winograd->target.row +
               (size_t)place.x * winograd->target.pixel) * size;
    transform_output(products, stride, results, values);
    for (int y = 0; y < results; y++) {
        for (int x = 0; x < results; x++) {
            if (y < height && x < width) {
                __m512 value = _mm512_add_ps(values[y][x], addend);
                value = _mm512_min_ps(high, _mm512_max_ps(low, value)); /* lets NaN through */
                store(target + ((size_t)y * winograd->target.row +
                                (size_t)x * winograd->target.pixel) * size, value, bf16);
            }
        }
    }
}

INLINE_AVX512 void
run_block(const gt_winograd *winograd, const char *source, const float *packed,
          const float *shift, char *target, float *scratch, int64_t first, int count, bool bf16,
          int results)
{
    size_t channels = (size_t)winograd->from.channels;
    size_t rounded = (size_t)(count + ROWS - 1) / ROWS * ROWS;
    size_t size = bf16 ? sizeof(uint16_t) : sizeof(float);
    float *tiles = scratch;                                 /* (36, rounded, channels) */
    float *products = scratch + POINTS * rounded * channels; /* (36, rounded, 32) */
    for (int i = 0; i < count; i++) {
        float *out = tiles + (size_t)(i / ROWS) * ROWS * channels + (size_t)(i % ROWS) * LANES;
        read_tile(winograd, source, place_of(winograd, first + i), bf16, out, rounded * channels);
    }
    for (int out = 0; out < winograd->to.channels; out += COLS) {
        for (size_t point = 0; point < POINTS; point++) {
            for (size_t row = 0; row < rounded; row += ROWS) {
                multiply(tiles + (point * rounded + row) * channels, packed,
                         (int)channels / LANES, products + (point * rounded + row) * COLS);
            }
            packed += channels * COLS;
        }
        for (int i = 0; i < count; i++) {
            tile_place place = place_of(winograd, first + i);
            for (int c = 0; c < COLS; c += LANES) {
                size_t group = (size_t)(out + c) / LANES;
                write_tile(winograd, products + (size_t)i * COLS + c, rounded * COLS,
                           shift + out + c, place, results, bf16,
                           target + group * winograd->target.group * size);
            }
        }
    }
}

/* One function for each type and kernel, so that the loops above have constant bounds. */
#define DEFINE_RUN_BLOCK(name, bf16, results)                                                     \
    AVX512 static void name(const gt_winograd *winograd, const char *source, const float *packed, \
                            const float *shift, char *target, float *scratch, int64_t first,      \
                            int count)                                                            \
    {                                                                                             \
        run_block(winograd, source, packed, shift, target, scratch, first, count, bf16, results); \
    }

DEFINE_RUN_BLOCK(run_float32_3x3, false, 4)
DEFINE_RUN_BLOCK(run_float32_5x5, false, 2)
DEFINE_RUN_BLOCK(run_bf16_3x3, true, 4)
DEFINE_RUN_BLOCK(run_bf16_5x5, true, 2)

void
gt_winograd_run_block(const gt_winograd *winograd, const void *source, const float *packed,
                      const float *shift, void *target, float *scratch, int64_t first, int count)
{
    bool three = winograd->size == 3;
    if (winograd->bf16) {
        (three ? run_bf16_3x3 : run_bf16_5x5)(winograd, source, packed, shift, target, scratch,
                                              first, count);
        return;
    }
    (three ? run_float32_3x3 : run_float32_5x5)(winograd, source, packed, shift, target, scratch,
                                                first, count);
}

#else

void
gt_winograd_run_block(const gt_winograd *winograd, const void *source, const float *packed,
                      const float *shift, void *target, float *scratch, int64_t first, int count)
{
    (void)winograd, (void)source, (void)packed, (void)shift, (void)target;
    (void)scratch, (void)first, (void)count;
}

#endif
