/* Functions of one number: as a convolution applies them, and as layers of their own. */
#include "older.h"
#include "plans.h"

/* So many channels fill up blocks, or do not. */
static const int channels[] = {16, 17, 1};

static gt_node
function_node(gt_function function)
{
    gt_node node;
    gt_node_init(&node, GT_OP_ACTIVATION);
    gt_activation_start(&node.activation, function);
    if (function == GT_ELU) {
        node.activation.alpha = 0.7f;
    }
    return node;
}

static gt_node
clip_node(float low, float high)
{
    gt_node node;
    gt_node_init(&node, GT_OP_CLIP);
    node.activation.low = low;
    node.activation.high = high;
    return node;
}

/* Of numbers of which it stays within bounds. */
static int
add_function(gt_net *net, gt_node node, int from)
{
    if (node.activation.function == GT_SQRT || node.activation.function == GT_EXP) {
        from = gt_net_add(net, function_node(GT_SIGMOID), NULL, from);
    }
    return gt_net_add(net, node, NULL, from);
}

static int
convolve(gt_net *net, int from, int size, int out, int groups)
{
    gt_node node = gt_net_conv(net, from, size, size, out, groups);
    node.arrays[GT_BIAS] = gt_net_vector(net, out, -0.5, 0.5);
    return gt_net_add(net, node, NULL, from);
}

/* After a convolution of each kind, after a pool, after a dense layer. */
static void
verify_function(gt_node node, int n, const char *what)
{
    gt_net net;
    gt_net_start(&net, 9, 7, 3);
    int a = add_function(&net, node, convolve(&net, 0, 3, n, 1));
    int b = add_function(&net, node, convolve(&net, a, 3, n, n));
    int c = add_function(&net, node, convolve(&net, b, 1, n, 1));
    int d = gt_net_add(&net, gt_net_pool(GT_OP_MAX_POOL, 3, 2, GT_PAD_SAME), NULL, c);
    int e = add_function(&net, node, d);
    int f = convolve(&net, e, 1, 5, 1);
    int g = gt_net_plain(&net, GT_OP_GLOBAL_AVERAGE_POOL, NULL, f);
    gt_node dense;
    gt_node_init(&dense, GT_OP_DENSE);
    dense.arrays[GT_KERNEL] = gt_net_matrix(&net, 5, 6);
    int h = add_function(&net, node, gt_net_add(&net, dense, NULL, g));
    verify_plans(&net, (int[]){e, h}, 2, (plan_bounds){3e-5, 0.06, 0.25}, what);
    gt_net_clear(&net);
}

static void
test_functions(void)
{
    for (int function = GT_LEAKY_RELU; function < GT_FUNCTION_COUNT; function++) {
        int i = function % 3;
        char what[32];
        (void)snprintf(what, sizeof(what), "function %d", function);
        verify_function(function_node((gt_function)function), channels[i], what);
        if (function == GT_SIGMOID || function == GT_EXP || function == GT_HARD_SIGMOID) {
            verify_function(function_node((gt_function)function), 17, what); /* f(0) is not 0 */
        }
    }
}

static void
test_clips(void)
{
    for (int i = 0; i < 3; i++) {
        verify_function(clip_node(-0.5f, 0.75f), channels[i], "clip");
        verify_function(clip_node(0.25f, INFINITY), channels[i], "clip from above zero");
        verify_function(clip_node(-INFINITY, -0.125f), channels[i], "clip to below zero");
        verify_function(clip_node(-INFINITY, INFINITY), channels[i], "no clip");
    }
}

/* Slopes of each channel, after what lies in blocks and after the photographs. */
static void
test_slopes(void)
{
    for (int i = 0; i < 3; i++) {
        gt_net net;
        gt_node node;
        gt_net_start(&net, 5, 8, 3);
        int a = convolve(&net, 0, 3, channels[i], 1);
        gt_node_init(&node, GT_OP_PRELU);
        node.arrays[GT_ALPHA] = gt_net_vector(&net, channels[i], -0.5, 0.5);
        int b = gt_net_add(&net, node, NULL, a);
        node.arrays[GT_ALPHA] = gt_net_vector(&net, 3, -0.5, 0.5);
        int c = gt_net_add(&net, node, NULL, 0);
        int d = convolve(&net, b, 1, 4, 1);
        verify_plans(&net, (int[]){b, c, d}, 3, (plan_bounds){1e-5, 0.03, 0.1}, "prelu");
        gt_net_clear(&net);
    }
}

static void
count_elementwise(void *context, const gt_step *step)
{
    *(int *)context +=
        strcmp(step->operation, "elementwise") == 0 || strcmp(step->operation, "binary") == 0;
}

/* Steps of their own that those functions of a convolution take. */
static int
steps_of(gt_node node)
{
    gt_net net;
    trial job;
    int count = 0;
    gt_net_start(&net, 9, 7, 3);
    int a = gt_net_add(&net, node, NULL, convolve(&net, 0, 3, 16, 1));
    int b = gt_net_add(&net, node, NULL, convolve(&net, a, 3, 16, 16));
    start_trial(&job, &net, &b, 1);
    job.backbone = make_plan(&job, GT_PRECISION_FLOAT32, 1);
    CHECK(gt_backbone_visit_steps(job.backbone, count_elementwise, &count, &error) == GT_OK);
    end_trial(&job);
    gt_net_clear(&net);
    return count;
}

static void
test_convolutions_apply_functions(void)
{
    for (int function = GT_LEAKY_RELU; function < GT_FUNCTION_COUNT; function++) {
        CHECK(steps_of(function_node((gt_function)function)) == (function == GT_SOFTSIGN ? 2 : 0));
    }
    CHECK(steps_of(clip_node(-1.0f, 1.0f)) == 0);
}

static void
test_what_is_refused(void)
{
    gt_net net;
    int index = -1;
    gt_net_start(&net, 5, 4, 6);
    gt_node nodes[3] = {clip_node(1.0f, -1.0f), function_node(GT_ELU), clip_node(0.0f, 1.0f)};
    nodes[1].activation.alpha = NAN;
    gt_node_init(&nodes[2], GT_OP_PRELU);
    nodes[2].arrays[GT_ALPHA] = gt_net_vector(&net, 5, 0.0, 1.0);
    static const char *const reasons[] = {"bounds 1 and -1", "alpha", "alpha must have shape (6,)"};
    for (int i = 0; i < 3; i++) {
        gt_graph graph = gt_net_graph(&net, &(int){0}, 1);
        CHECK(gt_graph_add(&graph, &nodes[i], "bad", &(int){0}, 1, &index, &error) == GT_OK);
        CHECK(gt_graph_infer_shapes(&graph, 5, 4, &error) == GT_ERROR_GRAPH);
        CHECK(strstr(error.message, "'bad'") != NULL && strstr(error.message, reasons[i]) != NULL);
        gt_graph_clear(&graph);
    }
    gt_net_clear(&net);
}

static void
test_all(void)
{
    RUN(test_functions);
    RUN(test_clips);
    RUN(test_slopes);
}

int
main(void)
{
    check_on_older(dnnl_cpu_isa_avx512_core, test_all); /* first: oneDNN is not asked yet */
    check_on_older(dnnl_cpu_isa_avx2, test_all);
    check_on_older(dnnl_cpu_isa_sse41, test_all);
    test_all();
    RUN(test_convolutions_apply_functions);
    RUN(test_what_is_refused);
    return check_report();
}
