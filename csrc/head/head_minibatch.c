#include "head/head_minibatch.h"

#include <stdlib.h>
#include <string.h>

#include "common/multiversion.h"
#include "head/gemm_bf16.h"
#include "head/gemm_f32.h"
#include "threads/parallel.h"

#define LINE 16 /* floats of a cache line */
#define AHEAD 2 /* rows that are on their way while one is copied */

/* Multiplications of one pass from which a thread more pays off: its share of the rows that all work
 * on, after which it waits for the others twice, and a whole epoch, since threads that are started
 * first must find a processor. */
#define THREAD_MINIBATCH 7.5e5
#define THREADED_EPOCH 2e7
#define LEAST_OUTPUTS 16 /* a layer with fewer takes as long */
#define THREAD_ROWS 16   /* of a minibatch; fewer are a poor matrix product */
#define TILE_LEAST 128
#define TILE_MOST 1024

/* --- shares -------------------------------------------------------------------------------- */

/* Multiplications that a row takes as long as. */
static double
row_cost(const gt_head_config *config)
{
    double sum = 0.0;

    for (int k = 0; k < config->layers; k++) {
        const int64_t out = config->widths[k + 1];

        sum += (double)config->widths[k] * (double)(out < LEAST_OUTPUTS ? LEAST_OUTPUTS : out);
    }
    return sum;
}

/* Depends on nothing but sizes and the number allowed, so that a seed and a number of threads give the
 * same bits. */
int
gt_run_threads(const gt_head_config *config, int64_t n, int64_t rows, int allowed)
{
    const double cost = row_cost(config);
    double most = (double)rows * cost / THREAD_MINIBATCH;

    if ((double)n * cost < THREADED_EPOCH || most < 2.0) {
        return 1;
    }
    if (most > (double)(rows / THREAD_ROWS)) {
        most = (double)(rows / THREAD_ROWS);
    }
    if (most > (double)allowed) {
        most = (double)allowed;
    }
    return most < 1.0 ? 1 : (int)most;
}

/* Rows that a thread works on at a time: few, so that activations stay in the second-level cache, but
 * as many as outputs, lest large weights be gone through for a few rows, and as are worth a wait. */
static int64_t
tile_rows(const gt_head_config *config)
{
    int64_t rows = (int64_t)(THREAD_MINIBATCH / row_cost(config));

    for (int k = 1; k <= config->layers; k++) {
        rows = config->widths[k] > rows ? config->widths[k] : rows;
    }
    return rows < TILE_LEAST ? TILE_LEAST : rows > TILE_MOST ? TILE_MOST : rows;
}

/* Those rows of what is rounded. */
static void
take_rounded(const gt_head_config *config, const gt_head_rounded *all, int64_t first,
             gt_head_rounded *own)
{
    for (int k = 0; k < config->layers; k++) {
        if (all->kernel[k] != NULL) {
            own->kernel[k] = all->kernel[k];
            own->input[k] = all->input[k] + first * config->widths[k];
            own->delta[k] = all->delta[k] + first * config->widths[k + 1];
        }
    }
}

/* The rows from `first` on, which stay the run's, become those that a thread works on. */
static void
take_rows(const gt_run *run, gt_run_part *part, int64_t first, int64_t rows)
{
    const gt_head_config *config = &run->head->config;

    part->state.rows = rows;
    part->labels = run->labels + first;
    for (int k = 0; k <= config->layers; k++) {
        part->state.active[k] = run->state.active[k] + first * config->widths[k];
        if (k > 0 && k < config->layers) {
            part->state.delta[k] = run->state.delta[k] + first * config->widths[k];
        }
    }
    take_rounded(config, &run->state.rounded, first, &part->state.rounded);
}

/* --- memory -------------------------------------------------------------------------------- */

/* Room for a share of the inputs of the widest rounded layer, for products, which take no gaps. */
static gt_status
allocate_columns(const gt_run *run, gt_run_part *part, gt_error *error)
{
    int64_t widest = 0;

    for (int k = 0; k < run->head->config.layers; k++) {
        const int64_t width = run->head->config.widths[k];

        widest = run->state.rounded.input[k] != NULL && width > widest ? width : widest;
    }
    part->columns =
        calloc((size_t)(run->state.rows * (widest / run->threads + 1)), sizeof(*part->columns));
    return part->columns != NULL ? GT_OK : gt_fail_memory(error, "a share of a minibatch");
}

gt_status
gt_run_allocate(gt_run *run, int64_t rows, int gradient, gt_error *error)
{
    const gt_head_config *config = &run->head->config;
    const int64_t each = (rows - 1) / run->threads + 1, tile = tile_rows(config);
    const int64_t all = (each < tile ? each : tile) * run->threads;
    gt_status status;

    gt_barrier_start(&run->barrier, run->threads);
    run->parts = calloc((size_t)run->threads, sizeof(*run->parts));
    if (run->parts == NULL) {
        return gt_fail_memory(error, "the threads of a head");
    }
    status = gt_head_state_create(config, all, 1, &run->state, error);
    if (status == GT_OK && gradient) {
        status = gt_head_weights_create(config, &run->gradient, error);
    }
    if (status == GT_OK) {
        run->labels = calloc((size_t)all, sizeof(*run->labels));
        status = run->labels != NULL ? GT_OK : gt_fail_memory(error, "the labels of a minibatch");
    }
    if (status == GT_OK && run->rounds) {
        status = gt_head_rounded_create(config, &run->state, error);
    }
    for (int i = 0; status == GT_OK && run->rounds && run->threads > 1 && i < run->threads; i++) {
        status = allocate_columns(run, &run->parts[i], error);
    }
    return status;
}

void
gt_run_free(gt_run *run)
{
    for (int i = 0; run->parts != NULL && i < run->threads; i++) {
        free(run->parts[i].columns);
    }
    free(run->parts);
    free(run->labels);
    free(run->order);
    gt_head_state_free(&run->state);
    gt_head_weights_free(&run->gradient);
    gt_head_weights_free(&run->first);
    gt_head_weights_free(&run->second);
    gt_barrier_end(&run->barrier);
    run->parts = NULL;
    run->labels = NULL;
    run->order = NULL;
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
gather(const gt_run *run, gt_run_part *part, const gt_head_data *data, const int64_t *order,
       int64_t start, int64_t rows)
{
    const int64_t d = run->head->config.widths[0];
    const float *mean = run->scaling != NULL ? run->scaling->mean : NULL;
    const float *factor = run->scaling != NULL ? run->scaling->inverse_deviation : NULL;
    void (*scale)(const float *, const float *, const float *, int64_t, float *) =
        gt_has_avx2() ? scale_row_avx2 : scale_row;

    for (int64_t i = 0; i < rows; i++) {
        const int64_t sample = order != NULL ? order[start + i] : start + i;

        if (i + AHEAD < rows) {
            prefetch_row(
                gt_head_row(data, order != NULL ? order[start + i + AHEAD] : start + i + AHEAD, d),
                d);
        }
        part->labels[i] = data->labels[sample];
        scale(gt_head_row(data, sample, d), mean, factor, d, part->state.active[0] + i * d);
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
multiply_back(const gt_run *run, const gt_head_state *state, int k, int64_t rows,
              const float *delta, float *below, gt_error *error)
{
    const gt_head *head = run->head;
    const int64_t in = head->config.widths[k], out = head->config.widths[k + 1];
    const uint16_t *rounded = state->rounded.delta[k];

    if (rounded != NULL && gt_rounded_product_pays(rows, in, out)) {
        return gt_rounded_product('N', 'T', rows, in, out, rounded, state->rounded.kernel[k], false,
                                  below, error);
    }
    return gt_matrix_product((gt_factor){'N', delta, out},
                             (gt_factor){'T', head->weights.kernel[k], out}, rows, in, out, 0.0f,
                             below, error);
}

/* From the gradient by the logits that by the inputs of all layers but the first, into state.delta;
 * and all of them rounded, for the gradient by the weights. */
static gt_status
backward(const gt_run *run, const gt_run_part *part, int64_t rows, double dropout, gt_error *error)
{
    const gt_head_config *config = &run->head->config;
    const gt_head_state *state = &part->state;
    const float scale = (float)(1.0 / (1.0 - dropout));
    const float *delta = state->active[config->layers]; /* (rows, out) */

    for (int k = config->layers - 1; k >= 0; k--) {
        const int64_t in = config->widths[k], out = config->widths[k + 1];
        const float *active = state->active[k]; /* (rows, in) */
        float *below = state->delta[k];         /* (rows, in) */
        gt_status status;

        if (state->rounded.delta[k] != NULL) {
            gt_round_floats(delta, rows * out, state->rounded.delta[k]);
        }
        if (k == 0) {
            break;
        }
        status = multiply_back(run, state, k, rows, delta, below, error);
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

/* Probabilities of rows start .. start + rows into state.active[layers]; adds their loss and how many
 * are right to those of the part. */
static gt_status
classify(const gt_run *run, gt_run_part *part, const gt_head_data *data, const int64_t *order,
         int64_t start, int64_t rows, const float *class_weights, double dropout,
         const gt_random *random, gt_error *error)
{
    const gt_head_config *shape = &run->head->config;
    gt_status status;

    gather(run, part, data, order, start, rows);
    status = gt_head_forward(run->head, &part->state, part->state.active[0], rows, dropout, random,
                             start, error);
    if (status == GT_OK) {
        gt_softmax(part->state.active[shape->layers], rows, shape->widths[shape->layers],
                   part->labels, class_weights, &part->loss, &part->correct);
    }
    return status;
}

bool
gt_run_meet(gt_run *run, int worker)
{
    run->parts[worker].told = run->parts[worker].status;
    gt_barrier_wait(&run->barrier);
    for (int i = 0; i < run->threads; i++) {
        if (run->parts[i].told != GT_OK) {
            return false;
        }
    }
    return true;
}

/* Forward and backward of a thread's share of rows start .. start + rows, which are of a minibatch of
 * `all_rows`. */
static gt_status
work_rows(gt_run *run, int worker, int64_t start, int64_t rows, int64_t all_rows, double dropout,
          const gt_random *random, gt_error *error)
{
    const gt_head_config *shape = &run->head->config;
    const float *class_weights = run->config->class_weights;
    gt_run_part *part = &run->parts[worker];
    const gt_share share = gt_share_of(rows, worker, run->threads);
    const int64_t count = share.last - share.first;
    gt_status status;

    if (count == 0) {
        return GT_OK;
    }
    take_rows(run, part, share.first, count);
    status = classify(run, part, run->training, run->order, start + share.first, count,
                      class_weights, dropout, random, error);
    if (status == GT_OK) {
        softmax_gradient(part->state.active[shape->layers], count, shape->widths[shape->layers],
                         part->labels, class_weights, all_rows);
        status = backward(run, part, count, dropout, error);
    }
    return status;
}

/* At the meeting all rows are there, and failures so far are told; before the next rows are written
 * all have to be done with these. */
bool
gt_run_minibatch(gt_run *run, int worker, int64_t start, int64_t rows, double dropout,
                 const gt_random *random, gt_error *error)
{
    gt_run_part *part = &run->parts[worker];

    part->loss = 0.0;
    part->correct = 0;
    for (int64_t i = 0, count; i < rows; i += count) {
        count = rows - i < run->state.rows ? rows - i : run->state.rows;
        if (i > 0) {
            gt_barrier_wait(&run->barrier);
        }
        if (part->status == GT_OK) {
            part->status = work_rows(run, worker, start + i, count, rows, dropout, random, error);
        }
        if (!gt_run_meet(run, worker)) {
            return false;
        }
        if (part->status == GT_OK) {
            part->status = gt_run_gradient(run, worker, count, i > 0, error);
        }
    }
    return true;
}

gt_status
gt_run_evaluate(gt_run *run, int worker, const gt_head_data *data, gt_error *error)
{
    gt_run_part *part = &run->parts[worker];
    const gt_share share = gt_share_of(data->n, worker, run->threads);
    const int64_t most = run->state.rows / run->threads;
    gt_status status = GT_OK;

    part->loss = 0.0;
    part->correct = 0;
    gt_run_penalise(run, worker, NULL);
    take_rows(run, part, worker * most, most);
    part->state.rounded = (gt_head_rounded){NULL}; /* float32 in any case */
    for (int64_t i = share.first, count; status == GT_OK && i < share.last; i += count) {
        count = share.last - i < most ? share.last - i : most;
        status = classify(run, part, data, NULL, i, count, NULL, 0.0, NULL, error);
    }
    return status;
}

/* --- sums ---------------------------------------------------------------------------------- */

double
gt_run_loss(const gt_run *run)
{
    double sum = 0.0;

    for (int i = 0; i < run->threads; i++) {
        sum += run->parts[i].loss;
    }
    return sum;
}

double
gt_run_penalty(const gt_run *run)
{
    double sum = 0.0;

    for (int i = 0; i < run->threads; i++) {
        sum += run->parts[i].penalty;
    }
    return sum;
}

int64_t
gt_run_correct(const gt_run *run)
{
    int64_t sum = 0;

    for (int i = 0; i < run->threads; i++) {
        sum += run->parts[i].correct;
    }
    return sum;
}
