/* Data and helpers that the tests of the head share. */
#ifndef GT_TEST_HEAD_DATA_H
#define GT_TEST_HEAD_DATA_H

#include <math.h>
#include <string.h>

#include "check.h"
#include "head/head.h"

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

/* Loss of the head in double precision, written as plainly as possible. */
static inline double
twin_loss(const gt_head *head, const double *weights, const float *class_weight, double l2)
{
    double loss = 0.0, squares = 0.0;

    for (int i = 0; i < N; i++) {
        double input[64], output[64], sum = 0.0;
        const double *next = weights;

        for (int j = 0; j < D; j++) {
            input[j] = (double)features[i * D + j];
        }
        for (int k = 0; k < head->config.layers; k++) {
            const int in = (int)head->config.widths[k], out = (int)head->config.widths[k + 1];

            for (int b = 0; b < out; b++) {
                output[b] = next[in * out + b];
                for (int a = 0; a < in; a++) {
                    output[b] += input[a] * next[a * out + b];
                    squares += i == 0 ? next[a * out + b] * next[a * out + b] : 0.0;
                }
            }
            for (int b = 0; b < out; b++) {
                input[b] = output[b] > 0.0 ? output[b] : 0.0;
            }
            next += in * out + out;
        }
        for (int j = 0; j < C; j++) {
            sum += exp(output[j]);
        }
        loss += (class_weight != NULL ? (double)class_weight[labels[i]] : 1.0) *
                (log(sum) - output[labels[i]]);
    }
    return loss / N + l2 * squares;
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
