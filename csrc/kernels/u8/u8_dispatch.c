#include "kernels/u8/u8_dispatch.h"

#include "common/onednn.h"

gt_byte_rows
gt_byte_rows_best(void)
{
#ifdef __x86_64__
    if (gt_processor_offers(dnnl_cpu_isa_avx512_core)) {
        return gt_byte_rows_avx512();
    }
    if (gt_processor_offers(dnnl_cpu_isa_avx2)) {
        return gt_byte_rows_avx2();
    }
#endif
    return gt_byte_rows_plain();
}
