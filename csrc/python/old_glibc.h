/* Included before all else in a build for other machines (ci/wheels.sh): functions that glibc 2.34
 * moved into libc.so.6 are asked for by the version they have had since the first x86-64 system,
 * which every later glibc offers too, with the same code. */
#ifndef GT_PYTHON_OLD_GLIBC_H
#define GT_PYTHON_OLD_GLIBC_H

#if defined(__x86_64__)
__asm__(".symver pthread_create, pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_join, pthread_join@GLIBC_2.2.5");
__asm__(".symver pthread_once, pthread_once@GLIBC_2.2.5");
#endif

#endif
