/* Plans with convolutions on matrix units, which write into the concatenation that follows: the
 * numbers, and which concatenations are left as steps. */
#include "kernels/amx/amx.h"
#include "kernels/u8/u8.h"
#include "older.h"
#include "trial.h"

enum { HEIGHT = 11, WIDTH = 9, MANY = 8 /* images */, MAX_OUTPUTS = 4 };

/* Steps of a plan. */
typedef struct {
    int own; /* convolutions on matrix units */
    int concatenations;
} step_counts;

/* A network of one kind: `build` adds its layers, lists what to look at and returns how much that
 * is.  The counts are those of a processor with matrix units. */
typedef struct {
    const char *name;
    int (*build)(gt_net *net, int *outputs);
    step_counts bf16;
    step_counts int8;
} scenario;

/* --- layers -------------------------------------------------------------------------------- */

static int
relu(gt_net *net, int from)
{
    return gt_net_plain(net, GT_OP_RELU, NULL, from);
}

/* A convolution whose results keep their sign. */
static int
linear(gt_net *net, int from, int height, int width, int out)
{
    return gt_net_add(net, gt_net_conv(net, from, height, width, out, 1), NULL, from);
}

static int
conv(gt_net *net, int from, int height, int width, int out)
{
    return relu(net, linear(net, from, height, width, out));
}

static int
pool(gt_net *net, gt_op op, int from)
{
    return gt_net_add(net, gt_net_pool(op, 3, 1, GT_PAD_SAME), NULL, from);
}

static int
join(gt_net *net, const int *from, int n)
{
    return gt_net_join(net, GT_OP_CONCAT, NULL, from, n);
}

/* The map that the operands read.  Of three channels in, oneDNN computes it. */
static int
stem(gt_net *net)
{
    gt_net_start(net, HEIGHT, WIDTH, 3);
    return conv(net, 0, 3, 3, 32);
}

/* What reads a concatenation: in int8 it has 8 bits for the sake of this layer, whose own results,
 * which nobody reads in 8 bits, are of float32 and from oneDNN. */
static int
tail(gt_net *net, int from)
{
    return linear(net, from, 1, 1, 32);
}

/* Look at a concatenation and at what reads it. */
static int
look_at(gt_net *net, const int *from, int n, int *outputs)
{
    outputs[0] = join(net, from, n);
    outputs[1] = tail(net, outputs[0]);
    return 2;
}

/* --- networks ------------------------------------------------------------------------------ */

static void
three_branches(gt_net *net, int from, int *branches)
{
    branches[0] = conv(net, from, 1, 1, 16);
    branches[1] = conv(net, from, 3, 3, 32);
    branches[2] = conv(net, conv(net, from, 1, 7, 16), 7, 1, 48);
}

static int
build_convolutions(gt_net *net, int *outputs)
{
    int branches[3];
    three_branches(net, stem(net), branches);
    return look_at(net, branches, 3, outputs);
}

/* In another order than they are computed, and the map is never an output. */
static int
build_reversed(gt_net *net, int *outputs)
{
    int branches[3];
    three_branches(net, stem(net), branches);
    outputs[0] = tail(net, join(net, (int[]){branches[2], branches[1], branches[0]}, 3));
    return 1;
}

/* Two blocks one after the other, such that memory is used again. */
static int
build_chain(gt_net *net, int *outputs)
{
    int branches[3];
    three_branches(net, stem(net), branches);
    int first = join(net, branches, 3);
    int a = conv(net, first, 1, 1, 32);
    int b = conv(net, conv(net, first, 1, 1, 16), 3, 3, 16);
    int c = pool(net, GT_OP_MAX_POOL, first);
    outputs[0] = tail(net, join(net, (int[]){a, b, c}, 3));
    return 1;
}

static int
build_max_pool_first(gt_net *net, int *outputs)
{
    int from = stem(net);
    int p = pool(net, GT_OP_MAX_POOL, from);
    int a = conv(net, from, 1, 1, 16);
    int b = conv(net, from, 3, 3, 32);
    return look_at(net, (int[]){p, a, b}, 3, outputs);
}

/* A pool between two convolutions, computed after them: the array is there already. */
static int
build_pool_between(gt_net *net, gt_op op, int *outputs)
{
    int from = stem(net);
    int a = conv(net, from, 1, 1, 16);
    int b = conv(net, from, 3, 3, 32);
    int p = pool(net, op, from);
    return look_at(net, (int[]){a, p, b}, 3, outputs);
}

static int
build_max_pool_between(gt_net *net, int *outputs)
{
    return build_pool_between(net, GT_OP_MAX_POOL, outputs);
}

static int
build_average_pool_between(gt_net *net, int *outputs)
{
    return build_pool_between(net, GT_OP_AVERAGE_POOL, outputs);
}

/* A mean and then a 1x1 convolution, which but in int8 change places: the pool then is what the
 * concatenation reads. */
static int
build_projected_average(gt_net *net, int *outputs)
{
    int from = stem(net);
    int a = conv(net, from, 3, 3, 32);
    int b = conv(net, pool(net, GT_OP_AVERAGE_POOL, from), 1, 1, 16);
    return look_at(net, (int[]){a, b}, 2, outputs);
}

/* A smaller map, as between the parts of an Inception network. */
static int
build_strided(gt_net *net, int *outputs)
{
    int from = stem(net);
    gt_node node = gt_net_conv(net, from, 3, 3, 32, 1);
    node.window.strides[0] = node.window.strides[1] = 2;
    node.window.pad_mode = GT_PAD_VALID;
    int a = relu(net, gt_net_add(net, node, NULL, from));
    int p = gt_net_add(net, gt_net_pool(GT_OP_MAX_POOL, 3, 2, GT_PAD_VALID), NULL, from);
    return look_at(net, (int[]){a, p}, 2, outputs);
}

static int
build_operand_that_is_output(gt_net *net, int *outputs)
{
    int from = stem(net);
    int a = conv(net, from, 1, 1, 16);
    int b = conv(net, from, 3, 3, 32);
    outputs[2] = a;
    return look_at(net, (int[]){b, a}, 2, outputs) + 1;
}

static int
build_operand_of_two_readers(gt_net *net, int *outputs)
{
    int from = stem(net);
    int a = conv(net, from, 1, 1, 16);
    int b = conv(net, from, 3, 3, 32);
    int c = conv(net, a, 3, 3, 16);
    return look_at(net, (int[]){b, a, c}, 3, outputs);
}

static int
build_operand_of_two_concats(gt_net *net, int *outputs)
{
    int from = stem(net);
    int a = conv(net, from, 1, 1, 16);
    int b = conv(net, from, 3, 3, 32);
    int c = conv(net, from, 3, 3, 16);
    int n = look_at(net, (int[]){a, b}, 2, outputs);
    return n + look_at(net, (int[]){c, a}, 2, outputs + n);
}

static int
build_operand_twice(gt_net *net, int *outputs)
{
    int from = stem(net);
    int a = conv(net, from, 1, 1, 16);
    int b = conv(net, from, 3, 3, 32);
    return look_at(net, (int[]){a, b, a}, 3, outputs);
}

static int
build_nothing_but_one_twice(gt_net *net, int *outputs)
{
    int a = conv(net, stem(net), 3, 3, 16);
    return look_at(net, (int[]){a, a}, 2, outputs);
}

static int
pair(gt_net *net, int from)
{
    int a = conv(net, from, 1, 1, 16);
    int b = conv(net, from, 3, 3, 32);
    return join(net, (int[]){a, b}, 2);
}

static int
build_output(gt_net *net, int *outputs)
{
    outputs[0] = pair(net, stem(net));
    return 1;
}

static int
build_concat_of_concat(gt_net *net, int *outputs)
{
    int from = stem(net);
    int inner = pair(net, from);
    int c = conv(net, from, 3, 3, 16);
    return look_at(net, (int[]){c, inner}, 2, outputs);
}

/* The outer one has no convolution. */
static int
build_concat_of_pool_and_concat(gt_net *net, int *outputs)
{
    int inner = pair(net, stem(net));
    int p = pool(net, GT_OP_MAX_POOL, inner);
    return look_at(net, (int[]){p, inner}, 2, outputs);
}

static int
build_relu_after(gt_net *net, int *outputs)
{
    int from = stem(net);
    int a = linear(net, from, 1, 1, 16);
    int b = linear(net, from, 3, 3, 32);
    outputs[0] = relu(net, join(net, (int[]){a, b}, 2));
    outputs[1] = tail(net, outputs[0]);
    return 2;
}

static int
build_flatten_after(gt_net *net, int *outputs)
{
    outputs[0] = gt_net_plain(net, GT_OP_FLATTEN, NULL, pair(net, stem(net)));
    return 1;
}

static int
build_global_pools_after(gt_net *net, int *outputs)
{
    int map = pair(net, stem(net));
    outputs[0] = gt_net_plain(net, GT_OP_GLOBAL_AVERAGE_POOL, NULL, map);
    outputs[1] = gt_net_plain(net, GT_OP_GLOBAL_MAX_POOL, NULL, map);
    return 2;
}

/* All of these, and a convolution, which has them read 8 bits as well. */
static int
build_many_after(gt_net *net, int *outputs)
{
    int map = pair(net, stem(net));
    gt_node bounded;
    gt_node_init(&bounded, GT_OP_RELU);
    bounded.activation.high = 1.0f;
    outputs[0] = gt_net_add(net, bounded, NULL, map);
    outputs[1] = gt_net_plain(net, GT_OP_FLATTEN, NULL, map);
    outputs[2] = gt_net_plain(net, GT_OP_GLOBAL_AVERAGE_POOL, NULL, map);
    outputs[3] = tail(net, map);
    return 4;
}

static int
build_so_many(gt_net *net, int n, int *outputs)
{
    int from = stem(net);
    int operands[GT_U8_MAX_INPUTS + 1];
    for (int i = 0; i < n; i++) {
        operands[i] = conv(net, from, 1, 1, 16);
    }
    return look_at(net, operands, n, outputs);
}

static int
build_max_operands(gt_net *net, int *outputs)
{
    return build_so_many(net, GT_U8_MAX_INPUTS, outputs);
}

static int
build_too_many_operands(gt_net *net, int *outputs)
{
    return build_so_many(net, GT_U8_MAX_INPUTS + 1, outputs);
}

/* Matrix units compute channels by sixteen: not those of `a` and `c`, behind which they write. */
static int
build_uneven_channels(gt_net *net, int *outputs)
{
    int from = stem(net);
    int a = conv(net, from, 3, 3, 24);
    int b = conv(net, from, 1, 1, 48);
    int c = conv(net, from, 1, 1, 24);
    int d = conv(net, c, 3, 3, 48);
    return look_at(net, (int[]){a, b, c, d}, 4, outputs);
}

/* In int8 all numbers of a concatenation are signed where those of one operand are, and matrix
 * units write none that are. */
static int
build_signed_operand(gt_net *net, int *outputs)
{
    int from = stem(net);
    int a = conv(net, from, 1, 1, 16);
    int b = linear(net, from, 3, 3, 32);
    return look_at(net, (int[]){a, b}, 2, outputs);
}

/* An operand that is 0 throughout: its range is not known, so in int8 it is written as float32
 * and has to be copied. */
static int
build_operand_of_zeros(gt_net *net, int *outputs)
{
    int from = stem(net);
    int a = conv(net, from, 3, 3, 32);
    gt_node node = gt_net_conv(net, from, 1, 1, 16, 1);
    node.arrays[GT_BIAS] = gt_net_vector(net, 16, -99.0, -98.0);
    int b = relu(net, gt_net_add(net, node, NULL, from));
    return look_at(net, (int[]){b, a}, 2, outputs);
}

/* The photograph, three channels with numbers of either sign. */
static int
build_operand_that_is_input(gt_net *net, int *outputs)
{
    int a = conv(net, stem(net), 3, 3, 32);
    return look_at(net, (int[]){0, a}, 2, outputs);
}

static const scenario scenarios[] = {
    {"convolutions", build_convolutions, {5, 0}, {4, 0}},
    {"reversed", build_reversed, {5, 0}, {4, 0}},
    {"chain", build_chain, {8, 1}, {7, 1}},
    {"max pool first", build_max_pool_first, {3, 1}, {2, 1}},
    {"max pool between", build_max_pool_between, {3, 1}, {2, 1}},
    {"average pool between", build_average_pool_between, {3, 1}, {2, 1}},
    {"projected average", build_projected_average, {3, 1}, {2, 0}},
    {"strided", build_strided, {2, 1}, {1, 1}},
    {"operand that is output", build_operand_that_is_output, {3, 1}, {2, 1}},
    {"operand of two readers", build_operand_of_two_readers, {4, 1}, {3, 1}},
    {"operand of two concats", build_operand_of_two_concats, {5, 2}, {3, 2}},
    {"operand twice", build_operand_twice, {3, 1}, {2, 1}},
    {"nothing but one twice", build_nothing_but_one_twice, {2, 1}, {1, 1}},
    /* Where no convolution reads the map, int8 has it in float32, of which there are none. */
    {"output", build_output, {2, 0}, {0, 1}},
    {"concat of concat", build_concat_of_concat, {4, 1}, {3, 1}},
    {"concat of pool and concat", build_concat_of_pool_and_concat, {3, 1}, {2, 1}},
    {"relu after", build_relu_after, {3, 0}, {0, 1}},
    {"flatten after", build_flatten_after, {2, 0}, {0, 1}},
    {"global pools after", build_global_pools_after, {2, 0}, {0, 1}},
    {"many after", build_many_after, {3, 0}, {2, 0}},
    {"most operands", build_max_operands, {9, 0}, {8, 0}},
    {"too many operands", build_too_many_operands, {10, 1}, {9, 1}},
    {"uneven channels", build_uneven_channels, {3, 1}, {2, 1}},
    {"signed operand", build_signed_operand, {3, 0}, {0, 1}},
    {"operand of zeros", build_operand_of_zeros, {3, 0}, {1, 1}},
    {"operand that is input", build_operand_that_is_input, {2, 1}, {0, 1}},
};

/* --- running them -------------------------------------------------------------------------- */

static void
count_step(void *context, const gt_step *step)
{
    step_counts *counts = context;
    counts->own += strcmp(step->implementation, "amx") == 0;
    counts->concatenations += strcmp(step->operation, "concatenation") == 0;
}

/* What a plan without matrix units has: a step for each concatenation. */
static step_counts
plain_counts(const gt_graph *graph)
{
    step_counts counts = {0, 0};
    for (int i = 0; i < graph->count; i++) {
        counts.concatenations += graph->nodes[i].op == GT_OP_CONCAT;
    }
    return counts;
}

static void
check_steps(const trial *job, step_counts wanted)
{
    step_counts found = {0, 0};
    CHECK(gt_backbone_visit_steps(job->backbone, count_step, &found, &error) == GT_OK);
    CHECK(found.own == wanted.own);
    CHECK(found.concatenations == wanted.concatenations);
}

/* Numbers of an output of one image. */
static size_t
output_size(const trial *job, int k)
{
    return (size_t)gt_shape_size(job->net->graph.nodes[job->outputs[k]].shape);
}

static void
free_results(float **results, int n)
{
    for (int k = 0; k < n; k++) {
        free(results[k]);
    }
}

static void
allocate_results(const trial *job, int count, float **results)
{
    for (int k = 0; k < job->n; k++) {
        results[k] = malloc((size_t)count * output_size(job, k) * sizeof(float));
    }
}

static void
calibrate(const trial *job)
{
    float *results[MAX_OUTPUTS];
    allocate_results(job, MAX, results);
    CHECK(gt_backbone_calibrate(job->backbone, job->images, MAX, results, &error) == GT_OK);
    free_results(results, job->n);
}

/* The outputs of some images from the first on, to be freed. */
static void
run_images(const trial *job, int first, int count, float **results)
{
    const uint8_t *images = job->images + first * gt_shape_size(job->net->graph.nodes[0].shape);
    allocate_results(job, count, results);
    CHECK(gt_backbone_run(job->backbone, images, count, results, &error) == GT_OK);
}

/* Among others an image is one of two of a thread; alone it is shared by all threads. */
static void
check_bits(const trial *job)
{
    float *among[MAX_OUTPUTS];
    float *alone[MAX_OUTPUTS];
    int differing = 0;
    run_images(job, 0, MANY, among);
    for (int i = 0; i < MANY; i++) {
        run_images(job, i, 1, alone);
        for (int k = 0; k < job->n; k++) {
            size_t size = output_size(job, k);
            const float *place = among[k] + (size_t)i * size;
            differing += memcmp(place, alone[k], size * sizeof(float)) != 0;
        }
        free_results(alone, job->n);
    }
    free_results(among, job->n);
    CHECK(differing == 0);
}

/* The tolerances of test_winograd_plans.c, relative to the largest number of an output, for
 * networks as deep: a number of bfloat16 is up to 2^-9 of itself off, of float32 2^-24; in 8 bits
 * it is half a unit, of which 127 or 255 are the largest number of a map, and so are weights. */
static double
tolerance_of(gt_precision precision)
{
    return precision == GT_PRECISION_BF16 ? 0.03 : precision == GT_PRECISION_INT8 ? 0.04 : 2e-5;
}

/* One image, then three, which at three threads are one each, then batches of two and the rest. */
static void
verify(trial *job, gt_precision precision, step_counts wanted)
{
    static const int counts[] = {1, 3, MANY};
    for (int threads = 1; threads <= 3; threads += 2) {
        gt_graph graph = gt_net_graph(job->net, job->outputs, job->n);
        gt_backbone_config config = {.threads = threads,
                                     .sub_batch = 2,
                                     .precision = precision,
                                     .preprocessing = preprocessing};
        CHECK(gt_backbone_create(&job->backbone, &graph, config, &error) == GT_OK);
        if (precision == GT_PRECISION_INT8) {
            calibrate(job);
        }
        for (int i = 0; i < 3; i++) {
            CHECK_CLOSE(distance_of_run(job, counts[i]), 0.0, tolerance_of(precision));
        }
        check_steps(job, wanted);
        check_bits(job);
        gt_backbone_free(job->backbone);
        job->backbone = NULL;
        gt_graph_clear(&graph);
    }
}

/* In one of bfloat16 and int8, and the process without matrix units in the other one; or in all. */
static void
verify_scenario(const scenario *like, long number)
{
    gt_net net;
    trial job;
    int outputs[MAX_OUTPUTS];
    int n = like->build(&net, outputs);
    bool offered = gt_amx_is_available();
    step_counts plain = plain_counts(&net.graph);
    fprintf(stderr, "  %s\n", like->name);
    start_trial(&job, &net, outputs, n);
    if (check_runs(number, 6)) {
        verify(&job, GT_PRECISION_FLOAT32, plain);
    }
    if (gt_precision_is_fast(GT_PRECISION_BF16) && check_runs(number, 2)) {
        verify(&job, GT_PRECISION_BF16, offered ? like->bf16 : plain);
    }
    if (gt_precision_is_fast(GT_PRECISION_INT8) && check_runs(number + 1, 2)) {
        verify(&job, GT_PRECISION_INT8, offered ? like->int8 : plain);
    }
    end_trial(&job);
    gt_net_clear(&net);
}

static void
test_plans(void)
{
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
        verify_scenario(&scenarios[i], (long)i);
    }
}

static void
test_all(void)
{
    RUN(test_plans);
}

int
main(void)
{
    /* First, as oneDNN is not asked yet: bfloat16 and bytes without matrix units. */
    check_on_older(dnnl_cpu_isa_avx512_core_bf16, test_all);
    test_all();
    return check_report();
}
