#include "twin.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* One value: where it is and its shape. */
typedef struct {
    float *data;
    gt_shape shape;
} map;

static float *
at(map value, int y, int x, int c)
{
    return &value.data[((int64_t)y * value.shape.width + x) * value.shape.channels + c];
}

static bool
inside(map value, int y, int x)
{
    return y >= 0 && y < value.shape.height && x >= 0 && x < value.shape.width;
}

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
    double sum = 0.0;
    for (int c = 0; c < in.shape.channels; c++) {
        sum += exp((double)in.data[c]);
    }
    for (int c = 0; c < in.shape.channels; c++) {
        out.data[c] = (float)(exp((double)in.data[c]) / sum);
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

/* From the definitions, in double. */
static double
apply(const gt_activation *activation, double x)
{
    const double alpha = activation->alpha;
    const double beta = activation->beta;
    const double softplus = x > 40.0 ? x : log1p(exp(x));
    switch (activation->function) {
    case GT_LEAKY_RELU:
        return x > 0.0 ? x : alpha * x;
    case GT_ELU:
        return x > 0.0 ? x : alpha * expm1(x);
    case GT_SELU:
        return 1.0507009873554805 * (x > 0.0 ? x : 1.6732632423543772 * expm1(x));
    case GT_GELU:
        return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case GT_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case GT_SILU:
        return x / (1.0 + exp(-x));
    case GT_HARD_SWISH:
        return x * fmin(fmax(alpha * x + beta, 0.0), 1.0);
    case GT_HARD_SIGMOID:
        return fmin(fmax(alpha * x + beta, 0.0), 1.0);
    case GT_SIGMOID:
        return 1.0 / (1.0 + exp(-x));
    case GT_TANH:
        return tanh(x);
    case GT_SOFTPLUS:
        return softplus;
    case GT_SOFTSIGN:
        return x / (1.0 + fabs(x));
    case GT_MISH:
        return x * tanh(softplus);
    case GT_EXP:
        return exp(x);
    case GT_ABS:
        return fabs(x);
    case GT_SQRT:
        return sqrt(x);
    case GT_SQUARE:
        return x * x;
    case GT_IDENTITY:
    case GT_FUNCTION_COUNT:
        break;
    }
    return x;
}

static void
activate(const gt_activation *activation, map value)
{
    for (int64_t i = 0; i < gt_shape_size(value.shape); i++) {
        double x = apply(activation, value.data[i]);
        x = x < activation->low ? activation->low : x;
        value.data[i] = (float)(x > activation->high ? activation->high : x);
    }
}

/* Two operands, of which one may be repeated along any axis. */
static double
combine(gt_op op, double a, double b)
{
    switch (op) {
    case GT_OP_SUBTRACT:
        return a - b;
    case GT_OP_MULTIPLY:
        return a * b;
    case GT_OP_DIVIDE:
        return a / b;
    case GT_OP_MAXIMUM:
        return fmax(a, b);
    case GT_OP_MINIMUM:
        return fmin(a, b);
    default:
        return a + b;
    }
}

static float *
at_repeated(map value, int y, int x, int c)
{
    return at(value, value.shape.height > 1 ? y : 0, value.shape.width > 1 ? x : 0,
              value.shape.channels > 1 ? c : 0);
}

static void
binary(const gt_node *node, map a, map b, map out)
{
    for (int y = 0; y < out.shape.height; y++) {
        for (int x = 0; x < out.shape.width; x++) {
            for (int c = 0; c < out.shape.channels; c++) {
                *at(out, y, x, c) =
                    (float)combine(node->op, *at_repeated(a, y, x, c), *at_repeated(b, y, x, c));
            }
        }
    }
}

/* Where the number at y, x, c of a result that only moves numbers comes from; NULL for padding. */
static const float *
origin(const gt_node *node, map in, int y, int x, int c)
{
    const gt_window *window = &node->window;
    int place[3] = {y, x, c};
    int moved[3];
    int each = in.shape.channels / node->groups;
    int first = node->first;
    switch (node->op) {
    case GT_OP_PAD:
        y -= window->before[0];
        x -= window->before[1];
        return inside(in, y, x) ? at(in, y, x, c) : NULL;
    case GT_OP_CROP:
        return at(in, y + window->before[0], x + window->before[1], c);
    case GT_OP_SLICE:
        if (first < 0) {
            const int lengths[3] = {in.shape.height, in.shape.width, in.shape.channels};
            first = first + lengths[node->axis] > 0 ? first + lengths[node->axis] : 0;
        }
        place[node->axis] = first + place[node->axis] * node->step;
        return at(in, place[0], place[1], place[2]);
    case GT_OP_CHANNEL_SHUFFLE:
        return at(in, y, x, c % node->groups * each + c / node->groups);
    case GT_OP_RESIZE:
        return at(in, y / node->factors[0], x / node->factors[1], c);
    case GT_OP_TRANSPOSE:
        for (int k = 0; k < 3; k++) {
            moved[node->order[k]] = place[k];
        }
        return at(in, moved[0], moved[1], moved[2]);
    default: /* flatten with channels first */
        return at(in, c / in.shape.width % in.shape.height, c % in.shape.width,
                  c / (in.shape.width * in.shape.height));
    }
}

static void
move(const gt_node *node, map in, map out)
{
    for (int y = 0; y < out.shape.height; y++) {
        for (int x = 0; x < out.shape.width; x++) {
            for (int c = 0; c < out.shape.channels; c++) {
                const float *from = origin(node, in, y, x, c);
                *at(out, y, x, c) = from != NULL ? *from : node->fill;
            }
        }
    }
}

/* Place of a row or column of a resized map in the given one. */
static double
place_before(gt_coordinates coordinates, int place, int from, int to)
{
    double factor = (double)to / from;
    switch (coordinates) {
    case GT_HALF_PIXEL:
        return fmax((place + 0.5) / factor - 0.5, 0.0);
    case GT_ALIGN_CORNERS:
        return to > 1 ? (double)place * (from - 1) / (to - 1) : 0.0;
    default:
        return place / factor;
    }
}

static void
resize(const gt_node *node, map in, map out)
{
    for (int y = 0; y < out.shape.height; y++) {
        double down = place_before(node->coordinates, y, in.shape.height, out.shape.height);
        for (int x = 0; x < out.shape.width; x++) {
            double right = place_before(node->coordinates, x, in.shape.width, out.shape.width);
            for (int c = 0; c < out.shape.channels; c++) {
                double sum = 0.0;
                for (int k = 0; k < 4; k++) {
                    int row = (int)down + k / 2;
                    int column = (int)right + k % 2;
                    double weight = (1.0 - fabs(down - row)) * (1.0 - fabs(right - column));
                    row = row < in.shape.height ? row : in.shape.height - 1;
                    column = column < in.shape.width ? column : in.shape.width - 1;
                    sum += weight * *at(in, row, column, c);
                }
                *at(out, y, x, c) = (float)sum;
            }
        }
    }
}

static void
reduce(const gt_node *node, map in, map out)
{
    bool over_map = node->axis == GT_AXIS_MAP;
    int64_t channels = in.shape.channels;
    int64_t pixels = (int64_t)in.shape.height * in.shape.width;
    int64_t count = over_map ? pixels : channels;
    for (int64_t i = 0; i < gt_shape_size(out.shape); i++) {
        double sum = 0.0;
        double squares = 0.0;
        double largest = -INFINITY;
        double smallest = INFINITY;
        for (int64_t k = 0; k < count; k++) {
            double value = in.data[over_map ? k * channels + i : i * channels + k];
            sum += value;
            squares += value * value;
            largest = fmax(largest, value);
            smallest = fmin(smallest, value);
        }
        const double results[GT_REDUCTION_COUNT] = {[GT_REDUCE_MEAN] = sum / (double)count,
                                                    [GT_REDUCE_SUM] = sum,
                                                    [GT_REDUCE_MAX] = largest,
                                                    [GT_REDUCE_MIN] = smallest,
                                                    [GT_REDUCE_L2] = sqrt(squares)};
        out.data[i] = (float)results[node->reduction];
    }
}

static void
response_norm(const gt_node *node, map in, map out)
{
    int channels = in.shape.channels;
    for (int64_t i = 0; i < gt_shape_size(in.shape); i++) {
        int c = (int)(i % channels);
        double squares = 0.0;
        for (int k = c - (node->size - 1) / 2; k <= c + node->size / 2; k++) {
            double value = k >= 0 && k < channels ? in.data[i - c + k] : 0.0;
            squares += value * value;
        }
        out.data[i] = (float)(in.data[i] /
                              pow(node->offset + node->alpha / node->size * squares, node->beta));
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
    for (int64_t i = 0; i < count * gt_shape_size(graph->nodes[0].shape); i++) {
        twin.values[0][i] = (float)images[i] * preprocessing.scale + preprocessing.offset;
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
