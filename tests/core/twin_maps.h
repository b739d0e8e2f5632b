/* The part of the plain evaluation that joins maps, moves their numbers or takes each by itself.
 * Include it in twin.c alone. */
#ifndef GT_TEST_TWIN_MAPS_H
#define GT_TEST_TWIN_MAPS_H

#include <math.h>
#include <stddef.h>

#include "graph/graph.h"

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

#endif
