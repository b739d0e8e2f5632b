/* Which blocks of a network one kernel computes, and that they give what its nodes say. */
#include "graph/blocks.h"
#include "kernels/mbconv/mbconv.h"
#include "older.h"
#include "trial.h"

static int
add_conv(gt_net *net, int from, int size, int stride, int channels, int groups)
{
    gt_node conv = gt_net_conv(net, from, size, size, channels, groups);
    conv.window.strides[0] = conv.window.strides[1] = stride;
    conv.window.pad_mode = GT_PAD_SAME;
    int index = gt_net_add(net, conv, NULL, from);
    return gt_net_add(net, gt_net_batch_norm(net, index), NULL, index);
}

static int
add_relu(gt_net *net, int from, float max)
{
    gt_node relu;
    gt_node_init(&relu, GT_OP_RELU);
    relu.activation.high = max;
    return gt_net_add(net, relu, NULL, from);
}

/* The expansion, where there is one, and the depthwise convolution of a block. */
static int
add_inside(gt_net *net, int from, int channels, int size, int stride)
{
    int x = from;
    if (channels != net->graph.nodes[from].shape.channels) {
        x = add_relu(net, add_conv(net, x, 1, 1, channels, 1), 6.0f);
    }
    return add_relu(net, add_conv(net, x, size, stride, channels, channels), 6.0f);
}

static int
add_block(gt_net *net, int from, int channels, int out, int size, int stride)
{
    int inside = add_inside(net, from, channels, size, stride);
    int x = add_conv(net, inside, 1, 1, out, 1);
    if (stride == 1 && out == net->graph.nodes[from].shape.channels) {
        x = gt_net_join(net, GT_OP_ADD, NULL, (int[]){from, x}, 2);
    }
    return x;
}

static void
count_own(void *context, const gt_step *step)
{
    *(int *)context += strcmp(step->implementation, "mbconv") == 0;
}

static const double tolerances[] = {2e-5, 0.03, 0.05}; /* by precision */

static float **
make_room(const trial *job)
{
    float **places = calloc((size_t)job->n, sizeof(*places));
    for (int k = 0; k < job->n; k++) {
        gt_shape shape = job->net->graph.nodes[job->outputs[k]].shape;
        places[k] = malloc((size_t)(MAX * gt_shape_size(shape)) * sizeof(float));
    }
    return places;
}

static void
free_room(const trial *job, float **places)
{
    for (int k = 0; k < job->n; k++) {
        free(places[k]);
    }
    free(places);
}

/* Run a network with several threads and batches, all of which give the same bits; returns the steps
 * that the kernel computes. */
static int
verify_plan(gt_net *net, int *outputs, int n, gt_precision precision, gt_preprocessing pixels)
{
    static const int counts[] = {1, 3, 8};
    int own = 0;
    trial job;
    start_trial(&job, net, outputs, n);
    gt_twin_clear(&job.twin);
    job.twin = gt_twin_run(&net->graph, job.images, MAX, pixels);
    float **places = make_room(&job);
    float **first = make_room(&job);
    for (int threads = 1; threads <= 3; threads++) {
        gt_graph graph = gt_net_graph(net, outputs, n);
        gt_backbone_config config = {
            .threads = threads, .sub_batch = 2, .precision = precision, .preprocessing = pixels};
        CHECK(gt_backbone_create(&job.backbone, &graph, config, &error) == GT_OK);
        if (precision == GT_PRECISION_INT8) {
            CHECK(gt_backbone_calibrate(job.backbone, job.images, MAX, places, &error) == GT_OK);
        }
        for (int i = 0; i < 3; i++) {
            CHECK_CLOSE(distance_of_run(&job, counts[i]), 0.0, tolerances[precision]);
            float **results = threads == 1 && i == 0 ? first : places;
            CHECK(gt_backbone_run(job.backbone, job.images, counts[i], results, &error) == GT_OK);
            for (int k = 0; k < n; k++) {
                size_t size = (size_t)gt_shape_size(net->graph.nodes[outputs[k]].shape);
                CHECK(memcmp(results[k], first[k], size * sizeof(float)) == 0);
            }
        }
        own = 0;
        CHECK(gt_backbone_visit_steps(job.backbone, count_own, &own, &error) == GT_OK);
        gt_backbone_free(job.backbone);
        gt_graph_clear(&graph);
    }
    free_room(&job, first);
    free_room(&job, places);
    job.backbone = NULL;
    end_trial(&job);
    return own;
}

static const gt_map_type types[] = {GT_MAP_FLOAT32, GT_MAP_BF16, GT_MAP_U8}; /* by precision */

/* In every precision that this processor is fast in; the kernel computes `wanted` steps where it can,
 * in int8 so many. */
static void
verify_precisions(gt_net *net, int *outputs, int n, int wanted, int in_int8)
{
    static const gt_preprocessing lite = {.scale = 1.0f / 128.0f, .offset = -127.0f / 128.0f};
    for (int precision = 0; precision < 3; precision++) {
        if (gt_precision_is_fast((gt_precision)precision)) {
            /* in int8 without the instructions float32 is inside */
            bool can = gt_mbconv_is_available(types[precision]) ||
                       (precision == GT_PRECISION_INT8 && gt_mbconv_is_available(GT_MAP_FLOAT32));
            int expected = can ? wanted : 0;
            if (can && precision == GT_PRECISION_INT8) {
                expected = in_int8;
            }
            CHECK(verify_plan(net, outputs, n, (gt_precision)precision, lite) == expected);
            CHECK(verify_plan(net, outputs, n, (gt_precision)precision, preprocessing) == expected);
        }
    }
}

static void
verify(gt_net *net, int *outputs, int n, int wanted)
{
    verify_precisions(net, outputs, n, wanted, wanted);
}

static void
test_a_small_network(void)
{
    gt_net net;
    gt_net_start(&net, 27, 22, 3);
    int x = add_relu(&net, add_conv(&net, 0, 3, 2, 16, 1), 6.0f);
    x = add_block(&net, x, 16, 8, 3, 1);
    x = add_block(&net, x, 40, 16, 3, 2);
    x = add_block(&net, x, 48, 16, 5, 1);
    x = add_block(&net, x, 33, 8, 5, 2);
    x = add_relu(&net, add_conv(&net, x, 1, 1, 40, 1), 6.0f);
    verify(&net, &x, 1, 4);
    gt_net_clear(&net);
}

/* Depthwise and 1x1 convolutions in turn, each with a ReLU, as in MobileNetV1. */
static void
test_separable_convolutions(void)
{
    gt_net net;
    gt_net_start(&net, 17, 20, 3);
    int x = add_relu(&net, add_conv(&net, 0, 3, 2, 16, 1), 6.0f);
    for (int i = 0; i < 3; i++) {
        int channels = net.graph.nodes[x].shape.channels;
        x = add_relu(&net, add_conv(&net, x, 3, 1 + i % 2, channels, channels), 6.0f);
        x = add_relu(&net, add_conv(&net, x, 1, 1, 24 + 8 * i, 1), 6.0f);
    }
    verify_precisions(&net, &x, 1, 3, 0); /* too narrow between */
    gt_net_clear(&net);
}

/* What is an output or read twice keeps a value; the rest of such a block is no block. */
static void
test_results_inside_that_are_wanted(void)
{
    gt_net net;
    gt_net_start(&net, 14, 13, 3);
    int a = add_conv(&net, 0, 1, 1, 8, 1);
    int b = add_inside(&net, a, 24, 3, 1);
    int c = add_conv(&net, b, 1, 1, 8, 1);
    int d = add_block(&net, c, 32, 8, 3, 1);
    int outputs[] = {b, d};
    verify(&net, outputs, 2, 1);
    int e = gt_net_join(&net, GT_OP_ADD, NULL, (int[]){c, d}, 2); /* of the block's own source */
    int f = add_conv(&net, add_inside(&net, e, 24, 5, 1), 1, 1, 8, 1);
    int g = gt_net_join(&net, GT_OP_ADD, NULL, (int[]){f, c}, 2); /* of another map */
    verify(&net, &g, 1, 3);
    gt_net_clear(&net);
}

static void
test_what_is_no_block(void)
{
    gt_net net;
    gt_net_start(&net, 14, 13, 3);
    int a = add_conv(&net, 0, 1, 1, 8, 1);
    int b = add_relu(&net, add_conv(&net, a, 3, 1, 8, 4), 6.0f); /* two channels a group */
    int c = add_conv(&net, b, 1, 1, 8, 1);
    gt_node wide = gt_net_conv(&net, c, 3, 3, 8, 8);
    wide.window.pad_mode = GT_PAD_SAME;
    wide.window.dilations[0] = wide.window.dilations[1] = 2;
    int d = add_conv(&net, gt_net_add(&net, wide, NULL, c), 1, 1, 8, 1);
    int e = add_conv(&net, add_conv(&net, d, 7, 1, 8, 8), 1, 1, 8, 1);
    verify(&net, &e, 1, 0);
    gt_net_clear(&net);
}

static void
test_all(void)
{
    RUN(test_a_small_network);
    RUN(test_separable_convolutions);
    RUN(test_results_inside_that_are_wanted);
    RUN(test_what_is_no_block);
}

int
main(void)
{
    check_on_older(dnnl_cpu_isa_avx512_core, test_all); /* first: oneDNN is not asked yet */
    check_on_older(dnnl_cpu_isa_avx2, test_all);
    check_on_older(dnnl_cpu_isa_sse41, test_all);
    test_all();
    return check_report();
}
