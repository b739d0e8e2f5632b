/* The stages over vectors, for each set of instructions once.  Before the inclusion stand TYPE, the
 * type between the convolutions; GROUP, its numbers in a group, and INNER_GROUP, those between the convolutions; STAGE and INLINE, the attributes of a
 * function; the types `vector` and sums_vector; LANES; PIXELS, of a product at a time; and as functions
 * on vectors
 *   zero, all, load, store, add, multiply, add_product, least, most,
 *   load_group (one of a pixel, into all lanes), load_map, store_map, store_signed,
 *   start_sums, add_groups (of the expansion), add_projected, scale_sums, finish_sums (expanded numbers),
 *   columns_vector, start_columns, add_columns and finish_columns, likewise of a depthwise convolution,
 *   load_column, store_columns and store_results. */
#ifndef GT_MBCONV_VECTORS_H
#define GT_MBCONV_VECTORS_H

#include "kernels/mbconv/mbconv_stages.h"

enum {
    VECTOR = LANES * GT_MBCONV_WORD,      /* bytes */
    INNER = GT_MBCONV_WORD / INNER_GROUP, /* bytes of a number between the convolutions */
    COLUMNS = 8                           /* of a depthwise convolution at a time */
};

/* The sums of some pixels, for the vectors of the tile. */
INLINE void
multiply_pixels(const gt_mbconv_product *product, const char *from, int pixels, int vectors,
                bool projects, sums_vector sums[PIXELS][GT_MBCONV_TILE])
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
        for (int group = 0; group < product->groups; group++) {
            vector weight[GT_MBCONV_TILE];
            UNROLLED
            for (int n = 0; n < vectors; n++) {
                weight[n] = load(weights + n * VECTOR);
            }
            UNROLLED
            for (int m = 0; m < pixels; m++) {
                vector value = load_group(from + (size_t)m * step + (size_t)group * GT_MBCONV_WORD);
                UNROLLED
                for (int n = 0; n < vectors; n++) {
                    sums[m][n] = projects ? add_projected(value, weight[n], sums[m][n])
                                          : add_groups(value, weight[n], sums[m][n]);
                }
            }
            weights += vectors * VECTOR;
        }
        from += product->part;
    }
}

/* The results of a vector of channels out, vector `n` of the tile. */
INLINE void
store_expanded(const gt_mbconv *block, const gt_mbconv_product *product, int x, int pixels, int n,
               sums_vector sums[PIXELS][GT_MBCONV_TILE])
{
    char *to = product->to + (size_t)n * product->to_vector + x / INNER_GROUP * VECTOR;
    vector scale = load(product->scales + n * LANES);
    vector shift = load(product->shift + n * LANES);
    vector results[PIXELS];
    UNROLLED
    for (int m = 0; m < PIXELS; m++) {
        results[m] = m < pixels ? finish_sums(sums[m][n], scale, shift, &block->expansion) : zero();
    }
    UNROLLED
    for (int m = 0; m < PIXELS; m += INNER_GROUP) {
        if (m < pixels) {
            store_columns(to + m / INNER_GROUP * VECTOR, results + m);
        }
    }
}

INLINE void
expand_pixels(const gt_mbconv *block, const gt_mbconv_product *product, int x, int pixels,
              int vectors)
{
    sums_vector sums[PIXELS][GT_MBCONV_TILE];
    multiply_pixels(product, product->from + (size_t)x * product->pixel, pixels, vectors, false,
                    sums);
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

/* Pixels to be taken next of those that are left: as even as can be, or the next multiple of `group`. */
INLINE int
take_pixels(int left, int at_a_time, int group)
{
    int parts = (left + at_a_time - 1) / at_a_time;
    int share = ((left + parts - 1) / parts + group - 1) / group * group;
    return share < left ? share : left;
}

INLINE void
expand_row(const gt_mbconv *block, const gt_mbconv_product *product, int vectors)
{
    int count = 0;
    for (int x = 0; x < product->pixels; x += count) {
        count = take_pixels(product->pixels - x, PIXELS, INNER_GROUP);
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
    multiply_pixels(product, product->from + (size_t)first * product->pixel, pixels, vectors, true,
                    sums);
    UNROLLED
    for (int n = 0; n < vectors; n++) {
        vector scale = load(product->scales + n * LANES);
        vector shift = load(product->shift + n * LANES);
        int left = product->channels - n * LANES;
        int channels = left < LANES ? left : LANES;
        UNROLLED
        for (int m = 0; m < pixels; m++) {
            size_t pixel = (size_t)(first + m);
            vector value = scale_sums(sums[m][n], scale, shift);
            if (product->residual != NULL) {
                const char *residual = product->residual + pixel * product->residual_pixel +
                                       (size_t)n * LANES * residual_bytes;
                value = add(value, load_map(residual, block->source, channels));
            }
            store_map(product->to + pixel * product->to_pixel + (size_t)n * LANES * bytes,
                      block->target, channels,
                      least(most(value, all(product->low)), all(product->high)));
        }
    }
}

INLINE void
project_tile(const gt_mbconv *block, const gt_mbconv_product *product, int vectors)
{
    int count = 0;
    for (int first = 0; first < product->pixels; first += count) {
        count = take_pixels(product->pixels - first, PIXELS, 1);
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

/* Results from column `x` on, which is the first of a group of columns of the source; they begin at
 * `phase` of a group. */
INLINE void
convolve_columns(const gt_mbconv *block, const gt_mbconv_row *row, int x, int columns, int size,
                 int stride, int phase_of_first)
{
    enum { MAX_SIDES = GT_MBCONV_MAX_SIZE };
    const int sides = (size + 2 * (INNER_GROUP - 1)) / INNER_GROUP;
    const char *weights = row->weights;
    int first = gt_mbconv_group_of(x * stride - block->before[1], INNER_GROUP);
    columns_vector sums[COLUMNS];
    UNROLLED
    for (int i = 0; i < columns; i++) {
        sums[i] = start_columns(row->shift);
    }
    ROLLED
    for (int dy = 0; dy < size; dy++) {
        const char *from = row->rows[dy] + first * VECTOR;
        UNROLLED
        for (int phase = 0; phase < INNER_GROUP; phase++) {
            UNROLLED
            for (int side = 0; side < MAX_SIDES; side++) {
                if (side >= sides || phase + size <= side * INNER_GROUP) {
                    continue;
                }
                vector weight = load(weights + (phase * sides + side) * VECTOR);
                UNROLLED
                for (int i = 0; i < columns; i++) {
                    int start = phase_of_first + i * stride;
                    if (start % INNER_GROUP == phase) {
                        sums[i] = add_columns(load(from + (start / INNER_GROUP + side) * VECTOR),
                                              weight, sums[i]);
                    }
                }
            }
        }
        weights += INNER_GROUP * sides * VECTOR;
    }
    vector scale = load(row->scales);
    vector shift = load(row->shift);
    vector results[COLUMNS];
    UNROLLED
    for (int i = 0; i < columns; i++) {
        results[i] = finish_columns(sums[i], scale, shift, &block->depthwise);
    }
    store_results(row->to + x * LANES * INNER, results, columns);
}

INLINE void
convolve_row(const gt_mbconv *block, const gt_mbconv_row *row, int size, int stride, int before)
{
    int count = 0;
    for (int x = 0; x < row->columns; x += count) {
        count = take_pixels(row->columns - x, COLUMNS, INNER_GROUP);
#define DO(n) convolve_columns(block, row, x, n, size, stride, (8 - before) % INNER_GROUP)
        EACH_PIXEL_COUNT(DO)
#undef DO
    }
}

STAGE static void
convolve(const gt_mbconv *block, const gt_mbconv_row *row)
{
    bool middle = INNER_GROUP == 1 || block->before[1] == (block->size - 1) / 2;
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
    size_t bytes = gt_mbconv_bytes(block->source);
    size_t pixel = (size_t)block->inner.channels * bytes;
    for (int c = 0; c < block->inner.channels; c += LANES) {
        int left = block->inner.channels - c;
        int channels = left < LANES ? left : LANES;
        for (int x = 0; x < block->inner.width; x += INNER_GROUP) {
            vector columns[INNER_GROUP];
            UNROLLED
            for (int i = 0; i < INNER_GROUP; i++) {
                columns[i] =
                    x + i < block->inner.width
                        ? load_column(block, from + (size_t)(x + i) * pixel + (size_t)c * bytes,
                                      channels)
                        : zero();
            }
            store_columns(to + x / INNER_GROUP * VECTOR, columns);
        }
        to += vector_size;
    }
}

STAGE static void
narrow(const gt_mbconv *block, const char *from, size_t count, uint8_t *to)
{
    size_t bytes = gt_mbconv_bytes(block->source);
    vector factor = all(1.0f / block->source_scale);
    for (size_t i = 0; i < count; i += LANES) {
        int left = count - i < LANES ? (int)(count - i) : LANES;
        vector value = multiply(load_map(from + i * bytes, block->source, left), factor);
        store_signed(to + i, left,
                     least(most(value, all(-GT_MBCONV_ZERO)), all(GT_MBCONV_ZERO - 1)));
    }
}

static gt_mbconv_stages
all_stages(void)
{
    return (gt_mbconv_stages){LANES, expand, spread, narrow, convolve, project};
}

#endif
