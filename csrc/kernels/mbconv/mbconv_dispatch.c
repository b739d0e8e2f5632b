#include <math.h>

#include "common/onednn.h"
#include "kernels/mbconv/mbconv.h"
#include "kernels/mbconv/mbconv_stages.h"

/* The stages of this processor for blocks of that type; less than AVX-512 has no instruction for
 * bfloat16, and none for bytes with which they were faster than float32. */
static gt_mbconv_stages
choose(gt_map_type type)
{
    gt_mbconv_stages none = {0};
    switch (type) {
    case GT_MAP_FLOAT32:
        return gt_processor_has(dnnl_cpu_isa_avx512_core) ? gt_mbconv_avx512()
               : gt_processor_has_fma()                   ? gt_mbconv_avx2()
                                                          : none;
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

/* Whether results begin at columns of a group that the stages know: with the padding of a kernel in the
 * middle, or of one column less to the left. */
static bool
is_known_row(const gt_mbconv *block)
{
    int middle = (block->size - 1) / 2;
    int before = block->before[1];
    return block->type == GT_MAP_FLOAT32 || before == middle ||
           (block->stride == 2 && before == middle - 1);
}

/* Whether the source can be read, groups of channels in bytes or bfloat16 only as they are unless rows
 * are copied; and whether what is made of it can become integers. */
static bool
can_read(const gt_mbconv *block)
{
    if (block->type != GT_MAP_FLOAT32 &&
        !(block->expansion.low == 0.0f && block->expansion.high < INFINITY)) {
        return false;
    }
    if (!block->has_expansion) {
        return block->source != GT_MAP_U8;
    }
    return gt_mbconv_has_padded_rows(block) ||
           block->from.channels % gt_mbconv_group(block->type) == 0;
}

/* Whether the result can be written: as bytes where none is negative.  Depthwise results beside bytes are
 * integers from 0 up. */
static bool
can_write(const gt_mbconv *block)
{
    if (block->type == GT_MAP_U8 &&
        !(block->depthwise.low == 0.0f && block->depthwise.high < INFINITY)) {
        return false;
    }
    if (block->type != GT_MAP_U8) {
        return block->source == block->type && block->target == block->type;
    }
    return block->target != GT_MAP_U8 || (!block->has_residual && block->projection.low == 0.0f);
}

/* Whether the source can be added to the result. */
static bool
can_add(const gt_mbconv *block)
{
    return !block->has_residual ||
           (block->source != GT_MAP_U8 && block->stride == 1 && !gt_mbconv_has_padded_rows(block));
}

bool
gt_mbconv_is_supported(const gt_mbconv *block)
{
    bool has_kernel = (block->size == 3 || block->size == 5) &&
                      (block->stride == 1 || block->stride == 2) &&
                      block->before[0] < block->size && block->before[1] < block->size;
    return (block->is_plain || gt_mbconv_is_available(block->type)) && has_kernel &&
           is_known_row(block) && can_read(block) && can_write(block) && can_add(block);
}
