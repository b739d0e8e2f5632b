#include "head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>

#include "threads.h"
#include "wide.h"

#define LANES 8 /* apart, so that steps need not wait for each other */
/* Rows that are predicted at a time, a multiple of PADDED_ROWS, and what the last of them are filled
 * up to.  oneDNN adds up in another order for the rows that are left over when it takes 6, 8 or 12
 * at a time, and for more than 100 rows of some widths; the last bits of a row would depend on what
 * else is predicted with it. */
#define PREDICT_ROWS 96
#define PADDED_ROWS 24

/* --- forward ------------------------------------------------------------------------------- */

gt_status
gt_matrix_product(char op_a, char op_b, int64_t m, int64_t n, int64_t k, const float *a,
                  const float *b, float beta, float *c, gt_error *error)
{
    dnnl_status_t result = dnnl_sgemm(op_a, op_b, m, n, k, 1.0f, a, op_a == 'N' ? k : m, b,
                                      op_b == 'N' ? n : k, beta, c, n);

    if (result == dnnl_out_of_memory) {
        return gt_fail_memory(error, "a matrix product");
    }
    if (result != dnnl_success) {
        return gt_fail(error, GT_ERROR_ENGINE,
                       "oneDNN failed (status %d) at a matrix product of %lld x %lld x %lld",
                       (int)result, (long long)m, (long long)k, (long long)n);
    }
    return GT_OK;
}

/* Inverted dropout: what is kept grows by 1 / (1 - rate), so that prediction needs no scaling. */
static void
drop(float *values, int64_t count, double rate, gt_random *random)
{
    const float threshold = (float)rate, scale = (float)(1.0 / (1.0 - rate));

    for (int64_t i = 0; i < count; i++) {
        values[i] *= gt_random_uniform(random) >= threshold ? scale : 0.0f;
    }
}

gt_status
gt_head_forward(const gt_head *head, gt_head_state *state, const float *features, int64_t rows,
                double dropout, gt_random *random, gt_error *error)
{
    const int layers = head->config.layers;
    const int threads = state->threads;
    const float *input = features; /* (rows, widths[k]) */

    for (int k = 0; k < layers; k++) {
        const int64_t in = head->config.widths[k], out = head->config.widths[k + 1];
        float *output = state->active[k + 1]; /* (rows, out) */
        gt_status status;

#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
        for (int64_t i = 0; i < rows; i++) {
            memcpy(output + i * out, head->weights.bias[k], (size_t)out * sizeof(float));
        }
        status = gt_matrix_product('N', 'N', rows, out, in, input, head->weights.kernel[k], 1.0f,
                                   output, error);
        if (status != GT_OK) {
            return status;
        }
        if (k + 1 < layers) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
            for (int64_t i = 0; i < rows * out; i++) {
                output[i] = output[i] < 0.0f ? 0.0f : output[i]; /* keeps NaN */
            }
            if (dropout > 0.0) {
                drop(output, rows * out, dropout, random);
            }
        }
        input = output;
    }
    return GT_OK;
}

/* exp(x) for x <= 0 to about 2 units in the last place: the polynomial of Cephes' expf, without
 * branches so that loops over it become vector code. */
GT_INLINE float
exp_negative(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float clamped = x < -87.0f ? -87.0f : x;
    float shifted = clamped * 1.44269504088896341f + magic;
    float n = shifted - magic;
    float r = clamped - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f, power;
    uint32_t bits;

    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    memcpy(&bits, &shifted, sizeof(bits));
    bits = (bits + 127) << 23; /* the integer n stands in the low bits of shifted */
    memcpy(&power, &bits, sizeof(power));
    return x < -87.0f ? 0.0f : (p * r * r + r + 1.0f) * power;
}

/* The largest of a row. */
GT_INLINE float
row_maximum(const float *row, int64_t c)
{
    float lanes[LANES], largest = row[0];
    int64_t j = 0;

    for (int lane = 0; lane < LANES; lane++) {
        lanes[lane] = row[0];
    }
    for (; j + LANES <= c; j += LANES) {
        for (int lane = 0; lane < LANES; lane++) {
            lanes[lane] = row[j + lane] > lanes[lane] ? row[j + lane] : lanes[lane];
        }
    }
    for (; j < c; j++) {
        largest = row[j] > largest ? row[j] : largest;
    }
    for (int lane = 0; lane < LANES; lane++) {
        largest = lanes[lane] > largest ? lanes[lane] : largest;
    }
    return largest;
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
predict_padded(const gt_head *head, gt_head_state *state, const float *features, int64_t rows,
               float *output, gt_error *error)
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
    state->active[last] = logits;
    status = gt_head_forward(head, state, padded, PADDED_ROWS, 0.0, NULL, error);
    if (status == GT_OK) {
        memcpy(output, logits, (size_t)(rows * c) * sizeof(float));
    }
    state->active[last] = NULL;
    free(padded);
    return status;
}

/* Logits of rows into output. */
static gt_status
predict_rows(const gt_head *head, gt_head_state *state, const float *features, int64_t rows,
             float *output, gt_error *error)
{
    const int last = head->config.layers;
    const int64_t d = head->config.widths[0], c = head->config.widths[last];
    const int64_t whole = rows - rows % PADDED_ROWS;
    gt_status status = GT_OK;

    if (whole > 0) {
        state->active[last] = output;
        status = gt_head_forward(head, state, features, whole, 0.0, NULL, error);
        state->active[last] = NULL;
    }
    if (status == GT_OK && whole < rows) {
        status = predict_padded(head, state, features + whole * d, rows - whole,
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
    gt_head_state state;
    gt_status status = gt_head_state_create(config, PREDICT_ROWS, 0, &state, error);

    for (int64_t start = (int64_t)worker * PREDICT_ROWS; status == GT_OK && start < p->n;
         start += step) {
        const int64_t rows = p->n - start < PREDICT_ROWS ? p->n - start : PREDICT_ROWS;
        const float *features = p->features + start * d;

        status = gt_check_finite("the features", features, start, rows, d, error);
        if (status == GT_OK) {
            status = predict_rows(p->head, &state, features, rows, p->output + start * c, error);
        }
        if (status == GT_OK && !p->logits) {
            gt_softmax(p->output + start * c, rows, c, NULL, NULL, NULL, NULL);
        }
    }
    gt_head_state_free(&state);
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
