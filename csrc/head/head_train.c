#include "head/head_minibatch.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/arithmetic.h"
#include "head/gemm_bf16.h"
#include "head/optimiser.h"
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

/* --- epochs -------------------------------------------------------------------------------- */

static gt_status
fail_diverged(const gt_trainer *trainer, const char *what, gt_error *error)
{
    return gt_fail(error, GT_ERROR_ARGUMENT,
                   "%s no longer finite in epoch %lld of %lld: lower the learning rate (it is %g) "
                   "or standardise the features",
                   what, (long long)trainer->epoch.epoch + 1, (long long)trainer->epoch.epochs,
                   trainer->config->learning_rate);
}

/* The minibatches of an epoch, summed up. */
typedef struct {
    double loss; /* times rows */
    int64_t correct;
} epoch_sums;

/* What a thread does for step `step` of all, on rows `start` ..  `start + rows` of the epoch.  What
 * the threads tell each other in run->parts is written on one side of a barrier and read on the
 * other.  Returns whether to go on, which is the same in all of them. */
static bool
step_share(gt_trainer *trainer, int worker, int64_t step, int64_t start, int64_t rows,
           const gt_random *random, epoch_sums *sums, gt_error *error)
{
    const gt_update update = {gt_learning_rate(trainer->config, step, trainer->steps), step + 1};
    gt_worker *own = &trainer->workers[worker];
    double loss;

    if (!gt_trainer_minibatch(trainer, worker, start, rows, trainer->config->dropout, random,
                              error)) {
        return false;
    }
    loss = gt_trainer_loss(trainer) / (double)rows;
    sums->correct += gt_trainer_correct(trainer);
    if (own->status == GT_OK) {
        gt_trainer_penalise(trainer, worker, trainer->gradient.block);
        gt_trainer_update(trainer, worker, &update);
    }
    gt_barrier_wait(&trainer->barrier);
    loss += gt_trainer_penalty(trainer);
    sums->loss += loss * (double)rows;
    if (!isfinite(loss) && own->status == GT_OK) {
        own->status = fail_diverged(trainer, "the loss is", error);
    }
    return isfinite(loss);
}

/* One epoch and the validation after it. */
static gt_status
epoch_task(void *context, int worker, gt_error *error)
{
    gt_trainer *trainer = context;
    const gt_train_config *config = trainer->config;
    const int64_t n = trainer->training->n;
    const uint64_t number = (uint64_t)trainer->epoch.epoch;
    const gt_random random = gt_random_start(config->seed, GT_RANDOM_DROPOUT, number);
    int64_t step = trainer->epoch.epoch * (trainer->steps / config->epochs), rows;
    epoch_sums sums = {0};
    bool goes_on = true;

    for (int64_t start = 0; goes_on && start < n; start += rows, step++) {
        rows = n - start < config->batch_size ? n - start : config->batch_size;
        goes_on = step_share(trainer, worker, step, start, rows, &random, &sums, error);
    }
    if (goes_on) {
        goes_on = gt_trainer_sync(trainer, worker);
    }
    if (goes_on && worker == 0) {
        trainer->epoch.loss = sums.loss / (double)n;
        trainer->epoch.accuracy = (double)sums.correct / (double)n;
        trainer->epoch.learning_rate = gt_learning_rate(config, step - 1, trainer->steps);
    }
    if (goes_on && trainer->validation != NULL) {
        return gt_trainer_evaluate(trainer, worker, trainer->validation, error);
    }
    return trainer->workers[worker].status;
}

/* What a run evaluated: mean loss with the penalty, and accuracy, of `rows` rows. */
static void
evaluation(const gt_trainer *trainer, int64_t rows, double *loss, double *accuracy)
{
    *loss = gt_trainer_loss(trainer) / (double)rows + gt_trainer_penalty(trainer);
    *accuracy = (double)gt_trainer_correct(trainer) / (double)rows;
}

static gt_status
train_epoch(gt_trainer *trainer, gt_team *team, gt_error *error)
{
    const gt_head_weights *weights = &trainer->head->weights;
    gt_status status;

    gt_shuffle(trainer->order, trainer->training->n, trainer->config->seed,
               (uint64_t)trainer->epoch.epoch);
    gt_trainer_round_weights(trainer); /* the callback may have set the weights */
    status = gt_team_run(team, epoch_task, trainer, error);
    if (status == GT_OK &&
        gt_check_finite("", weights->block, 0, 1, weights->count, NULL) != GT_OK) {
        status = fail_diverged(trainer, "the weights are", error);
    }
    if (status == GT_OK && trainer->validation != NULL) {
        evaluation(trainer, trainer->validation->n, &trainer->epoch.validation_loss,
                   &trainer->epoch.validation_accuracy);
    }
    return status;
}

static gt_status
allocate_training(gt_trainer *trainer, int64_t rows, gt_error *error)
{
    const int64_t n = trainer->training->n;
    const int64_t per_epoch = gt_divide_up(n, trainer->config->batch_size);
    const int64_t held_out = trainer->validation != NULL ? trainer->validation->n : 0;
    gt_status status;

    if (__builtin_mul_overflow(per_epoch, trainer->config->epochs, &trainer->steps)) {
        return gt_fail(error, GT_ERROR_ARGUMENT, "epochs is %lld; that is too many",
                       (long long)trainer->config->epochs);
    }
    status = gt_trainer_allocate(trainer, rows > held_out ? rows : held_out, 1, error);
    if (status == GT_OK) {
        status = gt_head_weights_create(&trainer->head->config, &trainer->first, error);
    }
    if (status == GT_OK && trainer->config->optimiser == GT_OPTIMISER_ADAM) {
        status = gt_head_weights_create(&trainer->head->config, &trainer->second, error);
    }
    if (status == GT_OK) {
        trainer->order = calloc((size_t)n, sizeof(*trainer->order));
        if (trainer->order == NULL) {
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
    gt_trainer trainer = {0};
    gt_team *team = NULL;
    int64_t rows;
    int answer = 0;
    gt_status status = check_all(head, training, validation, scaling, config, error);

    if (status != GT_OK) {
        return status;
    }
    trainer.head = head;
    trainer.training = training;
    trainer.validation = validation;
    trainer.scaling = scaling;
    trainer.config = config;
    trainer.epoch.epochs = config->epochs;
    trainer.epoch.validation_loss = NAN;
    trainer.epoch.validation_accuracy = NAN;
    rows = config->batch_size < training->n ? config->batch_size : training->n;
    trainer.threads = gt_trainer_threads(&head->config, training->n, rows, config->threads);
    trainer.uses_bf16 = config->allow_bf16 && gt_bf16_is_profitable(&head->config, rows);
    status = allocate_training(&trainer, rows, error);
    if (status == GT_OK) {
        status = gt_team_create(&team, trainer.threads, 1, error);
    }
    for (int64_t e = 0; status == GT_OK && answer == 0 && e < config->epochs; e++) {
        trainer.epoch.epoch = e;
        status = train_epoch(&trainer, team, error);
        if (status == GT_OK && callback != NULL) {
            answer = callback(context, &trainer.epoch);
        }
    }
    if (answer < 0) {
        status = gt_fail(error, GT_ERROR_STOPPED, "training was stopped after epoch %lld of %lld",
                         (long long)trainer.epoch.epoch + 1, (long long)config->epochs);
    }
    gt_team_free(team);
    gt_trainer_free(&trainer);
    return status;
}

/* --- loss alone ---------------------------------------------------------------------------- */

typedef struct {
    gt_trainer trainer;
    int gradient; /* of all rows as one minibatch, instead of an evaluation */
} measurement;

static gt_status
measure_task(void *context, int worker, gt_error *error)
{
    measurement *m = context;
    const gt_head_data *data = m->trainer.training;

    if (!m->gradient) {
        return gt_trainer_evaluate(&m->trainer, worker, data, error);
    }
    if (gt_trainer_minibatch(&m->trainer, worker, 0, data->n, 0.0, NULL, error)) {
        gt_trainer_penalise(&m->trainer, worker, m->trainer.gradient.block);
    }
    return m->trainer.workers[worker].status;
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
    m->trainer.head = head;
    m->trainer.training = data;
    m->trainer.scaling = scaling;
    m->trainer.config = config;
    m->trainer.threads = gt_trainer_threads(&head->config, data->n, data->n, config->threads);
    status = gt_trainer_allocate(&m->trainer, data->n, m->gradient, error);
    if (status == GT_OK) {
        status = gt_parallel(m->trainer.threads, 1, measure_task, m, error);
    }
    if (status == GT_OK) {
        evaluation(&m->trainer, data->n, loss, accuracy);
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
        memcpy(gradient, m.trainer.gradient.block, (size_t)head->weights.count * sizeof(float));
    }
    gt_trainer_free(&m.trainer);
    return status;
}

gt_status
gt_head_evaluate(const gt_head *head, const gt_head_data *data, const gt_head_scaling *scaling,
                 const gt_train_config *config, double *loss, double *accuracy, gt_error *error)
{
    measurement m = {.gradient = 0};
    gt_status status = measure(&m, head, data, scaling, config, loss, accuracy, error);

    gt_trainer_free(&m.trainer);
    return status;
}
