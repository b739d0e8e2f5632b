#include "head_run.h"

#include <stdlib.h>
#include <string.h>

#include "wide.h"

#define MOST_PARTS 256 /* of the rows of a minibatch */
#define LINE 16        /* floats of a cache line */
#define AHEAD 2        /* rows that are on their way while one is copied */

gt_status
gt_run_allocate(gt_run *run, int64_t rows, int gradient, gt_error *error)
{
    gt_status status = gt_head_state_create(&run->head->config, rows, 1, &run->state, error);

    if (status == GT_OK && gradient) {
        status = gt_head_weights_create(&run->head->config, &run->gradient, error);
    }
    if (status == GT_OK) {
        run->labels = calloc((size_t)rows, sizeof(*run->labels));
        if (run->labels == NULL) {
            status = gt_fail_memory(error, "the labels of a minibatch");
        }
    }
    return status;
}

void
gt_run_free(gt_run *run)
{
    gt_head_state_free(&run->state);
    gt_head_weights_free(&run->gradient);
    gt_head_weights_free(&run->first);
    gt_head_weights_free(&run->second);
    free(run->labels);
    free(run->order);
    run->labels = NULL;
    run->order = NULL;
}

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

void
gt_run_gather(gt_run *run, const gt_head_data *data, const int64_t *order, int64_t start,
              int64_t rows)
{
    const int64_t d = run->head->config.widths[0];
    const float *mean = run->scaling != NULL ? run->scaling->mean : NULL;
    const float *factor = run->scaling != NULL ? run->scaling->inverse_deviation : NULL;
    void (*scale)(const float *, const float *, const float *, int64_t, float *) =
        gt_has_avx2() ? scale_row_avx2 : scale_row;

#pragma omp parallel for schedule(static) num_threads(run->threads) if (run->threads > 1)
    for (int64_t i = 0; i < rows; i++) {
        const int64_t sample = order != NULL ? order[start + i] : start + i;

        if (i + AHEAD < rows) {
            prefetch_row(gt_head_row(data, order != NULL ? order[start + i + AHEAD]
                                                         : start + i + AHEAD, d), d);
        }
        run->labels[i] = data->labels[sample];
        scale(gt_head_row(data, sample, d), mean, factor, d, run->state.active[0] + i * d);
    }
}

/* l2 * sum(kernel ** 2) over the layers. */
static double
penalty(const gt_head *head, double l2)
{
    double lanes[8] = {0.0}, sum = 0.0; /* apart, so that additions need not wait for each other */

    for (int k = 0; l2 > 0.0 && k < head->config.layers; k++) {
        const int64_t count = head->config.widths[k] * head->config.widths[k + 1];
        const float *kernel = head->weights.kernel[k];
        int64_t i = 0;

        for (; i + 8 <= count; i += 8) {
            for (int lane = 0; lane < 8; lane++) {
                lanes[lane] += (double)kernel[i + lane] * (double)kernel[i + lane];
            }
        }
        for (; i < count; i++) {
            lanes[0] += (double)kernel[i] * (double)kernel[i];
        }
    }
    for (int lane = 0; lane < 8; lane++) {
        sum += lanes[lane];
    }
    return l2 * sum;
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

/* Softmax and, if asked for, the gradient of the gathered rows, a part of them on each thread; adds
 * the parts' losses in their order, so that the bits depend on the number of threads alone. */
static void
softmax_parts(gt_run *run, int64_t rows, const float *class_weights, int gradient, double *loss,
              int64_t *correct)
{
    const gt_head_config *shape = &run->head->config;
    const int64_t c = shape->widths[shape->layers];
    const int parts = run->threads < 1 ? 1 : run->threads > MOST_PARTS ? MOST_PARTS : run->threads;
    double losses[MOST_PARTS] = {0.0};
    int64_t counts[MOST_PARTS] = {0};

#pragma omp parallel for schedule(static) num_threads(parts) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        const int64_t first = rows * part / parts, count = rows * (part + 1) / parts - first;
        float *logits = run->state.active[shape->layers] + first * c;

        gt_softmax(logits, count, c, run->labels + first, class_weights, &losses[part],
                   &counts[part]);
        if (gradient) {
            softmax_gradient(logits, count, c, run->labels + first, class_weights, rows);
        }
    }
    for (int part = 0; part < parts; part++) {
        *loss += losses[part];
        *correct += counts[part];
    }
}

/* gradient (count,) += l2 * kernel (count,) */
static void
add_penalty(float *restrict gradient, const float *restrict kernel, float l2, int64_t count,
            int threads)
{
    if (l2 == 0.0f) {
        return;
    }
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < count; i++) {
        gradient[i] += l2 * kernel[i];
    }
}

/* sums (columns,) of values (rows, columns), some columns on each thread. */
static void
column_sums(const float *values, int64_t rows, int64_t columns, float *sums, int threads)
{
    const int64_t parts = threads < 1 ? 1 : threads;

#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t part = 0; part < parts; part++) {
        const int64_t first = columns * part / parts, last = columns * (part + 1) / parts;

        memset(sums + first, 0, (size_t)(last - first) * sizeof(*sums));
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = first; j < last; j++) {
                sums[j] += values[i * columns + j];
            }
        }
    }
}

/* Gradient by the weights from the gradient by the logits in state.active[layers]. */
static gt_status
backward(gt_run *run, int64_t rows, double dropout, gt_error *error)
{
    const gt_head *head = run->head;
    const gt_head_state *state = &run->state;
    const float l2 = (float)(2.0 * run->config->l2), kept = (float)(1.0 / (1.0 - dropout));
    const float *delta = state->active[head->config.layers]; /* (rows, out) */

    for (int k = head->config.layers - 1; k >= 0; k--) {
        const int64_t in = head->config.widths[k], out = head->config.widths[k + 1];
        const float *active = state->active[k];                /* (rows, in) */
        const float *kernel = head->weights.kernel[k];         /* (in, out) */
        float *kernel_gradient = run->gradient.kernel[k];      /* (in, out) */
        float *bias_gradient = run->gradient.bias[k];          /* (out,) */
        gt_status status = gt_matrix_product('T', 'N', in, out, rows, active, delta, 0.0f,
                                             kernel_gradient, error);

        if (status != GT_OK) {
            return status;
        }
        add_penalty(kernel_gradient, kernel, l2, in * out, run->threads);
        column_sums(delta, rows, out, bias_gradient, run->threads);
        if (k > 0) {
            float *below = state->delta[k]; /* (rows, in) */

            status = gt_matrix_product('N', 'T', rows, in, out, delta, kernel, 0.0f, below, error);
            if (status != GT_OK) {
                return status;
            }
            for (int64_t i = 0; i < rows * in; i++) { /* what ReLU or dropout made 0 passes none */
                below[i] *= active[i] > 0.0f ? kept : 0.0f;
            }
            delta = below;
        }
    }
    return GT_OK;
}

gt_status
gt_run_minibatch(gt_run *run, int64_t rows, double dropout, gt_random *random, double *loss,
                 int64_t *correct, gt_error *error)
{
    double sum = 0.0;
    gt_status status = gt_head_forward(run->head, &run->state, run->state.active[0], rows, dropout,
                                       random, error);

    if (status != GT_OK) {
        return status;
    }
    softmax_parts(run, rows, run->config->class_weights, 1, &sum, correct);
    *loss = sum / (double)rows + penalty(run->head, run->config->l2);
    return backward(run, rows, dropout, error);
}

gt_status
gt_run_evaluate(gt_run *run, const gt_head_data *data, double *loss, double *accuracy,
                gt_error *error)
{
    const int64_t block = run->state.rows < GT_EVALUATE_ROWS ? run->state.rows : GT_EVALUATE_ROWS;
    int64_t correct = 0;
    double sum = 0.0;

    for (int64_t start = 0; start < data->n; start += block) {
        const int64_t rows = data->n - start < block ? data->n - start : block;
        gt_status status;

        gt_run_gather(run, data, NULL, start, rows);
        status = gt_head_forward(run->head, &run->state, run->state.active[0], rows, 0.0, NULL,
                                 error);
        if (status != GT_OK) {
            return status;
        }
        softmax_parts(run, rows, NULL, 0, &sum, &correct);
    }
    *loss = sum / (double)data->n + penalty(run->head, run->config->l2);
    *accuracy = (double)correct / (double)data->n;
    return GT_OK;
}
