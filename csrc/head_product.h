/* Matrix products of the head. */
#ifndef GT_HEAD_PRODUCT_H
#define GT_HEAD_PRODUCT_H

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stdint.h>

#include "status.h"

/* C (m, n) = op(A) (m, k) op(B) (k, n) + beta C, row-major; op is 'N' or, for a transposed array, 'T';
 * beta is 0 or 1.  With `rounds`, which gt_rounding_pays has to allow, A and B are rounded to bfloat16
 * unless the product is small.  Sums are float32 in any case. */
gt_status gt_matrix_product(char op_a, char op_b, int64_t m, int64_t n, int64_t k, const float *a,
                            const float *b, float beta, float *c, bool rounds, gt_error *error);

/* Whether training with minibatches of so many samples is faster on the matrix units, where this
 * processor has any.  Never depends on the threads. */
bool gt_rounding_pays(int64_t samples, int64_t weights);

/* The rounded product of gt_matrix_product; `adds` for a beta of 1. */
dnnl_status_t gt_multiply_rounded(char op_a, char op_b, int64_t m, int64_t n, int64_t k,
                                  const float *a, const float *b, bool adds, float *c);

#endif
