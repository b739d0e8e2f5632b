/* Rows for processors with AVX2.  The file is compiled for any processor of the family; only
 * gt_norm_choose lets its functions run. */
#include "kernels/norm/norm_rows.h"

#ifdef __x86_64__

#include "common/simd_avx2.h"

#define STAGE AVX2
#define INLINE INLINE_AVX2

#include "kernels/norm/norm_vectors.h"

DEFINE_ROWS(float32, GT_MAP_FLOAT32)

gt_norm_rows
gt_norm_avx2(gt_map_type type)
{
    gt_norm_rows float32 = {LANES, normalise_float32, add_float32, add_up_float32, scale_float32};
    return type == GT_MAP_FLOAT32 ? float32 : (gt_norm_rows){0};
}

#else

gt_norm_rows
gt_norm_avx2(gt_map_type type)
{
    (void)type;
    return (gt_norm_rows){0};
}

#endif
