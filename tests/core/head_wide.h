/* Data for heads that several threads train, and whose products are large. */
#ifndef GT_TEST_HEAD_WIDE_H
#define GT_TEST_HEAD_WIDE_H

#include "head/head.h"

/* Large enough for threads inside, in minibatches and weights that two or three do not divide;
 * the last minibatch has one row, of which the others get none. */
enum { ROWS = 2045, WIDE = 1000, CLASSES = 501, HIDDEN = 130 };

static float wide_features[ROWS * WIDE];
static int32_t wide_labels[ROWS];
static const gt_head_data wide_data = {ROWS, wide_features, wide_labels, NULL};

static inline void
make_wide_data(void)
{
    gt_random random = gt_random_start(1, GT_RANDOM_WEIGHTS, 0);

    for (int i = 0; i < ROWS * WIDE; i++) {
        wide_features[i] = gt_random_uniform(&random) - 0.5f;
    }
    for (int i = 0; i < ROWS; i++) {
        wide_labels[i] = i % CLASSES;
    }
}

#endif
