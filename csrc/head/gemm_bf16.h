/* What products of large minibatches read in bfloat16, which some processors multiply two to several
 * times as fast as float32. */
#ifndef GT_HEAD_ROUNDED_H
#define GT_HEAD_ROUNDED_H

#include "head/head.h"

/* Whether training with minibatches of so many samples is faster so on this processor.  Never depends
 * on the threads. */
bool gt_rounding_pays(const gt_head_config *config, int64_t samples);

/* Zeros for the layers that gt_rounding_pays counts, in a state that has none yet and frees them. */
gt_status gt_head_rounded_create(const gt_head_config *config, gt_head_state *state,
                                 gt_error *error);

/* To the nearest; NaN stays NaN. */
void gt_round_floats(const float *values, int64_t count, uint16_t *rounded);

/* Whether a rounded product of these sizes, of which each thread has its own, is faster. */
bool gt_rounded_product_pays(int64_t m, int64_t n, int64_t k);

/* C (m, n) = op(A) (m, k) op(B) (k, n), or with `adds` C + that, row-major, A and B bfloat16 and the
 * sums float32; op is 'N' or, for a transposed array, 'T'. */
gt_status gt_rounded_product(char op_a, char op_b, int64_t m, int64_t n, int64_t k,
                             const uint16_t *a, const uint16_t *b, bool adds, float *c,
                             gt_error *error);

#endif
