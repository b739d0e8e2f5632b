/* Where Winograd's convolution pays, and the plans that use it. */
#include "kernels/winograd/winograd.h"
#include "older.h"
#include "trial.h"

static bool
pays(int extent, int in, int out, int size, gt_map_type type)
{
    gt_winograd winograd = {.batch = 1,
                            .from = {extent, extent, in},
                            .to = {extent, extent, out},
                            .size = size,
                            .type = type,
                            .lanes = gt_winograd_lanes(type),
                            .threads = 1};
    bool alone = gt_winograd_is_profitable(&winograd);
    winograd.batch = 16;
    winograd.threads = 8;
    CHECK(gt_winograd_is_profitable(&winograd) == alone);
    return alone;
}

static void
test_where_it_pays(void)
{
    bool bf16 = gt_winograd_lanes(GT_MAP_BF16) > 0;
    CHECK(pays(147, 32, 64, 3, GT_MAP_FLOAT32) && pays(147, 32, 64, 3, GT_MAP_BF16) == bf16);
    CHECK(pays(35, 96, 96, 3, GT_MAP_FLOAT32) && pays(35, 96, 96, 3, GT_MAP_BF16) == bf16);
    CHECK(pays(35, 48, 64, 5, GT_MAP_FLOAT32) && pays(35, 48, 64, 5, GT_MAP_BF16) == bf16);
    CHECK(pays(13, 32, 32, 3, GT_MAP_FLOAT32) && !pays(13, 32, 32, 3, GT_MAP_BF16));
    CHECK(!pays(1, 64, 64, 3, GT_MAP_FLOAT32));   /* one result of 36 */
    CHECK(pays(56, 128, 128, 3, GT_MAP_FLOAT32)); /* 4 MB, the most */
    CHECK(!pays(56, 128, 160, 3, GT_MAP_FLOAT32));
    CHECK(!pays(8, 448, 384, 3, GT_MAP_FLOAT32)); /* 42 MB */
}

static void
test_where_it_pays_between_bytes(void)
{
    int lanes = gt_winograd_lanes(GT_MAP_U8);
    CHECK(pays(71, 80, 192, 3, GT_MAP_U8) == (lanes > 0));
    CHECK(pays(147, 48, 64, 3, GT_MAP_U8) == (lanes > 0));
    CHECK(pays(147, 32, 64, 3, GT_MAP_U8) == (lanes == 8)); /* too few channels for int16 */
    CHECK(pays(71, 160, 64, 3, GT_MAP_U8) == (lanes == 8)); /* too many */
    CHECK(pays(13, 64, 96, 3, GT_MAP_U8) == (lanes == 8));
    CHECK(!pays(7, 64, 96, 3, GT_MAP_U8)); /* 49 of 144 results are wanted */
}

static void
count_own(void *context, const gt_step *step)
{
    *(int *)context += strncmp(step->implementation, "winograd", 8) == 0;
}

/* What the plans are of: made before the processes for older processors, which all compare with the
 * same plain evaluation. */
static struct {
    gt_net net;
    trial job;
} mixed, narrow, wide;

/* Run the mixed network in every way and count the layers that Winograd's kernel computes. */
static int
verify_plan(gt_precision precision)
{
    static const int counts[] = {1, 3, 8};
    int own = 0;
    trial job = mixed.job;
    for (int threads = 1; threads <= 3; threads += 2) {
        gt_graph graph = gt_net_graph(job.net, job.outputs, job.n);
        gt_backbone_config config = {.threads = threads,
                                     .sub_batch = 2,
                                     .precision = precision,
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
    return own;
}

static void
start_mixed(void)
{
    gt_net *net = &mixed.net;
    gt_net_start(net, 26, 21, 3);
    int a = gt_net_add(net, gt_net_conv(net, 0, 3, 3, 32, 1), NULL, 0); /* blocked in float32 */
    gt_node valid = gt_net_conv(net, a, 3, 3, 32, 1);
    valid.window.pad_mode = GT_PAD_VALID;
    int b = gt_net_add(net, valid, NULL, a);
    int c = gt_net_add(net, gt_net_batch_norm(net, b), NULL, b);
    gt_node bounded;
    gt_node_init(&bounded, GT_OP_RELU);
    bounded.activation.high = 1.0f;
    int d = gt_net_add(net, bounded, NULL, c);
    gt_node five = gt_net_conv(net, d, 5, 5, 64, 1);
    five.arrays[GT_BIAS] = gt_net_vector(net, 64, -0.5, 0.5);
    int e = gt_net_add(net, five, NULL, d);
    gt_node bytes = gt_net_conv(net, d, 3, 3, 96, 1);
    bytes.arrays[GT_KERNEL] = gt_net_u8_kernel(net, 3, 3, 32, 96);
    int f = gt_net_add(net, bytes, NULL, d);
    int g = gt_net_join(net, GT_OP_CONCAT, NULL, (int[]){d, e, f}, 3);
    int h = gt_net_add(net, gt_net_conv(net, g, 3, 3, 33, 1), NULL, g); /* an odd number */
    start_trial(&mixed.job, net, (int[]){d, e, f, h}, 4);
}

static void
test_plans(void)
{
    CHECK(verify_plan(GT_PRECISION_FLOAT32) == (gt_winograd_lanes(GT_MAP_FLOAT32) > 0 ? 3 : 0));
    if (gt_precision_is_fast(GT_PRECISION_BF16)) {
        CHECK(verify_plan(GT_PRECISION_BF16) == (gt_winograd_lanes(GT_MAP_BF16) > 0 ? 3 : 0));
    }
}

/* A layer of so many channels in between two others. */
static void
start_layer(gt_net *net, trial *job, int channels)
{
    gt_net_start(net, 40, 37, 3);
    int a = gt_net_plain(net, GT_OP_RELU, NULL,
                         gt_net_add(net, gt_net_conv(net, 0, 3, 3, channels, 1), NULL, 0));
    int b = gt_net_plain(net, GT_OP_RELU, NULL,
                         gt_net_add(net, gt_net_conv(net, a, 3, 3, 64, 1), NULL, a));
    int c = gt_net_add(net, gt_net_conv(net, b, 1, 1, 24, 1), NULL, b);
    start_trial(job, net, &c, 1);
}

/* It in int8, which keeps the bytes of both others; `wanted` layers are computed by Winograd's
 * kernel. */
static void
verify_u8_plan(trial job, int wanted)
{
    gt_graph graph = gt_net_graph(job.net, job.outputs, job.n);
    gt_backbone_config config = {.threads = 2,
                                 .sub_batch = 2,
                                 .preprocessing = preprocessing,
                                 .precision = GT_PRECISION_INT8};
    int64_t size = MAX * gt_shape_size(job.net->graph.nodes[job.outputs[0]].shape);
    float *result = malloc((size_t)size * sizeof(float));
    CHECK(gt_backbone_create(&job.backbone, &graph, config, &error) == GT_OK);
    CHECK(gt_backbone_calibrate(job.backbone, job.images, MAX, &result, &error) == GT_OK);
    for (int count = 1; count < 8; count += 3) {
        CHECK_CLOSE(distance_of_run(&job, count), 0.0, 0.04); /* 8 bits, three layers */
    }
    int own = 0;
    CHECK(gt_backbone_visit_steps(job.backbone, count_own, &own, &error) == GT_OK);
    CHECK(own == wanted);
    gt_backbone_free(job.backbone);
    free(result);
    gt_graph_clear(&graph);
}

static void
test_u8_plan(void)
{
    int lanes = gt_winograd_lanes(GT_MAP_U8);
    verify_u8_plan(narrow.job, lanes > 0 ? 1 : 0);
    verify_u8_plan(wide.job, lanes == 8 ? 1 : 0); /* fp16 */
}

static void
test_all(void)
{
    RUN(test_where_it_pays_between_bytes);
    if (gt_winograd_lanes(GT_MAP_FLOAT32) > 0) {
        RUN(test_where_it_pays);
    }
    RUN(test_plans);
    RUN(test_u8_plan);
}

int
main(void)
{
    start_mixed();
    start_layer(&narrow.net, &narrow.job, 64);
    start_layer(&wide.net, &wide.job, 160);
    check_on_older(dnnl_cpu_isa_avx512_core, test_all); /* first: oneDNN is not asked yet */
    check_on_older(dnnl_cpu_isa_avx2, test_all);
    check_on_older(dnnl_cpu_isa_sse41, test_all);
    test_all();
    end_trial(&mixed.job);
    end_trial(&narrow.job);
    end_trial(&wide.job);
    gt_net_clear(&mixed.net);
    gt_net_clear(&narrow.net);
    gt_net_clear(&wide.net);
    return check_report();
}
