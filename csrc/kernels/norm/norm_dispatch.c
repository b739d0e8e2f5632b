#include "common/onednn.h"
#include "kernels/norm/norm_rows.h"

gt_norm_rows
gt_norm_choose(const gt_norm *norm)
{
    gt_norm_rows chosen = {0};
    if (!norm->is_plain && gt_processor_has(dnnl_cpu_isa_avx512_core)) {
        chosen = gt_norm_avx512(norm->type);
    }
    else if (!norm->is_plain && gt_processor_has_fma()) {
        chosen = gt_norm_avx2(norm->type);
    }
    return chosen.lanes > 0 ? chosen : gt_norm_plain(norm->type);
}
