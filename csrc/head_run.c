#include "head_run.h"

#include <stdlib.h>
#include <string.h>

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

void
gt_run_gather(gt_run *run, const gt_head_data *data, const int64_t *order, int64_t start,
              int64_t rows)
{
    const int64_t d = run->head->config.widths[0];
    const float *mean = run->scaling != NULL ? run->scaling->mean : NULL;
    const float *factor = run->scaling != NULL ? run->scaling->inverse_deviation : NULL;

    for (int64_t i = 0; i < rows; i++) {
        const int64_t row = order != NULL ? order[start + i] : start + i;
        const float *source = data->features + row * d;
        float *restrict target = run->state.active[0] + i * d;

        run->labels[i] = data->labels[row];
        if (mean != NULL && factor != NULL) {
            for (int64_t j = 0; j < d; j++) {
                target[j] = (source[j] - mean[j]) * factor[j];
            }
            continue;
        }
        for (int64_t j = 0; j < d; j++) {
            target[j] = (source[j] - (mean != NULL ? mean[j] : 0.0f)) *
                        (factor != NULL ? factor[j] : 1.0f);
        }
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

/* Turn the probabilities in the state into the gradient of the loss by the logits:
 * (probability - (1 for the label's class)) * class weight / rows. */
static void
softmax_gradient(gt_run *run, int64_t rows)
{
    const gt_head_config *shape = &run->head->config;
    const int64_t c = shape->widths[shape->layers];
    const float *class_weights = run->config->class_weights;

    for (int64_t i = 0; i < rows; i++) {
        float *row = run->state.active[shape->layers] + i * c;
        const int32_t label = run->labels[i];
        const float weight = class_weights != NULL ? class_weights[label] : 1.0f;
        const float factor = weight / (float)rows;

        row[label] -= 1.0f;
        for (int64_t j = 0; j < c; j++) {
            row[j] *= factor;
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
        for (int64_t i = 0; l2 > 0.0f && i < in * out; i++) {
            kernel_gradient[i] += l2 * kernel[i];
        }
        memset(bias_gradient, 0, (size_t)out * sizeof(float));
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = 0; j < out; j++) {
                bias_gradient[j] += delta[i * out + j];
            }
        }
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
    const gt_head_config *shape = &run->head->config;
    double sum = 0.0;
    gt_status status = gt_head_forward(run->head, &run->state, run->state.active[0], rows, dropout,
                                       random, error);

    if (status != GT_OK) {
        return status;
    }
    gt_softmax(run->state.active[shape->layers], rows, shape->widths[shape->layers], run->labels,
               run->config->class_weights, &sum, correct);
    *loss = sum / (double)rows + penalty(run->head, run->config->l2);
    softmax_gradient(run, rows);
    return backward(run, rows, dropout, error);
}

gt_status
gt_run_evaluate(gt_run *run, const gt_head_data *data, double *loss, double *accuracy,
                gt_error *error)
{
    const gt_head_config *shape = &run->head->config;
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
        gt_softmax(run->state.active[shape->layers], rows, shape->widths[shape->layers],
                   run->labels, NULL, &sum, &correct);
    }
    *loss = sum / (double)data->n + penalty(run->head, run->config->l2);
    *accuracy = (double)correct / (double)data->n;
    return GT_OK;
}
