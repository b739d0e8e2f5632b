#include "head/head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/multiversion.h"
#include "head/gemm_bf16.h"
#include "head/gemm_f32.h"
#include "threads/parallel.h"

#define LANES 8 /* apart, so that steps need not wait for each other */
/* Rows that are predicted at a time, a multiple of PADDED_ROWS, and what the last of them are
 * filled up to. oneDNN adds up in another order for the rows that are left over when it takes 6, 8
 * or 12 at a time, and for more than 100 rows of some widths; the last bits of a row would depend
 * on what else is predicted with it. */
#define PREDICT_ROWS 96
#define PADDED_ROWS 24

/* --- forward ------------------------------------------------------------------------------- */

/* Inverted dropout of values (rows, width): what is kept grows by 1 / (1 - rate), so that
 * prediction needs no scaling.  `random` is that of the first value; from row to row it goes on by
 * `each`. */
static void
drop(float *values, int64_t rows, int64_t width, double rate, gt_random random, uint64_t each)
{
    const float threshold = (float)rate, scale = (float)(1.0 / (1.0 - rate));

    for (int64_t i = 0; i < rows; i++) {
        gt_random own = gt_random_skip(random, (uint64_t)i * each);

        for (int64_t j = 0; j < width; j++) {
            values[i * width + j] *= gt_random_uniform(&own) >= threshold ? scale : 0.0f;
        }
    }
}

/* How many values of a row can be dropped in the hidden layers before `layer`. */
static uint64_t
hidden_before(const gt_head *head, int layer)
{
    uint64_t sum = 0;

    for (int k = 1; k < layer; k++) {
        sum += (uint64_t)head->config.widths[k];
    }
    return sum;
}

/* output (rows, widths[k + 1]) += input (rows, widths[k]) times the kernel of layer k.  What is
 * rounded for it stays, as the gradient needs it too. */
static gt_status
multiply_forward(const gt_head *head, const gt_head_workspace *workspace, int k, int64_t rows,
                 const float *input, float *output, gt_error *error)
{
    const int64_t in = head->config.widths[k], out = head->config.widths[k + 1];
    uint16_t *bf16 = workspace->bf16.input[k];

    if (bf16 != NULL) {
        gt_floats_to_bf16(input, rows * in, bf16);
    }
    if (bf16 != NULL && gt_bf16_product_is_profitable(rows, out, in)) {
        return gt_bf16_product('N', 'N', rows, out, in, bf16, workspace->bf16.kernel[k], true,
                               output, error);
    }
    return gt_matrix_product((gt_factor){'N', input, in},
                             (gt_factor){'N', head->weights.kernel[k], out}, rows, out, in, 1.0f,
                             output, error);
}

gt_status
gt_head_forward(const gt_head *head, gt_head_workspace *workspace, const float *features,
                int64_t rows, double dropout, const gt_random *random, int64_t position,
                gt_error *error)
{
    const int layers = head->config.layers;
    const uint64_t each = hidden_before(head, layers);
    const float *input = features; /* (rows, widths[k]) */

    for (int k = 0; k < layers; k++) {
        const int64_t out = head->config.widths[k + 1];
        float *output = workspace->active[k + 1]; /* (rows, out) */
        gt_status status;

        for (int64_t i = 0; i < rows; i++) {
            memcpy(output + i * out, head->weights.bias[k], (size_t)out * sizeof(float));
        }
        status = multiply_forward(head, workspace, k, rows, input, output, error);
        if (status != GT_OK) {
            return status;
        }
        for (int64_t i = 0; k + 1 < layers && i < rows * out; i++) {
            output[i] = output[i] < 0.0f ? 0.0f : output[i]; /* keeps NaN */
        }
        if (k + 1 < layers && dropout > 0.0) {
            drop(output, rows, out, dropout,
                 gt_random_skip(*random, (uint64_t)position * each + hidden_before(head, k + 1)),
                 each);
        }
        input = output;
    }
    return GT_OK;
}

GT_INLINE uint32_t
to_bits(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

GT_INLINE float
from_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* exp(x) for x <= 0 to about 2 units in the last place: the polynomial of Cephes' expf.  What
 * depends on x is chosen among integers, so that loops over it become vector code; NaN stays
 * NaN. */
GT_INLINE float
exp_negative(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const uint32_t least = UINT32_C(0xC2AE0000), lowest = UINT32_C(0xFF800000); /* -87, -infinity */
    const uint32_t bits = to_bits(x);
    const uint32_t kept =
        (uint32_t)(bits - (least + 1) <= lowest - (least + 1)) - 1; /* all or none */
    float clamped = from_bits((bits & kept) | (least & ~kept));
    float shifted = clamped * 1.44269504088896341f + magic;
    float n = shifted - magic;
    float r = clamped - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;

    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    /* The integer n stands in the low bits of shifted. */
    p = (p * r * r + r + 1.0f) * from_bits((to_bits(shifted) + 127) << 23);
    return from_bits(to_bits(p) & kept);
}

/* A number whose order among integers is that of `value` among floats, and the way back. */
GT_INLINE int32_t
to_ordered(float value)
{
    const int32_t bits = (int32_t)to_bits(value);

    return bits ^ (bits >> 31 & INT32_MAX);
}

GT_INLINE float
from_ordered(int32_t ordered)
{
    return from_bits((uint32_t)(ordered ^ (ordered >> 31 & INT32_MAX)));
}

/* The largest of a row; as integers, of which compilers make vector code. */
GT_INLINE float
row_maximum(const float *row, int64_t c)
{
    int32_t largest = INT32_MIN;

    for (int64_t j = 0; j < c; j++) {
        const int32_t ordered = to_ordered(row[j]);

        largest = ordered > largest ? ordered : largest;
    }
    return from_ordered(largest);
}

GT_INLINE double
row_sum(const float *row, int64_t c)
{
    double lanes[LANES] = {0.0}, sum = 0.0;
    int64_t j = 0;

    for (; j + LANES <= c; j += LANES) {
        for (int lane = 0; lane < LANES; lane++) {
            lanes[lane] += (double)row[j + lane];
        }
    }
    for (; j < c; j++) {
        sum += (double)row[j];
    }
    for (int lane = 0; lane < LANES; lane++) {
        sum += lanes[lane];
    }
    return sum;
}

/* Whether row[index] is the first of those that are the largest. */
GT_INLINE int
is_first_largest(const float *row, int64_t index, float largest)
{
    int before = 0;

    for (int64_t j = 0; j < index; j++) {
        before |= row[j] == largest;
    }
    return row[index] == largest && !before;
}

GT_INLINE void
softmax_rows(float *logits, int64_t rows, int64_t c, const int32_t *labels,
             const float *class_weights, double *loss, int64_t *correct)
{
    for (int64_t i = 0; i < rows; i++) {
        float *row = logits + i * c;
        const int64_t label = labels != NULL ? labels[i] : 0;
        const float own = row[label], largest = row_maximum(row, c);
        double sum;
        float factor;

        if (labels != NULL) {
            *correct += is_first_largest(row, label, largest);
        }
        for (int64_t j = 0; j < c; j++) {
            row[j] = exp_negative(row[j] - largest);
        }
        sum = row_sum(row, c);
        factor = (float)(1.0 / sum);
        for (int64_t j = 0; j < c; j++) {
            row[j] *= factor;
        }
        if (labels != NULL) {
            double weight = class_weights != NULL ? (double)class_weights[label] : 1.0;

            *loss += weight * (log(sum) - ((double)own - (double)largest));
        }
    }
}

GT_AVX2 static void
softmax_avx2(float *logits, int64_t rows, int64_t c, const int32_t *labels,
             const float *class_weights, double *loss, int64_t *correct)
{
    softmax_rows(logits, rows, c, labels, class_weights, loss, correct);
}

void
gt_softmax(float *logits, int64_t rows, int64_t c, const int32_t *labels,
           const float *class_weights, double *loss, int64_t *correct)
{
    if (gt_has_avx2()) {
        softmax_avx2(logits, rows, c, labels, class_weights, loss, correct);
    }
    else {
        softmax_rows(logits, rows, c, labels, class_weights, loss, correct);
    }
}

/* --- prediction ---------------------------------------------------------------------------- */

typedef struct {
    const gt_head *head;
    const float *features; /* (n, d) */
    int64_t n;
    int logits;
    int workers;
    float *output; /* (n, c) */
} prediction;

/* Logits of at most PADDED_ROWS rows into output, by way of as many rows as that. */
static gt_status
predict_padded(const gt_head *head, gt_head_workspace *workspace, const float *features,
               int64_t rows, float *output, gt_error *error)
{
    const int last = head->config.layers;
    const int64_t d = head->config.widths[0], c = head->config.widths[last];
    float *padded = calloc((size_t)(PADDED_ROWS * (d + c)), sizeof(float));
    float *logits;
    gt_status status;

    if (padded == NULL) {
        return gt_fail_memory(error, "the prediction of some rows");
    }
    logits = padded + PADDED_ROWS * d;
    memcpy(padded, features, (size_t)(rows * d) * sizeof(float));
    workspace->active[last] = logits;
    status = gt_head_forward(head, workspace, padded, PADDED_ROWS, 0.0, NULL, 0, error);
    if (status == GT_OK) {
        memcpy(output, logits, (size_t)(rows * c) * sizeof(float));
    }
    workspace->active[last] = NULL;
    free(padded);
    return status;
}

/* Logits of rows into output. */
static gt_status
predict_rows(const gt_head *head, gt_head_workspace *workspace, const float *features, int64_t rows,
             float *output, gt_error *error)
{
    const int last = head->config.layers;
    const int64_t d = head->config.widths[0], c = head->config.widths[last];
    const int64_t whole = rows - rows % PADDED_ROWS;
    gt_status status = GT_OK;

    if (whole > 0) {
        workspace->active[last] = output;
        status = gt_head_forward(head, workspace, features, whole, 0.0, NULL, 0, error);
        workspace->active[last] = NULL;
    }
    if (status == GT_OK && whole < rows) {
        status = predict_padded(head, workspace, features + whole * d, rows - whole,
                                output + whole * c, error);
    }
    return status;
}

/* Blocks worker, worker + workers, ... of PREDICT_ROWS rows. */
static gt_status
predict_blocks(void *context, int worker, gt_error *error)
{
    const prediction *p = context;
    const gt_head_config *config = &p->head->config;
    const int64_t d = config->widths[0], c = config->widths[config->layers];
    const int64_t step = (int64_t)p->workers * PREDICT_ROWS;
    gt_head_workspace workspace;
    gt_status status = gt_head_workspace_create(config, PREDICT_ROWS, 0, &workspace, error);

    for (int64_t start = (int64_t)worker * PREDICT_ROWS; status == GT_OK && start < p->n;
         start += step) {
        const int64_t rows = p->n - start < PREDICT_ROWS ? p->n - start : PREDICT_ROWS;
        const float *features = p->features + start * d;

        status = gt_check_finite("the features", features, start, rows, d, error);
        if (status == GT_OK) {
            status =
                predict_rows(p->head, &workspace, features, rows, p->output + start * c, error);
        }
        if (status == GT_OK && !p->logits) {
            gt_softmax(p->output + start * c, rows, c, NULL, NULL, NULL, NULL);
        }
    }
    gt_head_workspace_free(&workspace);
    return status;
}

gt_status
gt_head_predict(const gt_head *head, const float *features, int64_t n, int logits, int threads,
                float *output, gt_error *error)
{
    prediction p = {head, features, n, logits, threads, output};
    int64_t blocks;
    gt_status status;

    if (n < 1) {
        return gt_fail(error, GT_ERROR_ARGUMENT, "there are %lld rows of features; give at least 1",
                       (long long)n);
    }
    if (threads < 1) {
        return gt_fail(error, GT_ERROR_ARGUMENT, "threads is %d; give at least 1", threads);
    }
    blocks = (n - 1) / PREDICT_ROWS + 1;
    if (blocks < threads) {
        p.workers = (int)blocks;
    }
    status = gt_parallel(p.workers, 1, predict_blocks, &p, error);
    if (status == GT_ERROR_ARGUMENT) { /* of the bad values that the workers met, name the first */
        status = gt_check_finite("the features", features, 0, n, head->config.widths[0], error);
    }
    return status;
}
