/* The stages for float32 on processors with AVX-512.  The file is compiled for any processor of the
 * family; only gt_mbconv_choose lets its functions run. */
#include "kernels/mbconv/mbconv_stages.h"

#ifdef __x86_64__

#define STAGE __attribute__((target("avx512f")))
#define INLINE static inline __attribute__((always_inline, target("avx512f")))
#define TYPE GT_MAP_FLOAT32
#define GROUP 1
#define INNER_GROUP 1

#include "kernels/mbconv/mbconv_avx512.h"

#include "kernels/mbconv/mbconv_float32.h"

gt_mbconv_stages
gt_mbconv_avx512(void)
{
    return all_stages();
}

#else

gt_mbconv_stages
gt_mbconv_avx512(void)
{
    return (gt_mbconv_stages){0};
}

#endif
