#include "head/head_minibatch.h"

#include <stdlib.h>
#include <string.h>

#include "common/arithmetic.h"
#include "common/multiversion.h"
#include "head/gemm_bf16.h"
#include "head/gemm_f32.h"
#include "threads/parallel.h"

#define LINE 16 /* floats of a cache line */
#define AHEAD 2 /* rows that are on their way while one is copied */

/* Multiplications from which one more thread pays off.  The first counts a thread's share of the
 * rows that all work on at a time, after which it waits for the others twice; the second counts a
 * whole epoch, because threads that have just started must find a processor. */
#define THREAD_MINIBATCH 7.5e5
#define THREADED_EPOCH 2e7
#define MIN_OUTPUTS 16 /* a layer with fewer takes as long */
#define THREAD_ROWS 16 /* of a minibatch; fewer are a poor matrix product */
#define TILE_MIN 128
#define TILE_MAX 1024

/* --- shares -------------------------------------------------------------------------------- */

/* Multiplications that a row takes as long as. */
static double
row_cost(const gt_head_config *config)
{
    double sum = 0.0;

    for (int k = 0; k < config->layers; k++) {
        const int64_t out = config->widths[k + 1];

        sum += (double)config->widths[k] * (double)(out < MIN_OUTPUTS ? MIN_OUTPUTS : out);
    }
    return sum;
}

/* Depends on nothing but sizes and the number allowed, so that a seed and a number of threads give
 * the same bits. */
int
gt_trainer_threads(const gt_head_config *config, int64_t n, int64_t rows, int allowed)
{
    const double cost = row_cost(config);
    double maximum = (double)rows * cost / THREAD_MINIBATCH;

    if ((double)n * cost < THREADED_EPOCH || maximum < 2.0) {
        return 1;
    }
    if (maximum > (double)(rows / THREAD_ROWS)) {
        maximum = (double)(rows / THREAD_ROWS);
    }
    if (maximum > (double)allowed) {
        maximum = (double)allowed;
    }
    return maximum < 1.0 ? 1 : (int)maximum;
}

/* Rows that a thread works on at a time.  They are few, so that activations stay in the
 * second-level cache; but at least as many as outputs, because all weights are read once for them,
 * and enough to be worth a wait. */
static int64_t
tile_rows(const gt_head_config *config)
{
    int64_t rows = (int64_t)(THREAD_MINIBATCH / row_cost(config));

    for (int k = 1; k <= config->layers; k++) {
        rows = config->widths[k] > rows ? config->widths[k] : rows;
    }
    return rows < TILE_MIN ? TILE_MIN : rows > TILE_MAX ? TILE_MAX : rows;
}

/* The same rows of the bfloat16 arrays. */
static void
take_bf16(const gt_head_config *config, const gt_head_bf16 *all, int64_t first, gt_head_bf16 *own)
{
    for (int k = 0; k < config->layers; k++) {
        if (all->kernel[k] != NULL) {
            own->kernel[k] = all->kernel[k];
            own->input[k] = all->input[k] + first * config->widths[k];
            own->delta[k] = all->delta[k] + first * config->widths[k + 1];
        }
    }
}

/* Let a thread work on the rows from `first` on, which the trainer goes on to own. */
static void
take_rows(const gt_trainer *trainer, gt_worker *own, int64_t first, int64_t rows)
{
    const gt_head_config *config = &trainer->head->config;

    own->workspace.rows = rows;
    own->labels = trainer->labels + first;
    for (int k = 0; k <= config->layers; k++) {
        own->workspace.active[k] = trainer->workspace.active[k] + first * config->widths[k];
        if (k > 0 && k < config->layers) {
            own->workspace.delta[k] = trainer->workspace.delta[k] + first * config->widths[k];
        }
    }
    take_bf16(config, &trainer->workspace.bf16, first, &own->workspace.bf16);
}

/* --- memory -------------------------------------------------------------------------------- */

/* Room for a share of the inputs of the widest bfloat16 layer: products read arrays without
 * gaps. */
static gt_status
allocate_columns(const gt_trainer *trainer, gt_worker *own, gt_error *error)
{
    int64_t widest = 0;

    for (int k = 0; k < trainer->head->config.layers; k++) {
        const int64_t width = trainer->head->config.widths[k];

        widest = trainer->workspace.bf16.input[k] != NULL && width > widest ? width : widest;
    }
    own->columns = calloc((size_t)(trainer->workspace.rows * (widest / trainer->threads + 1)),
                          sizeof(*own->columns));
    return own->columns != NULL ? GT_OK : gt_fail_memory(error, "a share of a minibatch");
}

gt_status
gt_trainer_allocate(gt_trainer *trainer, int64_t rows, int gradient, gt_error *error)
{
    const gt_head_config *config = &trainer->head->config;
    const int64_t each = gt_divide_up(rows, trainer->threads), tile = tile_rows(config);
    const int64_t all = (each < tile ? each : tile) * trainer->threads;
    gt_status status;

    gt_barrier_start(&trainer->barrier, trainer->threads);
    trainer->workers = calloc((size_t)trainer->threads, sizeof(*trainer->workers));
    if (trainer->workers == NULL) {
        return gt_fail_memory(error, "the threads of a head");
    }
    status = gt_head_workspace_create(config, all, 1, &trainer->workspace, error);
    if (status == GT_OK && gradient) {
        status = gt_head_weights_create(config, &trainer->gradient, error);
    }
    if (status == GT_OK) {
        trainer->labels = calloc((size_t)all, sizeof(*trainer->labels));
        status =
            trainer->labels != NULL ? GT_OK : gt_fail_memory(error, "the labels of a minibatch");
    }
    if (status == GT_OK && trainer->uses_bf16) {
        status = gt_head_bf16_create(config, &trainer->workspace, error);
    }
    for (int i = 0;
         status == GT_OK && trainer->uses_bf16 && trainer->threads > 1 && i < trainer->threads;
         i++) {
        status = allocate_columns(trainer, &trainer->workers[i], error);
    }
    return status;
}

void
gt_trainer_free(gt_trainer *trainer)
{
    for (int i = 0; trainer->workers != NULL && i < trainer->threads; i++) {
        free(trainer->workers[i].columns);
    }
    free(trainer->workers);
    free(trainer->labels);
    free(trainer->order);
    gt_head_workspace_free(&trainer->workspace);
    gt_head_weights_free(&trainer->gradient);
    gt_head_weights_free(&trainer->first);
    gt_head_weights_free(&trainer->second);
    gt_barrier_end(&trainer->barrier);
    trainer->workers = NULL;
    trainer->labels = NULL;
    trainer->order = NULL;
}

/* --- rows ---------------------------------------------------------------------------------- */

/* Ask for a row that is needed soon: their order is random, which no processor foresees. */
static void
prefetch_row(const float *row, int64_t d)
{
    for (int64_t j = 0; j < d; j += LINE) {
        __builtin_prefetch(row + j);
    }
}

/* target (d,) = (source - mean) * factor; mean and factor may be NULL for 0 and 1. */
GT_INLINE void
scale_loop(const float *source, const float *mean, const float *factor, int64_t d,
           float *restrict target)
{
    if (mean != NULL && factor != NULL) {
        for (int64_t j = 0; j < d; j++) {
            target[j] = (source[j] - mean[j]) * factor[j];
        }
        return;
    }
    for (int64_t j = 0; j < d; j++) {
        target[j] =
            (source[j] - (mean != NULL ? mean[j] : 0.0f)) * (factor != NULL ? factor[j] : 1.0f);
    }
}

static void
scale_row(const float *source, const float *mean, const float *factor, int64_t d, float *target)
{
    scale_loop(source, mean, factor, d, target);
}

GT_AVX2 static void
scale_row_avx2(const float *source, const float *mean, const float *factor, int64_t d,
               float *target)
{
    scale_loop(source, mean, factor, d, target);
}

/* Copy rows order[start ..] of the data, or with order NULL rows start .., into the part,
 * standardised. */
static void
gather(const gt_trainer *trainer, gt_worker *own, const gt_head_data *data, const int64_t *order,
       int64_t start, int64_t rows)
{
    const int64_t d = trainer->head->config.widths[0];
    const float *mean = trainer->scaling != NULL ? trainer->scaling->mean : NULL;
    const float *factor = trainer->scaling != NULL ? trainer->scaling->inverse_deviation : NULL;
    void (*scale)(const float *, const float *, const float *, int64_t, float *) =
        gt_has_avx2() ? scale_row_avx2 : scale_row;

    for (int64_t i = 0; i < rows; i++) {
        const int64_t sample = order != NULL ? order[start + i] : start + i;

        if (i + AHEAD < rows) {
            prefetch_row(
                gt_head_row(data, order != NULL ? order[start + i + AHEAD] : start + i + AHEAD, d),
                d);
        }
        own->labels[i] = data->labels[sample];
        scale(gt_head_row(data, sample, d), mean, factor, d, own->workspace.active[0] + i * d);
    }
}

/* Turn probabilities (rows, c) into the gradient of the loss by the logits: (probability - (1 for
 * the label's class)) * class weight / `all_rows`. */
static void
softmax_gradient(float *logits, int64_t rows, int64_t c, const int32_t *labels,
                 const float *class_weights, int64_t all_rows)
{
    for (int64_t i = 0; i < rows; i++) {
        float *row = logits + i * c;
        const float weight = class_weights != NULL ? class_weights[labels[i]] : 1.0f;
        const float factor = weight / (float)all_rows;

        row[labels[i]] -= 1.0f;
        for (int64_t j = 0; j < c; j++) {
            row[j] *= factor;
        }
    }
}

/* below (rows, widths[k]) = delta (rows, widths[k + 1]) times the transposed kernel of layer k. */
static gt_status
multiply_back(const gt_trainer *trainer, const gt_head_workspace *workspace, int k, int64_t rows,
              const float *delta, float *below, gt_error *error)
{
    const gt_head *head = trainer->head;
    const int64_t in = head->config.widths[k], out = head->config.widths[k + 1];
    const uint16_t *bf16 = workspace->bf16.delta[k];

    if (bf16 != NULL && gt_bf16_product_is_profitable(rows, in, out)) {
        return gt_bf16_product('N', 'T', rows, in, out, bf16, workspace->bf16.kernel[k], false,
                               below, error);
    }
    return gt_matrix_product((gt_factor){'N', delta, out},
                             (gt_factor){'T', head->weights.kernel[k], out}, rows, in, out, 0.0f,
                             below, error);
}

/* From the gradient by the logits that by the inputs of all layers but the first, into state.delta;
 * and all of them rounded, for the gradient by the weights. */
static gt_status
backward(const gt_trainer *trainer, const gt_worker *own, int64_t rows, double dropout,
         gt_error *error)
{
    const gt_head_config *config = &trainer->head->config;
    const gt_head_workspace *workspace = &own->workspace;
    const float scale = (float)(1.0 / (1.0 - dropout));
    const float *delta = workspace->active[config->layers]; /* (rows, out) */

    for (int k = config->layers - 1; k >= 0; k--) {
        const int64_t in = config->widths[k], out = config->widths[k + 1];
        const float *active = workspace->active[k]; /* (rows, in) */
        float *below = workspace->delta[k];         /* (rows, in) */
        gt_status status;

        if (workspace->bf16.delta[k] != NULL) {
            gt_floats_to_bf16(delta, rows * out, workspace->bf16.delta[k]);
        }
        if (k == 0) {
            break;
        }
        status = multiply_back(trainer, workspace, k, rows, delta, below, error);
        if (status != GT_OK) {
            return status;
        }
        for (int64_t i = 0; i < rows * in; i++) { /* what ReLU or dropout made 0 passes none */
            below[i] *= active[i] > 0.0f ? scale : 0.0f;
        }
        delta = below;
    }
    return GT_OK;
}

/* Probabilities of rows start .. start + rows into state.active[layers]; adds their loss and how
 * many are right to those of the part. */
static gt_status
classify(const gt_trainer *trainer, gt_worker *own, const gt_head_data *data, const int64_t *order,
         int64_t start, int64_t rows, const float *class_weights, double dropout,
         const gt_random *random, gt_error *error)
{
    const gt_head_config *shape = &trainer->head->config;
    gt_status status;

    gather(trainer, own, data, order, start, rows);
    status = gt_head_forward(trainer->head, &own->workspace, own->workspace.active[0], rows,
                             dropout, random, start, error);
    if (status == GT_OK) {
        gt_softmax(own->workspace.active[shape->layers], rows, shape->widths[shape->layers],
                   own->labels, class_weights, &own->loss, &own->correct);
    }
    return status;
}

bool
gt_trainer_sync(gt_trainer *trainer, int worker)
{
    trainer->workers[worker].published = trainer->workers[worker].status;
    gt_barrier_wait(&trainer->barrier);
    for (int i = 0; i < trainer->threads; i++) {
        if (trainer->workers[i].published != GT_OK) {
            return false;
        }
    }
    return true;
}

/* Forward and backward of a thread's share of rows start .. start + rows, which are of a minibatch
 * of `all_rows`. */
static gt_status
work_rows(gt_trainer *trainer, int worker, int64_t start, int64_t rows, int64_t all_rows,
          double dropout, const gt_random *random, gt_error *error)
{
    const gt_head_config *shape = &trainer->head->config;
    const float *class_weights = trainer->config->class_weights;
    gt_worker *own = &trainer->workers[worker];
    const gt_share share = gt_share_of(rows, worker, trainer->threads);
    const int64_t count = share.last - share.first;
    gt_status status;

    if (count == 0) {
        return GT_OK;
    }
    take_rows(trainer, own, share.first, count);
    status = classify(trainer, own, trainer->training, trainer->order, start + share.first, count,
                      class_weights, dropout, random, error);
    if (status == GT_OK) {
        softmax_gradient(own->workspace.active[shape->layers], count, shape->widths[shape->layers],
                         own->labels, class_weights, all_rows);
        status = backward(trainer, own, count, dropout, error);
    }
    return status;
}

/* When the threads have met, all rows are there and failures so far are known to all.  Before the
 * next rows are written, all threads must be done with these. */
bool
gt_trainer_minibatch(gt_trainer *trainer, int worker, int64_t start, int64_t rows, double dropout,
                     const gt_random *random, gt_error *error)
{
    gt_worker *own = &trainer->workers[worker];

    own->loss = 0.0;
    own->correct = 0;
    for (int64_t i = 0, count; i < rows; i += count) {
        count = rows - i < trainer->workspace.rows ? rows - i : trainer->workspace.rows;
        if (i > 0) {
            gt_barrier_wait(&trainer->barrier);
        }
        if (own->status == GT_OK) {
            own->status =
                work_rows(trainer, worker, start + i, count, rows, dropout, random, error);
        }
        if (!gt_trainer_sync(trainer, worker)) {
            return false;
        }
        if (own->status == GT_OK) {
            own->status = gt_trainer_gradient(trainer, worker, count, i > 0, error);
        }
    }
    return true;
}

gt_status
gt_trainer_evaluate(gt_trainer *trainer, int worker, const gt_head_data *data, gt_error *error)
{
    gt_worker *own = &trainer->workers[worker];
    const gt_share share = gt_share_of(data->n, worker, trainer->threads);
    const int64_t maximum = trainer->workspace.rows / trainer->threads;
    gt_status status = GT_OK;

    own->loss = 0.0;
    own->correct = 0;
    gt_trainer_penalise(trainer, worker, NULL);
    take_rows(trainer, own, worker * maximum, maximum);
    own->workspace.bf16 = (gt_head_bf16){NULL}; /* float32 in any case */
    for (int64_t i = share.first, count; status == GT_OK && i < share.last; i += count) {
        count = share.last - i < maximum ? share.last - i : maximum;
        status = classify(trainer, own, data, NULL, i, count, NULL, 0.0, NULL, error);
    }
    return status;
}

/* --- sums ---------------------------------------------------------------------------------- */

double
gt_trainer_loss(const gt_trainer *trainer)
{
    double sum = 0.0;

    for (int i = 0; i < trainer->threads; i++) {
        sum += trainer->workers[i].loss;
    }
    return sum;
}

double
gt_trainer_penalty(const gt_trainer *trainer)
{
    double sum = 0.0;

    for (int i = 0; i < trainer->threads; i++) {
        sum += trainer->workers[i].penalty;
    }
    return sum;
}

int64_t
gt_trainer_correct(const gt_trainer *trainer)
{
    int64_t sum = 0;

    for (int i = 0; i < trainer->threads; i++) {
        sum += trainer->workers[i].correct;
    }
    return sum;
}
