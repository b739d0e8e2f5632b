#include "common/random.h"

static const uint64_t GOLDEN = UINT64_C(0x9E3779B97F4A7C15);

static uint64_t
mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

gt_random
gt_random_start(uint64_t seed, gt_random_use use, uint64_t index)
{
    gt_random random;

    random.state = mix(seed + GOLDEN);
    random.state = mix(random.state + (uint64_t)use + GOLDEN);
    random.state = mix(random.state + index + GOLDEN);
    return random;
}

gt_random
gt_random_skip(gt_random random, uint64_t count)
{
    random.state += count * GOLDEN;
    return random;
}

uint64_t
gt_random_next(gt_random *random)
{
    random->state += GOLDEN;
    return mix(random->state);
}

float
gt_random_uniform(gt_random *random)
{
    return (float)(gt_random_next(random) >> 40) * 0x1p-24f;
}

/* Uniform in 0 .. bound - 1, without the bias of a plain remainder. */
static uint64_t
random_below(gt_random *random, uint64_t bound)
{
    uint64_t x;

    do { /* those below 2^64 mod bound are one too many */
        x = gt_random_next(random);
    } while (x < bound && x < (0 - bound) % bound);
    return x % bound;
}

void
gt_shuffle(int64_t *order, int64_t n, uint64_t seed, uint64_t epoch)
{
    gt_random random = gt_random_start(seed, GT_RANDOM_ORDER, epoch);

    for (int64_t i = 0; i < n; i++) {
        order[i] = i;
    }
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)random_below(&random, (uint64_t)i + 1);
        int64_t swap = order[i];

        order[i] = order[j];
        order[j] = swap;
    }
}
