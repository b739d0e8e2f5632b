/* Networks run through oneDNN against their plain evaluation. */
#include "trial.h"

/* All counts for some numbers of threads and images at a time; `thorough` tries every pair. */
static void
verify(gt_net *net, const int *outputs, int n, bool thorough)
{
    static const int counts[] = {1, 2, 3, 7, 8, 9, 16};
    trial job;
    start_trial(&job, net, outputs, n);
    for (int i = 0; i < 9; i += thorough ? 1 : 5) { /* (1, 1) and (3, 2) when not */
        int threads = i % 3 + 1;
        int sub_batch = 1 << i / 3;
        job.backbone = make(net, outputs, n, threads, sub_batch);
        CHECK(gt_backbone_output_count(job.backbone) == n);
        for (int k = 0; k < n; k++) {
            gt_shape shape = gt_backbone_output_shape(job.backbone, k);
            gt_shape wanted = net->graph.nodes[outputs[k]].shape;
            CHECK(memcmp(&shape, &wanted, sizeof(shape)) == 0);
        }
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            CHECK_CLOSE(distance_of_run(&job, counts[c]), 0.0, 2e-5);
        }
        CHECK(distance_of_run(&job, 0) == 0.0);
        gt_backbone_free(job.backbone);
        job.backbone = NULL;
    }
    end_trial(&job);
}

static int
conv(gt_net *net, int from, int size, int out, int stride)
{
    gt_node node = gt_net_conv(net, from, size, size, out, 1);
    node.window.strides[0] = node.window.strides[1] = stride;
    return gt_net_add(net, node, NULL, from);
}

static int
conv_norm_relu(gt_net *net, int from, int size, int out, int stride)
{
    int a = conv(net, from, size, out, stride);
    int b = gt_net_add(net, gt_net_batch_norm(net, a), NULL, a);
    return gt_net_plain(net, GT_OP_RELU, NULL, b);
}

static int
pool(gt_net *net, gt_op op, int from, int size, int stride, gt_pad_mode mode, bool counted)
{
    gt_node node = gt_net_pool(op, size, stride, mode);
    node.window.count_padding = counted;
    return gt_net_add(net, node, NULL, from);
}

static int
dense(gt_net *net, int from, int out)
{
    gt_node node;
    gt_node_init(&node, GT_OP_DENSE);
    node.arrays[GT_KERNEL] = gt_net_matrix(net, net->graph.nodes[from].shape.channels, out);
    node.arrays[GT_BIAS] = gt_net_vector(net, out, -0.5, 0.5);
    return gt_net_add(net, node, NULL, from);
}

static int
residual(gt_net *net, int from, int out, int stride)
{
    int a = conv_norm_relu(net, from, 3, out, stride);
    int b = conv(net, a, 3, out, 1);
    int c = gt_net_add(net, gt_net_batch_norm(net, b), NULL, b);
    int beside = stride == 1 ? from : conv(net, from, 1, out, stride);
    int sum = gt_net_join(net, GT_OP_ADD, NULL, (int[]){c, beside}, 2);
    return gt_net_plain(net, GT_OP_RELU, NULL, sum);
}

static int
inception(gt_net *net, int from, int width)
{
    int a = conv_norm_relu(net, from, 1, width, 1);
    int b = conv_norm_relu(net, conv_norm_relu(net, from, 1, width - 2, 1), 3, width + 1, 1);
    int c = pool(net, GT_OP_AVERAGE_POOL, from, 3, 1, GT_PAD_SAME, false);
    int d = conv_norm_relu(net, c, 1, 5, 1);
    return gt_net_join(net, GT_OP_CONCAT, NULL, (int[]){a, b, d}, 3);
}

/* --- against the twin ---------------------------------------------------------------------- */

static void
test_residual_network(void)
{
    gt_net net;
    gt_net_start(&net, 19, 14, 3);
    int a = conv_norm_relu(&net, 0, 7, 16, 2);
    int b = pool(&net, GT_OP_MAX_POOL, a, 3, 2, GT_PAD_SAME, false);
    int c = residual(&net, b, 16, 1);
    int d = residual(&net, c, 24, 2);
    int e = gt_net_plain(&net, GT_OP_GLOBAL_AVERAGE_POOL, NULL, d);
    int f = gt_net_plain(&net, GT_OP_SOFTMAX, NULL, dense(&net, e, 7));
    verify(&net, (int[]){f, c, e, d, c}, 5, true); /* one of them twice, two read by others */
    gt_net_clear(&net);
}

static void
test_inception_network(void)
{
    gt_net net;
    gt_net_start(&net, 21, 17, 3);
    int a = conv_norm_relu(&net, 0, 3, 8, 2);
    int b = inception(&net, a, 6);
    int c = inception(&net, b, 17);
    int d = pool(&net, GT_OP_MAX_POOL, c, 3, 2, GT_PAD_VALID, false);
    int e = conv_norm_relu(&net, c, 3, 7, 2);
    gt_node valid = gt_net_conv(&net, c, 3, 3, 9, 1);
    valid.window.pad_mode = GT_PAD_VALID;
    valid.window.strides[0] = valid.window.strides[1] = 2;
    int f = gt_net_join(&net, GT_OP_CONCAT, NULL, (int[]){d, gt_net_add(&net, valid, NULL, c)}, 2);
    verify(&net, (int[]){f, b, e}, 3, true);
    gt_net_clear(&net);
}

static void
test_numbers_of_channels(void)
{
    static const int channels[] = {1, 3, 5, 16, 17, 35};
    for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
        int c = channels[i];
        gt_net net;
        gt_net_start(&net, 8, 5, c);
        int a = conv(&net, 0, 3, channels[(i + 2) % 6], 1);
        gt_node spread = gt_net_conv(&net, a, 3, 3, net.graph.nodes[a].shape.channels,
                                     net.graph.nodes[a].shape.channels);
        int b = gt_net_add(&net, spread, NULL, a);
        int d = conv_norm_relu(&net, b, 1, c, 1);
        int e = gt_net_join(&net, GT_OP_ADD, NULL, (int[]){0, d}, 2); /* layouts may differ */
        int f = gt_net_join(&net, GT_OP_ADD, NULL, (int[]){d, 0, e}, 3);
        int g = gt_net_plain(&net, GT_OP_RELU, NULL, f);
        int h = gt_net_join(&net, GT_OP_CONCAT, NULL, (int[]){d, 0, b}, 3);
        int j = gt_net_join(&net, GT_OP_CONCAT, NULL, (int[]){h}, 1);
        int k = gt_net_plain(&net, GT_OP_GLOBAL_MAX_POOL, NULL, j);
        int l = gt_net_join(&net, GT_OP_ADD, NULL, (int[]){h}, 1);
        verify(&net, (int[]){g, j, k, a, e, l}, 6, false);
        gt_net_clear(&net);
    }
}

static void
test_convolutions(void)
{
    static const int kinds[][6] = {
        /* height, width, stride, dilation, groups, out */
        {1, 7, 1, 1, 1, 17}, {7, 1, 1, 1, 1, 5},  {3, 3, 1, 2, 1, 16}, {5, 3, 2, 1, 1, 8},
        {2, 2, 2, 1, 1, 35}, {3, 3, 2, 1, 6, 6},  {3, 3, 1, 2, 6, 6},  {1, 1, 2, 1, 1, 3},
        {3, 3, 1, 1, 2, 8},  {3, 3, 1, 1, 6, 12}, {1, 1, 1, 1, 3, 6},  {9, 9, 4, 1, 1, 4},
    };
    gt_net net;
    int outputs[16] = {0};
    int n = 0;
    gt_net_start(&net, 11, 9, 6);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const int *kind = kinds[i];
        gt_node node = gt_net_conv(&net, 0, kind[0], kind[1], kind[5], kind[4]);
        node.window.strides[0] = kind[2];
        node.window.strides[1] = kind[2];
        node.window.dilations[0] = node.window.dilations[1] = kind[3];
        if (i % 2 == 1) {
            node.arrays[GT_BIAS] = gt_net_vector(&net, kind[5], -1.0, 1.0);
            node.arrays[GT_KERNEL] = gt_net_u8_kernel(&net, kind[0], kind[1], 6 / kind[4], kind[5]);
        }
        outputs[n++] = gt_net_add(&net, node, NULL, 0);
    }
    gt_node uneven = gt_net_conv(&net, 0, 3, 2, 9, 1);
    uneven.window.pad_mode = GT_PAD_EXPLICIT;
    uneven.window.before[0] = 2;
    uneven.window.after[1] = 1;
    uneven.window.strides[1] = 3;
    outputs[n++] = gt_net_add(&net, uneven, NULL, 0);
    verify(&net, outputs, n, true);
    gt_net_clear(&net);
}

/* More padding than kernel, as a padding layer before a convolution may give it. */
static void
test_wide_padding(void)
{
    gt_net net;
    gt_net_start(&net, 5, 6, 4);
    gt_node node = gt_net_conv(&net, 0, 3, 3, 8, 1);
    node.window.pad_mode = GT_PAD_EXPLICIT;
    node.window.before[0] = node.window.after[1] = 4;
    int a = gt_net_add(&net, node, NULL, 0);
    node = gt_net_conv(&net, a, 1, 1, 8, 1);
    node.window.pad_mode = GT_PAD_EXPLICIT;
    node.window.before[0] = node.window.before[1] = 1;
    int b = gt_net_add(&net, node, NULL, a);
    verify(&net, (int[]){a, b}, 2, false);
    gt_net_clear(&net);
}

static void
test_pools(void)
{
    static const int channels[] = {3, 16, 17};
    for (int i = 0; i < 3; i++) {
        gt_net net;
        int outputs[16] = {0};
        int n = 0;
        gt_net_start(&net, 12, 7, channels[i]); /* the input itself is pooled and tapped */
        int froms[2] = {0, conv(&net, 0, 3, channels[2 - i], 1)};
        for (int k = 0; k < 2; k++) {
            int from = froms[k];
            outputs[n++] = pool(&net, GT_OP_MAX_POOL, from, 3, 2, GT_PAD_SAME, false);
            outputs[n++] = pool(&net, GT_OP_MAX_POOL, from, 2, 1, GT_PAD_SAME, false);
            outputs[n++] = pool(&net, GT_OP_AVERAGE_POOL, from, 3, 1, GT_PAD_SAME, true);
            outputs[n++] = pool(&net, GT_OP_AVERAGE_POOL, from, 4, 3, GT_PAD_SAME, false);
            outputs[n++] = pool(&net, GT_OP_AVERAGE_POOL, from, 5, 2, GT_PAD_VALID, true);
            outputs[n++] = gt_net_plain(&net, GT_OP_GLOBAL_AVERAGE_POOL, NULL, from);
            outputs[n++] = gt_net_plain(&net, GT_OP_GLOBAL_MAX_POOL, NULL, from);
        }
        outputs[n++] = 0;
        verify(&net, outputs, n, false);
        gt_net_clear(&net);
    }
}

static void
test_global_pools_of_large_maps(void)
{
    gt_net net;
    gt_net_start(&net, 61, 47, 3);
    int a = conv(&net, 0, 1, 18, 1);
    int b = gt_net_plain(&net, GT_OP_GLOBAL_AVERAGE_POOL, NULL, a);
    int c = gt_net_plain(&net, GT_OP_GLOBAL_MAX_POOL, NULL, a);
    int d = gt_net_plain(&net, GT_OP_GLOBAL_AVERAGE_POOL, NULL, 0);
    verify(&net, (int[]){b, c, d}, 3, false);
    gt_net_clear(&net);
}

static void
test_flat_values(void)
{
    gt_net net;
    gt_net_start(&net, 5, 4, 3);
    int flat_input = gt_net_plain(&net, GT_OP_FLATTEN, NULL, 0); /* before any convolution */
    int a = conv_norm_relu(&net, 0, 3, 10, 1);
    int b = gt_net_plain(&net, GT_OP_FLATTEN, NULL, a);
    int c = gt_net_plain(&net, GT_OP_FLATTEN, NULL, b); /* once more: the same */
    int d = gt_net_plain(&net, GT_OP_RELU, NULL, dense(&net, c, 33));
    int e = gt_net_plain(&net, GT_OP_SOFTMAX, NULL, dense(&net, d, 5));
    int f = dense(&net, flat_input, 4);
    int g = gt_net_join(&net, GT_OP_CONCAT, NULL, (int[]){d, e, f, b}, 4);
    int h = gt_net_add(&net, gt_net_batch_norm(&net, g), NULL, g);
    int j = gt_net_plain(&net, GT_OP_SOFTMAX, NULL, h);
    int k = conv(&net, a, 3, 4, 2); /* the map is read after its flat view */
    verify(&net, (int[]){b, flat_input, e, j, c, k, d}, 7, true);
    gt_net_clear(&net);
}

static void
test_one_pixel(void)
{
    gt_net net;
    gt_net_start(&net, 1, 1, 3);
    int a = conv_norm_relu(&net, 0, 3, 8, 2);
    int b = pool(&net, GT_OP_AVERAGE_POOL, a, 3, 1, GT_PAD_SAME, false);
    int c = inception(&net, b, 4);
    int d = gt_net_plain(&net, GT_OP_GLOBAL_AVERAGE_POOL, NULL, c);
    verify(&net, (int[]){d, c, 0}, 3, false);
    gt_net_clear(&net);
    gt_net_start(&net, 1, 1, 1);
    verify(&net, (int[]){0, 0}, 2, false);
    gt_net_clear(&net);
}

static int
random_node(gt_net *net)
{
    int last = net->graph.count - 1;
    int from = gt_net_choice(net, last > 4 ? last - 4 : 0, last);
    gt_shape shape = net->graph.nodes[from].shape;
    int other = from;
    for (int i = 0; i < last; i++) { /* some other node of the same shape, if there is one */
        gt_shape found = net->graph.nodes[i].shape;
        other = memcmp(&found, &shape, sizeof(shape)) == 0 ? i : other;
    }
    int stride = gt_net_choice(net, 1, 2);
    int size = gt_net_choice(net, 1, 3);
    gt_node limited;
    gt_node depthwise;
    switch (gt_net_choice(net, 0, 9)) {
    case 0:
        return conv(net, from, size, gt_net_choice(net, 1, 40), stride);
    case 1:
        return conv_norm_relu(net, from, size, gt_net_choice(net, 1, 40), 1);
    case 2:
        return pool(net, GT_OP_MAX_POOL, from, size, stride, GT_PAD_SAME, false);
    case 3:
        return pool(net, GT_OP_AVERAGE_POOL, from, size, stride, GT_PAD_SAME, stride == 1);
    case 4:
        return gt_net_join(net, GT_OP_CONCAT, NULL, (int[]){other, from, other}, 3);
    case 5:
        return gt_net_join(net, GT_OP_ADD, NULL, (int[]){from, other}, 2);
    case 6:
        gt_node_init(&limited, GT_OP_RELU);
        limited.activation.high = 0.5f;
        return gt_net_add(net, limited, NULL, from);
    case 7:
        return gt_net_add(net, gt_net_batch_norm(net, from), NULL, from);
    case 8:
        depthwise = gt_net_conv(net, from, size, 3, shape.channels, shape.channels);
        return gt_net_add(net, depthwise, NULL, from);
    default:
        return inception(net, from, gt_net_choice(net, 3, 20));
    }
}

static void
test_random_networks(void)
{
    for (uint32_t seed = 1; seed <= 40; seed++) {
        gt_net net;
        int outputs[4] = {0};
        gt_net_start(&net, 5 + (int)seed % 5, 9 - (int)seed % 3, 1 + (int)seed % 4);
        net.random = seed * 2654435761u;
        for (int i = 0; i < 10; i++) {
            outputs[i % 4] = random_node(&net);
        }
        int failed = check_failed;
        verify(&net, outputs, 4, false);
        if (check_failed > failed) {
            fprintf(stderr, "    seed %u\n", (unsigned)seed);
        }
        gt_net_clear(&net);
    }
}

/* `same` pads with zeros after scaling, that is with mid-grey, not with black. */
static void
test_padding_is_zero_after_scaling(void)
{
    gt_net net;
    gt_net_start(&net, 3, 3, 1);
    gt_node node = gt_net_conv(&net, 0, 3, 3, 1, 1);
    static const float ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    node.arrays[GT_KERNEL].data = ones;
    int a = gt_net_add(&net, node, NULL, 0);
    gt_backbone *backbone = make(&net, &a, 1, 1, 1);
    static const uint8_t black[9] = {0};
    float result[9];
    CHECK(gt_backbone_run(backbone, black, 1, (float *[]){result}, &error) == GT_OK);
    CHECK_CLOSE(result[0], -4.0, 1e-6);
    CHECK_CLOSE(result[1], -6.0, 1e-6);
    CHECK_CLOSE(result[4], -9.0, 1e-6);
    gt_backbone_free(backbone);
    gt_net_clear(&net);
}

int
main(void)
{
    RUN(test_residual_network);
    RUN(test_inception_network);
    RUN(test_numbers_of_channels);
    RUN(test_convolutions);
    RUN(test_wide_padding);
    RUN(test_pools);
    RUN(test_global_pools_of_large_maps);
    RUN(test_flat_values);
    RUN(test_one_pixel);
    RUN(test_random_networks);
    RUN(test_padding_is_zero_after_scaling);
    return check_report();
}
