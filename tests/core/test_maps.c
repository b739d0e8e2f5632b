/* Operations that join, move, reduce, resize or normalise maps, in every precision, between
 * convolutions. */
#include <limits.h>

#include "older.h"
#include "plans.h"

static const gt_shape shapes[] = {{7, 5, 16}, {9, 8, 17}, {1, 1, 1}, {1, 1, 33}, {4, 6, 8}};

enum { N_SHAPES = sizeof(shapes) / sizeof(*shapes) };

static const plan_bounds close_ones = {1e-5, 0.03, 0.15};

static int
convolve(gt_net *net, int from, int out)
{
    gt_node node = gt_net_conv(net, from, 1, 1, out, 1);
    node.arrays[GT_BIAS] = gt_net_vector(net, out, -0.5, 0.5);
    return gt_net_add(net, node, NULL, from);
}

/* A network of that shape whose last node is a convolution. */
static int
start(gt_net *net, gt_shape shape)
{
    gt_net_start(net, shape.height, shape.width, 3);
    return convolve(net, 0, shape.channels);
}

/* The node after the first convolution, and another convolution after it. */
static void
verify_node(gt_node node, gt_shape shape, const char *what)
{
    gt_net net;
    int a = start(&net, shape);
    int b = gt_net_add(&net, node, NULL, a);
    int c = convolve(&net, b, 6);
    verify_plans(&net, (int[]){b, c}, 2, close_ones, what);
    gt_net_clear(&net);
}

static gt_node
node_of(gt_op op)
{
    gt_node node;
    gt_node_init(&node, op);
    return node;
}

/* --- two operands -------------------------------------------------------------------------- */

static gt_array
constant_array(gt_net *net, gt_shape shape)
{
    gt_array array = gt_net_vector(net, (int)gt_shape_size(shape), 0.5, 1.5);
    array.rank = 3;
    array.shape[0] = shape.height;
    array.shape[1] = shape.width;
    array.shape[2] = shape.channels;
    return array;
}

static void
verify_broadcast(gt_op op, gt_shape shape, gt_shape other)
{
    gt_net net;
    int a = start(&net, shape);
    gt_node node = node_of(GT_OP_CONSTANT);
    node.arrays[GT_VALUE] = constant_array(&net, other);
    int index = -1;
    CHECK(gt_graph_add(&net.graph, &node, "constant", NULL, 0, &index, &error) == GT_OK);
    CHECK(gt_graph_infer_shapes(&net.graph, net.height, net.width, &error) == GT_OK);
    int b = gt_net_join(&net, op, NULL, (int[]){a, index}, 2);
    gt_node relu = node_of(GT_OP_RELU);
    relu.activation.high = 1.0f;
    int c = gt_net_add(&net, relu, NULL, b);
    int outputs[3] = {c, c, c};
    if (op != GT_OP_DIVIDE) { /* by a number near zero */
        outputs[1] = gt_net_join(&net, op, NULL, (int[]){index, a}, 2);
    }
    outputs[2] = convolve(&net, outputs[1], 6);
    verify_plans(&net, outputs, 3, close_ones, gt_op_name(op));
    gt_net_clear(&net);
}

static void
test_two_operands(void)
{
    static const gt_op ops[] = {GT_OP_ADD,    GT_OP_MULTIPLY, GT_OP_SUBTRACT,
                                GT_OP_DIVIDE, GT_OP_MAXIMUM,  GT_OP_MINIMUM};
    for (int i = 0; i < N_SHAPES; i++) {
        gt_shape whole = shapes[i];
        const gt_shape others[] = {whole,
                                   {1, 1, whole.channels},
                                   {whole.height, whole.width, 1},
                                   {1, 1, 1},
                                   {whole.height, 1, whole.channels},
                                   {1, whole.width, whole.channels}};
        for (int k = 0; k < 6; k++) {
            if (check_runs(i * 6 + k, 5)) {
                verify_broadcast(ops[(i + k) % 6], whole, others[k]);
            }
        }
    }
}

/* Each side is repeated along an axis of the other; and two convolutions, as blocks end. */
static void
test_both_sides(void)
{
    for (int i = 0; i < N_SHAPES; i++) {
        gt_net net;
        int a = start(&net, shapes[i]);
        int b = convolve(&net, 0, shapes[i].channels);
        gt_node pool = gt_net_pool(GT_OP_MAX_POOL, 1, 1, GT_PAD_VALID);
        pool.window.size[0] = shapes[i].height;
        int row = gt_net_add(&net, pool, NULL, a);
        pool.window.size[0] = 1;
        pool.window.size[1] = shapes[i].width;
        int column = gt_net_add(&net, pool, NULL, b);
        int both = gt_net_join(&net, GT_OP_MULTIPLY, NULL, (int[]){row, column}, 2);
        int gate = gt_net_plain(&net, GT_OP_GLOBAL_AVERAGE_POOL, NULL, a);
        int gated = gt_net_join(&net, GT_OP_MULTIPLY, NULL, (int[]){gate, a}, 2);
        int sum = gt_net_plain(&net, GT_OP_RELU, NULL,
                               gt_net_join(&net, GT_OP_ADD, NULL, (int[]){gated, b}, 2));
        int last = convolve(&net, sum, 5);
        verify_plans(&net, (int[]){both, sum, last}, 3, close_ones, "both sides");
        gt_net_clear(&net);
    }
}

static void
count_sums(void *context, const gt_step *step)
{
    *(int *)context +=
        strcmp(step->operation, "binary") == 0 || strcmp(step->operation, "sum") == 0;
}

/* The end of a residual block: a shortcut, of a convolution or not, and a ReLU or none.  Steps that
 * only add. */
static int
verify_residual(gt_shape shape, int size, bool projects, bool ends_in_relu)
{
    gt_net net;
    trial job;
    int count = 0;
    int from = start(&net, shape);
    int first = gt_net_plain(&net, GT_OP_RELU, NULL, from);
    gt_node conv = gt_net_conv(&net, first, size, size, shape.channels, 1);
    int other = projects ? convolve(&net, first, shape.channels) : first;
    int sum =
        gt_net_join(&net, GT_OP_ADD, NULL, (int[]){gt_net_add(&net, conv, NULL, first), other}, 2);
    int last = ends_in_relu ? gt_net_plain(&net, GT_OP_RELU, NULL, sum) : sum;
    int end = convolve(&net, last, 6);
    verify_plans(&net, (int[]){last, end}, 2, close_ones, "residual");
    start_trial(&job, &net, &end, 1);
    job.backbone = make_plan(&job, GT_PRECISION_FLOAT32, 1);
    CHECK(gt_backbone_visit_steps(job.backbone, count_sums, &count, &error) == GT_OK);
    end_trial(&job);
    gt_net_clear(&net);
    return count;
}

/* Convolutions add, but to maps of one pixel; with older instructions not all of them do. */
static void
test_residuals(void)
{
    bool is_new = gt_processor_has(dnnl_cpu_isa_avx512_core);
    for (int i = 0; i < 4 * N_SHAPES; i++) {
        gt_shape shape = shapes[i / 4];
        int steps = verify_residual(shape, 1 + i % 3, i % 2 > 0, i / 2 % 2 > 0);
        CHECK(steps == (shape.height * shape.width > 1 ? 0 : 1) || (!is_new && steps == 1));
    }
}

/* More than two, and the same one twice. */
static void
test_sums(void)
{
    for (int i = 0; i < N_SHAPES; i++) {
        gt_net net;
        int a = start(&net, shapes[i]);
        int b = convolve(&net, 0, shapes[i].channels);
        int twice = gt_net_join(&net, GT_OP_ADD, NULL, (int[]){b, b}, 2);
        int many = gt_net_join(&net, GT_OP_ADD, NULL, (int[]){a, twice, a}, 3);
        int last = convolve(&net, gt_net_plain(&net, GT_OP_RELU, NULL, many), 3);
        verify_plans(&net, (int[]){many, last}, 2, close_ones, "sums");
        gt_net_clear(&net);
    }
}

/* --- copies -------------------------------------------------------------------------------- */

static void
test_borders(void)
{
    for (int i = 0; i < N_SHAPES; i++) {
        gt_node node = node_of(GT_OP_PAD);
        node.window.before[0] = 2;
        node.window.after[1] = 3;
        verify_node(node, shapes[i], "pad");
        node.window.before[1] = 1;
        node.fill = -1.5f;
        verify_node(node, shapes[i], "pad of a number");
        node = node_of(GT_OP_CROP);
        node.window.before[0] = shapes[i].height / 2;
        node.window.after[1] = shapes[i].width / 2;
        verify_node(node, shapes[i], "crop");
    }
}

static void
test_slices(void)
{
    for (int i = 0; i < N_SHAPES; i++) {
        gt_node node = node_of(GT_OP_SLICE);
        for (int axis = 0; axis < 3; axis++) {
            node.axis = (gt_axis)axis;
            node.first = -1;
            node.stop = INT_MAX;
            node.step = 1;
            verify_node(node, shapes[i], "last");
            node.first = INT_MIN;
            node.step = 2;
            verify_node(node, shapes[i], "every other");
            node.first = 0;
            node.stop = 1;
            verify_node(node, shapes[i], "first");
        }
    }
}

static void
test_orders(void)
{
    static const int orders[][3] = {{0, 1, 2}, {1, 0, 2}, {2, 0, 1},
                                    {2, 1, 0}, {0, 2, 1}, {1, 2, 0}};
    for (int i = 0; i < N_SHAPES; i++) {
        gt_node node = node_of(GT_OP_TRANSPOSE);
        for (int k = 0; k < 6; k++) {
            memcpy(node.order, orders[k], sizeof(node.order));
            verify_node(node, shapes[i], "transpose");
        }
        node = node_of(GT_OP_FLATTEN);
        node.channels_first = true;
        verify_node(node, shapes[i], "flatten");
        node = node_of(GT_OP_CHANNEL_SHUFFLE);
        static const int groups[] = {1, 2, 4, 17, 33};
        for (int k = 0; k < 5; k++) {
            node.groups = groups[k];
            if (shapes[i].channels % groups[k] == 0) {
                verify_node(node, shapes[i], "shuffle");
            }
        }
        node = node_of(GT_OP_RESHAPE);
        node.extents[0] = -1;
        node.extents[1] = 1;
        node.extents[2] = shapes[i].channels;
        verify_node(node, shapes[i], "rows");
        node.extents[0] = shapes[i].channels;
        node.extents[1] = shapes[i].width;
        node.extents[2] = -1;
        verify_node(node, shapes[i], "reshape");
    }
}

/* Of maps of other heights, and one of them twice. */
static void
test_concatenations(void)
{
    for (int i = 0; i < N_SHAPES; i++) {
        for (int axis = 0; axis < 2; axis++) {
            gt_net net;
            int a = start(&net, shapes[i]);
            int b = convolve(&net, 0, shapes[i].channels);
            gt_node node = gt_net_pool(GT_OP_MAX_POOL, 2, 1, GT_PAD_SAME);
            node.window.strides[axis] = 2;
            int half = gt_net_add(&net, node, NULL, b);
            node = node_of(GT_OP_CONCAT);
            node.axis = (gt_axis)axis;
            int index = -1;
            CHECK(gt_graph_add(&net.graph, &node, "joined", (int[]){a, half, a}, 3, &index,
                               &error) == GT_OK);
            CHECK(gt_graph_infer_shapes(&net.graph, net.height, net.width, &error) == GT_OK);
            int last = convolve(&net, index, 4);
            verify_plans(&net, (int[]){index, last}, 2, close_ones, "concat");
            gt_net_clear(&net);
        }
    }
}

/* --- windows and channels ------------------------------------------------------------------ */

static void
test_resizes(void)
{
    for (int i = 0; i < N_SHAPES; i++) {
        gt_node node = node_of(GT_OP_RESIZE);
        node.factors[0] = 2;
        node.factors[1] = 3;
        verify_node(node, shapes[i], "nearest");
        node.bilinear = true;
        for (int k = 0; k < GT_COORDINATES_COUNT; k++) {
            node.coordinates = (gt_coordinates)k;
            verify_node(node, shapes[i], "bilinear");
        }
    }
}

static void
test_reductions(void)
{
    static const gt_shape large[] = {{21, 13, 70}, {3, 2, 130}};
    for (int i = 0; i < N_SHAPES + 2; i++) {
        gt_node node = node_of(GT_OP_REDUCE);
        for (int k = 0; k < GT_REDUCTION_COUNT; k++) {
            node.reduction = (gt_reduction)k;
            node.axis = (i + k) % 2 ? GT_AXIS_MAP : GT_AXIS_CHANNELS;
            verify_node(node, i < N_SHAPES ? shapes[i] : large[i - N_SHAPES], "reduce");
        }
    }
}

static void
test_response_norms(void)
{
    static const int sizes[] = {1, 2, 5, 1000};
    static const gt_shape wide = {2, 1, 131};
    for (int i = 0; i < N_SHAPES + 1; i++) {
        gt_node node = node_of(GT_OP_LOCAL_RESPONSE_NORM);
        node.size = sizes[i % 4];
        node.alpha = 0.5;
        node.beta = i % 2 ? 0.75 : 0.6;
        node.offset = 1.5;
        verify_node(node, i < N_SHAPES ? shapes[i] : wide, "response norm");
    }
}

/* Windows of which the last may reach beyond the padding. */
static void
test_pools_in_ceil_mode(void)
{
    for (int i = 0; i < 16; i++) {
        gt_node node =
            gt_net_pool(i % 2 ? GT_OP_AVERAGE_POOL : GT_OP_MAX_POOL, 3, 2 + i / 8, GT_PAD_EXPLICIT);
        node.window.ceil_mode = true;
        node.window.count_padding = i % 2 && i / 2 % 2;
        for (int axis = 0; axis < 2; axis++) {
            node.window.before[axis] = node.window.after[axis] = i / 4 % 2;
        }
        verify_node(node, (gt_shape){8, 6, 17}, "ceil mode");
        verify_node(node, (gt_shape){7, 4, 16}, "ceil mode");
    }
}

static void
test_extents_in_ceil_mode(void)
{
    gt_net net;
    gt_net_start(&net, 6, 5, 3);
    gt_node node = gt_net_pool(GT_OP_MAX_POOL, 2, 2, GT_PAD_VALID);
    node.window.ceil_mode = true;
    const gt_node *pool = &net.graph.nodes[gt_net_add(&net, node, NULL, 0)];
    CHECK(pool->shape.height == 3 && pool->shape.width == 3);
    CHECK(pool->window.beyond[0] == 0 && pool->window.beyond[1] == 1);
    node = gt_net_pool(GT_OP_MAX_POOL, 2, 3, GT_PAD_EXPLICIT);
    node.window.ceil_mode = true;
    node.window.after[0] = node.window.after[1] = 1;
    pool = &net.graph.nodes[gt_net_add(&net, node, NULL, 0)];
    CHECK(pool->shape.height == 2 && pool->shape.width == 2); /* a third would begin in padding */
    gt_net_clear(&net);
}

/* --- what is folded and refused ------------------------------------------------------------ */

static void
count_copies(void *context, const gt_step *step)
{
    *(int *)context += strcmp(step->operation, "copy") == 0;
}

static int
copies_before(int size, float fill)
{
    gt_net net;
    trial job;
    int count = 0;
    gt_net_start(&net, 9, 7, 3);
    gt_node pad = node_of(GT_OP_PAD);
    pad.window.before[0] = 1;
    pad.window.after[0] = 2;
    pad.fill = fill;
    int a = gt_net_add(&net, pad, NULL, 0);
    gt_node conv = gt_net_conv(&net, a, size, size, 8, 1);
    conv.window.strides[0] = 2;
    int b = gt_net_add(&net, conv, NULL, a);
    start_trial(&job, &net, &b, 1);
    job.backbone = make_plan(&job, GT_PRECISION_FLOAT32, 1);
    CHECK_CLOSE(distance_of_run(&job, 3), 0.0, 1e-5);
    CHECK(gt_backbone_visit_steps(job.backbone, count_copies, &count, &error) == GT_OK);
    end_trial(&job);
    gt_net_clear(&net);
    return count;
}

static void
test_convolutions_pad(void)
{
    CHECK(copies_before(3, 0.0f) == 0 && copies_before(2, 0.0f) == 0);
    CHECK(copies_before(3, 0.5f) == 1);
}

static void
refuses(gt_node node, const char *reason)
{
    gt_net net;
    int index = -1;
    gt_net_start(&net, 6, 4, 8);
    gt_graph graph = gt_net_graph(&net, &(int){0}, 1);
    int n = node.op == GT_OP_CONSTANT ? 0 : 1;
    CHECK(gt_graph_add(&graph, &node, "bad", &(int){0}, n, &index, &error) == GT_OK);
    CHECK(gt_graph_infer_shapes(&graph, 6, 4, &error) == GT_ERROR_GRAPH);
    CHECK(strstr(error.message, "'bad'") != NULL && strstr(error.message, reason) != NULL);
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

static void
test_what_is_refused(void)
{
    gt_node node = node_of(GT_OP_CROP);
    node.window.before[1] = 4;
    refuses(node, "crop of 4 and 0 pixels does not fit an input of 6 x 4");
    node = node_of(GT_OP_PAD);
    node.window.before[0] = -1;
    refuses(node, "does not fit");
    node.window.before[0] = INT_MAX;
    refuses(node, "does not fit");
    node.window.before[0] = 0;
    node.fill = NAN;
    refuses(node, "not finite");
    node = node_of(GT_OP_SLICE);
    node.first = 8;
    refuses(node, "takes nothing of 8");
    node.first = 0;
    node.step = 0;
    refuses(node, "takes nothing");
    node = node_of(GT_OP_CHANNEL_SHUFFLE);
    node.groups = 3;
    refuses(node, "8 channels do not make 3 groups");
    node = node_of(GT_OP_RESIZE);
    refuses(node, "factors 0 and 0");
    node.factors[0] = node.factors[1] = INT_MAX;
    refuses(node, "cannot be resized");
    node.factors[0] = node.factors[1] = 2;
    node.coordinates = GT_ALIGN_CORNERS;
    refuses(node, "aligned corners");
    node = node_of(GT_OP_RESHAPE);
    refuses(node, "6 x 4 x 8 numbers do not make 0 x 0 x 0");
    node.extents[0] = -1;
    node.extents[1] = 5;
    node.extents[2] = 1;
    refuses(node, "do not make -1 x 5 x 1");
    node.extents[0] = node.extents[1] = node.extents[2] = INT_MAX;
    refuses(node, "do not make");
    node = node_of(GT_OP_TRANSPOSE);
    refuses(node, "0, 0, 0 is no order");
    node.order[1] = 7;
    refuses(node, "no order");
    node = node_of(GT_OP_LOCAL_RESPONSE_NORM);
    refuses(node, "over 0 channels");
    refuses(node_of(GT_OP_CONSTANT), "rank 3");
}

static void
test_operands_that_do_not_fit(void)
{
    gt_net net;
    int index = -1;
    gt_net_start(&net, 6, 4, 8);
    int half = gt_net_add(&net, gt_net_pool(GT_OP_MAX_POOL, 2, 2, GT_PAD_SAME), "half", 0);
    gt_graph graph = gt_net_graph(&net, &half, 1);
    gt_node node = node_of(GT_OP_MULTIPLY);
    CHECK(gt_graph_add(&graph, &node, "bad", (int[]){0, half}, 2, &index, &error) == GT_OK);
    CHECK(gt_graph_infer_shapes(&graph, 6, 4, &error) == GT_ERROR_GRAPH);
    CHECK(strstr(error.message, "'bad': input 'half' of shape 3 x 2 x 8 does not fit") != NULL);
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

static void
test_all(void)
{
    RUN(test_two_operands);
    RUN(test_both_sides);
    RUN(test_residuals);
    RUN(test_sums);
    RUN(test_borders);
    RUN(test_slices);
    RUN(test_orders);
    RUN(test_concatenations);
    RUN(test_resizes);
    RUN(test_reductions);
    RUN(test_response_norms);
    RUN(test_pools_in_ceil_mode);
}

int
main(void)
{
    check_on_older(dnnl_cpu_isa_avx2, test_all); /* first: oneDNN is not asked yet */
    check_on_older(dnnl_cpu_isa_sse41, test_all);
    test_all();
    RUN(test_extents_in_ceil_mode);
    RUN(test_convolutions_pad);
    RUN(test_what_is_refused);
    RUN(test_operands_that_do_not_fit);
    return check_report();
}
