#include "head/gemm_f32.h"

#include "threads/exit_gate.h"

gt_status
gt_check_product(dnnl_status_t answer, int64_t m, int64_t n, int64_t k, gt_error *error)
{
    if (answer == dnnl_out_of_memory) {
        return gt_fail_memory(error, "a matrix product");
    }
    if (answer != dnnl_success) {
        return gt_fail(error, GT_ERROR_ENGINE,
                       "oneDNN failed (status %d) at a matrix product of %lld x %lld x %lld",
                       (int)answer, (long long)m, (long long)k, (long long)n);
    }
    return GT_OK;
}

gt_status
gt_matrix_product(gt_factor a, gt_factor b, int64_t m, int64_t n, int64_t k, float beta, float *c,
                  gt_error *error)
{
    gt_exit_gate_enter();
    const dnnl_status_t answer =
        dnnl_sgemm(a.op, b.op, m, n, k, 1.0f, a.values, a.stride, b.values, b.stride, beta, c, n);
    gt_exit_gate_leave();
    return gt_check_product(answer, m, n, k, error);
}
