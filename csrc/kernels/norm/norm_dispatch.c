#include "common/onednn.h"
#include "kernels/norm/norm_rows.h"

static bool
has_fma(void)
{
#ifdef __x86_64__
    return gt_processor_has(dnnl_cpu_isa_avx2) && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

gt_norm_rows
gt_norm_choose(const gt_norm *norm)
{
    gt_norm_rows chosen = {0};
    if (!norm->is_plain && gt_processor_has(dnnl_cpu_isa_avx512_core)) {
        chosen = gt_norm_avx512(norm->type);
    }
    else if (!norm->is_plain && has_fma()) {
        chosen = gt_norm_avx2(norm->type);
    }
    return chosen.lanes > 0 ? chosen : gt_norm_plain(norm->type);
}
