#include "head/head_minibatch.h"

#include <string.h>

#include "common/multiversion.h"
#include "head/gemm_bf16.h"
#include "head/gemm_f32.h"
#include "head/optimiser.h"
#include "threads/parallel.h"

/* A thread's share of layer k: some rows of the kernel.  The bias counts as one more row at its
 * end, where it lies in the block; it belongs to the last thread. */
static gt_share
layer_rows(const gt_trainer *trainer, int worker, int k)
{
    return gt_share_of(trainer->head->config.widths[k] + 1, worker, trainer->threads);
}

/* The same in floats of the block. */
static gt_share
layer_share(const gt_trainer *trainer, int worker, int k)
{
    const gt_head *head = trainer->head;
    const gt_share rows = layer_rows(trainer, worker, k);
    const int64_t begins = head->weights.kernel[k] - head->weights.block;
    const int64_t out = head->config.widths[k + 1];

    return (gt_share){begins + rows.first * out, begins + rows.last * out};
}

/* Floats of a share of layer k that belong to the kernel, with which the share begins; 0 or less if
 * none do. */
static int64_t
kernel_count(const gt_trainer *trainer, int k, gt_share share)
{
    const int64_t ends = trainer->head->weights.bias[k] - trainer->head->weights.block;

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

/* Columns first .. first + count of the bfloat16 inputs (rows, in) of layer k, without gaps. */
static const uint16_t *
bf16_columns(const gt_trainer *trainer, const gt_worker *own, int k, int64_t rows, int64_t first,
             int64_t count)
{
    const int64_t in = trainer->head->config.widths[k];
    const uint16_t *columns = trainer->workspace.bf16.input[k] + first;

    if (count == in) {
        return columns;
    }
    for (int64_t i = 0; i < rows; i++) {
        memcpy(own->columns + i * count, columns + i * in, (size_t)count * sizeof(*columns));
    }
    return own->columns;
}

/* The gradient of rows first .. first + count of the kernel of layer k, summed over the rows of all
 * threads; with `adds` it is added to what is there. */
static gt_status
kernel_gradient(gt_trainer *trainer, const gt_worker *own, int k, int64_t rows, int64_t first,
                int64_t count, const float *delta, bool adds, gt_error *error)
{
    const int64_t in = trainer->head->config.widths[k], out = trainer->head->config.widths[k + 1];
    const uint16_t *bf16 = trainer->workspace.bf16.delta[k];
    float *gradient = trainer->gradient.kernel[k] + first * out;

    if (bf16 != NULL && gt_bf16_product_is_profitable(count, out, rows)) {
        return gt_bf16_product('T', 'N', count, out, rows,
                               bf16_columns(trainer, own, k, rows, first, count), bf16, adds,
                               gradient, error);
    }
    return gt_matrix_product((gt_factor){'T', trainer->workspace.active[k] + first, in},
                             (gt_factor){'N', delta, out}, count, out, rows, adds ? 1.0f : 0.0f,
                             gradient, error);
}

/* The gradient of a thread's share of layer k, likewise. */
static gt_status
layer_gradient(gt_trainer *trainer, int worker, int k, int64_t rows, bool adds, gt_error *error)
{
    const gt_head_config *config = &trainer->head->config;
    const int64_t in = config->widths[k], out = config->widths[k + 1];
    const gt_share own = layer_rows(trainer, worker, k);
    const int64_t count = (own.last < in ? own.last : in) - own.first;
    const float *delta = k + 1 < config->layers
                             ? trainer->workspace.delta[k + 1]
                             : trainer->workspace.active[k + 1]; /* (rows, out) */
    gt_status status = GT_OK;

    if (count > 0) {
        status = kernel_gradient(trainer, &trainer->workers[worker], k, rows, own.first, count,
                                 delta, adds, error);
    }
    if (own.last > in) {
        column_sums(delta, rows, out, adds, trainer->gradient.bias[k]);
    }
    return status;
}

gt_status
gt_trainer_gradient(gt_trainer *trainer, int worker, int64_t rows, bool adds, gt_error *error)
{
    gt_status status = GT_OK;

    for (int k = 0; status == GT_OK && k < trainer->head->config.layers; k++) {
        status = layer_gradient(trainer, worker, k, rows, adds, error);
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
layer_penalty(const gt_trainer *trainer, int k, gt_share share, float *gradient)
{
    const float *weights = trainer->head->weights.block;
    const double l2 = trainer->config->l2;
    const int64_t count = kernel_count(trainer, k, share);

    if (l2 == 0.0 || count <= 0) {
        return 0.0;
    }
    if (gradient != NULL) {
        add_scaled(gradient + share.first, (float)(2.0 * l2), weights + share.first, count);
    }
    return l2 * (gt_has_avx2() ? squares_avx2 : squares)(weights + share.first, count);
}

void
gt_trainer_penalise(gt_trainer *trainer, int worker, float *gradient)
{
    double sum = 0.0;

    for (int k = 0; k < trainer->head->config.layers; k++) {
        sum += layer_penalty(trainer, k, layer_share(trainer, worker, k), gradient);
    }
    trainer->workers[worker].penalty = sum;
}

/* --- update -------------------------------------------------------------------------------- */

void
gt_trainer_round_weights(gt_trainer *trainer)
{
    for (int k = 0; k < trainer->head->config.layers; k++) {
        const int64_t count = trainer->head->config.widths[k] * trainer->head->config.widths[k + 1];

        if (trainer->workspace.bf16.kernel[k] != NULL) {
            gt_floats_to_bf16(trainer->head->weights.kernel[k], count,
                              trainer->workspace.bf16.kernel[k]);
        }
    }
}

static void
share_to_bf16(gt_trainer *trainer, int k, gt_share share)
{
    const float *values = trainer->head->weights.block + share.first;
    const int64_t count = kernel_count(trainer, k, share);

    if (trainer->workspace.bf16.kernel[k] != NULL && count > 0) {
        gt_floats_to_bf16(values, count,
                          trainer->workspace.bf16.kernel[k] +
                              (values - trainer->head->weights.kernel[k]));
    }
}

void
gt_trainer_update(gt_trainer *trainer, int worker, const gt_update *update)
{
    float *second = trainer->second.block;

    for (int k = 0; k < trainer->head->config.layers; k++) {
        const gt_share share = layer_share(trainer, worker, k);
        const int64_t first = share.first;

        gt_optimiser_step(trainer->config, update->learning_rate, update->number,
                          share.last - first, trainer->head->weights.block + first,
                          trainer->gradient.block + first, trainer->first.block + first,
                          second != NULL ? second + first : NULL);
        share_to_bf16(trainer, k, share);
    }
}
