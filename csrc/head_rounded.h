/* What products of large minibatches read in bfloat16, which some processors multiply two to several
 * times as fast as float32. */
#ifndef GT_HEAD_ROUNDED_H
#define GT_HEAD_ROUNDED_H

#include "head.h"

/* Whether training with minibatches of so many samples is faster so on this processor.  Never depends
 * on the threads. */
bool gt_rounding_pays(int64_t samples, int64_t weights);

/* Arrays for the weights and for `rows` rows of the layers of which anything is rounded.  Free with
 * gt_head_rounded_free, also after a failure. */
gt_status gt_head_rounded_create(const gt_head_config *config, int64_t rows,
                                 gt_head_rounded *rounded, gt_error *error);
void gt_head_rounded_free(gt_head_rounded *rounded);

/* To the nearest; NaN stays NaN. */
void gt_round_floats(const float *values, int64_t count, uint16_t *rounded);

/* Whether a product of these sizes is large enough for a rounded one to be faster. */
bool gt_product_is_rounded(int64_t m, int64_t n, int64_t k);

/* C (m, n) = op(A) (m, k) op(B) (k, n), or with `adds` C + that, row-major, A and B bfloat16 and the
 * sums float32; op is 'N' or, for a transposed array, 'T'. */
gt_status gt_rounded_product(char op_a, char op_b, int64_t m, int64_t n, int64_t k,
                             const uint16_t *a, const uint16_t *b, bool adds, float *c,
                             gt_error *error);

#endif
