/* Data and helpers that the tests of the head share. */
#ifndef GT_TEST_HEAD_DATA_H
#define GT_TEST_HEAD_DATA_H

#include <string.h>

#include "check.h"
#include "head.h"

enum { N = 37, D = 6, C = 3 };

static float features[N * D];
static int32_t labels[N];
static gt_error error;

/* Three clouds, one for each class. */
static inline void
make_data(void)
{
    gt_random random = gt_random_start(7, GT_RANDOM_WEIGHTS, 99);

    for (int i = 0; i < N; i++) {
        labels[i] = i % C;
        for (int j = 0; j < D; j++) {
            features[i * D + j] = gt_random_uniform(&random) + (j == labels[i] ? 1.5f : 0.0f);
        }
    }
}

static inline gt_head *
make_head(int hidden, uint64_t seed)
{
    gt_head_config config = {1, {D, C}};
    gt_head *head = NULL;

    if (hidden > 0) {
        config = (gt_head_config){2, {D, hidden, C}};
    }
    CHECK(gt_head_create(&config, seed, &head, &error) == GT_OK);
    return head;
}

static inline int
says(const char *text)
{
    int found = strstr(error.message, text) != NULL;

    if (!found) {
        fprintf(stderr, "    message: %s\n", error.message);
    }
    return found;
}

#endif
