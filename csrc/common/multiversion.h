/* Loops compiled twice: for any processor, and for those with AVX2.  Both give the same bits, for
 * -std=c11 forbids to contract a multiplication and an addition. */
#ifndef GT_MULTIVERSION_H
#define GT_MULTIVERSION_H

#include <stdbool.h>

#define GT_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define GT_AVX2 __attribute__((target("avx2")))

static inline bool
gt_has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}
#else
#define GT_AVX2

static inline bool
gt_has_avx2(void)
{
    return false;
}
#endif

#endif
