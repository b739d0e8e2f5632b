/* Loops compiled for any processor, for those with AVX2 and for those with AVX-512.  All give the
 * same bits, for -std=c11 forbids to contract a multiplication and an addition. */
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
#define GT_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

static inline bool
gt_has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#else
#define GT_AVX2
#define GT_AVX512

static inline bool
gt_has_avx2(void)
{
    return false;
}

static inline bool
gt_has_avx512(void)
{
    return false;
}
#endif

#endif
