/* Matrix products of the head: in float32, and of what is rounded to bfloat16. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "common/bf16.h"
#include "common/onednn.h"
#include "head/gemm_bf16.h"
#include "head/gemm_f32.h"
#include "head/head.h"
#include "threads/parallel.h"

static gt_error error;

/* op(A) (m, k) op(B) (k, n) + beta C. */
typedef struct {
    char op_a;
    char op_b;
    int64_t m;
    int64_t n;
    int64_t k;
    float beta;
    int64_t gaps[2]; /* floats between the rows of A and of B */
    float *a;
    float *b;
    uint16_t *bf16_a; /* NULL for a product in float32 */
    uint16_t *bf16_b;
    float *c;
} product;

static float *
random_floats(int64_t count, uint64_t seed)
{
    gt_random random = gt_random_start(seed, GT_RANDOM_WEIGHTS, 1);
    float *values = malloc((size_t)count * sizeof(*values));
    for (int64_t i = 0; i < count; i++) {
        values[i] = gt_random_uniform(&random) - 0.5f;
    }
    return values;
}

static int64_t
stride_of_a(const product *own)
{
    return own->gaps[0] + (own->op_a == 'N' ? own->k : own->m);
}

static int64_t
stride_of_b(const product *own)
{
    return own->gaps[1] + (own->op_b == 'N' ? own->n : own->k);
}

static gt_status
product_task(void *context, int worker, gt_error *message)
{
    const product *own = context;
    (void)worker;
    if (own->bf16_a != NULL) {
        return gt_bf16_product(own->op_a, own->op_b, own->m, own->n, own->k, own->bf16_a,
                               own->bf16_b, own->beta != 0.0f, own->c, message);
    }
    return gt_matrix_product((gt_factor){own->op_a, own->a, stride_of_a(own)},
                             (gt_factor){own->op_b, own->b, stride_of_b(own)}, own->m, own->n,
                             own->k, own->beta, own->c, message);
}

static void
run_product(product *own)
{
    CHECK(gt_parallel(1, 1, product_task, own, &error) == GT_OK);
}

/* Result (i, j) in double, and the sum of the sizes of what it is made of. */
static double
twin_product(const product *own, int64_t i, int64_t j, double begin, double *sizes)
{
    double sum = own->beta != 0.0f ? begin : 0.0;
    *sizes = fabs(sum);
    for (int64_t p = 0; p < own->k; p++) {
        int64_t row = stride_of_a(own);
        double a = (double)own->a[own->op_a == 'N' ? i * row + p : p * row + i];
        row = stride_of_b(own);
        double b = (double)own->b[own->op_b == 'N' ? p * row + j : j * row + p];
        sum += a * b;
        *sizes += fabs(a * b);
    }
    return sum;
}

/* Round an array to bfloat16; what it then holds stays in it. */
static uint16_t *
bf16_array(float *values, int64_t count)
{
    uint16_t *bf16 = malloc((size_t)count * sizeof(*bf16));
    int wrong = 0;
    gt_floats_to_bf16(values, count, bf16);
    for (int64_t i = 0; i < count; i++) {
        double value = (double)values[i];
        values[i] = gt_from_bf16(bf16[i]);
        wrong += !(fabs((double)values[i] - value) <= 0x1p-8 * fabs(value));
    }
    CHECK(wrong == 0);
    return bf16;
}

/* Some results against the twin: sums are float32 in any case. */
static void
verify(product own, bool uses_bf16)
{
    int64_t sizes[] = {(own.m + own.gaps[0]) * (own.k + own.gaps[0]),
                       (own.k + own.gaps[1]) * (own.n + own.gaps[1])};
    int64_t step = own.m * own.n > 1000 ? 97 : 1;
    float *begin = random_floats(own.m * own.n, 3);
    int wrong = 0;
    own.a = random_floats(sizes[0], 1);
    own.b = random_floats(sizes[1], 2);
    own.bf16_a = uses_bf16 ? bf16_array(own.a, sizes[0]) : NULL;
    own.bf16_b = uses_bf16 ? bf16_array(own.b, sizes[1]) : NULL;
    own.c = malloc((size_t)(own.m * own.n) * sizeof(*own.c));
    memcpy(own.c, begin, (size_t)(own.m * own.n) * sizeof(*begin));
    run_product(&own);
    for (int64_t place = 0; place < own.m * own.n; place += step) {
        double magnitude = 0.0;
        double wanted =
            twin_product(&own, place / own.n, place % own.n, (double)begin[place], &magnitude);
        wrong += !(fabs((double)own.c[place] - wanted) <= 1e-5 * magnitude);
    }
    CHECK(wrong == 0);
    free(own.a);
    free(own.b);
    free(own.bf16_a);
    free(own.bf16_b);
    free(own.c);
    free(begin);
}

static const char *const ops[] = {"NN", "TN", "NT"};
enum { OPS = 3, SIZES = 5 };
static const int64_t product_sizes[SIZES][3] = {
    {256, 100, 500}, {500, 100, 256}, {129, 333, 200}, {40, 12, 70}, {7, 16, 1}};

static void
test_products(void)
{
    for (int i = 0; i < OPS * SIZES * 6; i++) {
        const int64_t *size = product_sizes[i % SIZES];
        const char *op = ops[i / SIZES % OPS];
        int gap = i / (SIZES * OPS) % 3; /* none, in A, in B */
        verify((product){.op_a = op[0],
                         .op_b = op[1],
                         .m = size[0],
                         .n = size[1],
                         .k = size[2],
                         .beta = (float)(i / (SIZES * OPS * 3)),
                         .gaps = {gap == 1 ? 5 : 0, gap == 2 ? 3 : 0}},
               false);
    }
}

/* oneDNN has these for processors with AVX-512, quick or not. */
static void
test_bf16_products(void)
{
    int count = gt_processor_has(dnnl_cpu_isa_avx512_core) ? OPS * SIZES * 2 : 0;
    for (int i = 0; i < count; i++) {
        const int64_t *size = product_sizes[i % SIZES];
        const char *op = ops[i / SIZES % OPS];
        verify((product){.op_a = op[0],
                         .op_b = op[1],
                         .m = size[0],
                         .n = size[1],
                         .k = size[2],
                         .beta = (float)(i / (SIZES * OPS))},
               true);
    }
}

/* Ties to even; what is not finite stays so.  In vectors and in what is left of them. */
static void
test_rounding(void)
{
    enum { COUNT = 8 * 6 + 6 };
    const float values[6] = {0x1.01p0f, 0x1.03p0f, -0x1.03p0f, NAN, INFINITY, FLT_MAX};
    const float wanted[6] = {0x1p0f, 0x1.04p0f, -0x1.04p0f, NAN, INFINITY, INFINITY};
    float many[COUNT];
    uint16_t bf16[COUNT];
    for (int i = 0; i < COUNT; i++) {
        many[i] = values[i % 6];
    }
    gt_floats_to_bf16(many, COUNT, bf16);
    for (int i = 0; i < COUNT; i++) {
        float value = gt_from_bf16(bf16[i]);
        CHECK(isnan(wanted[i % 6]) ? isnan(value) : value == wanted[i % 6]);
    }
}

static void
test_what_is_rounded(void)
{
    const bool offered = gt_processor_has(dnnl_cpu_isa_avx512_core_bf16);
    const gt_head_config few = {1, {1536, 12}};
    const gt_head_config many = {1, {1536, 1000}};
    const gt_head_config hidden = {2, {1536, 64, 12}};
    CHECK(!gt_bf16_is_profitable(&many, 32)); /* the default, however many classes there are */
    CHECK(!gt_bf16_is_profitable(&few, 1000000));
    CHECK(!gt_bf16_is_profitable(&hidden, 152)); /* too few multiplications, */
    CHECK(!gt_bf16_is_profitable(&many, 255));   /* too few samples */
    CHECK(gt_bf16_is_profitable(&hidden, 256) == offered);
    CHECK(gt_bf16_is_profitable(&many, 256) == offered);
    CHECK(gt_bf16_product_is_profitable(256, 100, 500));
    CHECK(!gt_bf16_product_is_profitable(100000, 12, 500)); /* narrow */
    CHECK(!gt_bf16_product_is_profitable(256, 100, 20));    /* small */
}

enum { SAMPLES = 1200, FEATURES = 400, CLASSES = 64, BATCH = 1100 };

/* What is not rounded, whatever the setting: evaluation, and probabilities. */
static void
verify_what_stays(const gt_head *head, const gt_head_data *data, gt_train_config config)
{
    double loss[2];
    double accuracy[2];
    for (int i = 0; i < 2; i++) {
        config.allow_bf16 = i == 1;
        CHECK(gt_head_evaluate(head, data, NULL, &config, &loss[i], &accuracy[i], &error) == GT_OK);
    }
    CHECK(loss[0] == loss[1] && accuracy[0] == accuracy[1]);
}

/* Keeps the validation loss of an epoch, for which `context` has room. */
static int
keep_validation(void *context, const gt_epoch *epoch)
{
    *(double *)context = epoch->validation_loss;
    return 0;
}

/* Train on clouds, one for each class; the loss of all in the end, which is never rounded. */
static double
train(bool uses_bf16, int threads, float *weights)
{
    gt_head_config shape = {1, {FEATURES, CLASSES}};
    double validation = 0.0;
    gt_train_config config = gt_train_defaults();
    gt_head *head = NULL;
    float *features = random_floats((int64_t)SAMPLES * FEATURES, 5);
    int32_t *labels = malloc(SAMPLES * sizeof(*labels));
    double loss = 0.0;
    double accuracy = 0.0;
    for (int i = 0; i < SAMPLES; i++) {
        labels[i] = i % CLASSES;
        features[i * FEATURES + labels[i]] += 1.0f;
    }
    gt_head_data data = {SAMPLES, features, labels, NULL};
    config.epochs = 12;
    config.batch_size = BATCH;
    config.learning_rate = 0.02;
    config.allow_bf16 = uses_bf16;
    config.threads = threads;
    CHECK(gt_head_create(&shape, 3, &head, &error) == GT_OK);
    CHECK(gt_head_train(head, &data, &data, NULL, &config, keep_validation, &validation, &error) ==
          GT_OK);
    CHECK(gt_head_evaluate(head, &data, NULL, &config, &loss, &accuracy, &error) == GT_OK);
    CHECK_CLOSE(validation, loss, 1e-9);
    verify_what_stays(head, &data, config);
    memcpy(weights, head->weights.block, (size_t)head->weights.count * sizeof(*weights));
    gt_head_free(head);
    free(features);
    free(labels);
    return loss;
}

static void
test_training(void)
{
    enum { COUNT = (FEATURES + 1) * CLASSES };
    static float full[COUNT];
    static float bf16[COUNT];
    static float again[COUNT];
    for (int threads = 1; threads <= 2; threads++) {
        bool is_bf16 = gt_bf16_is_profitable(&(gt_head_config){1, {FEATURES, CLASSES}}, BATCH);
        double loss = train(false, threads, full);
        CHECK(loss < 2.0); /* from ln(64) = 4.2 */
        CHECK_CLOSE(train(true, threads, bf16), loss, is_bf16 ? 0.01 : 0.0);
        CHECK(is_bf16 == (memcmp(full, bf16, sizeof(full)) != 0));
        (void)train(true, threads, again);
        CHECK(memcmp(bf16, again, sizeof(bf16)) == 0);
    }
}

int
main(void)
{
    RUN(test_products);
    RUN(test_bf16_products);
    RUN(test_rounding);
    RUN(test_what_is_rounded);
    RUN(test_training);
    return check_report();
}
