/* Included before all else where a wheel is built for other machines (ci/wheels.sh): what glibc 2.34
 * moved from libpthread into libc is asked for by the version it has had on x86-64 from the first
 * day, which every glibc offers, the new ones with the same code. */
#ifndef GT_OLD_GLIBC_H
#define GT_OLD_GLIBC_H

#if defined(__x86_64__)
__asm__(".symver pthread_create, pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_join, pthread_join@GLIBC_2.2.5");
__asm__(".symver pthread_once, pthread_once@GLIBC_2.2.5");
#endif

#endif
