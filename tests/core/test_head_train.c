/* Training of the dense head against finite differences and plain scalar twins. */
#include <stdlib.h>
#include <string.h>

#include "head/head_minibatch.h"
#include "head_data.h"
#include "threads/parallel.h"

static const float class_weights[C] = {0.5f, 1.0f, 2.5f};
static const gt_head_data data = {N, features, labels, NULL};

/* --- gradient ------------------------------------------------------------------------------ */

static void
check_gradient(int hidden, const float *weights_of_classes, double l2)
{
    const double step = 1e-5;
    gt_head *head = make_head(hidden, 3);
    const int64_t count = head->weights.count;
    double *twin = calloc((size_t)count, sizeof(*twin));
    float *gradient = calloc((size_t)count, sizeof(*gradient));
    double loss = 0.0;
    gt_train_config config = gt_train_defaults();

    config.class_weights = weights_of_classes;
    config.l2 = l2;
    for (int64_t i = 0; i < count; i++) {
        twin[i] = (double)head->weights.block[i];
    }
    CHECK(gt_head_loss_gradient(head, &data, NULL, &config, &loss, gradient, &error) == GT_OK);
    CHECK_CLOSE(loss, twin_loss(head, twin, weights_of_classes, l2), 1e-6);
    for (int64_t i = 0; i < count; i++) {
        const double kept = twin[i];
        double above, below;

        twin[i] = kept + step;
        above = twin_loss(head, twin, weights_of_classes, l2);
        twin[i] = kept - step;
        below = twin_loss(head, twin, weights_of_classes, l2);
        twin[i] = kept;
        CHECK_CLOSE((double)gradient[i], (above - below) / (2.0 * step), 2e-6);
    }
    free(twin);
    free(gradient);
    gt_head_free(head);
}

static void
test_gradient_is_the_finite_difference(void)
{
    check_gradient(0, NULL, 0.0);
    check_gradient(0, class_weights, 0.03);
    check_gradient(5, NULL, 0.0);
    check_gradient(5, class_weights, 0.03);
}

static void
test_scaling_is_applied_when_gathered(void)
{
    const float mean[D] = {0.5f, 1.0f, -2.0f, 0.0f, 3.0f, 0.25f};
    const float factor[D] = {2.0f, 0.5f, 1.0f, 4.0f, 0.125f, 3.0f};
    float scaled[N * D], a[64], b[64];
    const gt_head_data scaled_data = {N, scaled, labels, NULL};
    const gt_head_scaling cases[3] = {{mean, factor}, {mean, NULL}, {NULL, factor}};
    const gt_train_config config = gt_train_defaults();
    gt_head *head = make_head(5, 1);
    double loss_a = 0.0, loss_b = 1.0;

    CHECK(head->weights.count <= 64);
    for (int s = 0; s < 3; s++) {
        for (int i = 0; i < N * D; i++) {
            scaled[i] = (features[i] - (cases[s].mean ? mean[i % D] : 0.0f)) *
                        (cases[s].inverse_deviation ? factor[i % D] : 1.0f);
        }
        CHECK(gt_head_loss_gradient(head, &data, &cases[s], &config, &loss_a, a, &error) == GT_OK);
        CHECK(gt_head_loss_gradient(head, &scaled_data, NULL, &config, &loss_b, b, &error) ==
              GT_OK);
        CHECK(loss_a == loss_b);
        CHECK(memcmp(a, b, (size_t)head->weights.count * sizeof(float)) == 0);
    }
    gt_head_free(head);
}

/* A minibatch of all rows with half of the hidden units dropped, always the same ones. */
static gt_status
dropped_task(void *context, int worker, gt_error *message)
{
    gt_trainer *trainer = context;
    const gt_random random = gt_random_start(2, GT_RANDOM_DROPOUT, 0);

    if (gt_trainer_minibatch(trainer, worker, 0, N, 0.5, &random, message)) {
        gt_trainer_penalise(trainer, worker, trainer->gradient.block);
    }
    return trainer->workers[worker].status;
}

static double
dropped_loss(gt_trainer *trainer)
{
    CHECK(gt_parallel(trainer->threads, 1, dropped_task, trainer, &error) == GT_OK);
    return gt_trainer_loss(trainer) / N;
}

static void
test_gradient_with_dropout(void)
{
    const float step = 1e-3f; /* small, or units would cross the corner of ReLU */
    gt_head *head = make_head(5, 3);
    const int64_t count = head->weights.count;
    const gt_train_config config = gt_train_defaults();
    float *gradient = calloc((size_t)count, sizeof(*gradient));
    gt_trainer trainer = {.head = head, .config = &config, .training = &data, .threads = 1};

    CHECK(gt_trainer_allocate(&trainer, N, 1, &error) == GT_OK);
    (void)dropped_loss(&trainer);
    memcpy(gradient, trainer.gradient.block, (size_t)count * sizeof(float));
    for (int64_t i = 0; i < count; i++) {
        const float kept = head->weights.block[i];
        double above, below;

        head->weights.block[i] = kept + step;
        above = dropped_loss(&trainer);
        head->weights.block[i] = kept - step;
        below = dropped_loss(&trainer);
        head->weights.block[i] = kept;
        CHECK_CLOSE((double)gradient[i], (above - below) / (2.0 * (double)step), 1e-3);
    }
    gt_trainer_free(&trainer);
    free(gradient);
    gt_head_free(head);
}

/* What a row loses depends on its place in the epoch alone: not on the threads, not on the rows
 * that are worked on together. */
static void
test_dropout_is_that_of_the_row(void)
{
    gt_head *head = make_head(5, 3);
    const gt_train_config config = gt_train_defaults();
    double loss[4], plain, accuracy;

    CHECK(gt_head_evaluate(head, &data, NULL, &config, &plain, &accuracy, &error) == GT_OK);
    for (int threads = 1; threads <= 3; threads++) {
        gt_trainer trainer = {
            .head = head, .config = &config, .training = &data, .threads = threads};

        CHECK(gt_trainer_allocate(&trainer, threads == 3 ? 4 : N, 1, &error) == GT_OK);
        loss[threads] = dropped_loss(&trainer);
        gt_trainer_free(&trainer);
    }
    CHECK_CLOSE(loss[2], loss[1], 1e-7);
    CHECK_CLOSE(loss[3], loss[1], 1e-7);
    CHECK(fabs(loss[1] - plain) > 1e-3);
    gt_head_free(head);
}

/* --- training ------------------------------------------------------------------------------ */

enum { MAX_EPOCHS = 200 };

typedef struct {
    gt_epoch epochs[MAX_EPOCHS];
    int count;
    int answer; /* given after `after` epochs */
    int after;
} history;

static int
remember(void *context, const gt_epoch *epoch)
{
    history *h = context;

    CHECK(epoch->epoch == h->count && h->count < MAX_EPOCHS);
    h->epochs[h->count++] = *epoch;
    return h->count == h->after ? h->answer : 0;
}

static void
test_training_separates_the_clouds(void)
{
    const gt_optimiser optimisers[2] = {GT_OPTIMISER_ADAM, GT_OPTIMISER_SGD};

    for (int o = 0; o < 2; o++) {
        for (int hidden = 0; hidden <= 16; hidden += 16) {
            gt_head *head = make_head(hidden, 1);
            gt_train_config config = gt_train_defaults();
            history h = {.count = 0};
            double loss = 0.0, accuracy = 0.0;

            config.optimiser = optimisers[o];
            config.schedule = GT_SCHEDULE_COSINE;
            config.learning_rate = o == 0 ? 0.05 : 0.1;
            config.momentum = 0.9;
            config.batch_size = 8;
            config.dropout = 0.25;
            config.l2 = 1e-5;
            CHECK(gt_head_train(head, &data, &data, NULL, &config, remember, &h, &error) == GT_OK);
            CHECK(h.count == 100 && h.epochs[99].epochs == 100);
            CHECK(h.epochs[99].loss < 0.5 * h.epochs[0].loss);
            CHECK(h.epochs[99].validation_accuracy == 1.0);
            CHECK(h.epochs[99].learning_rate < 1e-3 * config.learning_rate);
            CHECK(gt_head_evaluate(head, &data, NULL, &config, &loss, &accuracy, &error) == GT_OK);
            CHECK_CLOSE(loss, h.epochs[99].validation_loss, 1e-6);
            CHECK(accuracy == 1.0);
            gt_head_free(head);
        }
    }
}

/* One epoch of minibatches of 8 (the last of 5) in the published order, Adam, class weights and
 * L2, with the running averages of loss and accuracy. */
static void
test_an_epoch_is_the_plain_one(void)
{
    enum { COUNT = D * C + C, BATCH = 8 };
    gt_head *head = make_head(0, 5);
    gt_train_config config = gt_train_defaults();
    history h = {.count = 0};
    double w[COUNT], m[COUNT] = {0}, v[COUNT] = {0}, total = 0.0, correct = 0.0;
    int64_t order[N];
    int t = 0;

    config.epochs = 1;
    config.batch_size = BATCH;
    config.learning_rate = 0.01;
    config.class_weights = class_weights;
    config.l2 = 0.01;
    config.seed = 42;
    gt_shuffle(order, N, 42, 0);
    for (int i = 0; i < COUNT; i++) {
        w[i] = (double)head->weights.block[i];
    }
    for (int start = 0; start < N; start += BATCH) {
        const int rows = N - start < BATCH ? N - start : BATCH;
        double g[COUNT] = {0}, loss = 0.0;

        for (int r = 0; r < rows; r++) {
            const float *x = features + order[start + r] * D;
            const int label = labels[order[start + r]];
            double z[C], sum = 0.0;
            int best = 0;

            for (int j = 0; j < C; j++) {
                z[j] = w[D * C + j];
                for (int i = 0; i < D; i++) {
                    z[j] += (double)x[i] * w[i * C + j];
                }
                sum += exp(z[j]);
                best = z[j] > z[best] ? j : best;
            }
            correct += best == label;
            loss += (double)class_weights[label] * (log(sum) - z[label]) / rows;
            for (int j = 0; j < C; j++) {
                const double delta =
                    (exp(z[j]) / sum - (j == label)) * (double)class_weights[label] / rows;

                g[D * C + j] += delta;
                for (int i = 0; i < D; i++) {
                    g[i * C + j] += delta * (double)x[i];
                }
            }
        }
        for (int i = 0; i < D * C; i++) {
            loss += 0.01 * w[i] * w[i];
            g[i] += 2.0 * 0.01 * w[i];
        }
        total += loss * rows;
        t++;
        for (int i = 0; i < COUNT; i++) {
            m[i] += (g[i] - m[i]) * 0.1;
            v[i] += (g[i] * g[i] - v[i]) * 0.001;
            w[i] -=
                m[i] * 0.01 * sqrt(1.0 - pow(0.999, t)) / (1.0 - pow(0.9, t)) / (sqrt(v[i]) + 1e-7);
        }
    }
    CHECK(gt_head_train(head, &data, NULL, NULL, &config, remember, &h, &error) == GT_OK);
    for (int i = 0; i < COUNT; i++) {
        CHECK_CLOSE((double)head->weights.block[i], w[i], 2e-6);
    }
    CHECK_CLOSE(h.epochs[0].loss, total / N, 1e-6);
    CHECK_CLOSE(h.epochs[0].accuracy, correct / N, 1e-12);
    CHECK(isnan(h.epochs[0].validation_loss) && isnan(h.epochs[0].validation_accuracy));
    gt_head_free(head);
}

static void
test_same_seed_same_bits(void)
{
    for (int threads = 1; threads <= 2; threads++) {
        gt_head *a = make_head(16, 1), *b = make_head(16, 1), *c = make_head(16, 1);
        gt_train_config config = gt_train_defaults();
        size_t size;

        size = (size_t)a->weights.count * sizeof(float);
        config.epochs = 5;
        config.dropout = 0.5;
        config.seed = 9;
        config.threads = threads;
        CHECK(gt_head_train(a, &data, NULL, NULL, &config, NULL, NULL, &error) == GT_OK);
        CHECK(gt_head_train(b, &data, &data, NULL, &config, NULL, NULL, &error) == GT_OK);
        CHECK(memcmp(a->weights.block, b->weights.block, size) == 0);
        config.seed = 10;
        CHECK(gt_head_train(c, &data, NULL, NULL, &config, NULL, NULL, &error) == GT_OK);
        CHECK(memcmp(a->weights.block, c->weights.block, size) != 0);
        gt_head_free(a);
        gt_head_free(b);
        gt_head_free(c);
    }
}

static void
test_callback_ends_training(void)
{
    gt_head *head = make_head(0, 1);
    const gt_train_config config = gt_train_defaults();
    history stop = {.answer = 1, .after = 3}, abort_it = {.answer = -1, .after = 2};

    CHECK(gt_head_train(head, &data, NULL, NULL, &config, remember, &stop, &error) == GT_OK);
    CHECK(stop.count == 3);
    CHECK(gt_head_train(head, &data, NULL, NULL, &config, remember, &abort_it, &error) ==
          GT_ERROR_STOPPED);
    CHECK(abort_it.count == 2 && says("after epoch 2 of 100"));
    gt_head_free(head);
}

static void
test_no_epochs_change_nothing(void)
{
    gt_head *head = make_head(0, 1), *same = make_head(0, 1);
    gt_train_config config = gt_train_defaults();

    config.epochs = 0;
    CHECK(gt_head_train(head, &data, NULL, NULL, &config, NULL, NULL, &error) == GT_OK);
    CHECK(memcmp(head->weights.block, same->weights.block,
                 (size_t)head->weights.count * sizeof(float)) == 0);
    gt_head_free(head);
    gt_head_free(same);
}

static void
test_divergence_says_what_to_do(void)
{
    gt_head *head = make_head(4, 1);
    gt_train_config config = gt_train_defaults();

    config.optimiser = GT_OPTIMISER_SGD;
    config.batch_size = N;
    config.learning_rate = 1e30; /* large weights after one step, whose product overflows */
    CHECK(gt_head_train(head, &data, NULL, NULL, &config, NULL, NULL, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("the loss is no longer finite in epoch 2 of 100: lower the learning rate"));
    gt_head_initialise(head, 1);
    config.learning_rate = 1e39; /* infinite weights after one step */
    CHECK(gt_head_train(head, &data, NULL, NULL, &config, NULL, NULL, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("the weights are no longer finite in epoch 1 of 100: lower the learning rate"));
    gt_head_free(head);
}

/* More rows than one block of an evaluation, and class weights that it must not use. */
static void
test_evaluation_is_unweighted(void)
{
    enum { COPIES = 10 };
    gt_head *head = make_head(0, 6);
    gt_train_config config = gt_train_defaults();
    float many[COPIES * N * D];
    int32_t own[COPIES * N];
    const gt_head_data copies = {COPIES * N, many, own, NULL};
    double twin[D * C + C], loss = 0.0, accuracy = 0.0;

    for (int i = 0; i < COPIES; i++) {
        memcpy(many + i * N * D, features, sizeof(features));
        memcpy(own + i * N, labels, sizeof(labels));
    }
    for (int i = 0; i < D * C + C; i++) {
        twin[i] = (double)head->weights.block[i];
    }
    config.class_weights = class_weights;
    config.l2 = 0.03;
    CHECK(gt_head_evaluate(head, &copies, NULL, &config, &loss, &accuracy, &error) == GT_OK);
    CHECK_CLOSE(loss, twin_loss(head, twin, NULL, 0.03), 1e-6);
    gt_head_free(head);
}

/* --- bad arguments ------------------------------------------------------------------------- */

static int
rejected(const gt_train_config *config, const char *text)
{
    gt_head *head = make_head(4, 1);
    gt_status status = gt_head_train(head, &data, NULL, NULL, config, NULL, NULL, &error);

    gt_head_free(head);
    return status == GT_ERROR_ARGUMENT && says(text);
}

/* Change one field of the defaults to a value that must be rejected. */
#define CHECK_REJECTED(field, value, text)                                                         \
    do {                                                                                           \
        gt_train_config bad = gt_train_defaults();                                                 \
        bad.field = (value);                                                                       \
        CHECK(rejected(&bad, text));                                                               \
    } while (0)

static void
test_bad_settings(void)
{
    const float negative[C] = {1.0f, -1.0f, 1.0f}, undefined[C] = {1.0f, 1.0f, NAN};

    CHECK_REJECTED(epochs, -1, "epochs is -1");
    CHECK_REJECTED(epochs, INT64_MAX, "too many");
    CHECK_REJECTED(batch_size, 0, "batch_size is 0");
    CHECK_REJECTED(threads, 0, "threads is 0");
    CHECK_REJECTED(learning_rate, 0.0, "learning_rate is 0");
    CHECK_REJECTED(learning_rate, -0.5, "learning_rate is -0.5");
    CHECK_REJECTED(learning_rate, NAN, "learning_rate is");
    CHECK_REJECTED(learning_rate, INFINITY, "learning_rate is inf");
    CHECK_REJECTED(beta1, 1.0, "beta1 is 1");
    CHECK_REJECTED(beta2, -0.1, "beta2 is -0.1");
    CHECK_REJECTED(epsilon, 0.0, "epsilon is 0");
    CHECK_REJECTED(momentum, 1.0, "momentum is 1");
    CHECK_REJECTED(l2, -1.0, "l2 is -1");
    CHECK_REJECTED(l2, INFINITY, "l2 is inf");
    CHECK_REJECTED(dropout, 1.0, "dropout is 1");
    CHECK_REJECTED(dropout, -0.1, "dropout is -0.1");
    CHECK_REJECTED(optimiser, (gt_optimiser)7, "optimiser is 7");
    CHECK_REJECTED(schedule, (gt_schedule)7, "schedule is 7");
    CHECK_REJECTED(class_weights, negative, "the weight of class 1 is -1");
    CHECK_REJECTED(class_weights, undefined, "the weight of class 2 is");
}

static void
test_bad_data(void)
{
    gt_head *head = make_head(0, 1);
    const gt_train_config config = gt_train_defaults();
    const float mean[D] = {0.0f, 0.0f, NAN};
    const gt_head_scaling scaling = {mean, NULL};
    gt_head_data bad = data;
    int32_t bad_labels[N];
    float bad_features[N * D];

    bad.n = 0;
    CHECK(gt_head_train(head, &bad, NULL, NULL, &config, NULL, NULL, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("0 rows of training data"));
    bad.n = INT64_MAX;
    CHECK(gt_head_train(head, &bad, NULL, NULL, &config, NULL, NULL, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("too large to exist"));
    memcpy(bad_labels, labels, sizeof(labels));
    bad_labels[5] = C;
    bad_labels[6] = -1;
    bad = (gt_head_data){N, features, bad_labels, NULL};
    CHECK(gt_head_train(head, &bad, NULL, NULL, &config, NULL, NULL, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("the training label 3 at index 5 is not one of the classes 0 .. 2"));
    bad_labels[5] = 0;
    CHECK(gt_head_train(head, &data, &bad, NULL, &config, NULL, NULL, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("the validation label -1 at index 6"));
    memcpy(bad_features, features, sizeof(features));
    bad_features[3 * D + 2] = -INFINITY;
    bad_features[4 * D] = NAN;
    bad = (gt_head_data){N, bad_features, labels, NULL};
    CHECK(gt_head_train(head, &bad, NULL, NULL, &config, NULL, NULL, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("the training features: row 3, column 2 is infinite"));
    CHECK(gt_head_train(head, &data, NULL, &scaling, &config, NULL, NULL, &error) ==
          GT_ERROR_ARGUMENT);
    CHECK(says("the mean: row 0, column 2 is NaN"));
    CHECK(gt_head_fold_scaling(head, &scaling, &error) == GT_ERROR_ARGUMENT);
    gt_head_free(head);
}

int
main(void)
{
    make_data();
    RUN(test_gradient_is_the_finite_difference);
    RUN(test_scaling_is_applied_when_gathered);
    RUN(test_gradient_with_dropout);
    RUN(test_dropout_is_that_of_the_row);
    RUN(test_training_separates_the_clouds);
    RUN(test_an_epoch_is_the_plain_one);
    RUN(test_same_seed_same_bits);
    RUN(test_callback_ends_training);
    RUN(test_no_epochs_change_nothing);
    RUN(test_divergence_says_what_to_do);
    RUN(test_evaluation_is_unweighted);
    RUN(test_bad_settings);
    RUN(test_bad_data);
    return check_report();
}
