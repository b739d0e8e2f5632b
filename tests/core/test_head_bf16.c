/* Heads whose large products read bfloat16: gradients and whole trainings. */
#include <stdlib.h>
#include <string.h>

#include "common/onednn.h"
#include "head/gemm_bf16.h"
#include "head/head_minibatch.h"
#include "head/optimiser.h"
#include "head_data.h"
#include "head_wide.h"
#include "threads/parallel.h"

/* --- gradients ----------------------------------------------------------------------------- */

static gt_status
bf16_task(void *context, int worker, gt_error *message)
{
    gt_trainer *trainer = context;

    (void)gt_trainer_minibatch(trainer, worker, 0, ROWS, 0.0, NULL, message);
    return trainer->workers[worker].status;
}

/* The gradient of all rows, some hundred at a time, with or without rounding of what is large. */
static void
wide_gradient(const gt_head *head, int threads, bool uses_bf16, float *gradient)
{
    const gt_train_config config = gt_train_defaults();
    gt_trainer trainer = {.head = head,
                          .config = &config,
                          .training = &wide_data,
                          .threads = threads,
                          .uses_bf16 = uses_bf16};

    CHECK(gt_trainer_allocate(&trainer, 700, 1, &error) == GT_OK);
    gt_trainer_round_weights(&trainer);
    CHECK(gt_parallel(threads, 1, bf16_task, &trainer, &error) == GT_OK);
    memcpy(gradient, trainer.gradient.block, (size_t)head->weights.count * sizeof(float));
    gt_trainer_free(&trainer);
}

/* The length of the difference, as a share of that of `a`. */
static double
distance(const float *a, const float *b, int64_t count)
{
    double all = 0.0, squares = 0.0;

    for (int64_t i = 0; i < count; i++) {
        const double difference = (double)a[i] - (double)b[i];

        all += (double)a[i] * (double)a[i];
        squares += difference * difference;
    }
    return sqrt(squares / all);
}

/* With rounding the gradient is less than `bound` off, and so it is on several threads, whose
 * products are smaller, so that others of them are rounded. */
static void
verify_rounding(const gt_head_config *shape, bool uses_bf16, double bound)
{
    gt_head *head = NULL;
    float *full, *one, *more;
    int64_t count;

    CHECK(gt_head_create(shape, 4, &head, &error) == GT_OK);
    count = head->weights.count;
    full = calloc((size_t)count, sizeof(*full));
    one = calloc((size_t)count, sizeof(*one));
    more = calloc((size_t)count, sizeof(*more));
    wide_gradient(head, 1, false, full);
    wide_gradient(head, 1, uses_bf16, one);
    CHECK(distance(full, one, count) < bound);
    CHECK(uses_bf16 == (distance(full, one, count) > 1e-4));
    for (int threads = 2; threads <= 3; threads++) {
        wide_gradient(head, threads, uses_bf16, more);
        CHECK(distance(one, more, count) < 2e-3);
    }
    free(full);
    free(one);
    free(more);
    gt_head_free(head);
}

/* oneDNN has rounded products for processors with AVX-512, quick or not.  Of hidden outputs one in
 * a thousand is so small that rounding changes its sign, and sqrt(1 / 1000) is 3 %. */
static void
test_bf16_products_on_threads(void)
{
    const bool uses_bf16 = gt_processor_has(dnnl_cpu_isa_avx512_core);

    verify_rounding(&(gt_head_config){1, {WIDE, CLASSES}}, uses_bf16, 0.004);
    verify_rounding(&(gt_head_config){2, {WIDE, HIDDEN, CLASSES}}, uses_bf16, 0.05);
    verify_rounding(&(gt_head_config){2, {WIDE, 12, CLASSES}}, uses_bf16, 0.05);
    verify_rounding(&(gt_head_config){3, {WIDE, HIDDEN, 12, CLASSES}}, uses_bf16, 0.05);
}

/* --- a training by hand -------------------------------------------------------------------- */

/* A callback that sets all weights after the first epoch. */
static int
set_weights(void *context, const gt_epoch *epoch)
{
    gt_head *head = context;

    if (epoch->epoch == 0) {
        gt_head_initialise(head, 77);
    }
    return 0;
}

/* The steps of an epoch; rounding everything anew before each changes nothing. */
static gt_status
hand_task(void *context, int worker, gt_error *message)
{
    gt_trainer *trainer = context;
    const int64_t each = trainer->config->batch_size;
    int64_t step = trainer->epoch.epoch * ((ROWS - 1) / each + 1);

    for (int64_t start = 0; start < ROWS; start += each, step++) {
        const gt_update update = {gt_learning_rate(trainer->config, step, trainer->steps),
                                  step + 1};
        const int64_t rows = ROWS - start < each ? ROWS - start : each;

        if (worker == 0) {
            gt_trainer_round_weights(trainer);
        }
        gt_barrier_wait(&trainer->barrier);
        if (!gt_trainer_minibatch(trainer, worker, start, rows, 0.0, NULL, message)) {
            break;
        }
        gt_trainer_penalise(trainer, worker, trainer->gradient.block);
        gt_trainer_update(trainer, worker, &update);
        gt_barrier_wait(&trainer->barrier);
    }
    return trainer->workers[worker].status;
}

static void
train_by_hand(gt_head *head, const gt_train_config *config)
{
    const int64_t steps = config->epochs * ((ROWS - 1) / config->batch_size + 1);
    gt_trainer trainer = {.head = head, .training = &wide_data, .config = config, .steps = steps};

    trainer.threads = gt_trainer_threads(&head->config, ROWS, config->batch_size, config->threads);
    trainer.uses_bf16 = gt_bf16_is_profitable(&head->config, config->batch_size);
    CHECK(gt_trainer_allocate(&trainer, config->batch_size, 1, &error) == GT_OK);
    CHECK(gt_head_weights_create(&head->config, &trainer.first, &error) == GT_OK);
    CHECK(gt_head_weights_create(&head->config, &trainer.second, &error) == GT_OK);
    trainer.order = calloc(ROWS, sizeof(*trainer.order));
    for (int64_t e = 0; e < config->epochs; e++) {
        trainer.epoch.epoch = e;
        gt_shuffle(trainer.order, ROWS, config->seed, (uint64_t)e);
        CHECK(gt_parallel(trainer.threads, 1, hand_task, &trainer, &error) == GT_OK);
        (void)set_weights(head, &trainer.epoch);
    }
    gt_trainer_free(&trainer);
}

static void
test_training_rounds_the_weights_of_the_step(void)
{
    gt_head_config shape = {2, {WIDE, HIDDEN, CLASSES}};
    gt_train_config config = gt_train_defaults();

    config.epochs = 2;
    config.batch_size = 511;
    config.learning_rate = 0.01;
    config.l2 = 0.001;
    config.allow_bf16 = true;
    for (config.threads = 1; config.threads <= 3; config.threads++) {
        gt_head *head = NULL, *by_hand = NULL;

        CHECK(gt_head_create(&shape, 4, &head, &error) == GT_OK);
        CHECK(gt_head_create(&shape, 4, &by_hand, &error) == GT_OK);
        CHECK(gt_head_train(head, &wide_data, NULL, NULL, &config, set_weights, head, &error) ==
              GT_OK);
        train_by_hand(by_hand, &config);
        CHECK(memcmp(head->weights.block, by_hand->weights.block,
                     (size_t)head->weights.count * sizeof(float)) == 0);
        gt_head_free(head);
        gt_head_free(by_hand);
    }
}

int
main(void)
{
    make_wide_data();
    RUN(test_bf16_products_on_threads);
    RUN(test_training_rounds_the_weights_of_the_step);
    return check_report();
}
