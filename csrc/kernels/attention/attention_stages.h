/* The stages of attention, and what they work on.  A word is what one multiplication takes of a
 * row: one float32, or two bfloat16 that are neighbours. */
#ifndef GT_ATTENTION_STAGES_H
#define GT_ATTENTION_STAGES_H

#include <stddef.h>
#include <stdint.h>

#include "common/unrolled.h"
#include "kernels/attention/attention_types.h"

/* sums = left x right.  The columns of `right` lie in panels of two vectors, the last of one or two,
 * and in each panel word after word. */
typedef struct {
    const uint32_t *left; /* (rows, words) */
    size_t left_row;      /* words from one row to the next */
    const uint32_t *right;
    int words;
    float *sums; /* (rows, columns) */
    size_t sums_row;
    int rows;    /* a multiple of the stages' */
    int columns; /* a multiple of their lanes */
} gt_attention_product;

typedef struct {
    int lanes; /* of a vector; 0 where there are no stages */
    int rows;  /* that rows are padded to a multiple of */
    const char *name;

    void (*multiply)(const gt_attention_product *product);

    /* Turn `count` scores into weights: exp(scale * score + addend) over that of the largest, as
     * words, with zeros up to `columns`; `addend` has as many numbers or is NULL.  Returns their
     * sum. */
    float (*weigh)(float *scores, const float *addend, int count, int columns, float scale);

    /* Write the first numbers of a row of sums, each times a factor. */
    void (*finish)(const float *sums, float factor, int count, void *target);
} gt_attention_stages;

/* In plain C, and for each set of instructions; none where the compiler does not know it. */
gt_attention_stages gt_attention_plain(gt_map_type type);
gt_attention_stages gt_attention_avx2(void);        /* float32 */
gt_attention_stages gt_attention_avx512(void);      /* float32 */
gt_attention_stages gt_attention_avx512_bf16(void); /* bfloat16 */

/* Those of this processor. */
gt_attention_stages gt_attention_choose(const gt_attention *attention);

/* Rows of numbers become the columns of a product: `count` of them, then zeros up to `columns`. */
void gt_attention_pack_columns(gt_map_type type, const char *const *rows, int count, int columns,
                               int numbers, int lanes, uint32_t *packed);

/* Rows of numbers become the words of a product, with zeros up to `columns`. */
void gt_attention_pack_rows(gt_map_type type, const char *const *rows, int count, int columns,
                            int numbers, int lanes, uint32_t *packed);

/* Words of so many numbers. */
static inline int
gt_attention_words(gt_map_type type, int numbers)
{
    return type == GT_MAP_BF16 ? (numbers + 1) / 2 : numbers;
}

/* Bytes of a number. */
static inline size_t
gt_attention_size(gt_map_type type)
{
    return type == GT_MAP_BF16 ? sizeof(uint16_t) : sizeof(float);
}

#endif
