/* Rows for processors with AVX-512.  The file is compiled for any processor of the family; only
 * gt_norm_choose lets its functions run. */
#include "kernels/norm/norm_rows.h"

#ifdef __x86_64__

#include "common/simd_avx512.h"

#define STAGE AVX512
#define INLINE INLINE_AVX512

#include "kernels/norm/norm_vectors.h"

DEFINE_ROWS(float32, GT_MAP_FLOAT32)
DEFINE_ROWS(bf16, GT_MAP_BF16)

gt_norm_rows
gt_norm_avx512(gt_map_type type)
{
    gt_norm_rows float32 = {LANES, normalise_float32, add_float32, add_up_float32, scale_float32};
    gt_norm_rows bf16 = {LANES, normalise_bf16, add_bf16, add_up_bf16, scale_bf16};
    return type == GT_MAP_BF16 ? bf16 : float32;
}

#else

gt_norm_rows
gt_norm_avx512(gt_map_type type)
{
    (void)type;
    return (gt_norm_rows){0};
}

#endif
