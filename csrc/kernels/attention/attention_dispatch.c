#include "common/onednn.h"
#include "kernels/attention/attention_stages.h"

gt_attention_stages
gt_attention_choose(const gt_attention *attention)
{
    gt_attention_stages chosen = {0};
    if (attention->is_plain) {
        return gt_attention_plain(attention->type);
    }
    if (attention->type == GT_MAP_BF16) {
        if (gt_processor_has(dnnl_cpu_isa_avx512_core_bf16)) {
            chosen = gt_attention_avx512_bf16();
        }
    }
    else if (gt_processor_has(dnnl_cpu_isa_avx512_core)) {
        chosen = gt_attention_avx512();
    }
    else if (gt_processor_has_fma()) {
        chosen = gt_attention_avx2();
    }
    return chosen.lanes > 0 ? chosen : gt_attention_plain(attention->type);
}
