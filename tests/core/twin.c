#include "twin.h"
#include "twin_maps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "twin_tokens.h"

static void
must(bool held, const char *message)
{
    if (!held) {
        fprintf(stderr, "test network: %s\n", message);
        abort();
    }
}

/* --- building ------------------------------------------------------------------------------ */

void
gt_net_start(gt_net *net, int height, int width, int channels)
{
    gt_node input;
    memset(net, 0, sizeof(*net));
    net->height = height;
    net->width = width;
    net->random = 12345;
    gt_graph_init(&net->graph);
    gt_node_init(&input, GT_OP_INPUT);
    input.shape.channels = channels;
    (void)gt_net_add(net, input, "input", -1);
}

void
gt_net_clear(gt_net *net)
{
    for (int i = 0; i < net->n_blocks; i++) {
        free(net->blocks[i]);
    }
    gt_graph_clear(&net->graph);
    net->n_blocks = 0;
}

static uint32_t
next_random(gt_net *net)
{
    net->random ^= net->random << 13;
    net->random ^= net->random >> 17;
    net->random ^= net->random << 5;
    return net->random;
}

double
gt_net_random(gt_net *net, double low, double high)
{
    return low + (high - low) * (next_random(net) >> 8) / 16777216.0;
}

int
gt_net_choice(gt_net *net, int low, int high)
{
    return low + (int)(next_random(net) >> 8) % (high - low + 1);
}

static void *
new_block(gt_net *net, size_t size)
{
    void *block = malloc(size);
    must(block != NULL && net->n_blocks < 512, "too many arrays");
    net->blocks[net->n_blocks++] = block;
    return block;
}

static gt_array
fill(gt_net *net, gt_array array, double low, double high)
{
    int64_t size = 1;
    for (int axis = 0; axis < array.rank; axis++) {
        size *= array.shape[axis];
    }
    float *data = new_block(net, (size_t)size * sizeof(*data));
    for (int64_t i = 0; i < size; i++) {
        data[i] = (float)gt_net_random(net, low, high);
    }
    array.data = data;
    return array;
}

gt_array
gt_net_vector(gt_net *net, int channels, double low, double high)
{
    return fill(net, (gt_array){.rank = 1, .shape = {channels}}, low, high);
}

gt_array
gt_net_block(gt_net *net, int height, int width, int channels, double low, double high)
{
    return fill(net, (gt_array){.rank = 3, .shape = {height, width, channels}}, low, high);
}

gt_array
gt_net_kernel(gt_net *net, int height, int width, int in, int out)
{
    double limit = 1.7 / sqrt((double)height * width * in);
    return fill(net, (gt_array){.rank = 4, .shape = {height, width, in, out}}, -limit, limit);
}

gt_array
gt_net_u8_kernel(gt_net *net, int height, int width, int in, int out)
{
    float limit = (float)(1.7 / sqrt((double)height * width * in));
    gt_array array = {.type = GT_UINT8,
                      .scale = limit / 127.5f,
                      .minimum = -limit,
                      .rank = 4,
                      .shape = {height, width, in, out}};
    size_t size = (size_t)height * (size_t)width * (size_t)in * (size_t)out;
    uint8_t *data = new_block(net, size);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(next_random(net) >> 24);
    }
    array.data = data;
    return array;
}

gt_array
gt_net_matrix(gt_net *net, int in, int out)
{
    double limit = 1.7 / sqrt((double)in);
    return fill(net, (gt_array){.rank = 2, .shape = {in, out}}, -limit, limit);
}

gt_node
gt_net_conv(gt_net *net, int from, int height, int width, int out, int groups)
{
    gt_node node;
    gt_node_init(&node, GT_OP_CONV2D);
    node.groups = groups;
    node.window.pad_mode = GT_PAD_SAME;
    node.arrays[GT_KERNEL] =
        gt_net_kernel(net, height, width, net->graph.nodes[from].shape.channels / groups, out);
    return node;
}

gt_node
gt_net_pool(gt_op op, int size, int stride, gt_pad_mode pad_mode)
{
    gt_node node;
    gt_node_init(&node, op);
    for (int axis = 0; axis < 2; axis++) {
        node.window.size[axis] = size;
        node.window.strides[axis] = stride;
    }
    node.window.pad_mode = pad_mode;
    return node;
}

gt_node
gt_net_batch_norm(gt_net *net, int from)
{
    int channels = net->graph.nodes[from].shape.channels;
    gt_node node;
    gt_node_init(&node, GT_OP_BATCH_NORM);
    node.epsilon = 1e-3;
    node.arrays[GT_GAMMA] = gt_net_vector(net, channels, 0.5, 1.5);
    node.arrays[GT_BETA] = gt_net_vector(net, channels, -0.5, 0.5);
    node.arrays[GT_MEAN] = gt_net_vector(net, channels, -0.5, 0.5);
    node.arrays[GT_VARIANCE] = gt_net_vector(net, channels, 0.5, 1.5);
    return node;
}

static int
add(gt_net *net, const gt_node *node, const char *name, const int *from, int n_from)
{
    char fresh[32];
    int index = -1;
    gt_error error = {""};
    (void)snprintf(fresh, sizeof(fresh), "node_%d", net->graph.count);
    gt_status status =
        gt_graph_add(&net->graph, node, name != NULL ? name : fresh, from, n_from, &index, &error);
    must(status == GT_OK, error.message);
    status = gt_graph_infer_shapes(&net->graph, net->height, net->width, &error);
    must(status == GT_OK, error.message);
    return index;
}

int
gt_net_add(gt_net *net, gt_node node, const char *name, int from)
{
    return add(net, &node, name, &from, node.op == GT_OP_INPUT ? 0 : 1);
}

int
gt_net_join(gt_net *net, gt_op op, const char *name, const int *from, int n_from)
{
    gt_node node;
    gt_node_init(&node, op);
    return add(net, &node, name, from, n_from);
}

int
gt_net_add_many(gt_net *net, gt_node node, const int *from, int n_from)
{
    return add(net, &node, NULL, from, n_from);
}

int
gt_net_plain(gt_net *net, gt_op op, const char *name, int from)
{
    gt_node node;
    gt_node_init(&node, op);
    return gt_net_add(net, node, name, from);
}

gt_status
gt_net_copy(const gt_net *net, const int *outputs, int n_outputs, gt_graph *graph, gt_error *error)
{
    int index = -1;
    gt_status status = GT_OK;
    gt_graph_init(graph);
    for (int i = 0; status == GT_OK && i < net->graph.count; i++) {
        const gt_node *node = &net->graph.nodes[i];
        status = gt_graph_add(graph, node, node->name, node->inputs, node->n_inputs, &index, error);
    }
    if (status == GT_OK) {
        status = gt_graph_set_outputs(graph, outputs, n_outputs, error);
    }
    if (status == GT_OK) {
        status = gt_graph_infer_shapes(graph, net->height, net->width, error);
    }
    return status;
}

gt_graph
gt_net_graph(const gt_net *net, const int *outputs, int n_outputs)
{
    gt_graph graph;
    gt_error error = {""};
    must(gt_net_copy(net, outputs, n_outputs, &graph, &error) == GT_OK, error.message);
    return graph;
}

/* --- evaluating one image ------------------------------------------------------------------ */

/* Padding above or to the left, from the definition of `same` in TensorFlow. */
static int
padding_before(const gt_window *window, int axis, int from)
{
    if (window->pad_mode != GT_PAD_SAME) {
        return window->before[axis];
    }
    int extent = (window->size[axis] - 1) * window->dilations[axis] + 1;
    int stride = window->strides[axis];
    int needed = from % stride == 0 ? extent - stride : extent - from % stride;
    return needed > 0 ? needed / 2 : 0;
}

static float
finish(const gt_node *node, double sum, int c)
{
    if (node->scale != NULL) {
        sum = sum * node->scale[c] + node->shift[c];
    }
    else if (node->arrays[GT_BIAS].data != NULL) {
        sum += gt_array_at(&node->arrays[GT_BIAS], c);
    }
    return (float)sum;
}

/* The weights of a convolution as floats, to be freed; NULL where it has none, which are all 1. */
static float *
read_weights(const gt_node *node, map in)
{
    int64_t count = (int64_t)node->window.size[0] * node->window.size[1] *
                    (in.shape.channels / node->groups) * node->shape.channels;
    if (node->arrays[GT_KERNEL].data == NULL) {
        return NULL;
    }
    float *weights = malloc((size_t)count * sizeof(*weights));
    must(weights != NULL, "out of memory");
    gt_array_read(&node->arrays[GT_KERNEL], 0, count, weights);
    return weights;
}

/* Sum over one window and one group of channels in. */
static double
convolve(const gt_node *node, const float *weights, map in, int top, int left, int c)
{
    const gt_window *window = &node->window;
    int out_channels = node->shape.channels;
    int group_in = in.shape.channels / node->groups;
    int first = c / (out_channels / node->groups) * group_in;
    double sum = 0.0;
    for (int i = 0; i < window->size[0] * window->size[1]; i++) {
        int y = top + i / window->size[1] * window->dilations[0];
        int x = left + i % window->size[1] * window->dilations[1];
        if (!inside(in, y, x)) {
            continue;
        }
        const float *numbers = at(in, y, x, first);
        int64_t place = (int64_t)i * group_in * out_channels + c;
        for (int k = 0; k < group_in; k++) {
            sum += (weights != NULL ? (double)weights[place] : 1.0) * (double)numbers[k];
            place += out_channels;
        }
    }
    return sum;
}

static double
pool(const gt_node *node, map in, int top, int left, int c)
{
    const gt_window *window = &node->window;
    bool maximum = node->op == GT_OP_MAX_POOL || node->op == GT_OP_GLOBAL_MAX_POOL;
    bool global = node->op == GT_OP_GLOBAL_AVERAGE_POOL || node->op == GT_OP_GLOBAL_MAX_POOL;
    int height = global ? in.shape.height : window->size[0];
    int width = global ? in.shape.width : window->size[1];
    double sum = 0.0;
    double largest = -INFINITY;
    int seen = 0;
    for (int y = top; y < top + height; y++) {
        for (int x = left; x < left + width; x++) {
            if (inside(in, y, x)) {
                double value = *at(in, y, x, c);
                sum += value;
                largest = value > largest ? value : largest;
                seen++;
            }
        }
    }
    if (window->count_padding) { /* what is beyond the padding is left out */
        int rows = in.shape.height + window->after[0] - top;
        int columns = in.shape.width + window->after[1] - left;
        seen = (rows < height ? rows : height) * (columns < width ? columns : width);
    }
    return maximum ? largest : sum / seen;
}

static void
slide(const gt_node *node, map in, map out)
{
    const gt_window *window = &node->window;
    int above = padding_before(window, 0, in.shape.height);
    int left = padding_before(window, 1, in.shape.width);
    bool convolves = node->op == GT_OP_CONV2D || node->op == GT_OP_DENSE;
    float *weights = convolves ? read_weights(node, in) : NULL;
    for (int y = 0; y < out.shape.height; y++) {
        for (int x = 0; x < out.shape.width; x++) {
            int from_y = y * window->strides[0] - above;
            int from_x = x * window->strides[1] - left;
            for (int c = 0; c < out.shape.channels; c++) {
                *at(out, y, x, c) =
                    convolves ? finish(node, convolve(node, weights, in, from_y, from_x, c), c)
                              : (float)pool(node, in, from_y, from_x, c);
            }
        }
    }
    free(weights);
}

static void
batch_norm(const gt_node *node, map in, map out)
{
    const gt_array *arrays = node->arrays;
    int channels = in.shape.channels;
    for (int64_t i = 0; i < gt_shape_size(in.shape); i++) {
        int64_t c = i % channels;
        double gamma = arrays[GT_GAMMA].data != NULL ? gt_array_at(&arrays[GT_GAMMA], c) : 1.0;
        double beta = arrays[GT_BETA].data != NULL ? gt_array_at(&arrays[GT_BETA], c) : 0.0;
        double deviation = sqrt(gt_array_at(&arrays[GT_VARIANCE], c) + node->epsilon);
        double centred = in.data[i] - (double)gt_array_at(&arrays[GT_MEAN], c);
        out.data[i] = (float)(gamma * centred / deviation + beta);
    }
}

static void
softmax(map in, map out)
{
    int channels = in.shape.channels;
    for (int64_t first = 0; first < gt_shape_size(in.shape); first += channels) {
        double sum = 0.0;
        for (int c = 0; c < channels; c++) {
            sum += exp((double)in.data[first + c]);
        }
        for (int c = 0; c < channels; c++) {
            out.data[first + c] = (float)(exp((double)in.data[first + c]) / sum);
        }
    }
}

/* Add `in` (add) or put it behind what is `done` along an axis (concat). */
static void
join(const gt_node *node, map in, map out, int done)
{
    for (int y = 0; y < in.shape.height; y++) {
        for (int x = 0; x < in.shape.width; x++) {
            for (int c = 0; c < in.shape.channels; c++) {
                float value = *at(in, y, x, c);
                if (node->op == GT_OP_CONCAT) {
                    *at(out, node->axis == GT_AXIS_HEIGHT ? done + y : y,
                        node->axis == GT_AXIS_WIDTH ? done + x : x,
                        node->axis == GT_AXIS_CHANNELS ? done + c : c) = value;
                }
                else {
                    *at(out, y, x, c) = done > 0 ? *at(out, y, x, c) + value : value;
                }
            }
        }
    }
}

static void
by_channel(const gt_node *node, map in, map out)
{
    for (int64_t i = 0; i < gt_shape_size(out.shape); i++) {
        int64_t c = i % out.shape.channels;
        float x = in.data[i];
        out.data[i] = node->op == GT_OP_BIAS    ? x + gt_array_at(&node->arrays[GT_BIAS], c)
                      : node->op == GT_OP_SCALE ? x * gt_array_at(&node->arrays[GT_GAMMA], c)
                      : node->op == GT_OP_PRELU && x < 0.0f
                          ? x * gt_array_at(&node->arrays[GT_ALPHA], c)
                          : x;
    }
}

static void
evaluate(const gt_node *node, const map *inputs, map out)
{
    map in = inputs[0];
    int done = 0;
    switch (node->op) {
    case GT_OP_CONV2D:
    case GT_OP_DENSE: /* its kernel is that of a 1x1 convolution */
    case GT_OP_MAX_POOL:
    case GT_OP_AVERAGE_POOL:
    case GT_OP_GLOBAL_AVERAGE_POOL:
    case GT_OP_GLOBAL_MAX_POOL:
        slide(node, in, out);
        break;
    case GT_OP_BATCH_NORM:
        batch_norm(node, in, out);
        break;
    case GT_OP_ADD:
    case GT_OP_CONCAT:
        if (node->op == GT_OP_ADD && node->n_inputs == 2) {
            binary(node, inputs[0], inputs[1], out);
            break;
        }
        for (int k = 0; k < node->n_inputs; k++) {
            join(node, inputs[k], out, done);
            const gt_shape *shape = &inputs[k].shape;
            const int lengths[3] = {shape->height, shape->width, shape->channels};
            done += lengths[node->axis];
        }
        break;
    case GT_OP_SOFTMAX:
        softmax(in, out);
        break;
    case GT_OP_LAYER_NORM:
    case GT_OP_GROUP_NORM:
        norm(node, in, out);
        break;
    case GT_OP_POSITION_EMBEDDING:
        embed(node, in, out);
        break;
    case GT_OP_ATTENTION:
        attention(node, inputs, out);
        break;
    case GT_OP_MULTIPLY:
    case GT_OP_SUBTRACT:
    case GT_OP_DIVIDE:
    case GT_OP_MAXIMUM:
    case GT_OP_MINIMUM:
        binary(node, inputs[0], inputs[1], out);
        break;
    case GT_OP_CONSTANT:
        gt_array_read(&node->arrays[GT_VALUE], 0, gt_shape_size(out.shape), out.data);
        break;
    case GT_OP_PAD:
    case GT_OP_CROP:
    case GT_OP_SLICE:
    case GT_OP_CHANNEL_SHUFFLE:
    case GT_OP_TRANSPOSE:
        move(node, in, out);
        break;
    case GT_OP_FLATTEN:
        (node->channels_first ? move : by_channel)(node, in, out);
        break;
    case GT_OP_RESIZE:
        (node->bilinear ? resize : move)(node, in, out);
        break;
    case GT_OP_REDUCE:
        reduce(node, in, out);
        break;
    case GT_OP_LOCAL_RESPONSE_NORM:
        response_norm(node, in, out);
        break;
    default: /* the same numbers in the same order, with what the layer does to each channel */
        by_channel(node, in, out);
        break;
    }
    activate(&node->activation, out);
}

/* --- evaluating a graph -------------------------------------------------------------------- */

static void
evaluate_image(const gt_graph *graph, gt_twin *twin, int image)
{
    map inputs[64];
    for (int i = 1; i < graph->count; i++) {
        const gt_node *node = &graph->nodes[i];
        must(node->n_inputs <= 64, "too many inputs");
        for (int k = 0; k < node->n_inputs; k++) {
            int from = node->inputs[k];
            gt_shape shape = graph->nodes[from].shape;
            inputs[k] = (map){twin->values[from] + image * gt_shape_size(shape), shape};
        }
        float *place = twin->values[i] + image * gt_shape_size(node->shape);
        evaluate(node, inputs, (map){place, node->shape});
    }
}

gt_twin
gt_twin_run(const gt_graph *graph, const uint8_t *images, int count, gt_preprocessing preprocessing)
{
    gt_twin twin = {.n_nodes = graph->count, .count = count};
    twin.values = calloc((size_t)graph->count, sizeof(*twin.values));
    must(twin.values != NULL, "out of memory");
    for (int i = 0; i < graph->count; i++) {
        int64_t size = count * gt_shape_size(graph->nodes[i].shape);
        twin.values[i] = malloc((size_t)size * sizeof(float) + 1);
        must(twin.values[i] != NULL, "out of memory");
    }
    int channels = graph->nodes[0].shape.channels;
    for (int64_t i = 0; i < count * gt_shape_size(graph->nodes[0].shape); i++) {
        int c = (int)(i % channels);
        uint8_t byte = images[preprocessing.reversed ? i - c + channels - 1 - c : i];
        twin.values[0][i] = preprocessing.by_channel
                                ? (float)byte * preprocessing.scales[c] + preprocessing.offsets[c]
                                : (float)byte * preprocessing.scale + preprocessing.offset;
    }
    for (int image = 0; image < count; image++) {
        evaluate_image(graph, &twin, image);
    }
    return twin;
}

void
gt_twin_clear(gt_twin *twin)
{
    for (int i = 0; i < twin->n_nodes; i++) {
        free(twin->values[i]);
    }
    free(twin->values);
    twin->values = NULL;
    twin->n_nodes = 0;
}

double
gt_distance(const float *a, const float *b, int64_t count)
{
    double furthest = 0.0;
    double largest = 1e-3;
    for (int64_t i = 0; i < count; i++) {
        double difference = fabs((double)a[i] - b[i]);
        if (!(difference < INFINITY)) {
            return INFINITY;
        }
        furthest = difference > furthest ? difference : furthest;
        largest = fabs((double)b[i]) > largest ? fabs((double)b[i]) : largest;
    }
    return furthest / largest;
}
