/* Loops over what lies in registers must be unrolled whole, or it would not lie there. */
#ifndef GT_UNROLLED_H
#define GT_UNROLLED_H

#if defined(__clang__)
#define UNROLLED _Pragma("unroll")
#elif __GNUC__ >= 8
#define UNROLLED _Pragma("GCC unroll 16")
#define ROLLED _Pragma("GCC unroll 1")
#else
#define UNROLLED
#endif
#ifndef ROLLED
#define ROLLED
#endif

#endif
