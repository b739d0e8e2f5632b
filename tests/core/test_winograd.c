/* Winograd's convolution against the plain sum, and the plans that use it. */
#include "older.h"
#include "trial.h"
#include "winograd.h"

/* --- the kernel ---------------------------------------------------------------------------- */

/* A convolution and everything it reads and writes, each in memory of exactly its size. */
typedef struct {
    gt_winograd winograd;
    gt_net net;     /* keeps the random numbers */
    float *source;  /* (batch, height, width, channels), as its type can hold them */
    gt_array kernel;
    gt_array shift;
    double *wanted; /* (batch, height, width, channels) of the result */
} bench;

static uint16_t
to_bf16(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float
from_bf16(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value = 0.0f;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static size_t
count_numbers(const bench *job, gt_shape shape)
{
    return (size_t)(job->winograd.batch * gt_shape_size(shape));
}

/* One result by the definition of a convolution. */
static double
convolve(const bench *job, int image, int y, int x, int out)
{
    const gt_winograd *winograd = &job->winograd;
    gt_shape from = winograd->from;
    int size = winograd->size;
    double sum = gt_array_at(&job->shift, out);
    for (int i = 0; i < size * size; i++) {
        int row = y - winograd->before[0] + i / size;
        int column = x - winograd->before[1] + i % size;
        if (row < 0 || row >= from.height || column < 0 || column >= from.width) {
            continue;
        }
        const float *pixel = job->source + (((int64_t)image * from.height + row) * from.width +
                                            column) * from.channels;
        for (int in = 0; in < from.channels; in++) {
            int64_t place = ((int64_t)i * from.channels + in) * winograd->to.channels + out;
            sum += (double)pixel[in] * gt_array_at(&job->kernel, place);
        }
    }
    return fmin(fmax(sum, winograd->low), winograd->high);
}

/* A step with which the largest results are beyond the largest byte. */
static void
choose_step(bench *job)
{
    double largest = 0.0;
    for (size_t i = 0; i < count_numbers(job, job->winograd.to); i++) {
        largest = fmax(largest, job->wanted[i]);
    }
    job->winograd.step = (float)fmax(largest, 1.0) / 300.0f;
    job->winograd.low = 0.0f;
    job->winograd.high = 255.0f * job->winograd.step;
    for (size_t i = 0; i < count_numbers(job, job->winograd.to); i++) {
        job->wanted[i] = fmin(fmax(job->wanted[i], 0.0), (double)job->winograd.high);
    }
}

/* Leave each pair of channels one weight, of +-8,100 / 2^13.  8,100 is the common denominator of the
 * transform, so that all transformed weights have 11 bits at most and are the same in 16. */
static void
leave_single_weights(bench *job)
{
    int taps = job->winograd.size * job->winograd.size;
    int pairs = job->winograd.from.channels * job->winograd.to.channels;
    float *weights = (float *)(uintptr_t)job->kernel.data;
    for (int pair = 0; pair < pairs; pair++) {
        int chosen = gt_net_choice(&job->net, 0, taps - 1);
        for (int tap = 0; tap < taps; tap++) {
            float *weight = weights + tap * pairs + pair;
            *weight = tap != chosen ? 0.0f : *weight < 0.0f ? -8100.0f / 8192 : 8100.0f / 8192;
        }
    }
}

static void
start_bench(bench *job, gt_winograd winograd, bool dense)
{
    job->winograd = winograd;
    gt_net_start(&job->net, 1, 1, 1);
    size_t size = count_numbers(job, winograd.from);
    job->source = malloc(size * sizeof(float));
    for (size_t i = 0; i < size; i++) {
        float value = (float)gt_net_random(&job->net, -1.0, 1.0);
        job->source[i] = winograd.type == GT_MAP_BF16    ? from_bf16(to_bf16(value))
                         : winograd.type == GT_MAP_BYTES ? (float)gt_net_choice(&job->net, 0, 255)
                                                         : value;
    }
    job->kernel = gt_net_kernel(&job->net, winograd.size, winograd.size, winograd.from.channels,
                                winograd.to.channels);
    if (!dense) {
        leave_single_weights(job);
    }
    job->shift = gt_net_vector(&job->net, winograd.to.channels, -0.5, 0.5);
    job->wanted = malloc(count_numbers(job, winograd.to) * sizeof(double));
    double *next = job->wanted;
    for (int image = 0; image < winograd.batch; image++) {
        for (int i = 0; i < winograd.to.height * winograd.to.width; i++) {
            for (int out = 0; out < winograd.to.channels; out++) {
                *next++ = convolve(job, image, i / winograd.to.width, i % winograd.to.width, out);
            }
        }
    }
    if (winograd.type == GT_MAP_BYTES) {
        choose_step(job);
    }
}

static void
end_bench(bench *job)
{
    free(job->source);
    free(job->wanted);
    gt_net_clear(&job->net);
}

/* The source in its type and layout. */
static void *
write_source(const bench *job)
{
    const gt_winograd *winograd = &job->winograd;
    gt_shape from = winograd->from;
    size_t lanes = (size_t)winograd->lanes;
    size_t size = count_numbers(job, from);
    float *full = malloc(size * sizeof(float));
    uint16_t *half = malloc(size * sizeof(uint16_t));
    uint8_t *bytes = malloc(size);
    for (size_t i = 0; i < size; i++) {
        size_t channel = i % (size_t)from.channels;
        size_t pixel = i / (size_t)from.channels;
        size_t y = pixel / (size_t)from.width % (size_t)from.height;
        size_t image = pixel / (size_t)from.width / (size_t)from.height;
        size_t place = image * winograd->source.image + y * winograd->source.row +
                       pixel % (size_t)from.width * winograd->source.pixel +
                       channel / lanes * winograd->source.group + channel % lanes;
        full[place] = job->source[i];
        half[place] = to_bf16(job->source[i]);
        bytes[place] = winograd->type == GT_MAP_BYTES ? (uint8_t)job->source[i] : 0;
    }
    void *maps[] = {full, half, bytes};
    for (int type = 0; type < 3; type++) {
        if (type != (int)winograd->type) {
            free(maps[type]);
        }
    }
    return maps[winograd->type];
}

/* Run it; the result as float32, to be freed. */
static float *
run_bench(const bench *job)
{
    const gt_winograd *winograd = &job->winograd;
    size_t size = count_numbers(job, winograd->to);
    static const size_t elements[] = {sizeof(float), sizeof(uint16_t), 1};
    size_t element = elements[winograd->type];
    void *source = write_source(job);
    void *packed = malloc(gt_winograd_kernel_size(winograd));
    char *target = malloc(size * element);
    float *result = malloc(size * sizeof(float));
    void *scratch = NULL;
    CHECK(posix_memalign(&scratch, 64, gt_winograd_scratch_size(winograd)) == 0);
    memset(scratch, 0xff, gt_winograd_scratch_size(winograd)); /* not a number */
    memset(target, 0xff, size * element);
    gt_winograd_pack(winograd, job->kernel.data, 1.0f, packed);
    gt_winograd_run(winograd, source, packed, job->shift.data, target, scratch);
    for (size_t i = 0; i < size; i++) {
        result[i] = winograd->type == GT_MAP_BF16    ? from_bf16(((uint16_t *)(void *)target)[i])
                    : winograd->type == GT_MAP_BYTES ? winograd->step * ((uint8_t *)target)[i]
                                                     : ((float *)(void *)target)[i];
    }
    free(scratch);
    free(target);
    free(packed);
    free(source);
    return result;
}

/* max |result - wanted| / max |wanted|; INFINITY where a result is not finite. */
static double
distance_of_bench(const bench *job)
{
    float *result = run_bench(job);
    double furthest = 0.0;
    double largest = 1e-3;
    for (size_t i = 0; i < count_numbers(job, job->winograd.to); i++) {
        double distance = fabs(result[i] - job->wanted[i]);
        furthest = distance < INFINITY ? fmax(furthest, distance) : INFINITY;
        largest = fmax(largest, fabs(job->wanted[i]));
    }
    free(result);
    return furthest / largest;
}

/* A convolution with channels last and room around the map for so much padding. */
static gt_winograd
describe(int batch, gt_shape from, int channels, int size, int above, int left, int padding,
         gt_map_type type)
{
    gt_winograd winograd = {.batch = batch,
                            .from = from,
                            .to = {from.height + padding - size + 1,
                                   from.width + padding - size + 1, channels},
                            .before = {above, left},
                            .size = size,
                            .type = type,
                            .step = 1.0f,
                            .lanes = gt_winograd_lanes(type),
                            .low = -INFINITY,
                            .high = INFINITY,
                            .threads = 1};
    winograd.source = gt_winograd_channels_last(winograd.from, winograd.lanes);
    winograd.target = gt_winograd_channels_last(winograd.to, winograd.lanes);
    if (winograd.lanes > 0) {
        gt_winograd_prepare(&winograd);
    }
    return winograd;
}

/* Half a unit in the last of 8 bits, half a step, or some units in the last of 24. */
static double
tolerance(const gt_winograd *winograd)
{
    return winograd->type == GT_MAP_BF16    ? 0.004
           : winograd->type == GT_MAP_BYTES ? 0.501 / 255.0
                                            : 2e-5;
}

/* In bfloat16 and bytes only where this processor can. */
static void
verify_bench(gt_winograd winograd)
{
    bench job;
    if (winograd.lanes == 0) {
        CHECK(winograd.type != GT_MAP_FLOAT32);
        return;
    }
    start_bench(&job, winograd, winograd.type != GT_MAP_BYTES);
    CHECK_CLOSE(distance_of_bench(&job), 0.0, tolerance(&winograd));
    end_bench(&job);
}

static void
test_shapes(void)
{
    static const int shapes[][7] = {
        /* height, width, above, left, padding, channels in, channels out */
        {3, 3, 0, 0, 0, 16, 32},   {6, 6, 0, 0, 0, 16, 32},  {7, 5, 1, 1, 2, 16, 32},
        {8, 8, 1, 1, 2, 48, 64},   {9, 17, 0, 0, 0, 32, 32}, {1, 1, 1, 1, 2, 16, 32},
        {1, 1, 0, 2, 2, 16, 32},   {2, 30, 2, 2, 4, 16, 32}, {35, 35, 1, 1, 2, 16, 32},
        {30, 2, 0, 1, 3, 16, 32},  {5, 6, 9, 9, 12, 16, 32}, {10, 11, 4, 0, 4, 80, 96},
        {12, 13, 2, 2, 4, 64, 64}, {20, 3, 1, 0, 1, 32, 96},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const int *s = shapes[i];
        for (int kind = 0; kind < 6; kind++) {
            int size = kind < 3 ? 3 : 5;
            int padding = s[4] + (size == 5 ? 2 : 0);
            gt_shape from = {s[0], s[1], s[5]};
            verify_bench(describe(1 + (int)i % 3, from, s[6], size, s[2], s[3], padding,
                                  (gt_map_type)(kind % 3)));
        }
    }
}

static void
test_bounds(void)
{
    gt_winograd winograd = describe(1, (gt_shape){9, 8, 16}, 32, 3, 1, 1, 2, GT_MAP_FLOAT32);
    winograd.low = 0.0f;
    verify_bench(winograd);
    winograd.high = 0.25f;
    verify_bench(winograd);
    gt_winograd half = describe(1, winograd.from, 32, 3, 1, 1, 2, GT_MAP_BF16);
    half.low = winograd.low;
    half.high = winograd.high;
    verify_bench(half);
}

static void
test_blocked_source(void)
{
    static const gt_map_type types[] = {GT_MAP_FLOAT32, GT_MAP_BF16, GT_MAP_BYTES};
    for (int i = 0; i < 3; i++) {
        gt_winograd winograd = describe(2, (gt_shape){9, 11, 48}, 32, 3, 1, 1, 2, types[i]);
        if (winograd.lanes > 0) {
            winograd.source = gt_winograd_blocked(winograd.from, winograd.lanes);
        }
        verify_bench(winograd);
    }
}

/* What 11 bits of a weight lack costs less than the rounding of results to bytes, which alone is
 * 0.29 steps on average. */
static void
test_weights_of_16_bits_are_close(void)
{
    for (int size = 3; size <= 5; size += 2) {
        gt_winograd winograd = describe(1, (gt_shape){35, 35, 64}, 96, size, size / 2, size / 2,
                                        size - 1, GT_MAP_BYTES);
        bench job;
        if (winograd.lanes == 0) {
            continue;
        }
        start_bench(&job, winograd, true);
        float *result = run_bench(&job);
        double sum = 0.0;
        size_t count = count_numbers(&job, winograd.to);
        for (size_t i = 0; i < count; i++) {
            double distance = (result[i] - job.wanted[i]) / (double)job.winograd.step;
            sum += distance * distance;
        }
        CHECK_CLOSE(sqrt(sum / (double)count), 0.0, 0.29 * sqrt(2.0));
        free(result);
        end_bench(&job);
    }
}

/* A tile gives the same bits wherever it is computed. */
static void
test_threads_and_blocks_change_nothing(void)
{
    gt_winograd winograd = describe(3, (gt_shape){23, 19, 32}, 64, 3, 1, 1, 2, GT_MAP_FLOAT32);
    bench job;
    start_bench(&job, winograd, true);
    float *first = run_bench(&job);
    for (int threads = 1; threads <= 4; threads++) {
        for (int rows = 1; rows <= 7; rows++) {
            job.winograd.threads = threads;
            job.winograd.rows = 2 * rows;
            job.winograd.block = job.winograd.rows * (5 - threads);
            float *again = run_bench(&job);
            CHECK(memcmp(first, again, count_numbers(&job, winograd.to) * sizeof(float)) == 0);
            free(again);
        }
    }
    free(first);
    end_bench(&job);
}

static void
test_special_numbers_pass(void)
{
    gt_winograd winograd = describe(1, (gt_shape){4, 4, 16}, 32, 3, 1, 1, 2, GT_MAP_FLOAT32);
    bench job;
    winograd.low = 0.0f;
    start_bench(&job, winograd, true);
    job.source[0] = NAN;
    float *result = run_bench(&job);
    CHECK(isnan(result[0])); /* and not the bound of a ReLU */
    free(result);
    end_bench(&job);
}

/* --- the rule ------------------------------------------------------------------------------ */

static bool
pays(int extent, int in, int out, int size, gt_map_type type)
{
    gt_winograd winograd = describe(1, (gt_shape){extent, extent, in}, out, size, size / 2,
                                    size / 2, size - 1, type);
    bool alone = gt_winograd_pays(&winograd);
    winograd.batch = 16;
    winograd.threads = 8;
    CHECK(gt_winograd_pays(&winograd) == alone);
    return alone;
}

static void
test_where_it_pays(void)
{
    CHECK(pays(147, 32, 64, 3, GT_MAP_FLOAT32) && pays(147, 32, 64, 3, GT_MAP_BF16));
    CHECK(pays(35, 96, 96, 3, GT_MAP_FLOAT32) && pays(35, 96, 96, 3, GT_MAP_BF16));
    CHECK(pays(71, 80, 192, 3, GT_MAP_BYTES) && !pays(13, 64, 96, 3, GT_MAP_BYTES));
    CHECK(pays(35, 48, 64, 5, GT_MAP_FLOAT32) && pays(35, 48, 64, 5, GT_MAP_BF16));
    CHECK(pays(13, 32, 32, 3, GT_MAP_FLOAT32) && !pays(13, 32, 32, 3, GT_MAP_BF16));
    CHECK(!pays(1, 64, 64, 3, GT_MAP_FLOAT32));    /* one result of 36 */
    CHECK(pays(56, 128, 128, 3, GT_MAP_FLOAT32)); /* 4 MB, the most */
    CHECK(!pays(56, 128, 160, 3, GT_MAP_FLOAT32));
    CHECK(!pays(8, 448, 384, 3, GT_MAP_FLOAT32)); /* 42 MB */
}

/* --- plans --------------------------------------------------------------------------------- */

static void
count_own(void *context, const gt_step *step)
{
    *(int *)context += strncmp(step->implementation, "winograd", 8) == 0;
}

/* Run a network in every way and count the layers that Winograd's kernel computes. */
static int
verify_plan(gt_net *net, const int *outputs, int n, gt_precision precision)
{
    static const int counts[] = {1, 3, 8};
    int own = 0;
    trial job;
    start_trial(&job, net, outputs, n);
    for (int threads = 1; threads <= 3; threads += 2) {
        gt_graph graph = gt_net_graph(net, outputs, n);
        gt_backbone_config config = {.threads = threads, .sub_batch = 2, .precision = precision,
                                     .preprocessing = preprocessing};
        CHECK(gt_backbone_create(&job.backbone, &graph, config, &error) == GT_OK);
        for (int i = 0; i < 3; i++) {
            CHECK_CLOSE(distance_of_run(&job, counts[i]), 0.0,
                        precision == GT_PRECISION_BF16 ? 0.03 : 2e-5);
        }
        own = 0;
        CHECK(gt_backbone_visit_steps(job.backbone, count_own, &own, &error) == GT_OK);
        gt_backbone_free(job.backbone);
        gt_graph_clear(&graph);
    }
    job.backbone = NULL;
    end_trial(&job);
    return own;
}

static void
test_plans(void)
{
    gt_net net;
    gt_net_start(&net, 26, 21, 3);
    int a = gt_net_add(&net, gt_net_conv(&net, 0, 3, 3, 32, 1), NULL, 0); /* blocked in float32 */
    gt_node valid = gt_net_conv(&net, a, 3, 3, 32, 1);
    valid.window.pad_mode = GT_PAD_VALID;
    int b = gt_net_add(&net, valid, NULL, a);
    int c = gt_net_add(&net, gt_net_batch_norm(&net, b), NULL, b);
    gt_node bounded;
    gt_node_init(&bounded, GT_OP_RELU);
    bounded.relu_max = 1.0f;
    int d = gt_net_add(&net, bounded, NULL, c);
    gt_node five = gt_net_conv(&net, d, 5, 5, 64, 1);
    five.arrays[GT_BIAS] = gt_net_vector(&net, 64, -0.5, 0.5);
    int e = gt_net_add(&net, five, NULL, d);
    gt_node bytes = gt_net_conv(&net, d, 3, 3, 96, 1);
    bytes.arrays[GT_KERNEL] = gt_net_byte_kernel(&net, 3, 3, 32, 96);
    int f = gt_net_add(&net, bytes, NULL, d);
    int g = gt_net_join(&net, GT_OP_CONCAT, NULL, (int[]){d, e, f}, 3);
    int h = gt_net_add(&net, gt_net_conv(&net, g, 3, 3, 33, 1), NULL, g); /* an odd number */
    int outputs[] = {d, e, f, h};
    CHECK(verify_plan(&net, outputs, 4, GT_PRECISION_FLOAT32) ==
          (gt_winograd_lanes(GT_MAP_FLOAT32) > 0 ? 3 : 0));
    if (gt_precision_is_fast(GT_PRECISION_BF16)) {
        CHECK(verify_plan(&net, outputs, 4, GT_PRECISION_BF16) == 3);
    }
    gt_net_clear(&net);
}

/* A layer between two others in int8, which keeps the bytes of both. */
static void
test_plan_of_bytes(void)
{
    gt_net net;
    trial job;
    gt_net_start(&net, 40, 37, 3);
    int a = gt_net_plain(&net, GT_OP_RELU, NULL,
                         gt_net_add(&net, gt_net_conv(&net, 0, 3, 3, 64, 1), NULL, 0));
    int b = gt_net_plain(&net, GT_OP_RELU, NULL,
                         gt_net_add(&net, gt_net_conv(&net, a, 3, 3, 64, 1), NULL, a));
    int c = gt_net_add(&net, gt_net_conv(&net, b, 1, 1, 24, 1), NULL, b);
    start_trial(&job, &net, &c, 1);
    gt_graph graph = gt_net_graph(&net, &c, 1);
    gt_backbone_config config = {.threads = 2, .sub_batch = 2, .preprocessing = preprocessing,
                                 .precision = GT_PRECISION_INT8};
    float *result = malloc((size_t)(MOST * gt_shape_size(net.graph.nodes[c].shape)) *
                           sizeof(float));
    CHECK(gt_backbone_create(&job.backbone, &graph, config, &error) == GT_OK);
    CHECK(gt_backbone_calibrate(job.backbone, job.images, MOST, &result, &error) == GT_OK);
    for (int count = 1; count < 8; count += 3) {
        CHECK_CLOSE(distance_of_run(&job, count), 0.0, 0.04); /* 8 bits, three layers */
    }
    int own = 0;
    CHECK(gt_backbone_visit_steps(job.backbone, count_own, &own, &error) == GT_OK);
    CHECK(own == (gt_winograd_lanes(GT_MAP_BYTES) > 0 ? 1 : 0));
    free(result);
    gt_graph_clear(&graph);
    end_trial(&job);
    gt_net_clear(&net);
}

static void
test_all(void)
{
    RUN(test_where_it_pays);
    RUN(test_plans);
    RUN(test_plan_of_bytes);
    if (gt_winograd_lanes(GT_MAP_FLOAT32) > 0) {
        RUN(test_shapes);
        RUN(test_bounds);
        RUN(test_blocked_source);
        RUN(test_weights_of_16_bits_are_close);
        RUN(test_threads_and_blocks_change_nothing);
        RUN(test_special_numbers_pass);
    }
}

static void
verify_older(int lanes)
{
    CHECK(gt_winograd_lanes(GT_MAP_FLOAT32) == lanes && gt_winograd_lanes(GT_MAP_BYTES) == lanes &&
          gt_winograd_lanes(GT_MAP_BF16) == 0);
    test_all();
}

static void
test_with_avx2(void)
{
    verify_older(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 8 : 0);
}

static void
test_with_sse41(void)
{
    verify_older(0);
}

int
main(void)
{
    check_on_older(dnnl_cpu_isa_avx2, test_with_avx2); /* first: nothing has asked oneDNN yet */
    check_on_older(dnnl_cpu_isa_sse41, test_with_sse41);
    test_all();
    return check_report();
}
