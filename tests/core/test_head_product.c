/* Matrix products of the head: in float32, and rounded where the processor has matrix units. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "engine.h"
#include "head.h"
#include "head_product.h"
#include "threads.h"

static gt_error error;

/* op(A) (m, k) op(B) (k, n) + beta C. */
typedef struct {
    char op_a;
    char op_b;
    int64_t m;
    int64_t n;
    int64_t k;
    float beta;
    bool rounds;
    int64_t gaps[2]; /* floats between the rows of A and of B */
    const float *a;
    const float *b;
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
    return gt_matrix_product(
        (gt_factor){own->op_a, own->a, stride_of_a(own)},
        (gt_factor){own->op_b, own->b, stride_of_b(own)}, own->m, own->n,
        own->k, own->beta, own->c, own->rounds, message);
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

/* Some results against the twin: bfloat16 has 8 bits, so that each factor is at most 2^-9 off. */
static void
verify(product own)
{
    float *a = random_floats((own.m + own.gaps[0]) * (own.k + own.gaps[0]), 1);
    float *b = random_floats((own.k + own.gaps[1]) * (own.n + own.gaps[1]), 2);
    float *begin = random_floats(own.m * own.n, 3);
    float *c = malloc((size_t)(own.m * own.n) * sizeof(*c));
    bool is_rounded =
        own.rounds && own.n >= 16 && own.m * own.n * own.k >= 1000000 && own.gaps[0] + own.gaps[1] == 0;
    double bound = is_rounded ? 0x1p-8 : 1e-5;
    double largest = 0.0;
    memcpy(c, begin, (size_t)(own.m * own.n) * sizeof(*c));
    own.a = a;
    own.b = b;
    own.c = c;
    run_product(&own);
    for (int64_t place = 0; place < own.m * own.n; place += 97) {
        double sizes = 0.0;
        double wanted = twin_product(&own, place / own.n, place % own.n, (double)begin[place],
                                     &sizes);
        double off = fabs((double)c[place] - wanted) / sizes;
        largest = off > largest ? off : largest;
    }
    CHECK(largest <= bound);
    CHECK(largest <= 1e-5 || is_rounded);
    if (gt_processor_offers(dnnl_cpu_isa_avx512_core_amx)) { /* others need not round */
        CHECK(is_rounded == (largest > 1e-5));
    }
    free(a);
    free(b);
    free(begin);
    free(c);
}

static void
test_products(void)
{
    const int64_t sizes[][3] = {{256, 100, 500}, {500, 100, 256}, {129, 333, 200}, {40, 12, 70}};
    const char *const ops[] = {"NN", "TN", "NT"};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        for (size_t o = 0; o < sizeof(ops) / sizeof(*ops); o++) {
            for (int variant = 0; variant < 12; variant++) {
                verify((product){.op_a = ops[o][0],
                                 .op_b = ops[o][1],
                                 .m = sizes[s][0],
                                 .n = sizes[s][1],
                                 .k = sizes[s][2],
                                 .beta = (float)(variant % 2),
                                 .rounds = variant / 2 % 2 == 1,
                                 .gaps = {variant / 4 == 1 ? 5 : 0, variant / 4 == 2 ? 3 : 0}});
            }
        }
    }
}

static void
test_what_is_rounded(void)
{
    CHECK(!gt_rounding_pays(32, 1536 * 12)); /* the default head, */
    CHECK(!gt_rounding_pays(32, 1536 * 1000)); /* however many classes there are */
    CHECK(!gt_rounding_pays(256, 768 * 12));
    CHECK(gt_rounding_pays(1024, 768 * 100) ==
          gt_processor_offers(dnnl_cpu_isa_avx512_core_amx));
}

enum { SAMPLES = 1200, FEATURES = 400, CLASSES = 64, BATCH = 1100 };

/* What is not rounded, whatever the setting: evaluation, and probabilities. */
static void
verify_what_stays(const gt_head *head, const gt_head_data *data, gt_train_config config)
{
    double loss[2];
    double accuracy[2];
    for (int i = 0; i < 2; i++) {
        config.rounds = i == 1;
        CHECK(gt_head_evaluate(head, data, NULL, &config, &loss[i], &accuracy[i], &error) ==
              GT_OK);
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
train(bool rounds, int threads, float *weights)
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
    config.rounds = rounds;
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
    static float rounded[COUNT];
    static float again[COUNT];
    for (int threads = 1; threads <= 2; threads++) {
        bool is_rounded = gt_rounding_pays(BATCH, COUNT);
        double loss = train(false, threads, full);
        CHECK(loss < 2.0); /* from ln(64) = 4.2 */
        CHECK_CLOSE(train(true, threads, rounded), loss, is_rounded ? 0.01 : 0.0);
        CHECK(is_rounded == (memcmp(full, rounded, sizeof(full)) != 0));
        (void)train(true, threads, again);
        CHECK(memcmp(rounded, again, sizeof(rounded)) == 0);
    }
}

int
main(void)
{
    RUN(test_products);
    RUN(test_what_is_rounded);
    RUN(test_training);
    return check_report();
}
