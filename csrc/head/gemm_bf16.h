/* What products of large minibatches read in bfloat16, which some processors multiply two to
 * several times as fast as float32. */
#ifndef GT_GEMM_BF16_H
#define GT_GEMM_BF16_H

#include "head/head.h"

/* Whether training with minibatches of so many samples is faster so on this processor.  Never
 * depends on the threads. */
bool gt_bf16_is_profitable(const gt_head_config *config, int64_t samples);

/* Zeroed arrays for the layers that gt_bf16_is_profitable counts.  The workspace, which has none
 * yet, owns them. */
gt_status gt_head_bf16_create(const gt_head_config *config, gt_head_workspace *workspace,
                              gt_error *error);

/* To the nearest; NaN stays NaN. */
void gt_floats_to_bf16(const float *values, int64_t count, uint16_t *bf16);

/* Whether a bfloat16 product of these sizes, of which each thread has its own, is faster. */
bool gt_bf16_product_is_profitable(int64_t m, int64_t n, int64_t k);

/* C (m, n) = op(A) (m, k) op(B) (k, n), or with `adds` C + that, row-major, A and B bfloat16 and
 * the sums float32; op is 'N' or, for a transposed array, 'T'. */
gt_status gt_bf16_product(char op_a, char op_b, int64_t m, int64_t n, int64_t k, const uint16_t *a,
                          const uint16_t *b, bool adds, float *c, gt_error *error);

#endif
