/* The dense head: its shape, softmax, optimisers, order, dropout and prediction. */
#include <stdlib.h>
#include <string.h>

#include "head/optimiser.h"
#include "head_data.h"
#include "threads/parallel.h"

/* --- softmax ------------------------------------------------------------------------------- */

static void
test_softmax_at_the_extremes(void)
{
    float rows[4 * 3] = {1000.0f, -1000.0f, 0.0f, -3e38f, 3e38f,  0.0f,
                         0.0f,    0.0f,     0.0f, -90.0f, -91.0f, -92.0f};
    const int32_t own[4] = {1, 1, 2, 0};
    double loss = 0.0;
    int64_t correct = 0;

    gt_softmax(rows, 1, 3, own, NULL, &loss, &correct);
    CHECK(loss == 2000.0 && correct == 0);
    CHECK(rows[0] == 1.0f && rows[1] == 0.0f && rows[2] == 0.0f);
    loss = 0.0;
    gt_softmax(rows + 3, 1, 3, own + 1, NULL, &loss, &correct);
    CHECK(loss == 0.0 && correct == 1 && rows[4] == 1.0f);
    gt_softmax(rows + 6, 1, 3, own + 2, NULL, &loss, &correct);
    CHECK_CLOSE(loss, log(3.0), 1e-7);
    CHECK(correct == 1); /* the first of equal logits is the prediction */
    loss = 0.0;
    gt_softmax(rows + 9, 1, 3, own + 3, NULL, &loss, &correct);
    CHECK_CLOSE(loss, log(1.0 + exp(-1.0) + exp(-2.0)), 1e-7);
    CHECK_CLOSE(rows[9] + rows[10] + rows[11], 1.0, 1e-6);
}

static void
test_softmax_keeps_nan_visible(void)
{
    const int32_t own[1] = {0};
    double loss = 0.0;
    int64_t correct = 0;

    for (int bad = 0; bad < 4; bad++) {
        float row[4] = {1.0f, 2.0f, 3.0f, 4.0f};

        row[bad] = NAN;
        loss = 0.0;
        gt_softmax(row, 1, 4, own, NULL, &loss, &correct);
        CHECK(isnan(loss) && isnan(row[0]));
    }
}

static void
test_softmax_agrees_with_exp(void)
{
    for (double x = 0.0; x > -86.0; x -= 0.0137) {
        float row[2] = {0.0f, (float)x};
        const double e = exp((double)row[1]);

        gt_softmax(row, 1, 2, NULL, NULL, NULL, NULL);
        if (fabs((double)row[1] / (e / (1.0 + e)) - 1.0) > 4e-7) {
            CHECK_CLOSE((double)row[1], e / (1.0 + e), 0.0);
        }
    }
}

/* --- optimisers ---------------------------------------------------------------------------- */

static void
test_adam_is_keras_adam(void)
{
    gt_train_config config = gt_train_defaults();
    float weights[5] = {1.0f, -2.0f, 0.5f, 0.0f, 3.0f}, mean[5] = {0}, square[5] = {0};
    double w[5], m[5] = {0}, v[5] = {0};

    for (int i = 0; i < 5; i++) {
        w[i] = (double)weights[i];
    }
    for (int t = 1; t <= 50; t++) {
        float gradient[5];

        for (int i = 0; i < 5; i++) {
            const double g = sin(t * (i + 1.0)) * pow(10.0, i - 3.0);
            const double alpha = 0.01 * sqrt(1.0 - pow(0.999, t)) / (1.0 - pow(0.9, t));

            gradient[i] = (float)g;
            m[i] += (g - m[i]) * (1.0 - 0.9);
            v[i] += (g * g - v[i]) * (1.0 - 0.999);
            w[i] -= m[i] * alpha / (sqrt(v[i]) + 1e-7);
        }
        gt_optimiser_step(&config, 0.01, t, 5, weights, gradient, mean, square);
        for (int i = 0; i < 5; i++) {
            CHECK_CLOSE((double)weights[i], w[i], 2e-6);
        }
    }
}

static void
test_sgd_is_keras_sgd(void)
{
    gt_train_config config = gt_train_defaults();
    float weights[2] = {1.0f, -2.0f}, velocity[2] = {0};
    double w[2] = {1.0, -2.0}, u[2] = {0};

    config.optimiser = GT_OPTIMISER_SGD;
    config.momentum = 0.9;
    for (int t = 1; t <= 50; t++) {
        const float gradient[2] = {(float)sin(t), (float)cos(3.0 * t)};

        for (int i = 0; i < 2; i++) {
            u[i] = 0.9 * u[i] - 0.01 * (double)gradient[i];
            w[i] += u[i];
        }
        gt_optimiser_step(&config, 0.01, t, 2, weights, gradient, velocity, NULL);
        CHECK_CLOSE((double)weights[0], w[0], 1e-6);
        CHECK_CLOSE((double)weights[1], w[1], 1e-6);
    }
}

static void
test_cosine_schedule(void)
{
    gt_train_config config = gt_train_defaults();

    CHECK(gt_learning_rate(&config, 5, 10) == 0.001);
    config.schedule = GT_SCHEDULE_COSINE;
    CHECK(gt_learning_rate(&config, 0, 10) == 0.001);
    CHECK_CLOSE(gt_learning_rate(&config, 5, 10), 0.0005, 1e-12);
    CHECK(gt_learning_rate(&config, 9, 10) > 0.0);
    CHECK_CLOSE(gt_learning_rate(&config, 10, 10), 0.0, 1e-12);
}

/* --- order and dropout --------------------------------------------------------------------- */

static void
test_shuffle_is_a_permutation_that_changes(void)
{
    enum { M = 1000 };
    int64_t a[M], b[M], c[M];
    int seen[M] = {0}, moved = 0;

    gt_shuffle(a, M, 1, 0);
    gt_shuffle(b, M, 1, 0);
    CHECK(memcmp(a, b, sizeof(a)) == 0);
    gt_shuffle(b, M, 1, 1);
    gt_shuffle(c, M, 2, 0);
    CHECK(memcmp(a, b, sizeof(a)) != 0 && memcmp(a, c, sizeof(a)) != 0);
    for (int i = 0; i < M; i++) {
        CHECK(a[i] >= 0 && a[i] < M && !seen[a[i]]);
        seen[a[i]] = 1;
        moved += a[i] != i;
    }
    CHECK(moved > M / 2);
    gt_shuffle(a, 1, 1, 0);
    CHECK(a[0] == 0);
}

static void
test_shuffle_is_fair(void)
{
    int counts[6] = {0}; /* of the permutations of three */
    const int rounds = 6000;

    for (int e = 0; e < rounds; e++) {
        int64_t order[3];

        gt_shuffle(order, 3, 5, (uint64_t)e);
        counts[order[0] * 2 + (order[1] > order[2])]++;
    }
    for (int i = 0; i < 6; i++) {
        CHECK_CLOSE(counts[i], rounds / 6.0, 150.0); /* five standard deviations */
    }
}

static void
test_numbers_can_be_skipped(void)
{
    gt_random random = gt_random_start(3, GT_RANDOM_DROPOUT, 2);
    const gt_random start = random;

    for (uint64_t taken = 0; taken < 5; taken++) {
        gt_random skipped = gt_random_skip(start, taken);

        CHECK(gt_random_next(&skipped) == gt_random_next(&random));
    }
}

typedef struct {
    gt_head *head;
    double rate;
    float output[2000];
    gt_status status;
} dropout_job;

/* One feature, 2,000 hidden units that all hold 3 before dropout. */
static gt_status
dropout_task(void *context, int worker, gt_error *message)
{
    dropout_job *job = context;
    gt_head_workspace workspace;
    gt_random random = gt_random_start(11, GT_RANDOM_DROPOUT, 0);
    const float one = 1.0f;
    gt_status status = gt_head_workspace_create(&job->head->config, 1, 1, &workspace, message);

    (void)worker;
    if (status == GT_OK) {
        status = gt_head_forward(job->head, &workspace, &one, 1, job->rate, &random, 0, message);
        memcpy(job->output, workspace.active[1], sizeof(job->output));
    }
    gt_head_workspace_free(&workspace);
    return status;
}

static void
test_dropout_keeps_the_mean(void)
{
    gt_head_config config = {2, {1, 2000, 2}};
    dropout_job job = {.rate = 0.25};
    float kernel[2000];
    int zeros = 0, others = 0;

    CHECK(gt_head_create(&config, 0, &job.head, &error) == GT_OK);
    for (int i = 0; i < 2000; i++) {
        kernel[i] = 3.0f;
    }
    CHECK(gt_head_set_layer(job.head, 0, kernel, NULL, &error) == GT_OK);
    CHECK(gt_parallel(1, 1, dropout_task, &job, &error) == GT_OK);
    for (int i = 0; i < 2000; i++) {
        zeros += job.output[i] == 0.0f;
        others += job.output[i] == 4.0f; /* 3 / (1 - 0.25) */
    }
    CHECK(zeros + others == 2000);
    CHECK_CLOSE(zeros, 500.0, 100.0); /* five standard deviations */
    gt_head_free(job.head);
}

/* --- the head itself ----------------------------------------------------------------------- */

static void
test_initialisation(void)
{
    gt_head_config config = {2, {200, 100, 10}};
    gt_head *head = NULL;
    const double limits[2] = {sqrt(6.0 / 200.0), sqrt(6.0 / 110.0)};

    CHECK(gt_head_create(&config, 3, &head, &error) == GT_OK);
    CHECK(head->weights.count == 200 * 100 + 100 + 100 * 10 + 10);
    for (int k = 0; k < 2; k++) {
        const int64_t count = config.widths[k] * config.widths[k + 1];
        double largest = 0.0, sum = 0.0;

        for (int64_t i = 0; i < count; i++) {
            const double w = (double)head->weights.kernel[k][i];

            largest = fabs(w) > largest ? fabs(w) : largest;
            sum += w;
        }
        CHECK(largest <= limits[k] && largest > 0.98 * limits[k]);
        CHECK_CLOSE(sum / (double)count, 0.0, 5.0 * limits[k] / sqrt(3.0 * (double)count));
        for (int64_t j = 0; j < config.widths[k + 1]; j++) {
            CHECK(head->weights.bias[k][j] == 0.0f);
        }
    }
    gt_head_free(head);
    gt_head_free(NULL);
}

static void
test_folding_the_scaling(void)
{
    const float mean[D] = {0.5f, 1.0f, -2.0f, 0.0f, 3.0f, 0.25f};
    const float factor[D] = {2.0f, 0.5f, 1.0f, 4.0f, 0.125f, 3.0f};
    const gt_head_scaling cases[3] = {{mean, factor}, {mean, NULL}, {NULL, factor}};

    for (int s = 0; s < 3; s++) {
        gt_head *head = make_head(s == 0 ? 0 : 5, 1);
        float scaled[N * D], before[N * C], after[N * C];

        for (int i = 0; i < N * D; i++) {
            scaled[i] = (features[i] - (cases[s].mean ? mean[i % D] : 0.0f)) *
                        (cases[s].inverse_deviation ? factor[i % D] : 1.0f);
        }
        CHECK(gt_head_predict(head, scaled, N, 0, 1, before, &error) == GT_OK);
        CHECK(gt_head_fold_scaling(head, &cases[s], &error) == GT_OK);
        CHECK(gt_head_predict(head, features, N, 0, 1, after, &error) == GT_OK);
        for (int i = 0; i < N * C; i++) {
            CHECK_CLOSE((double)before[i], (double)after[i], 3e-6);
        }
        CHECK(gt_head_fold_scaling(head, NULL, &error) == GT_OK);
        gt_head_free(head);
    }
}

static void
test_predictions_do_not_depend_on_threads(void)
{
    enum { ROWS = 1100 };
    gt_head *head = make_head(7, 2);
    float *x = malloc(sizeof(*x) * ROWS * D);
    float *a = malloc(sizeof(*a) * ROWS * C), *b = malloc(sizeof(*b) * ROWS * C);

    for (int i = 0; i < ROWS * D; i++) {
        x[i] = features[i % (N * D)];
    }
    CHECK(gt_head_predict(head, x, ROWS, 0, 1, a, &error) == GT_OK);
    for (int threads = 2; threads <= 9; threads++) {
        memset(b, 0, sizeof(*b) * ROWS * C);
        CHECK(gt_head_predict(head, x, ROWS, 0, threads, b, &error) == GT_OK);
        CHECK(memcmp(a, b, sizeof(*a) * ROWS * C) == 0);
    }
    for (int i = 0; i < ROWS; i++) {
        CHECK_CLOSE((double)(a[i * C] + a[i * C + 1] + a[i * C + 2]), 1.0, 1e-6);
    }
    for (int i = 0; i < 300; i++) { /* nor on the other rows */
        CHECK(gt_head_predict(head, x + i * D, 1, 0, 1, b + i * C, &error) == GT_OK);
    }
    CHECK(memcmp(a, b, sizeof(*a) * 300 * C) == 0);
    CHECK(gt_head_predict(head, x, ROWS, 1, 2, b, &error) == GT_OK);
    gt_softmax(b, ROWS, C, NULL, NULL, NULL, NULL);
    CHECK(memcmp(a, b, sizeof(*a) * ROWS * C) == 0);
    x[700 * D + 4] = NAN;
    CHECK(gt_head_predict(head, x, ROWS, 0, 2, b, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("row 700, column 4 is NaN"));
    CHECK(gt_head_predict(head, x, 0, 0, 2, b, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("at least 1"));
    CHECK(gt_head_predict(head, x, 1, 0, 0, b, &error) == GT_ERROR_ARGUMENT && says("threads"));
    free(x);
    free(a);
    free(b);
    gt_head_free(head);
}

/* Wide enough for oneDNN to take other ways for many rows than for few. */
static void
test_predictions_of_a_wide_head_do_not_depend_on_other_rows(void)
{
    enum { ROWS = 250, WIDE = 1024, FEATURES = 600, CLASSES = 3 };
    const gt_head_config config = {2, {FEATURES, WIDE, CLASSES}};
    gt_random random = gt_random_start(5, GT_RANDOM_WEIGHTS, 1);
    gt_head *head = NULL;
    float *x = malloc(sizeof(*x) * ROWS * FEATURES);
    float together[ROWS * CLASSES], alone[ROWS * CLASSES];

    for (int i = 0; i < ROWS * FEATURES; i++) {
        x[i] = gt_random_uniform(&random) - 0.5f;
    }
    CHECK(gt_head_create(&config, 3, &head, &error) == GT_OK);
    CHECK(gt_head_predict(head, x, ROWS, 0, 1, together, &error) == GT_OK);
    for (int i = 0; i < ROWS; i++) {
        CHECK(gt_head_predict(head, x + i * FEATURES, 1, 0, 1, alone + i * CLASSES, &error) ==
              GT_OK);
    }
    CHECK(memcmp(together, alone, sizeof(alone)) == 0);
    gt_head_free(head);
    free(x);
}

static void
test_setting_layers(void)
{
    gt_head *head = make_head(0, 1);
    float kernel[D * C], bias[C] = {1.0f, 2.0f, 3.0f};

    for (int i = 0; i < D * C; i++) {
        kernel[i] = (float)i;
    }
    CHECK(gt_head_set_layer(head, 0, kernel, bias, &error) == GT_OK);
    CHECK(memcmp(head->weights.kernel[0], kernel, sizeof(kernel)) == 0);
    CHECK(memcmp(head->weights.bias[0], bias, sizeof(bias)) == 0);
    CHECK(gt_head_set_layer(head, 1, kernel, bias, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("no layer 1"));
    bias[2] = INFINITY;
    kernel[0] = 5.0f;
    CHECK(gt_head_set_layer(head, 0, kernel, bias, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("the bias: row 0, column 2 is infinite"));
    CHECK(head->weights.kernel[0][0] == 0.0f);
    gt_head_free(head);
}

/* Also where the worker that begins first meets a later one. */
static void
test_the_first_bad_feature_is_named(void)
{
    enum { ROWS = 2000 };
    static float many[ROWS * D], output[ROWS * C];
    gt_head *head = make_head(0, 1);

    for (int threads = 1; threads <= 3; threads++) {
        for (int first = 1; first < ROWS; first += 300) {
            memset(many, 0, sizeof(many));
            many[first * D + 4] = -INFINITY;
            for (int later = first * D + 5; later < ROWS * D; later += 400) {
                many[later] = NAN;
            }
            char text[64];
            (void)snprintf(text, sizeof(text), "the features: row %d, column 4 is infinite", first);
            CHECK(gt_head_predict(head, many, ROWS, 0, threads, output, &error) ==
                  GT_ERROR_ARGUMENT);
            CHECK(says(text));
        }
    }
    gt_head_free(head);
}

/* --- bad arguments ------------------------------------------------------------------------- */

static void
test_bad_shapes(void)
{
    const gt_head_config no_layers = {0, {1}}, many = {17, {1}};
    const gt_head_config no_features = {1, {0, 3}}, no_width = {2, {4, -1, 3}};
    const gt_head_config no_classes = {1, {4, 0}};
    const gt_head_config huge = {1, {INT64_MAX / 2, 1000}};
    const gt_head_config many_classes = {1, {1, INT64_C(1) << 31}};
    const gt_head_config more_than_memory = {1, {INT64_MAX / 3, 1}};
    const gt_head_config wide = {2, {2, INT64_MAX / 3 * 2, 2}};
    gt_head_workspace workspace;
#ifndef __SANITIZE_ADDRESS__ /* which ends the process instead of refusing */
    const gt_head_config vast = {1, {INT64_MAX / 8, 1}};
#endif
    gt_head *head = NULL;

    CHECK(gt_head_create(&no_layers, 0, &head, &error) == GT_ERROR_ARGUMENT && says("layers is 0"));
    CHECK(gt_head_create(&many, 0, &head, &error) == GT_ERROR_ARGUMENT && says("layers is 17"));
    CHECK(gt_head_create(&no_features, 0, &head, &error) == GT_ERROR_ARGUMENT && says("features"));
    CHECK(gt_head_create(&no_width, 0, &head, &error) == GT_ERROR_ARGUMENT && says("hidden"));
    CHECK(gt_head_create(&no_classes, 0, &head, &error) == GT_ERROR_ARGUMENT && says("classes"));
    CHECK(gt_head_create(&huge, 0, &head, &error) == GT_ERROR_ARGUMENT && says("too large"));
    CHECK(gt_head_create(&many_classes, 0, &head, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("the number of classes is 2147483648"));
    CHECK(gt_head_create(&more_than_memory, 0, &head, &error) == GT_ERROR_MEMORY);
    CHECK(says("the weights of the head"));
    for (int training = 0; training < 2; training++) { /* of activations, then also of gradients */
        CHECK(gt_head_workspace_create(&wide, 1 + 7 * !training, training, &workspace, &error) ==
              GT_ERROR_ARGUMENT);
        CHECK(says("too large") && workspace.block == NULL);
        gt_head_workspace_free(&workspace);
    }
#ifndef __SANITIZE_ADDRESS__
    CHECK(gt_head_create(&vast, 0, &head, &error) == GT_ERROR_MEMORY && says("out of memory"));
#endif
    CHECK(head == NULL);
}

int
main(void)
{
    make_data();
    RUN(test_softmax_at_the_extremes);
    RUN(test_softmax_keeps_nan_visible);
    RUN(test_softmax_agrees_with_exp);
    RUN(test_adam_is_keras_adam);
    RUN(test_sgd_is_keras_sgd);
    RUN(test_cosine_schedule);
    RUN(test_shuffle_is_a_permutation_that_changes);
    RUN(test_shuffle_is_fair);
    RUN(test_numbers_can_be_skipped);
    RUN(test_dropout_keeps_the_mean);
    RUN(test_initialisation);
    RUN(test_folding_the_scaling);
    RUN(test_predictions_do_not_depend_on_threads);
    RUN(test_predictions_of_a_wide_head_do_not_depend_on_other_rows);
    RUN(test_setting_layers);
    RUN(test_the_first_bad_feature_is_named);
    RUN(test_bad_shapes);
    return check_report();
}
