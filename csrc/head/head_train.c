#include "head/head_minibatch.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/multiversion.h"
#include "head/gemm_bf16.h"
#include "threads/parallel.h"
#include "threads/team.h"

#define THREAD_CHECK 5000000 /* values to look through */

/* --- settings and data --------------------------------------------------------------------- */

gt_train_config
gt_train_defaults(void)
{
    gt_train_config config = {0};

    config.epochs = 100;
    config.batch_size = 32;
    config.optimiser = GT_OPTIMISER_ADAM;
    config.schedule = GT_SCHEDULE_CONSTANT;
    config.learning_rate = 0.001;
    config.beta1 = 0.9;
    config.beta2 = 0.999;
    config.epsilon = 1e-7;
    config.threads = 1;
    return config;
}

static gt_status
check_range(const char *name, double value, int is_inside, const char *range, gt_error *error)
{
    if (is_inside && isfinite(value)) {
        return GT_OK;
    }
    return gt_fail(error, GT_ERROR_ARGUMENT, "%s is %g; it must be %s", name, value, range);
}

static gt_status
check_class_weights(const gt_head *head, const float *class_weights, gt_error *error)
{
    const int64_t c = head->config.widths[head->config.layers];

    for (int64_t j = 0; class_weights != NULL && j < c; j++) {
        if (!(class_weights[j] >= 0.0f && isfinite(class_weights[j]))) {
            return gt_fail(error, GT_ERROR_ARGUMENT,
                           "the weight of class %lld is %g; it must be finite and at least 0",
                           (long long)j, (double)class_weights[j]);
        }
    }
    return GT_OK;
}

static gt_status
check_config(const gt_head *head, const gt_train_config *config, gt_error *error)
{
    const double rate = config->learning_rate, beta1 = config->beta1, beta2 = config->beta2;
    const double epsilon = config->epsilon, momentum = config->momentum, l2 = config->l2;
    const char *share = "at least 0 and below 1";
    gt_status status = GT_OK;

#define CHECK(name, value, is_inside, range)                                                       \
    if (status == GT_OK) {                                                                         \
        status = check_range(name, (double)(value), is_inside, range, error);                      \
    }
    CHECK("epochs", config->epochs, config->epochs >= 0, "at least 0")
    CHECK("batch_size", config->batch_size, config->batch_size >= 1, "at least 1")
    CHECK("threads", config->threads, config->threads >= 1, "at least 1")
    CHECK("optimiser", config->optimiser,
          config->optimiser == GT_OPTIMISER_ADAM || config->optimiser == GT_OPTIMISER_SGD,
          "Adam or SGD")
    CHECK("schedule", config->schedule,
          config->schedule == GT_SCHEDULE_CONSTANT || config->schedule == GT_SCHEDULE_COSINE,
          "constant or cosine")
    CHECK("learning_rate", rate, rate > 0.0, "finite and above 0")
    CHECK("beta1", beta1, beta1 >= 0.0 && beta1 < 1.0, share)
    CHECK("beta2", beta2, beta2 >= 0.0 && beta2 < 1.0, share)
    CHECK("epsilon", epsilon, epsilon > 0.0, "finite and above 0")
    CHECK("momentum", momentum, momentum >= 0.0 && momentum < 1.0, share)
    CHECK("l2", l2, l2 >= 0.0, "finite and at least 0")
    CHECK("dropout", config->dropout, config->dropout >= 0.0 && config->dropout < 1.0, share)
#undef CHECK
    return status == GT_OK ? check_class_weights(head, config->class_weights, error) : status;
}

typedef struct {
    const gt_head_data *data;
    int64_t d;
    const char *name;
    int threads;
} finite_check;

/* The first worker has the first rows, so that of all bad values the first is named. */
static gt_status
finite_task(void *context, int worker, gt_error *error)
{
    const finite_check *job = context;
    const gt_head_data *data = job->data;
    const gt_share share = gt_share_of(data->n, worker, job->threads);
    const int64_t d = job->d;
    gt_status status = GT_OK;

    if (data->rows == NULL) {
        return gt_check_finite(job->name, data->features + share.first * d, share.first,
                               share.last - share.first, d, error);
    }
    for (int64_t i = share.first; status == GT_OK && i < share.last; i++) {
        const int64_t row = data->rows[i];

        status = gt_check_finite(job->name, data->features + row * d, row, 1, d, error);
    }
    return status;
}

/* `what` is "training" or "validation". */
static gt_status
check_data(const gt_head *head, const gt_head_data *data, const char *what, int threads,
           gt_error *error)
{
    const int64_t d = head->config.widths[0], c = head->config.widths[head->config.layers];
    int64_t size;
    char name[64] = "the ";

    if (data->n < 1) {
        return gt_fail(error, GT_ERROR_ARGUMENT, "there are %lld rows of %s data; give at least 1",
                       (long long)data->n, what);
    }
    if (__builtin_mul_overflow(data->n, d, &size) || size > INT64_MAX / (int64_t)sizeof(float)) {
        return gt_fail(error, GT_ERROR_ARGUMENT,
                       "the %s data of %lld x %lld features is too large to exist", what,
                       (long long)data->n, (long long)d);
    }
    for (int64_t i = 0; i < data->n; i++) {
        if (data->labels[i] < 0 || data->labels[i] >= c) {
            return gt_fail(error, GT_ERROR_ARGUMENT,
                           "the %s label %d at index %lld is not one of the classes 0 .. %lld",
                           what, (int)data->labels[i], (long long)i, (long long)c - 1);
        }
    }
    strcat(strcat(name, what), " features");
    finite_check job = {data, d, name, threads};

    if (size / THREAD_CHECK < threads) {
        job.threads = size < 2 * THREAD_CHECK ? 1 : (int)(size / THREAD_CHECK);
    }
    return job.threads == 1 ? finite_task(&job, 0, error)
                            : gt_parallel(job.threads, 1, finite_task, &job, error);
}

/* --- optimisers ---------------------------------------------------------------------------- */

double
gt_learning_rate(const gt_train_config *config, int64_t step, int64_t steps)
{
    if (config->schedule == GT_SCHEDULE_COSINE) {
        const double pi = 3.14159265358979323846;

        return config->learning_rate * 0.5 * (1.0 + cos(pi * (double)step / (double)steps));
    }
    return config->learning_rate;
}

/* Kingma and Ba, "Adam", 2015, in the form of the end of its section 2, as Keras has it. */
GT_INLINE void
adam_loop(const gt_train_config *config, double learning_rate, int64_t step, int64_t count,
          float *restrict weights, const float *restrict gradient, float *restrict mean,
          float *restrict square)
{
    const double correction1 = 1.0 - pow(config->beta1, (double)step);
    const double correction2 = 1.0 - pow(config->beta2, (double)step);
    const float rate = (float)(learning_rate * sqrt(correction2) / correction1);
    const float share1 = (float)(1.0 - config->beta1), share2 = (float)(1.0 - config->beta2);
    const float epsilon = (float)config->epsilon;

    for (int64_t i = 0; i < count; i++) {
        mean[i] += (gradient[i] - mean[i]) * share1;
        square[i] += (gradient[i] * gradient[i] - square[i]) * share2;
        weights[i] -= rate * mean[i] / (sqrtf(square[i]) + epsilon);
    }
}

static void
adam_step(const gt_train_config *config, double learning_rate, int64_t step, int64_t count,
          float *weights, const float *gradient, float *mean, float *square)
{
    adam_loop(config, learning_rate, step, count, weights, gradient, mean, square);
}

GT_AVX2 static void
adam_step_avx2(const gt_train_config *config, double learning_rate, int64_t step, int64_t count,
               float *weights, const float *gradient, float *mean, float *square)
{
    adam_loop(config, learning_rate, step, count, weights, gradient, mean, square);
}

void
gt_optimiser_step(const gt_train_config *config, double learning_rate, int64_t step, int64_t count,
                  float *weights, const float *gradient, float *first, float *second)
{
    const float rate = (float)learning_rate, momentum = (float)config->momentum;

    if (config->optimiser == GT_OPTIMISER_ADAM) {
        (gt_has_avx2() ? adam_step_avx2 : adam_step)(config, learning_rate, step, count, weights,
                                                     gradient, first, second);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        first[i] = momentum * first[i] - rate * gradient[i];
        weights[i] += first[i];
    }
}

/* --- epochs -------------------------------------------------------------------------------- */

static gt_status
fail_diverged(const gt_run *run, const char *what, gt_error *error)
{
    return gt_fail(error, GT_ERROR_ARGUMENT,
                   "%s no longer finite in epoch %lld of %lld: lower the learning rate (it is %g) "
                   "or standardise the features",
                   what, (long long)run->epoch.epoch + 1, (long long)run->epoch.epochs,
                   run->config->learning_rate);
}

/* The minibatches of an epoch, summed up. */
typedef struct {
    double loss; /* times rows */
    int64_t correct;
} epoch_sums;

/* What a thread does for step `step` of all, on rows `start` .. `start + rows` of the epoch.  What the
 * threads tell each other in run->parts is written on one side of a barrier and read on the other.
 * Returns whether to go on, which is the same in all of them. */
static bool
step_share(gt_run *run, int worker, int64_t step, int64_t start, int64_t rows,
           const gt_random *random, epoch_sums *sums, gt_error *error)
{
    const gt_update update = {gt_learning_rate(run->config, step, run->steps), step + 1};
    gt_run_part *part = &run->parts[worker];
    double loss;

    if (!gt_run_minibatch(run, worker, start, rows, run->config->dropout, random, error)) {
        return false;
    }
    loss = gt_run_loss(run) / (double)rows;
    sums->correct += gt_run_correct(run);
    if (part->status == GT_OK) {
        gt_run_penalise(run, worker, run->gradient.block);
        gt_run_update(run, worker, &update);
    }
    gt_barrier_wait(&run->barrier);
    loss += gt_run_penalty(run);
    sums->loss += loss * (double)rows;
    if (!isfinite(loss) && part->status == GT_OK) {
        part->status = fail_diverged(run, "the loss is", error);
    }
    return isfinite(loss);
}

/* One epoch and the validation after it. */
static gt_status
epoch_task(void *context, int worker, gt_error *error)
{
    gt_run *run = context;
    const gt_train_config *config = run->config;
    const int64_t n = run->training->n;
    const uint64_t number = (uint64_t)run->epoch.epoch;
    const gt_random random = gt_random_start(config->seed, GT_RANDOM_DROPOUT, number);
    int64_t step = run->epoch.epoch * (run->steps / config->epochs), rows;
    epoch_sums sums = {0};
    bool goes_on = true;

    for (int64_t start = 0; goes_on && start < n; start += rows, step++) {
        rows = n - start < config->batch_size ? n - start : config->batch_size;
        goes_on = step_share(run, worker, step, start, rows, &random, &sums, error);
    }
    if (goes_on) {
        goes_on = gt_run_meet(run, worker);
    }
    if (goes_on && worker == 0) {
        run->epoch.loss = sums.loss / (double)n;
        run->epoch.accuracy = (double)sums.correct / (double)n;
        run->epoch.learning_rate = gt_learning_rate(config, step - 1, run->steps);
    }
    if (goes_on && run->validation != NULL) {
        return gt_run_evaluate(run, worker, run->validation, error);
    }
    return run->parts[worker].status;
}

/* What a run evaluated: mean loss with the penalty, and accuracy, of `rows` rows. */
static void
evaluation(const gt_run *run, int64_t rows, double *loss, double *accuracy)
{
    *loss = gt_run_loss(run) / (double)rows + gt_run_penalty(run);
    *accuracy = (double)gt_run_correct(run) / (double)rows;
}

static gt_status
train_epoch(gt_run *run, gt_team *team, gt_error *error)
{
    const gt_head_weights *weights = &run->head->weights;
    gt_status status;

    gt_shuffle(run->order, run->training->n, run->config->seed, (uint64_t)run->epoch.epoch);
    gt_run_round(run); /* the callback may have set the weights */
    status = gt_team_run(team, epoch_task, run, error);
    if (status == GT_OK &&
        gt_check_finite("", weights->block, 0, 1, weights->count, NULL) != GT_OK) {
        status = fail_diverged(run, "the weights are", error);
    }
    if (status == GT_OK && run->validation != NULL) {
        evaluation(run, run->validation->n, &run->epoch.validation_loss,
                   &run->epoch.validation_accuracy);
    }
    return status;
}

static gt_status
allocate_training(gt_run *run, int64_t rows, gt_error *error)
{
    const int64_t n = run->training->n;
    const int64_t per_epoch = (n - 1) / run->config->batch_size + 1;
    const int64_t held_out = run->validation != NULL ? run->validation->n : 0;
    gt_status status;

    if (__builtin_mul_overflow(per_epoch, run->config->epochs, &run->steps)) {
        return gt_fail(error, GT_ERROR_ARGUMENT, "epochs is %lld; that is too many",
                       (long long)run->config->epochs);
    }
    status = gt_run_allocate(run, rows > held_out ? rows : held_out, 1, error);
    if (status == GT_OK) {
        status = gt_head_weights_create(&run->head->config, &run->first, error);
    }
    if (status == GT_OK && run->config->optimiser == GT_OPTIMISER_ADAM) {
        status = gt_head_weights_create(&run->head->config, &run->second, error);
    }
    if (status == GT_OK) {
        run->order = calloc((size_t)n, sizeof(*run->order));
        if (run->order == NULL) {
            status = gt_fail_memory(error, "the order of the training data");
        }
    }
    return status;
}

static gt_status
check_all(const gt_head *head, const gt_head_data *training, const gt_head_data *validation,
          const gt_head_scaling *scaling, const gt_train_config *config, gt_error *error)
{
    gt_status status = check_config(head, config, error);

    if (status == GT_OK) {
        status = gt_check_scaling(head, scaling, error);
    }
    if (status == GT_OK) {
        status = check_data(head, training, "training", config->threads, error);
    }
    if (status == GT_OK && validation != NULL) {
        status = check_data(head, validation, "validation", config->threads, error);
    }
    return status;
}

gt_status
gt_head_train(gt_head *head, const gt_head_data *training, const gt_head_data *validation,
              const gt_head_scaling *scaling, const gt_train_config *config,
              gt_epoch_callback callback, void *context, gt_error *error)
{
    gt_run run = {0};
    gt_team *team = NULL;
    int64_t rows;
    int answer = 0;
    gt_status status = check_all(head, training, validation, scaling, config, error);

    if (status != GT_OK) {
        return status;
    }
    run.head = head;
    run.training = training;
    run.validation = validation;
    run.scaling = scaling;
    run.config = config;
    run.epoch.epochs = config->epochs;
    run.epoch.validation_loss = NAN;
    run.epoch.validation_accuracy = NAN;
    rows = config->batch_size < training->n ? config->batch_size : training->n;
    run.threads = gt_run_threads(&head->config, training->n, rows, config->threads);
    run.rounds = config->rounds && gt_rounding_pays(&head->config, rows);
    status = allocate_training(&run, rows, error);
    if (status == GT_OK) {
        status = gt_team_create(&team, run.threads, 1, error);
    }
    for (int64_t e = 0; status == GT_OK && answer == 0 && e < config->epochs; e++) {
        run.epoch.epoch = e;
        status = train_epoch(&run, team, error);
        if (status == GT_OK && callback != NULL) {
            answer = callback(context, &run.epoch);
        }
    }
    if (answer < 0) {
        status = gt_fail(error, GT_ERROR_STOPPED, "training was stopped after epoch %lld of %lld",
                         (long long)run.epoch.epoch + 1, (long long)config->epochs);
    }
    gt_team_free(team);
    gt_run_free(&run);
    return status;
}

/* --- loss alone ---------------------------------------------------------------------------- */

typedef struct {
    gt_run run;
    int gradient; /* of all rows as one minibatch, instead of an evaluation */
} measurement;

static gt_status
measure_task(void *context, int worker, gt_error *error)
{
    measurement *m = context;
    const gt_head_data *data = m->run.training;

    if (!m->gradient) {
        return gt_run_evaluate(&m->run, worker, data, error);
    }
    if (gt_run_minibatch(&m->run, worker, 0, data->n, 0.0, NULL, error)) {
        gt_run_penalise(&m->run, worker, m->run.gradient.block);
    }
    return m->run.parts[worker].status;
}

/* Free m->run after it, whether it failed or not. */
static gt_status
measure(measurement *m, const gt_head *head, const gt_head_data *data,
        const gt_head_scaling *scaling, const gt_train_config *config, double *loss,
        double *accuracy, gt_error *error)
{
    gt_status status = check_all(head, data, NULL, scaling, config, error);

    if (status != GT_OK) {
        return status;
    }
    m->run.head = head;
    m->run.training = data;
    m->run.scaling = scaling;
    m->run.config = config;
    m->run.threads = gt_run_threads(&head->config, data->n, data->n, config->threads);
    status = gt_run_allocate(&m->run, data->n, m->gradient, error);
    if (status == GT_OK) {
        status = gt_parallel(m->run.threads, 1, measure_task, m, error);
    }
    if (status == GT_OK) {
        evaluation(&m->run, data->n, loss, accuracy);
    }
    return status;
}

gt_status
gt_head_loss_gradient(const gt_head *head, const gt_head_data *data, const gt_head_scaling *scaling,
                      const gt_train_config *config, double *loss, float *gradient, gt_error *error)
{
    measurement m = {.gradient = 1};
    double accuracy;
    gt_status status = measure(&m, head, data, scaling, config, loss, &accuracy, error);

    if (status == GT_OK) {
        memcpy(gradient, m.run.gradient.block, (size_t)head->weights.count * sizeof(float));
    }
    gt_run_free(&m.run);
    return status;
}

gt_status
gt_head_evaluate(const gt_head *head, const gt_head_data *data, const gt_head_scaling *scaling,
                 const gt_train_config *config, double *loss, double *accuracy, gt_error *error)
{
    measurement m = {.gradient = 0};
    gt_status status = measure(&m, head, data, scaling, config, loss, accuracy, error);

    gt_run_free(&m.run);
    return status;
}
