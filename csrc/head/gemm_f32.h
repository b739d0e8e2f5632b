/* Matrix products of the head in float32. */
#ifndef GT_GEMM_F32_H
#define GT_GEMM_F32_H

#include <oneapi/dnnl/dnnl.h>
#include <stdint.h>

#include "common/status.h"

/* A factor of a product: rows `stride` floats apart; op is 'N' or, where they are columns of the
 * factor, 'T'. */
typedef struct {
    char op;
    const float *values;
    int64_t stride;
} gt_factor;

/* C (m, n) = A (m, k) B (k, n) + beta C, row-major. */
gt_status gt_matrix_product(gt_factor a, gt_factor b, int64_t m, int64_t n, int64_t k, float beta,
                            float *c, gt_error *error);

/* What oneDNN answered to a product of these sizes, as a status. */
gt_status gt_check_product(dnnl_status_t answer, int64_t m, int64_t n, int64_t k, gt_error *error);

#endif
