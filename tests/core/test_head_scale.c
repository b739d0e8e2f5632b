/* The head on many rows: loops shared by threads, some rows of the features, standardisation. */
#include <stdlib.h>
#include <string.h>

#include "head/head_minibatch.h"
#include "head_data.h"
#include "head_wide.h"
#include "threads/parallel.h"

/* N is no multiple of 2 to 9: parts are uneven, and some threads have no weights of a layer. */
enum { MAX_THREADS = 9 };

static const float class_weights[C] = {0.5f, 1.0f, 2.5f};

/* --- threads inside a minibatch ------------------------------------------------------------ */

typedef struct {
    gt_trainer trainer;
    gt_head_data data;
    int evaluates;
} job;

static gt_status
job_task(void *context, int worker, gt_error *message)
{
    job *own = context;

    if (own->evaluates) {
        return gt_trainer_evaluate(&own->trainer, worker, &own->data, message);
    }
    if (gt_trainer_minibatch(&own->trainer, worker, 0, N, 0.0, NULL, message)) {
        gt_trainer_penalise(&own->trainer, worker, own->trainer.gradient.block);
    }
    return own->trainer.workers[worker].status;
}

/* Run on so many threads, however small the data, with room for `rows` rows at a time; free
 * own->run after it. */
static void
run_job(job *own, int threads, int64_t rows)
{
    own->data = (gt_head_data){N, features, labels, NULL};
    own->trainer.training = &own->data;
    own->trainer.threads = threads;
    CHECK(gt_trainer_allocate(&own->trainer, rows, 1, &error) == GT_OK);
    gt_trainer_round_weights(&own->trainer);
    CHECK(gt_parallel(threads, 1, job_task, own, &error) == GT_OK);
}

/* Central differences of the twin's loss at these weights. */
static void
twin_gradient(const gt_head *head, double l2, double *weights, double *gradient)
{
    const double step = 1e-5;

    for (int64_t i = 0; i < head->weights.count; i++) {
        const double kept = weights[i];

        weights[i] = kept + step;
        gradient[i] = twin_loss(head, weights, class_weights, l2);
        weights[i] = kept - step;
        gradient[i] = (gradient[i] - twin_loss(head, weights, class_weights, l2)) / (2.0 * step);
        weights[i] = kept;
    }
}

typedef struct {
    double *gradient; /* (weights.count,) */
    double loss;
    int64_t correct;
} outcome;

/* Two runs of the minibatch have the same bits, and are as `wanted`. */
static void
verify_minibatch(const gt_head *head, const gt_train_config *config, int threads, int64_t rows,
                 bool uses_bf16, const outcome *wanted)
{
    job first = {.trainer = {.head = head, .config = config, .uses_bf16 = uses_bf16}},
        second = first;

    run_job(&first, threads, rows);
    run_job(&second, threads, rows);
    for (int64_t i = 0; i < head->weights.count; i++) {
        CHECK_CLOSE((double)first.trainer.gradient.block[i], wanted->gradient[i], 2e-6);
    }
    CHECK_CLOSE(gt_trainer_loss(&first.trainer) / N + gt_trainer_penalty(&first.trainer),
                wanted->loss, 1e-6);
    CHECK(gt_trainer_correct(&first.trainer) == wanted->correct);
    CHECK(gt_trainer_loss(&first.trainer) == gt_trainer_loss(&second.trainer));
    CHECK(gt_trainer_penalty(&first.trainer) == gt_trainer_penalty(&second.trainer));
    CHECK(gt_trainer_correct(&first.trainer) == gt_trainer_correct(&second.trainer));
    CHECK(memcmp(first.trainer.gradient.block, second.trainer.gradient.block,
                 (size_t)head->weights.count * sizeof(float)) == 0);
    gt_trainer_free(&first.trainer);
    gt_trainer_free(&second.trainer);
}

static outcome
twin_outcome(const gt_head *head, double l2)
{
    const int64_t count = head->weights.count;
    const gt_head_data data = {N, features, labels, NULL};
    const gt_train_config plain = gt_train_defaults();
    outcome twin = {.gradient = calloc((size_t)count, sizeof(double))};
    double *weights = calloc((size_t)count, sizeof(*weights)), loss, accuracy;

    for (int64_t i = 0; i < count; i++) {
        weights[i] = (double)head->weights.block[i];
    }
    twin_gradient(head, l2, weights, twin.gradient);
    twin.loss = twin_loss(head, weights, class_weights, l2);
    CHECK(gt_head_evaluate(head, &data, NULL, &plain, &loss, &accuracy, &error) == GT_OK);
    twin.correct = (int64_t)(accuracy * N + 0.5);
    free(weights);
    return twin;
}

/* At once, and a few rows at a time, of which in the end some threads have none; and as where large
 * products are rounded, which these are not, though what wide layers read is. */
static void
test_threaded_minibatch_is_the_plain_one(void)
{
    const int widths[3] = {0, 5, 20};

    for (int i = 0; i < 3; i++) {
        gt_head *head = make_head(widths[i], 3);
        gt_train_config config = gt_train_defaults();
        outcome twin = twin_outcome(head, 0.03);

        config.class_weights = class_weights;
        config.l2 = 0.03;
        for (int threads = 1; threads <= MAX_THREADS; threads++) {
            verify_minibatch(head, &config, threads, N, false, &twin);
            verify_minibatch(head, &config, threads, 2 * threads, false, &twin);
            verify_minibatch(head, &config, threads, 2 * threads, true, &twin);
        }
        free(twin.gradient);
        gt_head_free(head);
    }
}

static void
test_threaded_evaluation_is_the_plain_one(void)
{
    gt_head *head = make_head(5, 3);
    gt_train_config config = gt_train_defaults();
    double loss = 0.0, accuracy = 0.0;
    const gt_head_data data = {N, features, labels, NULL};

    CHECK(gt_head_evaluate(head, &data, NULL, &config, &loss, &accuracy, &error) == GT_OK);
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        job own = {.trainer = {.head = head, .config = &config}, .evaluates = 1};

        run_job(&own, threads, N);
        /* Shares of the rows are multiplied apart, so the last bits of logits differ. */
        CHECK_CLOSE(gt_trainer_loss(&own.trainer) / N + gt_trainer_penalty(&own.trainer), loss,
                    1e-7);
        CHECK((double)gt_trainer_correct(&own.trainer) / N == accuracy);
        gt_trainer_free(&own.trainer);
    }
    gt_head_free(head);
}

/* --- threads in a whole training ----------------------------------------------------------- */

static int
keep_epoch(void *context, const gt_epoch *epoch)
{
    *(gt_epoch *)context = *epoch;
    return 0;
}

/* An epoch, without or with a hidden layer and dropout, and its validation. */
static gt_head *
train_wide(gt_optimiser optimiser, bool hidden, int threads, gt_epoch *epoch)
{
    gt_head_config plain = {1, {WIDE, CLASSES}}, deep = {2, {WIDE, HIDDEN, CLASSES}};
    gt_train_config config = gt_train_defaults();
    gt_head *head = NULL;

    config.epochs = 1;
    config.batch_size = 511;
    config.l2 = 0.001;
    config.dropout = hidden ? 0.5 : 0.0;
    config.optimiser = optimiser;
    config.threads = threads;
    CHECK(gt_head_create(hidden ? &deep : &plain, 4, &head, &error) == GT_OK);
    CHECK(gt_head_train(head, &wide_data, &wide_data, NULL, &config, keep_epoch, epoch, &error) ==
          GT_OK);
    return head;
}

/* Twice on so many threads: the same bits; and what one thread made of it. */
static void
verify_threads(gt_optimiser optimiser, bool hidden, int threads, const gt_head *one,
               const gt_epoch *wanted)
{
    gt_epoch epochs[2];
    gt_head *head = train_wide(optimiser, hidden, threads, &epochs[0]);
    gt_head *again = train_wide(optimiser, hidden, threads, &epochs[1]);
    double furthest = 0.0;

    CHECK(memcmp(head->weights.block, again->weights.block,
                 (size_t)head->weights.count * sizeof(float)) == 0);
    CHECK(epochs[0].loss == epochs[1].loss);
    CHECK(epochs[0].validation_loss == epochs[1].validation_loss);
    for (int64_t i = 0; i < head->weights.count; i++) {
        furthest =
            fmax(furthest, fabs((double)head->weights.block[i] - (double)one->weights.block[i]));
    }
    CHECK_CLOSE(furthest, 0.0, 1e-6);
    CHECK_CLOSE(epochs[0].loss, wanted->loss, 1e-6);
    CHECK(epochs[0].accuracy == wanted->accuracy);
    CHECK_CLOSE(epochs[0].validation_loss, wanted->validation_loss, 1e-6);
    gt_head_free(head);
    gt_head_free(again);
}

static void
test_threads_in_a_whole_training(void)
{
    make_wide_data();
    for (int variant = 0; variant < 4; variant++) {
        const gt_optimiser optimiser = variant % 2 == 0 ? GT_OPTIMISER_SGD : GT_OPTIMISER_ADAM;
        gt_epoch epoch;
        gt_head *one = train_wide(optimiser, variant / 2 == 1, 1, &epoch);

        for (int threads = 2; threads <= 3; threads++) {
            verify_threads(optimiser, variant / 2 == 1, threads, one, &epoch);
        }
        gt_head_free(one);
    }
}

/* All threads stop, and one says why. */
static void
test_divergence_on_threads(void)
{
    gt_head_config shape = {1, {WIDE, CLASSES}};
    gt_train_config config = gt_train_defaults();
    gt_head *head = NULL;

    config.epochs = 3;
    config.batch_size = 511;
    config.optimiser = GT_OPTIMISER_SGD;
    config.learning_rate = 1e38;
    config.threads = 3;
    CHECK(gt_head_create(&shape, 4, &head, &error) == GT_OK);
    CHECK(gt_head_train(head, &wide_data, NULL, NULL, &config, NULL, NULL, &error) ==
          GT_ERROR_ARGUMENT);
    CHECK(says("the loss is no longer finite in epoch 2 of 3"));
    gt_head_free(head);
}

/* --- some rows of the features ------------------------------------------------------------- */

enum { SOME = 17 };

/* Any rows in any order, one of them twice, and the same as a copy. */
static void
choose_rows(int64_t *rows, float *copy, int32_t *own_labels)
{
    for (int i = 0; i < SOME; i++) {
        rows[i] = (i * 11 + 5) % N;
    }
    rows[SOME - 1] = rows[0];
    for (int i = 0; i < SOME; i++) {
        memcpy(copy + i * D, features + rows[i] * D, D * sizeof(*copy));
        own_labels[i] = labels[rows[i]];
    }
}

static void
test_some_rows_are_a_copy_of_them(void)
{
    int64_t rows[SOME];
    float copy[SOME * D];
    int32_t own_labels[SOME];
    const gt_head_data chosen = {SOME, features, own_labels, rows};
    const gt_head_data copied = {SOME, copy, own_labels, NULL};
    const gt_head_data *const data[2] = {&chosen, &copied};
    gt_head *heads[2];
    float mean[2][D], factor[2][D];
    double loss[2], accuracy[2];
    gt_train_config config = gt_train_defaults();

    choose_rows(rows, copy, own_labels);
    config.epochs = 4;
    config.batch_size = 5;
    for (int i = 0; i < 2; i++) {
        const gt_head_scaling scaling = {mean[i], factor[i]};

        heads[i] = make_head(5, 1);
        CHECK(gt_head_standardise(data[i], D, 2, mean[i], factor[i], &error) == GT_OK);
        CHECK(gt_head_train(heads[i], data[i], data[i], &scaling, &config, NULL, NULL, &error) ==
              GT_OK);
        CHECK(gt_head_evaluate(heads[i], data[i], &scaling, &config, &loss[i], &accuracy[i],
                               &error) == GT_OK);
    }
    CHECK(memcmp(mean[0], mean[1], sizeof(mean[0])) == 0);
    CHECK(memcmp(factor[0], factor[1], sizeof(factor[0])) == 0);
    CHECK(memcmp(heads[0]->weights.block, heads[1]->weights.block,
                 (size_t)heads[0]->weights.count * sizeof(float)) == 0);
    CHECK(loss[0] == loss[1] && accuracy[0] == accuracy[1]);
    gt_head_free(heads[0]);
    gt_head_free(heads[1]);
}

/* Only rows that are used need be finite, and a bad one is named by its place in the features. */
static void
test_bad_values_in_some_rows(void)
{
    int64_t rows[SOME];
    float copy[SOME * D], all[N * D];
    int32_t own_labels[SOME];
    const gt_head_data chosen = {SOME, all, own_labels, rows};
    gt_head *head = make_head(0, 1);
    gt_train_config config = gt_train_defaults();

    choose_rows(rows, copy, own_labels);
    config.epochs = 1;
    for (int i = 0; i < N * D; i++) {
        all[i] = NAN;
    }
    for (int i = 0; i < SOME; i++) {
        memcpy(all + rows[i] * D, copy + i * D, D * sizeof(*all));
    }
    CHECK(gt_head_train(head, &chosen, NULL, NULL, &config, NULL, NULL, &error) == GT_OK);
    all[27 * D + 4] = INFINITY; /* row 27 is the third of those chosen */
    CHECK(rows[2] == 27);
    CHECK(gt_head_train(head, &chosen, NULL, NULL, &config, NULL, NULL, &error) ==
          GT_ERROR_ARGUMENT);
    CHECK(says("the training features: row 27, column 4 is infinite"));
    gt_head_free(head);
}

/* Several threads look through many rows; of two bad values the first is named all the same. */
static void
test_the_first_bad_value_of_many_rows(void)
{
    enum { MANY_ROWS = 10000, MANY_COLUMNS = 1000 };
    float *x = calloc((size_t)MANY_ROWS * MANY_COLUMNS, sizeof(*x));
    int32_t *y = calloc(MANY_ROWS, sizeof(*y));
    const gt_head_data data = {MANY_ROWS, x, y, NULL};
    const gt_head_config shape = {1, {MANY_COLUMNS, 2}};
    gt_train_config config = gt_train_defaults();
    gt_head *head = NULL;

    config.threads = 3;
    config.epochs = 1;
    CHECK(gt_head_create(&shape, 0, &head, &error) == GT_OK);
    x[(size_t)9000 * MANY_COLUMNS + 3] = NAN;
    x[(size_t)4000 * MANY_COLUMNS + 5] = INFINITY;
    CHECK(gt_head_train(head, &data, NULL, NULL, &config, NULL, NULL, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("the training features: row 4000, column 5 is infinite"));
    gt_head_free(head);
    free(x);
    free(y);
}

/* --- standardisation ----------------------------------------------------------------------- */

enum { MANY = 500, CONSTANT = 2, FAR = 3 };

static void
make_columns(float *values)
{
    gt_random random = gt_random_start(5, GT_RANDOM_WEIGHTS, 5);

    for (int i = 0; i < MANY; i++) {
        float *row = values + i * D;

        for (int j = 0; j < D; j++) {
            row[j] = gt_random_uniform(&random) * (j == 0 ? 1e-6f : j == 1 ? 1e25f : 1.0f);
        }
        row[CONSTANT] = 0.1f;
        row[FAR] += 1e4f; /* the squares of which differ in no digit of float32 */
    }
}

static void
check_standardisation(const gt_head_data *data, int threads)
{
    float mean[D], factor[D], mean_again[D], factor_again[D];

    CHECK(gt_head_standardise(data, D, threads, mean, factor, &error) == GT_OK);
    CHECK(gt_head_standardise(data, D, threads, mean_again, factor_again, &error) == GT_OK);
    CHECK(memcmp(mean, mean_again, sizeof(mean)) == 0);
    CHECK(memcmp(factor, factor_again, sizeof(factor)) == 0);
    for (int j = 0; j < D; j++) {
        double average = 0.0, variance = 0.0;

        for (int64_t i = 0; i < data->n; i++) {
            average += (double)data->features[(data->rows ? data->rows[i] : i) * D + j];
        }
        average /= (double)data->n;
        for (int64_t i = 0; i < data->n; i++) {
            const double distance =
                (double)data->features[(data->rows ? data->rows[i] : i) * D + j] - average;

            variance += distance * distance / (double)data->n;
        }
        CHECK_CLOSE((double)mean[j], average, 1e-7 * average);
        if (j != CONSTANT && data->n > 1) {
            CHECK_CLOSE((double)factor[j] * sqrt(variance), 1.0, 1e-6);
        }
        else {
            CHECK(factor[j] == 1.0f);
        }
    }
    CHECK(mean[CONSTANT] == 0.1f);
}

static void
test_standardisation_is_the_plain_one(void)
{
    const int sizes[] = {1, 2, 63, 64, 65, 129, MANY};
    static float values[MANY * D];
    int64_t rows[MANY];

    make_columns(values);
    for (int i = 0; i < MANY; i++) {
        rows[i] = (i * 7 + 3) % MANY;
    }
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        for (int threads = 1; threads <= MAX_THREADS; threads++) {
            check_standardisation(&(gt_head_data){sizes[s], values, NULL, NULL}, threads);
            check_standardisation(&(gt_head_data){sizes[s], values, NULL, rows}, threads);
        }
    }
}

static void
test_bad_arguments_of_standardisation(void)
{
    const gt_head_data data = {N, features, NULL, NULL}, none = {0, features, NULL, NULL};
    float mean[D], factor[D];

    CHECK(gt_head_standardise(&none, D, 1, mean, factor, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("there are 0 x 6 features and 1 threads; give at least 1 of each"));
    CHECK(gt_head_standardise(&data, 0, 1, mean, factor, &error) == GT_ERROR_ARGUMENT);
    CHECK(gt_head_standardise(&data, D, 0, mean, factor, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("and 0 threads"));
}

int
main(void)
{
    make_data();
    RUN(test_threaded_minibatch_is_the_plain_one);
    RUN(test_threaded_evaluation_is_the_plain_one);
    RUN(test_threads_in_a_whole_training);
    RUN(test_divergence_on_threads);
    RUN(test_some_rows_are_a_copy_of_them);
    RUN(test_bad_values_in_some_rows);
    RUN(test_the_first_bad_value_of_many_rows);
    RUN(test_standardisation_is_the_plain_one);
    RUN(test_bad_arguments_of_standardisation);
    return check_report();
}
