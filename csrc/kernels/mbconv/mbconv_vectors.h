/* The stages over vectors, for each set of instructions once.  Before the inclusion stand TYPE, the
 * type between the convolutions; STAGE and INLINE, the attributes of a function; the type `vector`,
 * of LANES numbers or words; PIXELS, of a 1x1 convolution at a time; and as functions on vectors
 * zero, all, load, store, load_word (into all lanes), load_map, store_map, add, multiply,
 * add_product, least, most, add_words, and for bytes those of mbconv_quads. */
#ifndef GT_MBCONV_VECTORS_H
#define GT_MBCONV_VECTORS_H

#include "kernels/mbconv/mbconv_stages.h"

enum {
    VECTOR = LANES * 4, /* bytes */
    COLUMNS = 8,        /* of a depthwise convolution at a time */
    NUMBER = TYPE == GT_MAP_U8 ? 1
    : TYPE == GT_MAP_BF16      ? 2
                               : 4, /* bytes */
    IS_BYTES = TYPE == GT_MAP_U8
};

/* Loops over what lies in registers must be unrolled whole, or it would not lie there. */
#if defined(__clang__)
#define UNROLLED _Pragma("unroll")
#elif __GNUC__ >= 8
#define UNROLLED _Pragma("GCC unroll 16")
#define ROLLED _Pragma("GCC unroll 1")
#else
#define UNROLLED
#endif
#ifndef ROLLED
#define ROLLED
#endif

INLINE vector
bound(vector value, float low, float high)
{
    return least(most(value, all(low)), all(high));
}

/* The sums of some pixels, for the vectors of the tile. */
INLINE void
multiply_pixels(const gt_mbconv_product *product, const char *from, int pixels, int vectors,
                sums_vector sums[PIXELS][GT_MBCONV_TILE])
{
    const char *weights = product->weights;
    size_t step = product->pixel;
    UNROLLED
    for (int n = 0; n < vectors; n++) {
        sums_vector start = start_sums(product->shift + n * LANES);
        UNROLLED
        for (int m = 0; m < pixels; m++) {
            sums[m][n] = start;
        }
    }
    for (int part = 0; part < product->parts; part++) {
        for (int word = 0; word < product->words; word++) {
            vector weight[GT_MBCONV_TILE];
            UNROLLED
            for (int n = 0; n < vectors; n++) {
                weight[n] = load(weights + n * VECTOR);
            }
            UNROLLED
            for (int m = 0; m < pixels; m++) {
                vector value = load_word(from + (size_t)m * step + (size_t)word * GT_MBCONV_WORD);
                UNROLLED
                for (int n = 0; n < vectors; n++) {
                    sums[m][n] = add_words(value, weight[n], sums[m][n]);
                }
            }
            weights += vectors * VECTOR;
        }
        from += product->part;
    }
}

/* What becomes of sums of bytes, for vector `n` of a tile; others have begun with the shift. */
INLINE vector
finish_sums(sums_vector sums, const gt_mbconv_product *product, int n)
{
#if TYPE_IS_BYTES
    return add_product(to_floats(sums), load(product->scales + n * LANES),
                       load(product->shift + n * LANES));
#else
    (void)product, (void)n;
    return sums;
#endif
}

/* The results of a vector of channels out; vector `n` of the tile. */
INLINE void
store_expanded(const gt_mbconv *block, const gt_mbconv_product *product, int x, int pixels, int n,
               sums_vector sums[PIXELS][GT_MBCONV_TILE])
{
    char *to = product->to + (size_t)n * product->to_vector;
#if TYPE_IS_BYTES
    vector high = all(block->expansion.high / block->expansion.scale);
    vector results[PIXELS];
    UNROLLED
    for (int m = 0; m < PIXELS; m++) {
        results[m] =
            m < pixels ? to_integers(least(finish_sums(sums[m][n], product, n), high)) : zero();
    }
    store_quad(to + x * LANES, results[0], results[1], results[2], results[3]);
    if (pixels > GT_MBCONV_QUAD) {
        store_quad(to + (x + GT_MBCONV_QUAD) * LANES, results[4], results[5], results[6],
                   results[7]);
    }
#else
    UNROLLED
    for (int m = 0; m < pixels; m++) {
        store(to + (x + m) * VECTOR, bound(finish_sums(sums[m][n], product, n),
                                           block->expansion.low, block->expansion.high));
    }
#endif
}

INLINE void
expand_pixels(const gt_mbconv *block, const gt_mbconv_product *product, int x, int pixels,
              int vectors)
{
    sums_vector sums[PIXELS][GT_MBCONV_TILE];
    multiply_pixels(product, product->from + (size_t)x * product->pixel, pixels, vectors, sums);
    UNROLLED
    for (int n = 0; n < vectors; n++) {
        store_expanded(block, product, x, pixels, n, sums);
    }
}

/* One of the sizes that a loop over pixels or columns needs, each compiled with its own constants. */
#define EACH_PIXEL_COUNT(DO)                                                                       \
    switch (count) {                                                                               \
    case 1:                                                                                        \
        DO(1);                                                                                     \
        break;                                                                                     \
    case 2:                                                                                        \
        DO(2);                                                                                     \
        break;                                                                                     \
    case 3:                                                                                        \
        DO(3);                                                                                     \
        break;                                                                                     \
    case 4:                                                                                        \
        DO(4);                                                                                     \
        break;                                                                                     \
    case 5:                                                                                        \
        DO(5);                                                                                     \
        break;                                                                                     \
    case 6:                                                                                        \
        DO(6);                                                                                     \
        break;                                                                                     \
    case 7:                                                                                        \
        DO(7);                                                                                     \
        break;                                                                                     \
    default:                                                                                       \
        DO(8);                                                                                     \
        break;                                                                                     \
    }

/* Pixels to be taken next of those that are left: as even as can be, of bytes whole quads. */
INLINE int
take_pixels(int left, int at_a_time, bool in_quads)
{
    int parts = (left + at_a_time - 1) / at_a_time;
    return in_quads ? (left < at_a_time ? left : at_a_time) : (left + parts - 1) / parts;
}

INLINE void
expand_row(const gt_mbconv *block, const gt_mbconv_product *product, int vectors)
{
    int count = 0;
    for (int x = 0; x < product->pixels; x += count) {
        count = take_pixels(product->pixels - x, PIXELS, IS_BYTES);
#define DO(n) expand_pixels(block, product, x, (n) < PIXELS ? (n) : PIXELS, vectors)
        EACH_PIXEL_COUNT(DO)
#undef DO
    }
}

STAGE static void
expand(const gt_mbconv *block, const gt_mbconv_product *product)
{
    switch (product->vectors) {
    case 1:
        expand_row(block, product, 1);
        break;
    case 2:
        expand_row(block, product, 2);
        break;
    default:
        expand_row(block, product, 3);
        break;
    }
}

INLINE void
project_pixels(const gt_mbconv *block, const gt_mbconv_product *product, int first, int pixels,
               int vectors)
{
    sums_vector sums[PIXELS][GT_MBCONV_TILE];
    size_t bytes = gt_mbconv_bytes(block->target);
    size_t residual_bytes = gt_mbconv_bytes(block->source);
    multiply_pixels(product, product->from + (size_t)first * product->pixel, pixels, vectors, sums);
    UNROLLED
    for (int n = 0; n < vectors; n++) {
        int left = product->channels - n * LANES;
        int channels = left < LANES ? left : LANES;
        UNROLLED
        for (int m = 0; m < pixels; m++) {
            size_t pixel = (size_t)(first + m);
            vector value = finish_sums(sums[m][n], product, n);
            if (product->residual != NULL) {
                const char *residual = product->residual + pixel * product->residual_pixel +
                                       (size_t)n * LANES * residual_bytes;
                value = add(value, load_map(residual, block->source, channels));
            }
            store_map(product->to + pixel * product->to_pixel + (size_t)n * LANES * bytes,
                      block->target, channels, bound(value, product->low, product->high));
        }
    }
}

INLINE void
project_tile(const gt_mbconv *block, const gt_mbconv_product *product, int vectors)
{
    int count = 0;
    for (int first = 0; first < product->pixels; first += count) {
        count = take_pixels(product->pixels - first, PIXELS, false);
#define DO(n) project_pixels(block, product, first, (n) < PIXELS ? (n) : PIXELS, vectors)
        EACH_PIXEL_COUNT(DO)
#undef DO
    }
}

STAGE static void
project(const gt_mbconv *block, const gt_mbconv_product *product)
{
    switch (product->vectors) {
    case 1:
        project_tile(block, product, 1);
        break;
    case 2:
        project_tile(block, product, 2);
        break;
    default:
        project_tile(block, product, 3);
        break;
    }
}

#if !TYPE_IS_BYTES

INLINE void
convolve_columns(const gt_mbconv *block, const gt_mbconv_row *row, int x, int columns, int size,
                 int stride)
{
    vector sums[COLUMNS];
    const char *weights = row->weights;
    UNROLLED
    for (int i = 0; i < columns; i++) {
        sums[i] = load(row->shift);
    }
    ROLLED
    for (int dy = 0; dy < size; dy++) {
        const char *from = row->rows[dy] + (x * stride - block->before[1]) * VECTOR;
        UNROLLED
        for (int dx = 0; dx < size; dx++) {
            vector weight = load(weights);
            UNROLLED
            for (int i = 0; i < columns; i++) {
                sums[i] = add_product(load(from + (i * stride + dx) * VECTOR), weight, sums[i]);
            }
            weights += VECTOR;
        }
    }
    UNROLLED
    for (int i = 0; i < columns; i++) {
        store_map(row->to + (x + i) * LANES * NUMBER, TYPE, LANES,
                  bound(sums[i], block->depthwise.low, block->depthwise.high));
    }
}

INLINE void
convolve_row(const gt_mbconv *block, const gt_mbconv_row *row, int size, int stride)
{
    int count = 0;
    for (int x = 0; x < row->columns; x += count) {
        count = take_pixels(row->columns - x, COLUMNS, false);
#define DO(n) convolve_columns(block, row, x, n, size, stride)
        EACH_PIXEL_COUNT(DO)
#undef DO
    }
}

STAGE static void
convolve(const gt_mbconv *block, const gt_mbconv_row *row)
{
    if (block->size == 3 && block->stride == 1) {
        convolve_row(block, row, 3, 1);
    }
    else if (block->size == 3) {
        convolve_row(block, row, 3, 2);
    }
    else if (block->stride == 1) {
        convolve_row(block, row, 5, 1);
    }
    else {
        convolve_row(block, row, 5, 2);
    }
}

STAGE static void
spread(const gt_mbconv *block, const char *from, char *to, size_t vector_size)
{
    for (int c = 0; c < block->channels; c += LANES) {
        int left = block->channels - c;
        int channels = left < LANES ? left : LANES;
        const char *place = from + c * NUMBER;
        for (int x = 0; x < block->from.width; x++) {
            store(to + x * VECTOR, load_map(place, TYPE, channels));
            place += block->channels * NUMBER;
        }
        to += vector_size;
    }
}

#else

/* Results from a tile's first column on; `before` is the padding to the left. */
INLINE void
convolve_columns(const gt_mbconv *block, const gt_mbconv_row *row, int x, int size, int stride,
                 int before)
{
    enum { MAX_QUADS = COLUMNS * 2 / GT_MBCONV_QUAD + 3 };
    sums_vector sums[COLUMNS];
    vector results[COLUMNS];
    const char *weights = row->weights;
    UNROLLED
    for (int i = 0; i < COLUMNS; i++) {
        sums[i] = start_sums(row->shift);
    }
    ROLLED
    for (int dy = 0; dy < size; dy++) {
        const char *from = row->rows[dy] + (x * stride) * LANES;
        UNROLLED
        for (int phase = 0; phase < GT_MBCONV_QUAD; phase++) {
            UNROLLED
            for (int side = 0; side < 2; side++) {
                if (side == 1 && phase + size <= GT_MBCONV_QUAD) {
                    continue;
                }
                vector weight = load(weights + (2 * phase + side) * VECTOR);
                UNROLLED
                for (int i = 0; i < COLUMNS; i++) {
                    int start = i * stride - before + GT_MBCONV_QUAD; /* not negative */
                    if (start % GT_MBCONV_QUAD == phase) {
                        int quad = start / GT_MBCONV_QUAD - 1 + side;
                        sums[i] = add_words(load(from + quad * VECTOR), weight, sums[i]);
                    }
                }
            }
        }
        weights += GT_MBCONV_VARIANTS * VECTOR;
    }
    vector high = all(block->depthwise.high / block->depthwise.scale);
    vector scale = load(row->scales);
    vector shift = load(row->shift);
    UNROLLED
    for (int i = 0; i < COLUMNS; i++) {
        results[i] = to_integers(least(add_product(to_floats(sums[i]), scale, shift), high));
    }
    store_pixels(row->to + x * LANES, results[0], results[1], results[2], results[3]);
    if (x + GT_MBCONV_QUAD < row->columns) {
        store_pixels(row->to + (x + GT_MBCONV_QUAD) * LANES, results[4], results[5], results[6],
                     results[7]);
    }
}

INLINE void
convolve_row(const gt_mbconv *block, const gt_mbconv_row *row, int size, int stride, int before)
{
    for (int x = 0; x < row->columns; x += COLUMNS) {
        convolve_columns(block, row, x, size, stride, before);
    }
}

STAGE static void
convolve(const gt_mbconv *block, const gt_mbconv_row *row)
{
    bool middle = block->before[1] == (block->size - 1) / 2;
    if (block->size == 3 && block->stride == 1) {
        convolve_row(block, row, 3, 1, 1);
    }
    else if (block->size == 3 && middle) {
        convolve_row(block, row, 3, 2, 1);
    }
    else if (block->size == 3) {
        convolve_row(block, row, 3, 2, 0);
    }
    else if (block->stride == 1) {
        convolve_row(block, row, 5, 1, 2);
    }
    else if (middle) {
        convolve_row(block, row, 5, 2, 2);
    }
    else {
        convolve_row(block, row, 5, 2, 1);
    }
}

STAGE static void
spread(const gt_mbconv *block, const char *from, char *to, size_t vector_size)
{
    size_t pixel = (size_t)block->channels;
    for (int c = 0; c < block->channels; c += LANES) {
        int left = block->channels - c;
        int channels = left < LANES ? left : LANES;
        for (int x = 0; x < block->from.width; x += GT_MBCONV_QUAD) {
            vector quad[GT_MBCONV_QUAD];
            UNROLLED
            for (int i = 0; i < GT_MBCONV_QUAD; i++) {
                quad[i] = x + i < block->from.width
                              ? load_integers(from + (size_t)(x + i) * pixel + c, channels)
                              : zero();
            }
            store_quad(to + x * LANES, quad[0], quad[1], quad[2], quad[3]);
        }
        to += vector_size;
    }
}

#endif

STAGE static void
narrow(const gt_mbconv *block, const char *from, size_t count, uint8_t *to)
{
    size_t bytes = gt_mbconv_bytes(block->source);
    vector factor = all(1.0f / block->source_scale);
    for (size_t i = 0; i < count; i += LANES) {
        int left = count - i < LANES ? (int)(count - i) : LANES;
        vector value = multiply(load_map(from + i * bytes, block->source, left), factor);
        store_signed(to + i, left, bound(value, -GT_MBCONV_ZERO, GT_MBCONV_ZERO - 1));
    }
}

static gt_mbconv_stages
all_stages(void)
{
    return (gt_mbconv_stages){LANES, expand, spread, narrow, convolve, project};
}

#endif
