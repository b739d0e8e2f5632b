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

bool
gt_product_is_rounded(int64_t m, int64_t n, int64_t k)
{
    return n >= LEAST_COLUMNS && (double)m * (double)n * (double)k >= LEAST_OF_PRODUCT;
}

gt_status
gt_matrix_product(gt_factor a, gt_factor b, int64_t m, int64_t n, int64_t k, float beta, float *c,
                  bool rounds, gt_error *error)
{
    const bool gaps = a.stride > (a.op == 'N' ? k : m) || b.stride > (b.op == 'N' ? n : k);
    dnnl_status_t code;

    if (rounds && !gaps && gt_product_is_rounded(m, n, k)) {
        code = gt_multiply_rounded(a, b, m, n, k, beta != 0.0f, c);
    }
    else {
        code = dnnl_sgemm(a.op, b.op, m, n, k, 1.0f, a.values, a.stride, b.values, b.stride, beta,
                          c, n);
    }
    return check_product(code, m, n, k, error);
}
