#include "head/head_minibatch.h"

#include <string.h>

#include "common/multiversion.h"
#include "head/gemm_bf16.h"
#include "head/gemm_f32.h"
#include "threads/parallel.h"

/* What a thread has of layer k: some rows of the kernel, the bias counting as one more at its end, as
 * which it lies in the block.  The last thread always has some, and the bias. */
static gt_share
layer_rows(const gt_run *run, int worker, int k)
{
    return gt_share_of(run->head->config.widths[k] + 1, worker, run->threads);
}

/* The same in floats of the block. */
static gt_share
layer_share(const gt_run *run, int worker, int k)
{
    const gt_head *head = run->head;
    const gt_share rows = layer_rows(run, worker, k);
    const int64_t begins = head->weights.kernel[k] - head->weights.block;
    const int64_t out = head->config.widths[k + 1];

    return (gt_share){begins + rows.first * out, begins + rows.last * out};
}

/* How many floats of a share of layer k are of the kernel, with which it begins; 0 or less if none. */
static int64_t
kernel_count(const gt_run *run, int k, gt_share share)
{
    const int64_t ends = run->head->weights.bias[k] - run->head->weights.block;

    return (share.last < ends ? share.last : ends) - share.first;
}

/* --- gradient ------------------------------------------------------------------------------ */

/* sums (columns,) = those of values (rows, columns), added to what is there with `adds`. */
static void
column_sums(const float *restrict values, int64_t rows, int64_t columns, bool adds,
            float *restrict sums)
{
    if (!adds) {
        memset(sums, 0, (size_t)columns * sizeof(*sums));
    }
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) {
            sums[j] += values[i * columns + j];
        }
    }
}

/* Columns first .. first + count of the rounded inputs (rows, in) of layer k, without gaps. */
static const uint16_t *
rounded_columns(const gt_run *run, const gt_run_part *part, int k, int64_t rows, int64_t first,
                int64_t count)
{
    const int64_t in = run->head->config.widths[k];
    const uint16_t *columns = run->state.rounded.input[k] + first;

    if (count == in) {
        return columns;
    }
    for (int64_t i = 0; i < rows; i++) {
        memcpy(part->columns + i * count, columns + i * in, (size_t)count * sizeof(*columns));
    }
    return part->columns;
}

/* That of rows first .. first + count of the kernel of layer k, from the rows of all threads, added to
 * what is there with `adds`. */
static gt_status
kernel_gradient(gt_run *run, const gt_run_part *part, int k, int64_t rows, int64_t first,
                int64_t count, const float *delta, bool adds, gt_error *error)
{
    const int64_t in = run->head->config.widths[k], out = run->head->config.widths[k + 1];
    const uint16_t *rounded = run->state.rounded.delta[k];
    float *gradient = run->gradient.kernel[k] + first * out;

    if (rounded != NULL && gt_rounded_product_pays(count, out, rows)) {
        return gt_rounded_product('T', 'N', count, out, rows,
                                  rounded_columns(run, part, k, rows, first, count), rounded, adds,
                                  gradient, error);
    }
    return gt_matrix_product((gt_factor){'T', run->state.active[k] + first, in},
                             (gt_factor){'N', delta, out}, count, out, rows, adds ? 1.0f : 0.0f,
                             gradient, error);
}

/* Of a thread's share of layer k, from the rows of all threads, added to what is there with `adds`. */
static gt_status
layer_gradient(gt_run *run, int worker, int k, int64_t rows, bool adds, gt_error *error)
{
    const gt_head_config *config = &run->head->config;
    const int64_t in = config->widths[k], out = config->widths[k + 1];
    const gt_share own = layer_rows(run, worker, k);
    const int64_t count = (own.last < in ? own.last : in) - own.first;
    const float *delta = k + 1 < config->layers ? run->state.delta[k + 1]
                                                : run->state.active[k + 1]; /* (rows, out) */
    gt_status status = GT_OK;

    if (count > 0) {
        status = kernel_gradient(run, &run->parts[worker], k, rows, own.first, count, delta, adds,
                                 error);
    }
    if (own.last > in) {
        column_sums(delta, rows, out, adds, run->gradient.bias[k]);
    }
    return status;
}

gt_status
gt_run_gradient(gt_run *run, int worker, int64_t rows, bool adds, gt_error *error)
{
    gt_status status = GT_OK;

    for (int k = 0; status == GT_OK && k < run->head->config.layers; k++) {
        status = layer_gradient(run, worker, k, rows, adds, error);
    }
    return status;
}

/* --- penalty ------------------------------------------------------------------------------- */

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

/* l2 * sum(kernel ** 2) of a share of layer k, and with `gradient` (weights.count,) not NULL its
 * gradient added there.  Biases are free. */
static double
layer_penalty(const gt_run *run, int k, gt_share share, float *gradient)
{
    const float *weights = run->head->weights.block;
    const double l2 = run->config->l2;
    const int64_t count = kernel_count(run, k, share);

    if (l2 == 0.0 || count <= 0) {
        return 0.0;
    }
    if (gradient != NULL) {
        add_scaled(gradient + share.first, (float)(2.0 * l2), weights + share.first, count);
    }
    return l2 * (gt_has_avx2() ? squares_avx2 : squares)(weights + share.first, count);
}

void
gt_run_penalise(gt_run *run, int worker, float *gradient)
{
    double sum = 0.0;

    for (int k = 0; k < run->head->config.layers; k++) {
        sum += layer_penalty(run, k, layer_share(run, worker, k), gradient);
    }
    run->parts[worker].penalty = sum;
}

/* --- update -------------------------------------------------------------------------------- */

void
gt_run_round(gt_run *run)
{
    for (int k = 0; k < run->head->config.layers; k++) {
        const int64_t count = run->head->config.widths[k] * run->head->config.widths[k + 1];

        if (run->state.rounded.kernel[k] != NULL) {
            gt_round_floats(run->head->weights.kernel[k], count, run->state.rounded.kernel[k]);
        }
    }
}

static void
round_share(gt_run *run, int k, gt_share share)
{
    const float *values = run->head->weights.block + share.first;
    const int64_t count = kernel_count(run, k, share);

    if (run->state.rounded.kernel[k] != NULL && count > 0) {
        gt_round_floats(values, count,
                        run->state.rounded.kernel[k] + (values - run->head->weights.kernel[k]));
    }
}

void
gt_run_update(gt_run *run, int worker, const gt_update *update)
{
    float *second = run->second.block;

    for (int k = 0; k < run->head->config.layers; k++) {
        const gt_share share = layer_share(run, worker, k);
        const int64_t first = share.first;

        gt_optimiser_step(run->config, update->learning_rate, update->number, share.last - first,
                          run->head->weights.block + first, run->gradient.block + first,
                          run->first.block + first, second != NULL ? second + first : NULL);
        round_share(run, k, share);
    }
}
