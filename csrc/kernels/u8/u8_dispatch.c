#include "kernels/u8/u8_dispatch.h"

#include "common/onednn.h"

gt_u8_rows
gt_u8_rows_best(void)
{
#ifdef __x86_64__
    if (gt_processor_has(dnnl_cpu_isa_avx512_core)) {
        return gt_u8_rows_avx512();
    }
    if (gt_processor_has(dnnl_cpu_isa_avx2)) {
        return gt_u8_rows_avx2();
    }
#endif
    return gt_u8_rows_plain();
}
