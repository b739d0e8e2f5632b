/* Matrix products of the head. */
#ifndef GT_HEAD_PRODUCT_H
#define GT_HEAD_PRODUCT_H

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stdint.h>

#include "status.h"

/* A factor of a product: rows `stride` floats apart; op is 'N' or, where they are columns of the
 * factor, 'T'. */
typedef struct {
    char op;
    const float *values;
    int64_t stride;
} gt_factor;

/* C (m, n) = A (m, k) B (k, n) + beta C, row-major; beta is 0 or 1.  With `rounds`, which
 * gt_rounding_pays has to allow, A and B are rounded to bfloat16 unless the product is small or one of
 * them has gaps between its rows.  Sums are float32 in any case. */
gt_status gt_matrix_product(gt_factor a, gt_factor b, int64_t m, int64_t n, int64_t k, float beta,
                            float *c, bool rounds, gt_error *error);

/* Whether the rounded product of these sizes is rounded indeed, and so needs factors without gaps. */
bool gt_product_is_rounded(int64_t m, int64_t n, int64_t k);

/* Whether training with minibatches of so many samples is faster on the matrix units, where this
 * processor has any.  Never depends on the threads. */
bool gt_rounding_pays(int64_t samples, int64_t weights);

/* The rounded product of gt_matrix_product, of factors without gaps; `adds` for a beta of 1. */
dnnl_status_t gt_multiply_rounded(gt_factor a, gt_factor b, int64_t m, int64_t n, int64_t k,
                                  bool adds, float *c);

#endif
