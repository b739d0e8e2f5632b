#include "head_product.h"

#include "engine.h"

/* Samples and multiplications of a minibatch from which rounding pays: then products are large enough
 * for the matrix units to gain more than it costs to prepare them.  Of narrow or short products, which
 * the last rows of a thread may be, most of a tile would be idle. */
#define LEAST_SAMPLES 256
#define LEAST_OF_MINIBATCH 1.5e7
#define LEAST_OF_PRODUCT 1e6
#define LEAST_COLUMNS 16

bool
gt_rounding_pays(int64_t samples, int64_t weights)
{
    return samples >= LEAST_SAMPLES &&
           (double)samples * (double)weights >= LEAST_OF_MINIBATCH &&
           gt_processor_offers(dnnl_cpu_isa_avx512_core_amx);
}

static gt_status
check_product(dnnl_status_t result, int64_t m, int64_t n, int64_t k, gt_error *error)
{
    if (result == dnnl_out_of_memory) {
        return gt_fail_memory(error, "a matrix product");
    }
    if (result != dnnl_success) {
        return gt_fail(error, GT_ERROR_ENGINE,
                       "oneDNN failed (status %d) at a matrix product of %lld x %lld x %lld",
                       (int)result, (long long)m, (long long)k, (long long)n);
    }
    return GT_OK;
}

gt_status
gt_matrix_product(char op_a, char op_b, int64_t m, int64_t n, int64_t k, const float *a,
                  const float *b, float beta, float *c, bool rounds, gt_error *error)
{
    dnnl_status_t code;
    if (rounds && n >= LEAST_COLUMNS &&
        (double)m * (double)n * (double)k >= LEAST_OF_PRODUCT) {
        code = gt_multiply_rounded(op_a, op_b, m, n, k, a, b, beta != 0.0f, c);
    }
    else {
        code = dnnl_sgemm(op_a, op_b, m, n, k, 1.0f, a, op_a == 'N' ? k : m, b,
                          op_b == 'N' ? n : k, beta, c, n);
    }
    return check_product(code, m, n, k, error);
}
