#include "head_run.h"

#include <stdlib.h>
#include <string.h>

#include "head_product.h"
#include "threads.h"
#include "wide.h"

#define LINE 16  /* floats of a cache line */
#define AHEAD 2  /* rows that are on their way while one is copied */
#define TILE_LEAST 128
#define TILE_MOST 1024

/* --- memory -------------------------------------------------------------------------------- */

/* Rows of which minibatches and evaluations are worked off at a time: few, so that activations stay in
 * the second-level cache, but as many as outputs, lest large weights be gone through for a few rows. */
static int64_t
tile_rows(const gt_head_config *config)
{
    int64_t widest = 0;

    for (int k = 1; k <= config->layers; k++) {
        widest = config->widths[k] > widest ? config->widths[k] : widest;
    }
    return widest < TILE_LEAST ? TILE_LEAST : widest > TILE_MOST ? TILE_MOST : widest;
}

static gt_status
allocate_part(const gt_head_config *config, int64_t rows, int gradient, gt_run_part *part,
              gt_error *error)
{
    gt_status status = gt_head_state_create(config, rows, 1, &part->state, error);

    if (status == GT_OK && gradient) {
        status = gt_head_weights_create(config, &part->gradient, error);
    }
    if (status == GT_OK) {
        part->labels = calloc((size_t)rows, sizeof(*part->labels));
        if (part->labels == NULL) {
            status = gt_fail_memory(error, "the labels of a minibatch");
        }
    }
    return status;
}

gt_status
gt_run_allocate(gt_run *run, int64_t rows, int gradient, gt_error *error)
{
    const int64_t tile = tile_rows(&run->head->config);
    gt_status status = GT_OK;

    gt_barrier_start(&run->barrier, run->threads);
    run->parts = calloc((size_t)run->threads, sizeof(*run->parts));
    if (run->parts == NULL) {
        return gt_fail_memory(error, "the threads of a head");
    }
    for (int i = 0; status == GT_OK && i < run->threads; i++) {
        status = allocate_part(&run->head->config, rows < tile ? rows : tile, gradient,
                               &run->parts[i], error);
    }
    return status;
}

void
gt_run_free(gt_run *run)
{
    for (int i = 0; run->parts != NULL && i < run->threads; i++) {
        gt_head_state_free(&run->parts[i].state);
        gt_head_weights_free(&run->parts[i].gradient);
        free(run->parts[i].labels);
    }
    free(run->parts);
    gt_head_weights_free(&run->first);
    gt_head_weights_free(&run->second);
    free(run->order);
    gt_barrier_end(&run->barrier);
    run->parts = NULL;
    run->order = NULL;
}

/* --- weights ------------------------------------------------------------------------------- */

/* target += factor * source */
static void
add_scaled(float *restrict target, float factor, const float *restrict source, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        target[i] += factor * source[i];
    }
}

GT_INLINE double
squares_loop(const float *values, int64_t count)
{
    double lanes[8] = {0.0}, sum = 0.0; /* apart, so that additions need not wait for each other */
    int64_t i = 0;

    for (; i + 8 <= count; i += 8) {
        for (int lane = 0; lane < 8; lane++) {
            lanes[lane] += (double)values[i + lane] * (double)values[i + lane];
        }
    }
    for (; i < count; i++) {
        lanes[0] += (double)values[i] * (double)values[i];
    }
    for (int lane = 0; lane < 8; lane++) {
        sum += lanes[lane];
    }
    return sum;
}

static double
squares(const float *values, int64_t count)
{
    return squares_loop(values, count);
}

GT_AVX2 static double
squares_avx2(const float *values, int64_t count)
{
    return squares_loop(values, count);
}

/* l2 * sum(kernel ** 2) of a share of the weights, and with `gradient` (weights.count,) not NULL its
 * gradient added there. */
static double
penalty(const gt_head *head, double l2, gt_share share, float *gradient)
{
    const float *weights = head->weights.block;
    double sum = 0.0;

    for (int k = 0; l2 > 0.0 && k < head->config.layers; k++) { /* biases are free */
        const int64_t begins = head->weights.kernel[k] - weights;
        const int64_t ends = head->weights.bias[k] - weights;
        const int64_t first = share.first > begins ? share.first : begins;
        const int64_t count = (share.last < ends ? share.last : ends) - first;

        if (count > 0) {
            sum += (gt_has_avx2() ? squares_avx2 : squares)(weights + first, count);
            if (gradient != NULL) {
                add_scaled(gradient + first, (float)(2.0 * l2), weights + first, count);
            }
        }
    }
    return l2 * sum;
}

void
gt_run_combine(gt_run *run, int worker)
{
    const gt_share share = gt_share_of(run->head->weights.count, worker, run->threads);
    float *gradient = run->parts[0].gradient.block;

    for (int i = 1; i < run->threads; i++) {
        add_scaled(gradient + share.first, 1.0f, run->parts[i].gradient.block + share.first,
                   share.last - share.first);
    }
    run->parts[worker].penalty = penalty(run->head, run->config->l2, share, gradient);
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
        target[j] = (source[j] - (mean != NULL ? mean[j] : 0.0f)) *
                    (factor != NULL ? factor[j] : 1.0f);
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
            prefetch_row(gt_head_row(data, order != NULL ? order[start + i + AHEAD]
                                                         : start + i + AHEAD, d), d);
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

/* sums (columns,) = kept (0 or 1) * sums + those of values (rows, columns) */
static void
column_sums(const float *restrict values, int64_t rows, int64_t columns, float kept,
            float *restrict sums)
{
    if (kept == 0.0f) {
        memset(sums, 0, (size_t)columns * sizeof(*sums));
    }
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) {
            sums[j] += values[i * columns + j];
        }
    }
}

/* The gradient by the weights from that by the logits in state.active[layers], added to `kept` (0 or
 * 1) times what is there. */
static gt_status
backward(const gt_run *run, gt_run_part *part, int64_t rows, double dropout, float kept,
         gt_error *error)
{
    const gt_head *head = run->head;
    const gt_head_state *state = &part->state;
    const float scale = (float)(1.0 / (1.0 - dropout));
    const float *delta = state->active[head->config.layers]; /* (rows, out) */

    for (int k = head->config.layers - 1; k >= 0; k--) {
        const int64_t in = head->config.widths[k], out = head->config.widths[k + 1];
        const float *active = state->active[k]; /* (rows, in) */
        gt_status status = gt_matrix_product('T', 'N', in, out, rows, active, delta, kept,
                                             part->gradient.kernel[k], state->rounds, error);

        if (status != GT_OK) {
            return status;
        }
        column_sums(delta, rows, out, kept, part->gradient.bias[k]);
        if (k > 0) {
            float *below = state->delta[k]; /* (rows, in) */

            status = gt_matrix_product('N', 'T', rows, in, out, delta, head->weights.kernel[k],
                                       0.0f, below, state->rounds, error);
            if (status != GT_OK) {
                return status;
            }
            for (int64_t i = 0; i < rows * in; i++) { /* what ReLU or dropout made 0 passes none */
                below[i] *= active[i] > 0.0f ? scale : 0.0f;
            }
            delta = below;
        }
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

gt_status
gt_run_minibatch(gt_run *run, int worker, int64_t start, int64_t rows, double dropout,
                 const gt_random *random, gt_error *error)
{
    const gt_head_config *shape = &run->head->config;
    const float *class_weights = run->config->class_weights;
    gt_run_part *part = &run->parts[worker];
    const gt_share share = gt_share_of(rows, worker, run->threads);
    const int64_t first = start + share.first, last = start + share.last;
    gt_status status = GT_OK;

    part->loss = 0.0;
    part->correct = 0;
    part->state.rounds = run->rounds;
    if (first == last) {
        memset(part->gradient.block, 0, (size_t)part->gradient.count * sizeof(float));
    }
    for (int64_t i = first, count; status == GT_OK && i < last; i += count) {
        count = last - i < part->state.rows ? last - i : part->state.rows;
        status = classify(run, part, run->training, run->order, i, count, class_weights, dropout,
                          random, error);
        if (status == GT_OK) {
            softmax_gradient(part->state.active[shape->layers], count,
                             shape->widths[shape->layers], part->labels, class_weights, rows);
            status = backward(run, part, count, dropout, i > first ? 1.0f : 0.0f, error);
        }
    }
    return status;
}

gt_status
gt_run_evaluate(gt_run *run, int worker, const gt_head_data *data, gt_error *error)
{
    gt_run_part *part = &run->parts[worker];
    const gt_share share = gt_share_of(data->n, worker, run->threads);
    const gt_share weights = gt_share_of(run->head->weights.count, worker, run->threads);
    gt_status status = GT_OK;

    part->loss = 0.0;
    part->correct = 0;
    part->state.rounds = false;
    part->penalty = penalty(run->head, run->config->l2, weights, NULL);
    for (int64_t i = share.first, count; status == GT_OK && i < share.last; i += count) {
        count = share.last - i < part->state.rows ? share.last - i : part->state.rows;
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
