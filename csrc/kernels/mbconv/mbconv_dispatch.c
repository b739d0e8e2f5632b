#include "common/onednn.h"
#include "kernels/mbconv/mbconv.h"
#include "kernels/mbconv/mbconv_stages.h"

/* The stages of this processor for blocks of that type. */
static gt_mbconv_stages
choose(gt_map_type type)
{
    gt_mbconv_stages none = {0};
    switch (type) {
    case GT_MAP_FLOAT32:
        return gt_processor_has(dnnl_cpu_isa_avx512_core) ? gt_mbconv_avx512() : none;
    case GT_MAP_BF16:
        return gt_processor_has(dnnl_cpu_isa_avx512_core_bf16) ? gt_mbconv_avx512_bf16() : none;
    case GT_MAP_U8:
        return gt_processor_has(dnnl_cpu_isa_avx512_core_vnni) ? gt_mbconv_avx512_vnni() : none;
    }
    return none;
}

gt_mbconv_stages
gt_mbconv_choose(const gt_mbconv *block)
{
    return block->is_plain ? gt_mbconv_plain(block->type) : choose(block->type);
}

bool
gt_mbconv_is_available(gt_map_type type)
{
    return choose(type).lanes > 0;
}

/* Whether rows of a depthwise kernel of bytes are met as the stages know them: with the padding of
 * a kernel in the middle, or of one column less to the left. */
static bool
is_known_row(const gt_mbconv *block)
{
    int middle = (block->size - 1) / 2;
    int before = block->before[1];
    return before == middle || (block->stride == 2 && before == middle - 1);
}

/* Bytes are written where no result is negative. */
static bool
can_write(const gt_mbconv *block)
{
    return block->target != GT_MAP_U8 || (!block->has_residual && block->projection.low == 0.0f);
}

bool
gt_mbconv_is_supported(const gt_mbconv *block)
{
    bool bytes = block->type == GT_MAP_U8;
    if ((!block->is_plain && !gt_mbconv_is_available(block->type)) ||
        (block->size != 3 && block->size != 5) || (block->stride != 1 && block->stride != 2) ||
        block->from.channels % gt_mbconv_depth(block->type) != 0) {
        return false;
    }
    for (int axis = 0; axis < 2; axis++) {
        if (block->before[axis] >= block->size) {
            return false;
        }
    }
    if (block->has_residual && (block->source == GT_MAP_U8 || block->stride != 1)) {
        return false;
    }
    if (bytes) {
        return is_known_row(block) && can_write(block) &&
               (block->has_expansion || block->source == GT_MAP_U8);
    }
    return block->source == block->type && block->target == block->type;
}
