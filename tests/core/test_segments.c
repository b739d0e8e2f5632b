/* Networks cut at their cut nodes, and int8 that learns its ranges segment by segment. */
#include "graph/segments.h"
#include "trial.h"

enum { WIDE = 1500 }; /* channels, so that a kernel of WIDE x WIDE has 9 MB */

static int
add_wide(gt_net *net, int from)
{
    return gt_net_add(net, gt_net_conv(net, from, 1, 1, WIDE, 1), NULL, from);
}

/* Four wide layers, of which the third has another way around it; outputs: the first two cut nodes
 * and the end. */
static void
start_wide_net(gt_net *net, int outputs[3])
{
    gt_net_start(net, 2, 1, 8);
    int a = gt_net_plain(net, GT_OP_RELU, "a", add_wide(net, 0));
    int b = gt_net_plain(net, GT_OP_RELU, "b", add_wide(net, a));
    int c = add_wide(net, b);
    int d = gt_net_join(net, GT_OP_ADD, "d", (int[]){b, c}, 2);
    int e = gt_net_add(net, gt_net_conv(net, d, 1, 1, 24, 1), "e", d);
    int f = gt_net_plain(net, GT_OP_RELU, "f", add_wide(net, e));
    int g = add_wide(net, f);
    int h = gt_net_plain(net, GT_OP_GLOBAL_AVERAGE_POOL, "h", g);
    memcpy(outputs, (int[]){b, e, h}, 3 * sizeof(int));
}

static void
verify_segment(const gt_graph *network, int first, const char *end, const int *wanted, int n)
{
    gt_segment segment = {.first = -1};
    CHECK(gt_segment_cut(&segment, network, first, 16, &error) == GT_OK);
    int last = gt_segment_end(&segment);
    CHECK(last == gt_graph_find(network, end) && segment.graph.count == last - first + 1);
    CHECK(segment.graph.nodes[0].op == GT_OP_INPUT);
    CHECK(segment.graph.nodes[0].shape.channels == network->nodes[first].shape.channels);
    for (int i = 1; i < segment.graph.count; i++) {
        const gt_node *node = &segment.graph.nodes[i];
        const gt_node *own = &network->nodes[first + i];
        CHECK(node->name == own->name && node->n_inputs == own->n_inputs);
        for (int k = 0; k < node->n_inputs; k++) {
            CHECK(node->inputs[k] >= 0 && node->inputs[k] == own->inputs[k] - first);
        }
    }
    CHECK(segment.graph.n_outputs == n);
    for (int k = 0; k < n && k < segment.graph.n_outputs; k++) {
        int node = first + segment.graph.outputs[k];
        CHECK(segment.wanted[k] == wanted[k]);
        CHECK(node == (wanted[k] < 0 ? last : network->outputs[wanted[k]]));
    }
    gt_segment_clear(&segment);
    CHECK(segment.graph.nodes == NULL);
    gt_segment_clear(&segment);
}

static void
test_cuts(void)
{
    gt_net net;
    int outputs[3];
    start_wide_net(&net, outputs);
    gt_graph graph = gt_net_graph(&net, outputs, 3);
    verify_segment(&graph, 0, "b", (int[]){0, -1}, 2);
    verify_segment(&graph, gt_graph_find(&graph, "b"), "f", (int[]){1, -1}, 2);
    verify_segment(&graph, gt_graph_find(&graph, "f"), "h", (int[]){2}, 1);
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

/* Of so many images no cut node is small enough to be kept. */
static void
test_many_images_are_one_segment(void)
{
    gt_net net;
    int outputs[3];
    gt_segment segment;
    start_wide_net(&net, outputs);
    gt_graph graph = gt_net_graph(&net, outputs, 3);
    CHECK(gt_segment_cut(&segment, &graph, 0, 1000000, &error) == GT_OK);
    CHECK(gt_segment_end(&segment) == graph.count - 1 && segment.graph.n_outputs == 3);
    gt_segment_clear(&segment);
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

/* The largest of a layer's numbers. */
static float
largest_of(const trial *job, const char *layer)
{
    int index = gt_graph_find(&job->net->graph, layer);
    float largest = 0.0f;
    for (int64_t i = 0; i < MAX * gt_shape_size(job->net->graph.nodes[index].shape); i++) {
        largest = fmaxf(largest, fabsf(job->twin.values[index][i]));
    }
    return largest;
}

static void
test_ranges_of_every_segment(void)
{
    gt_net net;
    trial job;
    int outputs[3];
    float *results[3];
    start_wide_net(&net, outputs);
    start_trial(&job, &net, outputs, 3);
    gt_graph graph = gt_net_graph(&net, outputs, 3);
    gt_backbone_config config = {.threads = 2,
                                 .sub_batch = 2,
                                 .preprocessing = preprocessing,
                                 .precision = GT_PRECISION_INT8};
    CHECK(gt_backbone_create(&job.backbone, &graph, config, &error) == GT_OK);
    for (int k = 0; k < 3; k++) {
        results[k] = malloc((size_t)(MAX * gt_shape_size(net.graph.nodes[outputs[k]].shape)) *
                            sizeof(float));
    }
    CHECK(gt_backbone_calibrate(job.backbone, job.images, MAX, results, &error) == GT_OK);
    for (int k = 0; k < 3; k++) {
        int64_t size = MAX * gt_shape_size(net.graph.nodes[outputs[k]].shape);
        CHECK_CLOSE(gt_distance(results[k], job.twin.values[outputs[k]], size), 0.0, 2e-5);
    }
    for (int i = 1; i < gt_backbone_range_count(job.backbone); i++) {
        gt_range range = gt_backbone_range(job.backbone, i);
        float largest = largest_of(&job, range.layer);
        CHECK(range.range > 0.5f * largest && range.range <= largest * 1.05f);
    }
    for (int count = 1; count <= MAX; count += 5) {
        CHECK_CLOSE(distance_of_run(&job, count), 0.0, 0.05);
    }
    for (int k = 0; k < 3; k++) {
        free(results[k]);
    }
    gt_graph_clear(&graph);
    end_trial(&job);
    gt_net_clear(&net);
}

int
main(void)
{
    RUN(test_cuts);
    RUN(test_many_images_are_one_segment);
    RUN(test_ranges_of_every_segment);
    return check_report();
}
