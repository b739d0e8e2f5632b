/* The description of a network: building it, its errors, and shape inference. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "graph/graph.h"
#include "twin.h"

static gt_error error;

static int
says(const char *text)
{
    return strstr(error.message, text) != NULL;
}

static gt_status
add(gt_graph *graph, gt_node node, const char *name, int from, int *index)
{
    error.message[0] = '\0';
    return gt_graph_add(graph, &node, name, &from, node.op == GT_OP_INPUT ? 0 : 1, index, &error);
}

static gt_node
plain(gt_op op)
{
    gt_node node;
    gt_node_init(&node, op);
    node.shape.channels = 3; /* read from an input only */
    return node;
}

/* --- building ------------------------------------------------------------------------------ */

static void
test_names_of_operations(void)
{
    for (int op = 0; op < GT_OP_COUNT; op++) {
        CHECK(gt_op_from_name(gt_op_name((gt_op)op)) == (gt_op)op);
    }
    CHECK(gt_op_from_name("conv3d") == GT_OP_COUNT);
    CHECK(gt_op_from_name("") == GT_OP_COUNT);
    CHECK(strcmp(gt_op_name(GT_OP_COUNT), "unknown") == 0);
    CHECK(strcmp(gt_op_name(GT_OP_GLOBAL_MAX_POOL), "global_max_pool") == 0);
    CHECK(strcmp(gt_role_name(GT_KERNEL), "kernel") == 0);
    CHECK(strcmp(gt_role_name(GT_VARIANCE), "variance") == 0);
    CHECK(strcmp(gt_op_name(GT_OP_TRANSPOSE), "transpose") == 0);
    CHECK(strcmp(gt_role_name(GT_VALUE), "value") == 0);
    CHECK(gt_function_from_name("identity") == GT_IDENTITY);
    CHECK(gt_function_from_name("square") == GT_SQUARE);
    CHECK(gt_function_from_name("cube") == GT_FUNCTION_COUNT);
    CHECK(strcmp(gt_role_name(GT_ROLE_COUNT), "unknown") == 0);
}

static void
test_elements_of_arrays(void)
{
    const uint8_t bytes[3] = {0, 128, 255};
    const float numbers[2] = {1.5f, -2.25f};
    gt_array quantised = {.data = bytes, .type = GT_UINT8, .scale = 0.1f, .minimum = -12.5f};
    gt_array plain_array = {.data = numbers};
    CHECK(gt_array_at(&quantised, 0) == -12.5f);
    CHECK_CLOSE(gt_array_at(&quantised, 1), 0.3, 1e-6);
    CHECK_CLOSE(gt_array_at(&quantised, 2), 13.0, 2e-6);
    CHECK(gt_array_at(&plain_array, 0) == 1.5f);
    CHECK(gt_array_at(&plain_array, 1) == -2.25f);
}

static void
test_elements_of_arrays_by_channel(void)
{
    const uint8_t bytes[6] = {0, 255, 2, 3, 4, 5};
    const float scales[3] = {0.5f, 2.0f, 0.25f};
    const float minima[3] = {-1.0f, 10.0f, 0.0f};
    gt_array array = {.data = bytes,
                      .type = GT_UINT8,
                      .rank = 2,
                      .shape = {2, 3},
                      .scales = scales,
                      .minima = minima};
    const float expected[6] = {-1.0f, 520.0f, 0.5f, 0.5f, 18.0f, 1.25f};
    float values[4] = {0.0f};
    for (int i = 0; i < 6; i++) {
        CHECK(gt_array_at(&array, i) == expected[i]);
    }
    gt_array_read(&array, 2, 4, values);
    CHECK(memcmp(values, expected + 2, sizeof(values)) == 0);
}

static void
test_elements_of_float16(void)
{
    /* 1, -2, the largest, the smallest normal, the smallest and the largest below that, -0 */
    const uint16_t halves[7] = {0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x83ff, 0x8000};
    const float expected[7] = {1.0f, -2.0f, 65504.0f, 0x1p-14f, 0x1p-24f, -1023 * 0x1p-24f, -0.0f};
    gt_array array = {.data = halves, .type = GT_FLOAT16, .rank = 1, .shape = {7}};
    float values[7] = {0.0f};
    gt_array_read(&array, 0, 7, values);
    CHECK(memcmp(values, expected, sizeof(values)) == 0);
    CHECK(gt_array_at(&array, 5) == expected[5]);
}

static void
test_building_refuses(void)
{
    gt_graph graph;
    int index = -1;
    int ten[10] = {0};
    gt_graph_init(&graph);
    CHECK(add(&graph, plain(GT_OP_RELU), "early", 0, &index) == GT_ERROR_GRAPH && says("'early'"));
    CHECK(says("one input and it comes first"));
    CHECK(gt_graph_infer_shapes(&graph, 8, 8, &error) == GT_ERROR_GRAPH && says("no layers"));
    CHECK(add(&graph, plain(GT_OP_INPUT), "image", 0, &index) == GT_OK && index == 0);
    CHECK(add(&graph, plain(GT_OP_INPUT), "second", 0, &index) == GT_ERROR_GRAPH);
    CHECK(says("'second'"));
    CHECK(add(&graph, plain(GT_OP_RELU), "image", 0, &index) == GT_ERROR_GRAPH && says("twice"));
    CHECK(add(&graph, plain(GT_OP_RELU), "later", 1, &index) == GT_ERROR_GRAPH);
    CHECK(says("'later'") && says("not an earlier layer"));
    CHECK(add(&graph, plain(GT_OP_RELU), "lost", gt_graph_find(&graph, "nobody"), &index) ==
          GT_ERROR_GRAPH);
    CHECK(says("'lost'"));
    for (int op = GT_OP_CONV2D; op < GT_OP_COUNT; op++) {
        gt_node node = plain((gt_op)op);
        bool many = op == GT_OP_CONCAT || op == GT_OP_ADD;
        int wrong = op == GT_OP_CONSTANT ? 1 : 0;
        CHECK(gt_graph_add(&graph, &node, "none", ten, wrong, &index, &error) == GT_ERROR_GRAPH);
        CHECK(says("'none'") && says(gt_op_name((gt_op)op)));
        wrong = gt_op_is_binary((gt_op)op) ? 3 : 2;
        CHECK(many ||
              gt_graph_add(&graph, &node, "two", ten, wrong, &index, &error) == GT_ERROR_GRAPH);
    }
    CHECK(graph.count == 1 && gt_graph_find(&graph, "image") == 0);
    CHECK(gt_graph_find(&graph, "early") == -1);
    gt_graph_clear(&graph);
    CHECK(graph.nodes == NULL && graph.count == 0 && graph.capacity == 0);
    gt_graph_clear(&graph);
}

static void
test_joins_take_a_limited_number_of_inputs(void)
{
    static int inputs[5000];
    gt_graph graph;
    gt_node node = plain(GT_OP_CONCAT);
    int index = -1;
    gt_graph_init(&graph);
    CHECK(add(&graph, plain(GT_OP_INPUT), "image", 0, &index) == GT_OK);
    CHECK(gt_graph_add(&graph, &node, "wide", inputs, 1024, &index, &error) == GT_OK);
    CHECK(gt_graph_add(&graph, &node, "wider", inputs, 1025, &index, &error) == GT_ERROR_GRAPH);
    CHECK(says("'wider'") && says("1024"));
    gt_graph_clear(&graph);
}

static void
test_outputs(void)
{
    gt_graph graph;
    int index = -1;
    const int bad[2] = {0, 7};
    const int below[1] = {-1};
    const int good[3] = {1, 0, 1};
    const int other[1] = {0};
    gt_graph_init(&graph);
    CHECK(add(&graph, plain(GT_OP_INPUT), "image", 0, &index) == GT_OK);
    CHECK(add(&graph, plain(GT_OP_RELU), "relu", 0, &index) == GT_OK);
    CHECK(gt_graph_set_outputs(&graph, bad, 2, &error) == GT_ERROR_GRAPH && says("output 1"));
    CHECK(gt_graph_set_outputs(&graph, below, 1, &error) == GT_ERROR_GRAPH);
    CHECK(gt_graph_set_outputs(&graph, good, 0, &error) == GT_ERROR_GRAPH);
    CHECK(graph.outputs == NULL);
    CHECK(gt_graph_set_outputs(&graph, good, 3, &error) == GT_OK && graph.n_outputs == 3);
    CHECK(gt_graph_set_outputs(&graph, other, 1, &error) == GT_OK && graph.n_outputs == 1);
    CHECK(graph.outputs[0] == 0 && graph.outputs != other);
    gt_graph_clear(&graph);
}

static void
test_growing_beyond_the_first_capacity(void)
{
    gt_graph graph;
    char name[32];
    int index = -1;
    int wrong = 0;
    gt_graph_init(&graph);
    CHECK(add(&graph, plain(GT_OP_INPUT), "node_0", 0, &index) == GT_OK);
    for (int i = 1; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), "node_%d", i);
        wrong += add(&graph, plain(GT_OP_RELU), name, i - 1, &index) != GT_OK || index != i;
        memset(name, 'x', sizeof(name)); /* the graph has its own copy */
    }
    CHECK(wrong == 0 && graph.count == 1000 && graph.capacity >= 1000);
    CHECK(gt_graph_find(&graph, "node_999") == 999 && graph.nodes[500].inputs[0] == 499);
    CHECK(gt_graph_infer_shapes(&graph, 5, 7, &error) == GT_OK);
    CHECK(graph.nodes[999].shape.width == 7 && graph.nodes[999].shape.channels == 3);
    gt_graph_clear(&graph);
}

/* --- windows ------------------------------------------------------------------------------- */

static gt_window
slid(int input, int size, int stride, int dilation, gt_pad_mode mode, int before, int after,
     int *output)
{
    gt_net net;
    gt_net_start(&net, input, 9, 2);
    gt_node node = gt_net_conv(&net, 0, size, 1, 3, 1);
    node.window.strides[0] = stride;
    node.window.dilations[0] = dilation;
    node.window.pad_mode = mode;
    node.window.before[0] = before;
    node.window.after[0] = after;
    int index = gt_net_add(&net, node, "conv", 0);
    gt_window window = net.graph.nodes[index].window;
    gt_shape shape = net.graph.nodes[index].shape;
    *output = shape.height;
    CHECK(shape.width == 9 && shape.channels == 3);
    CHECK(window.before[1] == 0 && window.after[1] == 0 && window.size[0] == size);
    gt_net_clear(&net);
    return window;
}

static void
test_valid_and_explicit_windows(void)
{
    int output = 0;
    (void)slid(10, 3, 1, 1, GT_PAD_VALID, 0, 0, &output);
    CHECK(output == 8);
    (void)slid(10, 3, 2, 1, GT_PAD_VALID, 0, 0, &output);
    CHECK(output == 4);
    (void)slid(10, 3, 1, 4, GT_PAD_VALID, 0, 0, &output);
    CHECK(output == 2);
    (void)slid(3, 3, 5, 1, GT_PAD_VALID, 0, 0, &output);
    CHECK(output == 1);
    gt_window window = slid(10, 3, 2, 1, GT_PAD_EXPLICIT, 1, 2, &output);
    CHECK(output == 6 && window.before[0] == 1 && window.after[0] == 2);
    (void)slid(1, 4, 1, 1, GT_PAD_EXPLICIT, 0, 3, &output);
    CHECK(output == 1);
}

/* The values that tf.nn.conv2d gives: output = ceil(input / stride), the odd pixel goes after. */
static void
test_same_windows(void)
{
    static const int cases[][7] = {
        /* input, size, stride, dilation, output, before, after */
        {5, 3, 1, 1, 5, 1, 1},     {5, 3, 2, 1, 3, 1, 1},   {6, 3, 2, 1, 3, 0, 1},
        {224, 7, 2, 1, 112, 2, 3}, {10, 2, 1, 1, 10, 0, 1}, {10, 4, 3, 1, 4, 1, 2},
        {9, 1, 2, 1, 5, 0, 0},     {10, 1, 3, 1, 4, 0, 0},  {7, 3, 1, 2, 7, 2, 2},
        {7, 4, 1, 2, 7, 3, 3},     {8, 2, 1, 3, 8, 1, 2},   {1, 3, 1, 1, 1, 1, 1},
        {1, 3, 2, 1, 1, 1, 1},     {2, 5, 4, 1, 1, 1, 2},   {8, 2, 4, 1, 2, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const int *c = cases[i];
        int output = 0;
        gt_window window = slid(c[0], c[1], c[2], c[3], GT_PAD_SAME, 0, 0, &output);
        CHECK(output == c[4] && window.before[0] == c[5] && window.after[0] == c[6]);
    }
}

static void
test_inferring_again_for_another_size(void)
{
    gt_net net;
    gt_net_start(&net, 6, 6, 3);
    gt_node node = gt_net_conv(&net, 0, 3, 3, 4, 1);
    node.window.strides[0] = node.window.strides[1] = 2;
    int conv = gt_net_add(&net, node, "conv", 0);
    CHECK(net.graph.nodes[conv].window.before[0] == 0);
    CHECK(gt_graph_infer_shapes(&net.graph, 5, 12, &error) == GT_OK);
    CHECK(net.graph.nodes[conv].window.before[0] == 1);
    CHECK(net.graph.nodes[conv].window.before[1] == 0);
    CHECK(net.graph.nodes[conv].shape.height == 3 && net.graph.nodes[conv].shape.width == 6);
    gt_net_clear(&net);
}

static void
test_shapes_of_the_other_operations(void)
{
    gt_net net;
    gt_net_start(&net, 6, 4, 8);
    gt_node max = gt_net_pool(GT_OP_MAX_POOL, 3, 2, GT_PAD_VALID);
    max.window.size[1] = 2;
    int pool = gt_net_add(&net, max, "pool", 0);
    int same = gt_net_add(&net, gt_net_pool(GT_OP_AVERAGE_POOL, 3, 2, GT_PAD_SAME), "same", 0);
    int concat = gt_net_join(&net, GT_OP_CONCAT, "concat", (int[]){0, 0, 0}, 3);
    int sum = gt_net_join(&net, GT_OP_ADD, "add", (int[]){concat, concat}, 2);
    int flat = gt_net_plain(&net, GT_OP_FLATTEN, "flat", sum);
    int average = gt_net_plain(&net, GT_OP_GLOBAL_AVERAGE_POOL, "average", sum);
    gt_node dense = {.op = GT_OP_DENSE, .arrays = {[GT_KERNEL] = gt_net_matrix(&net, 24, 7)}};
    int scores = gt_net_add(&net, dense, "scores", average);
    int probabilities = gt_net_plain(&net, GT_OP_SOFTMAX, "softmax", scores);
    const gt_node *nodes = net.graph.nodes;
    CHECK(nodes[pool].shape.height == 2 && nodes[pool].shape.width == 2);
    CHECK(nodes[pool].shape.channels == 8);
    CHECK(nodes[same].shape.height == 3 && nodes[same].shape.width == 2);
    CHECK(nodes[concat].shape.height == 6 && nodes[concat].shape.channels == 24);
    CHECK(nodes[sum].shape.channels == 24);
    CHECK(nodes[flat].shape.height == 1 && nodes[flat].shape.channels == 6 * 4 * 24);
    CHECK(nodes[average].shape.width == 1 && nodes[average].shape.channels == 24);
    CHECK(nodes[probabilities].shape.channels == 7);
    gt_net_clear(&net);
}

/* --- errors of shape inference ------------------------------------------------------------- */

/* Add a faulty node named "bad" after a 6 x 4 x 8 input; its message must hold the name and
 * `text`. */
static void
refuses(gt_net *net, gt_node node, int from, const char *text)
{
    int index = -1;
    int count = net->graph.count;
    CHECK(add(&net->graph, node, "bad", from, &index) == GT_OK);
    CHECK(gt_graph_infer_shapes(&net->graph, 6, 4, &error) == GT_ERROR_GRAPH);
    if (!says("layer 'bad'") || !says(text)) {
        CHECK(!"the message names the layer and the fault");
        fprintf(stderr, "    %s\n", error.message);
    }
    /* Take it out again. */
    if (net->graph.count > count) {
        free(net->graph.nodes[count].name);
        free(net->graph.nodes[count].inputs);
        net->graph.count = count;
    }
}

static void
test_faulty_convolutions(void)
{
    gt_net net;
    gt_net_start(&net, 6, 4, 8);
    gt_node good = gt_net_conv(&net, 0, 3, 3, 4, 1);
    gt_node node = good;
    node.arrays[GT_KERNEL].data = NULL;
    refuses(&net, node, 0, "kernel of rank 4");
    node = good;
    node.arrays[GT_KERNEL].rank = 3;
    refuses(&net, node, 0, "found rank 3");
    node = good;
    node.arrays[GT_KERNEL].shape[2] = 7;
    refuses(&net, node, 0, "7 channels in");
    node = good;
    node.arrays[GT_KERNEL].shape[3] = 0;
    refuses(&net, node, 0, "empty axis");
    node = good;
    node.groups = 0;
    refuses(&net, node, 0, "groups");
    node = good;
    node.groups = 3;
    refuses(&net, node, 0, "3 groups");
    node = good;
    node.arrays[GT_BIAS] = gt_net_vector(&net, 5, 0.0, 1.0);
    refuses(&net, node, 0, "bias must have shape (4,)");
    node = good;
    node.window.pad_mode = GT_PAD_VALID;
    node.window.dilations[1] = 2;
    refuses(&net, node, 0, "window of 5 pixels is larger than its input of 4");
    static const int values[] = {0, -1, INT_MAX, INT_MIN};
    for (int i = 0; i < 4; i++) {
        node = good;
        node.window.strides[0] = values[i];
        refuses(&net, node, 0, "not possible");
        node = good;
        node.window.dilations[1] = values[i];
        refuses(&net, node, 0, "not possible");
        node = good;
        node.window.pad_mode = GT_PAD_EXPLICIT;
        node.window.after[0] = i == 0 ? -3 : values[i];
        refuses(&net, node, 0, "not possible");
    }
    gt_net_clear(&net);
}

static void
test_faulty_nodes(void)
{
    gt_net net;
    gt_net_start(&net, 6, 4, 8);
    gt_node pool = gt_net_pool(GT_OP_MAX_POOL, 0, 1, GT_PAD_VALID);
    refuses(&net, pool, 0, "not possible");
    refuses(&net, gt_net_pool(GT_OP_MAX_POOL, INT_MIN, 1, GT_PAD_VALID), 0, "not possible");
    refuses(&net, gt_net_pool(GT_OP_MAX_POOL, INT_MAX, 1, GT_PAD_SAME), 0, "not possible");
    refuses(&net, gt_net_pool(GT_OP_MAX_POOL, 5, 1, GT_PAD_VALID), 0, "too small");
    pool = gt_net_pool(GT_OP_AVERAGE_POOL, 2, 1, GT_PAD_SAME);
    pool.window.dilations[0] = 2;
    refuses(&net, pool, 0, "dilation");
    pool = gt_net_pool(GT_OP_MAX_POOL, 2, 1, GT_PAD_EXPLICIT);
    pool.window.before[1] = 2;
    refuses(&net, pool, 0, "padding");
    gt_node norm = gt_net_batch_norm(&net, 0);
    norm.arrays[GT_VARIANCE].data = NULL;
    refuses(&net, norm, 0, "variance is missing");
    norm = gt_net_batch_norm(&net, 0);
    norm.arrays[GT_GAMMA].shape[0] = 1;
    refuses(&net, norm, 0, "gamma must have shape (8,)");
    refuses(&net, plain(GT_OP_BIAS), 0, "bias is missing");
    gt_node relu = plain(GT_OP_RELU);
    relu.activation.high = -1.0f;
    refuses(&net, relu, 0, "limit");
    relu.activation.high = NAN;
    refuses(&net, relu, 0, "limit");
    gt_node dense = {.op = GT_OP_DENSE, .arrays = {[GT_KERNEL] = gt_net_matrix(&net, 9, 2)}};
    refuses(&net, dense, 0, "flat input, not a map of 6 x 4");
    int average = gt_net_plain(&net, GT_OP_GLOBAL_AVERAGE_POOL, "average", 0);
    refuses(&net, dense, average, "takes 9 inputs, 8 arrive");
    dense.arrays[GT_KERNEL].data = NULL;
    refuses(&net, dense, average, "kernel");
    gt_net_clear(&net);
}

static void
test_faulty_joins(void)
{
    gt_net net;
    int index = -1;
    gt_net_start(&net, 6, 4, 8);
    int half = gt_net_add(&net, gt_net_pool(GT_OP_MAX_POOL, 2, 2, GT_PAD_SAME), "half", 0);
    int twice = gt_net_join(&net, GT_OP_CONCAT, "twice", (int[]){0, 0}, 2);
    gt_node join = plain(GT_OP_CONCAT);
    CHECK(gt_graph_add(&net.graph, &join, "bad", (int[]){0, half}, 2, &index, &error) == GT_OK);
    CHECK(gt_graph_infer_shapes(&net.graph, 6, 4, &error) == GT_ERROR_GRAPH);
    CHECK(says("'bad'") && says("'half' of shape 3 x 2 x 8") && says("6 x 4 x 8"));
    net.graph.nodes[index].op = GT_OP_ADD;
    net.graph.nodes[index].inputs[1] = twice;
    CHECK(gt_graph_infer_shapes(&net.graph, 6, 4, &error) == GT_ERROR_GRAPH);
    CHECK(says("'bad'") && says("'twice' of shape 6 x 4 x 16"));
    gt_net_clear(&net);
}

static void
test_sizes_that_do_not_fit(void)
{
    static const int sizes[][2] = {{0, 5}, {5, 0}, {-1, 5}, {INT_MAX, 5}, {5, INT_MAX}, {16385, 1}};
    gt_net net;
    gt_net_start(&net, 6, 4, 8);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        CHECK(gt_graph_infer_shapes(&net.graph, sizes[i][0], sizes[i][1], &error) ==
              GT_ERROR_GRAPH);
        CHECK(says("is not possible"));
    }
    CHECK(gt_graph_infer_shapes(&net.graph, 16384, 16384, &error) == GT_ERROR_GRAPH);
    CHECK(says("'input'") && says("too large"));
    net.graph.nodes[0].shape.channels = 0;
    CHECK(gt_graph_infer_shapes(&net.graph, 6, 4, &error) == GT_ERROR_GRAPH);
    net.graph.nodes[0].shape.channels = INT_MAX;
    CHECK(gt_graph_infer_shapes(&net.graph, 16384, 16384, &error) == GT_ERROR_GRAPH);
    gt_net_clear(&net);

    /* Each of these multiplies the size; none may overflow. */
    gt_net_start(&net, 6, 4, 1);
    gt_node conv = gt_net_conv(&net, 0, 1, 1, 1, 1);
    conv.window.pad_mode = GT_PAD_EXPLICIT;
    conv.window.before[0] = conv.window.after[0] = 1 << 16;
    conv.window.before[1] = conv.window.after[1] = 1 << 16;
    refuses(&net, conv, 0, "too large");
    conv = gt_net_conv(&net, 0, 1 << 16, 1, 1, 1);
    conv.window.dilations[0] = 1 << 16;
    refuses(&net, conv, 0, "not possible");
    gt_net_clear(&net);

    gt_graph graph;
    gt_node image = plain(GT_OP_INPUT);
    gt_node join = plain(GT_OP_CONCAT);
    int index = -1;
    image.shape.channels = INT_MAX;
    gt_graph_init(&graph);
    CHECK(add(&graph, image, "image", 0, &index) == GT_OK);
    CHECK(gt_graph_add(&graph, &join, "join", (int[]){0, 0}, 2, &index, &error) == GT_OK);
    CHECK(gt_graph_infer_shapes(&graph, 1, 1, &error) == GT_ERROR_GRAPH);
    CHECK(says("'join'") && says("too many channels"));
    gt_graph_clear(&graph);
}

int
main(void)
{
    RUN(test_names_of_operations);
    RUN(test_elements_of_arrays);
    RUN(test_elements_of_arrays_by_channel);
    RUN(test_elements_of_float16);
    RUN(test_building_refuses);
    RUN(test_joins_take_a_limited_number_of_inputs);
    RUN(test_outputs);
    RUN(test_growing_beyond_the_first_capacity);
    RUN(test_valid_and_explicit_windows);
    RUN(test_same_windows);
    RUN(test_inferring_again_for_another_size);
    RUN(test_shapes_of_the_other_operations);
    RUN(test_faulty_convolutions);
    RUN(test_faulty_nodes);
    RUN(test_faulty_joins);
    RUN(test_sizes_that_do_not_fit);
    return check_report();
}
