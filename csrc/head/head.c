#include "head/head.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64 /* bytes of a cache line */

/* --- memory -------------------------------------------------------------------------------- */

/* Zeroed floats on a cache line; NULL after a failure. */
static float *
allocate_floats(int64_t count, const char *what, gt_error *error)
{
    size_t size;
    void *memory = NULL;

    if (count < 0 || (uint64_t)count > (SIZE_MAX - ALIGNMENT) / sizeof(float)) {
        gt_fail_memory(error, what);
        return NULL;
    }
    size = (size_t)count * sizeof(float);
    if (posix_memalign(&memory, ALIGNMENT, size + ALIGNMENT) != 0) {
        gt_fail_memory(error, what);
        return NULL;
    }
    memset(memory, 0, size);
    return memory;
}

/* *total += rows * columns, rounded up to a cache line; false if that overflows. */
static bool
add_array(int64_t *total, int64_t rows, int64_t columns)
{
    const int64_t line = ALIGNMENT / (int64_t)sizeof(float);
    int64_t count;

    return !__builtin_mul_overflow(rows, columns, &count) &&
           !__builtin_add_overflow(count, line - 1, &count) &&
           !__builtin_add_overflow(*total, count / line * line, total);
}

static gt_status
fail_size(gt_error *error)
{
    return gt_fail(error, GT_ERROR_ARGUMENT,
                   "the head is too large: the size of its arrays overflows");
}

gt_status
gt_head_weights_create(const gt_head_config *config, gt_head_weights *weights, gt_error *error)
{
    const int64_t *widths = config->widths;
    int64_t count = 0, part;
    float *next;

    memset(weights, 0, sizeof(*weights));
    for (int k = 0; k < config->layers; k++) {
        if (__builtin_mul_overflow(widths[k], widths[k + 1], &part) ||
            __builtin_add_overflow(count, part, &count) ||
            __builtin_add_overflow(count, widths[k + 1], &count)) {
            return fail_size(error);
        }
    }
    weights->block = allocate_floats(count, "the weights of the head", error);
    if (weights->block == NULL) {
        return GT_ERROR_MEMORY;
    }
    weights->count = count;
    next = weights->block;
    for (int k = 0; k < config->layers; k++) {
        weights->kernel[k] = next;
        weights->bias[k] = next + widths[k] * widths[k + 1];
        next = weights->bias[k] + widths[k + 1];
    }
    return GT_OK;
}

void
gt_head_weights_free(gt_head_weights *weights)
{
    free(weights->block);
    memset(weights, 0, sizeof(*weights));
}

gt_status
gt_head_workspace_create(const gt_head_config *config, int64_t rows, int training,
                         gt_head_workspace *workspace, gt_error *error)
{
    const int layers = config->layers;
    const int first = training ? 0 : 1, last = training ? layers : layers - 1;
    int64_t active[GT_HEAD_MAX_LAYERS + 1] = {0}, delta[GT_HEAD_MAX_LAYERS] = {0}, total = 0;

    memset(workspace, 0, sizeof(*workspace));
    for (int k = first; k <= last; k++) {
        active[k] = total;
        if (!add_array(&total, rows, config->widths[k])) {
            return fail_size(error);
        }
    }
    for (int k = 1; training && k < layers; k++) {
        delta[k] = total;
        if (!add_array(&total, rows, config->widths[k])) {
            return fail_size(error);
        }
    }
    workspace->block = allocate_floats(total, "the activations of the head", error);
    if (workspace->block == NULL) {
        return GT_ERROR_MEMORY;
    }
    workspace->rows = rows;
    for (int k = first; k <= last; k++) {
        workspace->active[k] = workspace->block + active[k];
    }
    for (int k = 1; training && k < layers; k++) {
        workspace->delta[k] = workspace->block + delta[k];
    }
    return GT_OK;
}

void
gt_head_workspace_free(gt_head_workspace *workspace)
{
    free(workspace->bf16.block);
    free(workspace->block);
    memset(workspace, 0, sizeof(*workspace));
}

/* --- the head ------------------------------------------------------------------------------ */

static gt_status
check_config(const gt_head_config *config, gt_error *error)
{
    if (config->layers < 1 || config->layers > GT_HEAD_MAX_LAYERS) {
        return gt_fail(error, GT_ERROR_ARGUMENT, "layers is %d; give 1 to %d", config->layers,
                       GT_HEAD_MAX_LAYERS);
    }
    for (int k = 0; k <= config->layers; k++) {
        if (config->widths[k] < 1) {
            const char *what = k == 0               ? "the number of features"
                               : k < config->layers ? "the width of a hidden layer"
                                                    : "the number of classes";

            return gt_fail(error, GT_ERROR_ARGUMENT, "%s is %lld; it must be at least 1", what,
                           (long long)config->widths[k]);
        }
    }
    if (config->widths[config->layers] > INT32_MAX) {
        return gt_fail(error, GT_ERROR_ARGUMENT, "the number of classes is %lld; labels are 32 bit",
                       (long long)config->widths[config->layers]);
    }
    return GT_OK;
}

gt_status
gt_head_create(const gt_head_config *config, uint64_t seed, gt_head **head, gt_error *error)
{
    gt_head *created = NULL;
    gt_status status;

    *head = NULL;
    status = check_config(config, error);
    if (status != GT_OK) {
        return status;
    }
    created = calloc(1, sizeof(*created));
    if (created == NULL) {
        return gt_fail_memory(error, "the head");
    }
    created->config = *config;
    status = gt_head_weights_create(config, &created->weights, error);
    if (status != GT_OK) {
        gt_head_free(created);
        return status;
    }
    gt_head_initialise(created, seed);
    *head = created;
    return GT_OK;
}

void
gt_head_free(gt_head *head)
{
    if (head != NULL) {
        gt_head_weights_free(&head->weights);
        free(head);
    }
}

void
gt_head_initialise(gt_head *head, uint64_t seed)
{
    const int64_t *widths = head->config.widths;
    const int layers = head->config.layers;

    for (int k = 0; k < layers; k++) {
        gt_random random = gt_random_start(seed, GT_RANDOM_WEIGHTS, (uint64_t)k);
        double fan_in = (double)widths[k], fan_out = (double)widths[k + 1];
        double limit = sqrt(6.0 / (k + 1 < layers ? fan_in : fan_in + fan_out));

        for (int64_t i = 0; i < widths[k] * widths[k + 1]; i++) {
            double u = (double)gt_random_uniform(&random);

            head->weights.kernel[k][i] = (float)(limit * (2.0 * u - 1.0));
        }
        memset(head->weights.bias[k], 0, (size_t)widths[k + 1] * sizeof(float));
    }
}

gt_status
gt_head_set_layer(gt_head *head, int layer, const float *kernel, const float *bias, gt_error *error)
{
    gt_status status = GT_OK;
    int64_t in, out;

    if (layer < 0 || layer >= head->config.layers) {
        return gt_fail(error, GT_ERROR_ARGUMENT, "there is no layer %d: the head has %d", layer,
                       head->config.layers);
    }
    in = head->config.widths[layer];
    out = head->config.widths[layer + 1];
    if (kernel != NULL) {
        status = gt_check_finite("the kernel", kernel, 0, in, out, error);
    }
    if (status == GT_OK && bias != NULL) {
        status = gt_check_finite("the bias", bias, 0, 1, out, error);
    }
    if (status != GT_OK) {
        return status;
    }
    if (kernel != NULL) {
        memcpy(head->weights.kernel[layer], kernel, (size_t)(in * out) * sizeof(float));
    }
    if (bias != NULL) {
        memcpy(head->weights.bias[layer], bias, (size_t)out * sizeof(float));
    }
    return GT_OK;
}

gt_status
gt_head_fold_scaling(gt_head *head, const gt_head_scaling *scaling, gt_error *error)
{
    const int64_t d = head->config.widths[0], width = head->config.widths[1];
    double *shift = NULL; /* (width,) */
    gt_status status = gt_check_scaling(head, scaling, error);

    if (status != GT_OK || scaling == NULL) {
        return status;
    }
    shift = calloc((size_t)width, sizeof(*shift));
    if (shift == NULL) {
        return gt_fail_memory(error, "folding the scaling");
    }
    for (int64_t i = 0; i < d; i++) {
        double mean = scaling->mean ? (double)scaling->mean[i] : 0.0;
        double factor = scaling->inverse_deviation ? (double)scaling->inverse_deviation[i] : 1.0;
        float *row = head->weights.kernel[0] + i * width;

        for (int64_t j = 0; j < width; j++) {
            row[j] = (float)((double)row[j] * factor);
            shift[j] += mean * (double)row[j];
        }
    }
    for (int64_t j = 0; j < width; j++) {
        head->weights.bias[0][j] = (float)((double)head->weights.bias[0][j] - shift[j]);
    }
    free(shift);
    return GT_OK;
}

/* --- checks -------------------------------------------------------------------------------- */

/* Infinity and NaN have every bit of the exponent set. */
static bool
is_finite(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return (bits & UINT32_C(0x7F800000)) != UINT32_C(0x7F800000);
}

gt_status
gt_check_finite(const char *what, const float *values, int64_t first_row, int64_t rows,
                int64_t columns, gt_error *error)
{
    for (int64_t i = 0; i < rows; i++) {
        const float *row = values + i * columns;
        int bad = 0;

        for (int64_t j = 0; j < columns; j++) { /* no early exit: this becomes vector code */
            bad |= !is_finite(row[j]);
        }
        for (int64_t j = 0; bad && j < columns; j++) {
            if (!is_finite(row[j])) {
                return gt_fail(error, GT_ERROR_ARGUMENT,
                               "%s: row %lld, column %lld is %s; every value must be finite", what,
                               (long long)(first_row + i), (long long)j,
                               isnan(row[j]) ? "NaN" : "infinite");
            }
        }
    }
    return GT_OK;
}

gt_status
gt_check_scaling(const gt_head *head, const gt_head_scaling *scaling, gt_error *error)
{
    const int64_t d = head->config.widths[0];
    gt_status status = GT_OK;

    if (scaling != NULL && scaling->mean != NULL) {
        status = gt_check_finite("the mean", scaling->mean, 0, 1, d, error);
    }
    if (status == GT_OK && scaling != NULL && scaling->inverse_deviation != NULL) {
        status =
            gt_check_finite("the inverse deviation", scaling->inverse_deviation, 0, 1, d, error);
    }
    return status;
}
