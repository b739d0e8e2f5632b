/* The stages over vectors, for each set of instructions once.  Before the inclusion stand one of
 * common/simd_*.h; TYPE, the type of the maps; STAGE and INLINE, the attributes of a function; ROWS
 * and STEP, rows of a product at a time and what they are padded to; and as functions on vectors
 *   load_word (one word in all lanes), add_words (products of words), times_power (value * 2^n) and
 *   store_weights (of a vector, in its place among words). */
#ifndef GT_ATTENTION_VECTORS_H
#define GT_ATTENTION_VECTORS_H

#include <math.h>
#include <string.h>

#include "kernels/attention/attention_stages.h"

enum { LANES = SIMD_LANES };

/* Some rows of one panel. */
INLINE void
multiply_tile(const gt_attention_product *product, int row, int column, int rows, int vectors)
{
    const uint32_t *left = product->left + (size_t)row * product->left_row;
    const uint32_t *right = product->right + (size_t)column * (size_t)product->words;
    float *to = product->sums + (size_t)row * product->sums_row + column;
    vector sums[ROWS][2];
    UNROLLED
    for (int m = 0; m < rows; m++) {
        UNROLLED
        for (int n = 0; n < vectors; n++) {
            sums[m][n] = all(0.0f);
        }
    }
    ROLLED
    for (int word = 0; word < product->words; word++) {
        vector columns[2];
        UNROLLED
        for (int n = 0; n < vectors; n++) {
            columns[n] = load((const char *)(right + n * LANES), GT_MAP_FLOAT32);
        }
        UNROLLED
        for (int m = 0; m < rows; m++) {
            vector value = load_word(left + (size_t)m * product->left_row + word);
            UNROLLED
            for (int n = 0; n < vectors; n++) {
                sums[m][n] = add_words(value, columns[n], sums[m][n]);
            }
        }
        right += vectors * LANES;
    }
    UNROLLED
    for (int m = 0; m < rows; m++) {
        UNROLLED
        for (int n = 0; n < vectors; n++) {
            store((char *)(to + (size_t)m * product->sums_row + n * LANES), sums[m][n],
                  GT_MAP_FLOAT32);
        }
    }
}

/* All rows of one panel. */
INLINE void
multiply_panel(const gt_attention_product *product, int column, int vectors)
{
    int row = 0;
    for (; row + ROWS <= product->rows; row += ROWS) {
        multiply_tile(product, row, column, ROWS, vectors);
    }
    if (row + 2 * STEP <= product->rows) {
        multiply_tile(product, row, column, 2 * STEP, vectors);
    }
    else if (row < product->rows) {
        multiply_tile(product, row, column, STEP, vectors);
    }
}

static STAGE void
multiply_words(const gt_attention_product *product)
{
    int column = 0;
    for (; column + 2 * LANES <= product->columns; column += 2 * LANES) {
        multiply_panel(product, column, 2);
    }
    if (column < product->columns) {
        multiply_panel(product, column, 1);
    }
}

/* 2^x of x up to 0, to a unit or two in the last place: 2^n times that of the rest, within 1/2 of 0, by
 * Taylor's polynomial.  What is not a number stays so. */
INLINE vector
power_of_two(vector x)
{
    x = max_of(all(-126.0f), x);
    vector magic = all(0x1.8p23f); /* beside it there is no room for fractions */
    vector n = subtract(add(x, magic), magic);
    x = subtract(x, n);
    vector sum = all(0x1.430912p-13f); /* ln(2)^6 / 6! and so on */
    sum = add_product(sum, x, all(0x1.5d87fep-10f));
    sum = add_product(sum, x, all(0x1.3b2ab6p-7f));
    sum = add_product(sum, x, all(0x1.c6b08ep-5f));
    sum = add_product(sum, x, all(0x1.ebfbep-3f));
    sum = add_product(sum, x, all(0x1.62e43p-1f));
    return times_power(add_product(sum, x, all(1.0f)), n);
}

/* Scale the scores and add what is to be added to them; their largest. */
INLINE vector
complete_scores(float *scores, const float *addend, int columns, float scale)
{
    vector largest = all(-INFINITY);
    for (int i = 0; i < columns; i += LANES) {
        vector score = load((const char *)(scores + i), GT_MAP_FLOAT32);
        if (addend != NULL) {
            score = add_times(scale, score, load((const char *)(addend + i), GT_MAP_FLOAT32));
            store((char *)(scores + i), score, GT_MAP_FLOAT32);
        }
        largest = max_of(largest, score);
    }
    return largest;
}

/* e^x is 2^(x / ln(2)), of which the division is part of the scale. */
static STAGE float
weigh_scores(float *scores, const float *addend, int count, int columns, float scale)
{
    vector sum = all(0.0f);
    for (int i = count; i < columns; i++) {
        scores[i] = -INFINITY;
    }
    float largest = largest_of(complete_scores(scores, addend, columns, scale));
    float factor = (addend != NULL ? 1.0f : scale) * 0x1.715476p+0f;
    vector shift = all(-largest * factor);
    for (int i = 0; i < columns; i += LANES) {
        vector score = load((const char *)(scores + i), GT_MAP_FLOAT32);
        vector weight = power_of_two(add_times(factor, score, shift));
        sum = add(sum, weight);
        store_weights(scores, i, weight);
    }
    return sum_of(sum);
}

static STAGE void
finish_sums(const float *sums, float factor, int count, void *target)
{
    char *to = target;
    size_t size = gt_attention_size(TYPE);
    int i = 0;
    for (; i + LANES <= count; i += LANES) {
        vector value = load((const char *)(sums + i), GT_MAP_FLOAT32);
        store(to + (size_t)i * size, multiply(value, all(factor)), TYPE);
    }
    if (i < count) {
        char rest[LANES * sizeof(float)];
        vector value = load((const char *)(sums + i), GT_MAP_FLOAT32);
        store(rest, multiply(value, all(factor)), TYPE);
        memcpy(to + (size_t)i * size, rest, (size_t)(count - i) * size);
    }
}

#endif
