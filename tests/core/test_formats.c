/* In which format nodes compute in int8: what may share a scale, and what stays in floats. */
#include "older.h"
#include "trial.h"

enum { CHANNELS = 32 };

/* A convolution whose weights are multiplied by `factor`. */
static int
scaled_conv(gt_net *net, int from, int size, int out, float factor)
{
    gt_node node = gt_net_conv(net, from, size, size, out, 1);
    float *weights = (float *)(uintptr_t)node.arrays[GT_KERNEL].data;
    int64_t count = (int64_t)size * size * net->graph.nodes[from].shape.channels * out;
    node.window.pad_mode = GT_PAD_SAME;
    for (int64_t i = 0; i < count; i++) {
        weights[i] *= factor;
    }
    return gt_net_add(net, node, NULL, from);
}

/* Root of the mean square of a - b over channels first to last, relative to that of b. */
static double
relative_error(const float *a, const float *b, int64_t pixels, int channels, int first, int last)
{
    double difference = 0.0;
    double size = 0.0;
    for (int64_t i = 0; i < pixels * channels; i++) {
        if (i % channels >= first && i % channels < last) {
            difference += pow((double)a[i] - (double)b[i], 2);
            size += pow((double)b[i], 2);
        }
    }
    return sqrt(difference / fmax(size, 1e-30));
}

/* Calibrate a net in int8 and run it: each output has the twin's numbers, 8 bits in precision, in
 * its first and in its second half of channels alike. */
static void
verify_int8(gt_net *net, const int *outputs, int n)
{
    trial job;
    float *results[4] = {NULL};
    gt_backbone_config config = {.threads = 2,
                                 .sub_batch = 3,
                                 .precision = GT_PRECISION_INT8,
                                 .preprocessing = preprocessing};
    gt_graph graph = gt_net_graph(net, outputs, n);
    start_trial(&job, net, outputs, n);
    CHECK(gt_backbone_create(&job.backbone, &graph, config, &error) == GT_OK);
    for (int k = 0; k < n; k++) {
        int64_t size = MAX * gt_shape_size(net->graph.nodes[outputs[k]].shape);
        results[k] = malloc((size_t)size * sizeof(float));
    }
    CHECK(gt_backbone_calibrate(job.backbone, job.images, MAX, results, &error) == GT_OK);
    CHECK(gt_backbone_run(job.backbone, job.images, MAX, results, &error) == GT_OK);
    for (int k = 0; k < n; k++) {
        gt_shape shape = net->graph.nodes[outputs[k]].shape;
        int64_t pixels = (int64_t)MAX * shape.height * shape.width;
        int half = shape.channels / 2;
        const float *wanted = job.twin.values[outputs[k]];
        CHECK_CLOSE(relative_error(results[k], wanted, pixels, shape.channels, 0, half), 0.0, 0.05);
        CHECK_CLOSE(relative_error(results[k], wanted, pixels, shape.channels, half, 2 * half), 0.0,
                    0.05);
        free(results[k]);
    }
    end_trial(&job);
    gt_net_clear(net);
}

/* A map of large numbers beside what is left of it up to 1: with one scale for both the smaller one
 * would be zeros, to who reads it alone and to who reads both. */
static void
test_far_ranges_share_no_scale(void)
{
    static const gt_op pools[] = {GT_OP_MAX_POOL, GT_OP_AVERAGE_POOL};
    for (int i = 0; i < 2; i++) {
        gt_net net;
        gt_net_start(&net, 16, 15, 4); /* four channels are padded in floats, rounded to no byte */
        int large = scaled_conv(&net, 0, 3, CHANNELS, 500.0f);
        gt_node relu = {0};
        gt_node_init(&relu, GT_OP_RELU);
        relu.activation.high = 1.0f;
        int small = gt_net_add(&net, relu, NULL, large);
        int both = gt_net_join(&net, GT_OP_CONCAT, NULL, (int[]){large, small}, 2);
        int pool = gt_net_add(&net, gt_net_pool(pools[i], 3, 1, GT_PAD_SAME), NULL, both);
        int of_small = scaled_conv(&net, small, 3, CHANNELS, 1.0f);
        int of_both = scaled_conv(&net, pool, 1, CHANNELS, 1.0f);
        verify_int8(&net, (int[]){both, of_small, of_both, pool}, 4);
    }
}

/* Three ranges of which each is near the next: the least and the largest still are too far
 * apart. */
static void
test_chains_share_no_scale(void)
{
    gt_net net;
    gt_net_start(&net, 13, 13, 3);
    int small = gt_net_plain(&net, GT_OP_RELU, NULL, scaled_conv(&net, 0, 3, CHANNELS, 1.0f));
    int middle = gt_net_plain(&net, GT_OP_RELU, NULL, scaled_conv(&net, 0, 3, CHANNELS, 12.0f));
    int large = gt_net_plain(&net, GT_OP_RELU, NULL, scaled_conv(&net, 0, 3, CHANNELS, 140.0f));
    int first = gt_net_join(&net, GT_OP_CONCAT, NULL, (int[]){middle, small}, 2);
    int second = gt_net_join(&net, GT_OP_CONCAT, NULL, (int[]){large, first}, 2);
    int of_small = scaled_conv(&net, small, 1, CHANNELS, 1.0f);
    int of_all = scaled_conv(&net, second, 1, CHANNELS, 1.0f);
    verify_int8(&net, (int[]){of_small, of_all}, 2);
}

/* The means of photographs have a smaller range than the photographs. */
static void
test_pools_of_photographs(void)
{
    static const gt_op pools[] = {GT_OP_MAX_POOL, GT_OP_AVERAGE_POOL};
    for (int i = 0; i < 2; i++) {
        gt_net net;
        gt_net_start(&net, 20, 21, 3);
        int pool = gt_net_add(&net, gt_net_pool(pools[i], 5, 2, GT_PAD_VALID), NULL, 0);
        int conv = scaled_conv(&net, pool, 3, CHANNELS, 1.0f);
        verify_int8(&net, (int[]){pool, conv}, 2);
    }
}

/* Results of few pixels, of all numbers of channels out that oneDNN tells apart. */
static void
test_results_of_few_pixels(void)
{
    for (int pixels = 1; pixels <= 9; pixels++) {
        for (int out = 32; out <= 128; out += 32) {
            gt_net net;
            gt_net_start(&net, 1, pixels, 3);
            int a = gt_net_plain(&net, GT_OP_RELU, NULL, scaled_conv(&net, 0, 1, 16, 1.0f));
            int b = scaled_conv(&net, a, 1, out, 1.0f);
            verify_int8(&net, &b, 1);
        }
    }
}

static void
test_all(void)
{
    RUN(test_far_ranges_share_no_scale);
    RUN(test_chains_share_no_scale);
    RUN(test_pools_of_photographs);
    RUN(test_results_of_few_pixels);
}

int
main(void)
{
    check_on_older(dnnl_cpu_isa_avx2, test_all); /* first: oneDNN is not asked yet */
    check_on_older(dnnl_cpu_isa_avx512_core, test_all);
    if (gt_precision_is_fast(GT_PRECISION_INT8)) {
        test_all();
    }
    return check_report();
}
