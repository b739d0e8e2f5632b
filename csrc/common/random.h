/* Seeded random numbers: the same on every machine, a pure function of (seed, use, index). */
#ifndef GT_RANDOM_H
#define GT_RANDOM_H

#include <stdint.h>

/* What the numbers are for; different uses of one seed are independent. */
typedef enum { GT_RANDOM_WEIGHTS, GT_RANDOM_ORDER, GT_RANDOM_DROPOUT } gt_random_use;

/* splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). */
typedef struct {
    uint64_t state;
} gt_random;

gt_random gt_random_start(uint64_t seed, gt_random_use use, uint64_t index);

/* What `random` has become when `count` numbers have been taken from it. */
gt_random gt_random_skip(gt_random random, uint64_t count);

/* 64 random bits. */
uint64_t gt_random_next(gt_random *random);

/* Uniform in [0, 1), a multiple of 2^-24. */
float gt_random_uniform(gt_random *random);

/* Fill order (n,) with a permutation of 0 .. n - 1 that depends on (n, seed, epoch) only. */
void gt_shuffle(int64_t *order, int64_t n, uint64_t seed, uint64_t epoch);

#endif
