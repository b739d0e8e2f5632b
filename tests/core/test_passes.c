/* The passes: what each does to the graph, and that no value changes. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "graph/passes.h"
#include "runtime/backbone.h"
#include "twin.h"

enum { IMAGES = 3, HEIGHT = 7, WIDTH = 5, CHANNELS = 6 };

static const gt_preprocessing preprocessing = {.scale = 1.0f / 127.5f, .offset = -1.0f};
static gt_error error;
static uint8_t images[IMAGES * HEIGHT * WIDTH * CHANNELS];

static int
says(const char *text)
{
    return strstr(error.message, text) != NULL;
}

static void
start(gt_net *net)
{
    gt_net_start(net, HEIGHT, WIDTH, CHANNELS);
    for (size_t i = 0; i < sizeof(images); i++) {
        images[i] = (uint8_t)gt_net_choice(net, 0, 255);
    }
}

/* Optimise the net for those outputs.  The graph after it, under the twin, and the backbone must
 * give what the graph before it gives under the twin. */
static gt_graph
optimized(const gt_net *net, const int *outputs, int n_outputs)
{
    gt_graph graph = gt_net_graph(net, outputs, n_outputs);
    gt_graph given = gt_net_graph(net, outputs, n_outputs);
    gt_backbone_config config = {.threads = 1, .sub_batch = 2, .preprocessing = preprocessing};
    gt_backbone *backbone = NULL;
    float *results[8] = {NULL};
    CHECK(gt_optimize(&graph, GT_PRECISION_FLOAT32, &error) == GT_OK);
    CHECK(graph.n_outputs == n_outputs);
    gt_twin expected = gt_twin_run(&net->graph, images, IMAGES, preprocessing);
    gt_twin found = gt_twin_run(&graph, images, IMAGES, preprocessing);
    CHECK(gt_backbone_create(&backbone, &given, config, &error) == GT_OK);
    for (int k = 0; k < n_outputs; k++) {
        gt_shape shape = net->graph.nodes[outputs[k]].shape;
        gt_shape own = graph.nodes[graph.outputs[k]].shape;
        CHECK(own.height == shape.height && own.width == shape.width &&
              own.channels == shape.channels);
        results[k] = malloc((size_t)(IMAGES * gt_shape_size(shape)) * sizeof(float));
    }
    CHECK(gt_backbone_run(backbone, images, IMAGES, results, &error) == GT_OK);
    for (int k = 0; k < n_outputs; k++) {
        int64_t size = IMAGES * gt_shape_size(net->graph.nodes[outputs[k]].shape);
        const float *value = expected.values[outputs[k]];
        CHECK_CLOSE(gt_distance(found.values[graph.outputs[k]], value, size), 0.0, 1e-5);
        CHECK_CLOSE(gt_distance(results[k], value, size), 0.0, 1e-5);
        free(results[k]);
    }
    gt_backbone_free(backbone);
    gt_twin_clear(&found);
    gt_twin_clear(&expected);
    return graph;
}

/* Operations in order, one letter each. */
static int
is(const gt_graph *graph, const char *letters)
{
    static const char letter[] = "ICBbRMA|+GgFDS"; /* in the order of gt_op */
    int same = (int)strlen(letters) == graph->count;
    for (int i = 0; same && i < graph->count; i++) {
        same = letter[graph->nodes[i].op] == letters[i];
    }
    if (!same) {
        fprintf(stderr, "    expected %s, found", letters);
        for (int i = 0; i < graph->count; i++) {
            fprintf(stderr, " %s", gt_op_name(graph->nodes[i].op));
        }
        fprintf(stderr, "\n");
    }
    return same;
}

static gt_node
relu(float limit)
{
    gt_node node;
    gt_node_init(&node, GT_OP_RELU);
    node.activation.high = limit;
    return node;
}

static gt_node
bias(gt_net *net, int from)
{
    gt_node node;
    gt_node_init(&node, GT_OP_BIAS);
    node.arrays[GT_BIAS] = gt_net_vector(net, net->graph.nodes[from].shape.channels, -0.5, 0.5);
    return node;
}

static int
conv(gt_net *net, int from, int size, int out)
{
    return gt_net_add(net, gt_net_conv(net, from, size, size, out, 1), NULL, from);
}

/* --- prune --------------------------------------------------------------------------------- */

static void
test_prune(void)
{
    gt_net net;
    start(&net);
    int a = conv(&net, 0, 1, 4);
    int b = conv(&net, 0, 3, 5);
    int c = conv(&net, b, 1, 3);
    (void)gt_net_join(&net, GT_OP_CONCAT, "unwanted", (int[]){a, c}, 2);
    gt_graph graph = optimized(&net, (int[]){c}, 1);
    CHECK(is(&graph, "ICC") && graph.nodes[2].inputs[0] == 1 && graph.outputs[0] == 2);
    CHECK(gt_graph_find(&graph, "unwanted") == -1);
    gt_graph_clear(&graph);
    graph = optimized(&net, (int[]){0}, 1);
    CHECK(is(&graph, "I"));
    gt_graph_clear(&graph);
    graph = optimized(&net, (int[]){c, a, c, 0}, 4);
    CHECK(is(&graph, "ICCC") && graph.outputs[0] == 3 && graph.outputs[1] == 1 &&
          graph.outputs[3] == 0);
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

/* --- fold ---------------------------------------------------------------------------------- */

static void
test_fold_into_a_convolution(void)
{
    gt_net net;
    start(&net);
    gt_node with_bias = gt_net_conv(&net, 0, 3, 3, 5, 1);
    with_bias.arrays[GT_BIAS] = gt_net_vector(&net, 5, -1.0, 1.0);
    int a = gt_net_add(&net, with_bias, "conv", 0);
    int b = gt_net_add(&net, gt_net_batch_norm(&net, a), "norm", a);
    int c = gt_net_add(&net, bias(&net, b), "bias", b);
    int d = gt_net_add(&net, gt_net_batch_norm(&net, c), "norm_2", c);
    gt_graph graph = optimized(&net, (int[]){d}, 1);
    CHECK(is(&graph, "IC") && graph.nodes[1].scale != NULL && graph.outputs[0] == 1);
    CHECK(strcmp(graph.nodes[1].name, "conv") == 0);
    gt_graph_clear(&graph);
    graph = optimized(&net, (int[]){b, d}, 2);
    CHECK(is(&graph, "ICC") && graph.nodes[2].groups == 5); /* the tapped one stays as it is */
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

static void
test_fold_without_gamma_or_beta(void)
{
    for (int missing = 0; missing < 3; missing++) {
        gt_net net;
        start(&net);
        int a = conv(&net, 0, 1, 3);
        gt_node norm = gt_net_batch_norm(&net, a);
        norm.arrays[GT_GAMMA].data = missing != 1 ? NULL : norm.arrays[GT_GAMMA].data;
        norm.arrays[GT_BETA].data = missing != 0 ? NULL : norm.arrays[GT_BETA].data;
        int b = gt_net_add(&net, norm, NULL, a);
        gt_graph graph = optimized(&net, (int[]){b}, 1);
        CHECK(is(&graph, "IC"));
        gt_graph_clear(&graph);
        gt_net_clear(&net);
    }
}

static void
test_fold_into_grouped_and_dense(void)
{
    gt_net net;
    start(&net);
    int a = gt_net_add(&net, gt_net_conv(&net, 0, 3, 3, 12, 3), NULL, 0);
    int b = gt_net_add(&net, gt_net_batch_norm(&net, a), NULL, a);
    int c = gt_net_plain(&net, GT_OP_GLOBAL_AVERAGE_POOL, NULL, b);
    gt_node dense;
    gt_node_init(&dense, GT_OP_DENSE);
    dense.arrays[GT_KERNEL] = gt_net_matrix(&net, 12, 4);
    int d = gt_net_add(&net, dense, NULL, c);
    int e = gt_net_add(&net, gt_net_batch_norm(&net, d), NULL, d);
    int f = gt_net_add(&net, relu(INFINITY), NULL, e);
    gt_graph graph = optimized(&net, (int[]){f}, 1);
    CHECK(is(&graph, "ICGD") && graph.nodes[3].activation.low == 0.0f &&
          graph.nodes[1].groups == 3);
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

static void
test_fold_where_no_convolution_is_before(void)
{
    gt_net net;
    start(&net);
    int a = gt_net_add(&net, gt_net_batch_norm(&net, 0), "first", 0);
    int b = gt_net_add(&net, bias(&net, a), NULL, a); /* folds into what the first became */
    int c = gt_net_add(&net, gt_net_pool(GT_OP_MAX_POOL, 2, 1, GT_PAD_SAME), NULL, b);
    int d = gt_net_add(&net, bias(&net, c), "after_pool", c);
    int e = gt_net_add(&net, relu(INFINITY), NULL, d);
    gt_graph graph = optimized(&net, (int[]){e}, 1);
    CHECK(is(&graph, "ICMC") && graph.nodes[1].groups == CHANNELS);
    CHECK(graph.nodes[3].groups == CHANNELS && graph.nodes[3].activation.low == 0.0f);
    CHECK(graph.nodes[1].arrays[GT_GAMMA].data == NULL);
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

static void
test_fold_on_one_channel(void)
{
    gt_net net;
    start(&net);
    int a = conv(&net, 0, 1, 1);
    int b = gt_net_add(&net, relu(INFINITY), NULL, a);
    int c = gt_net_add(&net, gt_net_batch_norm(&net, b), NULL, b);
    gt_graph graph = optimized(&net, (int[]){c}, 1);
    CHECK(is(&graph, "ICC"));
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

static void
test_fold_keeps_what_others_read(void)
{
    gt_net net;
    start(&net);
    int a = conv(&net, 0, 3, 4);
    int b = gt_net_add(&net, gt_net_batch_norm(&net, a), NULL, a);
    int c = gt_net_add(&net, gt_net_batch_norm(&net, a), NULL, a);
    int d = gt_net_join(&net, GT_OP_ADD, NULL, (int[]){b, c}, 2);
    gt_graph graph = optimized(&net, (int[]){d}, 1);
    CHECK(is(&graph, "ICCC+"));
    gt_graph_clear(&graph);
    graph = optimized(&net, (int[]){a, b}, 2); /* tapped before and after */
    CHECK(is(&graph, "ICC") && graph.outputs[0] == 1 && graph.outputs[1] == 2);
    gt_graph_clear(&graph);
    graph = optimized(&net, (int[]){b}, 1); /* the other reader is pruned first */
    CHECK(is(&graph, "IC"));
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

static void
test_channels_without_finite_scale(void)
{
    static const float zero[3] = {1.0f, 0.0f, 1.0f};
    static const float nan_mean[3] = {0.0f, 0.0f, NAN};
    static const float negative[3] = {-1.0f, 1.0f, 1.0f};
    for (int fault = 0; fault < 5; fault++) {
        gt_net net;
        start(&net);
        gt_node first = gt_net_conv(&net, 0, 1, 1, 3, 1);
        if (fault == 4) {
            first.arrays[GT_BIAS] = (gt_array){.data = nan_mean, .rank = 1, .shape = {3}};
        }
        int before = gt_net_add(&net, first, "conv", 0);
        if (fault == 3) {
            before = gt_net_plain(&net, GT_OP_RELU, NULL, before);
        }
        gt_node norm = gt_net_batch_norm(&net, before);
        norm.epsilon = 0.0;
        if (fault != 4) {
            gt_role role = fault == 1 ? GT_MEAN : GT_VARIANCE;
            norm.arrays[role].data = fault == 1 ? nan_mean : fault == 2 ? negative : zero;
        }
        int after = gt_net_add(&net, norm, "norm", before);
        gt_graph graph = gt_net_graph(&net, &after, 1);
        CHECK(gt_optimize(&graph, GT_PRECISION_FLOAT32, &error) == GT_ERROR_GRAPH);
        CHECK(says(fault == 4 ? "layer 'conv'" : "layer 'norm'") && says("finite"));
        CHECK(says(fault == 1 || fault == 4 ? "channel 2"
                   : fault == 2             ? "channel 0"
                                            : "channel 1"));
        gt_graph_clear(&graph);
        gt_net_clear(&net);
    }
}

/* --- ReLU ---------------------------------------------------------------------------------- */

static void
test_fuse_relu(void)
{
    static const float limits[] = {INFINITY, 6.0f, 0.25f};
    for (int i = 0; i < 3; i++) {
        gt_net net;
        start(&net);
        int a = conv(&net, 0, 3, 5);
        int b = gt_net_add(&net, relu(limits[i]), NULL, a);
        int c = gt_net_add(&net, relu(0.1f), NULL, b); /* only one fits */
        gt_graph graph = optimized(&net, (int[]){b}, 1);
        CHECK(is(&graph, "IC") && graph.nodes[1].activation.low == 0.0f &&
              graph.nodes[1].activation.high == limits[i]);
        gt_graph_clear(&graph);
        graph = optimized(&net, (int[]){a, b, c}, 3);
        CHECK(is(&graph, "ICRR") && graph.nodes[1].activation.low < 0.0f);
        gt_graph_clear(&graph);
        graph = optimized(&net, (int[]){c}, 1);
        CHECK(is(&graph, "ICR") && graph.nodes[1].activation.low == 0.0f);
        gt_graph_clear(&graph);
        gt_net_clear(&net);
    }
}

static void
test_relu_of_what_cannot_apply_it(void)
{
    gt_net net;
    start(&net);
    int a = gt_net_add(&net, relu(0.5f), NULL, 0);
    int b = gt_net_join(&net, GT_OP_ADD, NULL, (int[]){a, 0}, 2);
    int c = gt_net_add(&net, relu(0.75f), NULL, b);
    int d = gt_net_join(&net, GT_OP_CONCAT, NULL, (int[]){c, a}, 2);
    int e = gt_net_plain(&net, GT_OP_RELU, NULL, d);
    gt_graph graph = optimized(&net, (int[]){e}, 1);
    CHECK(is(&graph, "IR+|R") && graph.nodes[2].activation.low == 0.0f &&
          graph.nodes[2].activation.high == 0.75f);
    gt_graph_clear(&graph);
    graph = optimized(&net, (int[]){b, e}, 2);
    CHECK(is(&graph, "IR+R|R") && graph.nodes[2].activation.low < 0.0f);
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

/* A batch normalisation after a ReLU must not move before it. */
static void
test_fold_stops_at_a_relu(void)
{
    gt_net net;
    start(&net);
    int a = conv(&net, 0, 1, 4);
    int b = gt_net_add(&net, relu(INFINITY), NULL, a);
    int c = gt_net_add(&net, gt_net_batch_norm(&net, b), NULL, b);
    int d = gt_net_add(&net, relu(INFINITY), NULL, c);
    gt_graph graph = optimized(&net, (int[]){d}, 1);
    CHECK(is(&graph, "ICC") && graph.nodes[1].activation.low == 0.0f &&
          graph.nodes[2].activation.low == 0.0f);
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

/* --- average pools ------------------------------------------------------------------------- */

/* input -> pool -> 1x1 convolution (-> batch_norm -> ReLU); the order afterwards. */
static void
commutes(gt_node pool, int out, int kernel, int strides, const char *order)
{
    gt_net net;
    start(&net);
    int a = gt_net_add(&net, pool, "pool", 0);
    gt_node one = gt_net_conv(&net, a, kernel, kernel, out, 1);
    one.window.strides[0] = one.window.strides[1] = strides;
    int b = gt_net_add(&net, one, "conv", a);
    int c = gt_net_add(&net, gt_net_batch_norm(&net, b), "norm", b);
    int d = gt_net_add(&net, relu(0.5f), "relu", c);
    gt_graph graph = optimized(&net, (int[]){d}, 1);
    CHECK(is(&graph, order));
    if (graph.count == 3) {
        const gt_node *last = &graph.nodes[2];
        CHECK(last->activation.low == 0.0f && last->activation.high == 0.5f &&
              graph.nodes[1].activation.low < 0.0f);
        CHECK(last->inputs[0] == 1 && graph.nodes[1].inputs[0] == 0);
    }
    gt_graph_clear(&graph);
    graph = optimized(&net, (int[]){b}, 1); /* without a ReLU */
    CHECK(is(&graph, order));
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

static void
test_commute_average_pools(void)
{
    gt_node same = gt_net_pool(GT_OP_AVERAGE_POOL, 3, 1, GT_PAD_SAME);
    gt_node valid = gt_net_pool(GT_OP_AVERAGE_POOL, 3, 1, GT_PAD_VALID);
    gt_node counted = same;
    gt_node counted_valid = valid;
    gt_node uneven = gt_net_pool(GT_OP_AVERAGE_POOL, 2, 1, GT_PAD_EXPLICIT);
    counted.window.count_padding = true;
    counted_valid.window.count_padding = true;
    uneven.window.before[0] = uneven.window.after[1] = 1;
    commutes(same, 4, 1, 1, "ICA");
    commutes(valid, 4, 1, 1, "ICA");
    commutes(uneven, 4, 1, 1, "ICA");
    commutes(counted_valid, 4, 1, 1, "ICA");
    commutes(counted, 4, 1, 1, "IAC");
    commutes(same, CHANNELS, 1, 1, "IAC"); /* nothing to gain */
    commutes(same, 9, 1, 1, "IAC");
    commutes(same, 4, 3, 1, "IAC");
    commutes(same, 4, 1, 2, "IAC");
    commutes(gt_net_pool(GT_OP_AVERAGE_POOL, 3, 2, GT_PAD_SAME), 4, 1, 1, "IAC");
    commutes(gt_net_pool(GT_OP_MAX_POOL, 3, 1, GT_PAD_SAME), 4, 1, 1, "IMC");
}

static void
test_pools_that_others_read_stay(void)
{
    gt_net net;
    start(&net);
    int a = gt_net_add(&net, gt_net_pool(GT_OP_AVERAGE_POOL, 3, 1, GT_PAD_SAME), "pool", 0);
    int b = conv(&net, a, 1, 2);
    int c = conv(&net, a, 1, 3);
    int grouped = gt_net_add(&net, gt_net_conv(&net, a, 1, 1, 2, 2), NULL, a);
    gt_graph graph = optimized(&net, (int[]){b, c}, 2);
    CHECK(is(&graph, "IACC"));
    gt_graph_clear(&graph);
    graph = optimized(&net, (int[]){a, b}, 2); /* tapped */
    CHECK(is(&graph, "IAC"));
    gt_graph_clear(&graph);
    graph = optimized(&net, (int[]){grouped}, 1);
    CHECK(is(&graph, "IAC"));
    gt_graph_clear(&graph);
    graph = optimized(&net, (int[]){c}, 1);
    CHECK(is(&graph, "ICA") && graph.outputs[0] == 2);
    CHECK(strcmp(graph.nodes[1].name, "node_3") == 0 && strcmp(graph.nodes[2].name, "pool") == 0);
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

/* The block of Inception: pool -> 1x1 beside others, joined, twice; the middle is tapped. */
static void
test_passes_together(void)
{
    gt_net net;
    int tapped[2] = {0, 0};
    int from = 0;
    start(&net);
    for (int block = 0; block < 2; block++) {
        int pooled =
            gt_net_add(&net, gt_net_pool(GT_OP_AVERAGE_POOL, 3, 1, GT_PAD_SAME), NULL, from);
        int branches[3] = {pooled, from, from};
        for (int k = 0; k < 3; k++) {
            int a = conv(&net, branches[k], k == 2 ? 3 : 1, 3 + k);
            a = gt_net_add(&net, gt_net_batch_norm(&net, a), NULL, a);
            branches[k] = gt_net_plain(&net, GT_OP_RELU, NULL, a);
        }
        from = gt_net_join(&net, GT_OP_CONCAT, NULL, branches, 3);
        tapped[block] = from;
    }
    gt_graph graph = optimized(&net, tapped, 2);
    CHECK(is(&graph, "ICACC|CACC|"));
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

int
main(void)
{
    RUN(test_prune);
    RUN(test_fold_into_a_convolution);
    RUN(test_fold_without_gamma_or_beta);
    RUN(test_fold_into_grouped_and_dense);
    RUN(test_fold_where_no_convolution_is_before);
    RUN(test_fold_on_one_channel);
    RUN(test_fold_keeps_what_others_read);
    RUN(test_channels_without_finite_scale);
    RUN(test_fuse_relu);
    RUN(test_relu_of_what_cannot_apply_it);
    RUN(test_fold_stops_at_a_relu);
    RUN(test_commute_average_pools);
    RUN(test_pools_that_others_read_stay);
    RUN(test_passes_together);
    return check_report();
}
