/* Matrix products of the head. */
#ifndef GT_HEAD_PRODUCT_H
#define GT_HEAD_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

/* C (m, n) = op(A) (m, k) op(B) (k, n) + beta C, row-major; op is 'N' or, for a transposed array, 'T';
 * beta is 0 or 1.  With `rounds` A and B may be rounded to bfloat16, and are where that pays: large
 * products on the matrix units of a processor with AMX.  Sums are float32 in any case. */
gt_status gt_matrix_product(char op_a, char op_b, int64_t m, int64_t n, int64_t k, const float *a,
                            const float *b, float beta, float *c, bool rounds, gt_error *error);

/* Whether a product of that size is one that rounding pays for, on this processor. */
bool gt_rounding_pays(int64_t m, int64_t n, int64_t k);

#endif
