/* The operations on tokens in the plain evaluation, from their definitions.  For twin.c alone. */
#ifndef GT_TEST_TWIN_TOKENS_H
#define GT_TEST_TWIN_TOKENS_H

#include <math.h>
#include <stdlib.h>

#include "graph/graph.h"
#include "twin_maps.h"

static double
array_or(const gt_array *array, int64_t i, double otherwise)
{
    return array->data != NULL ? (double)gt_array_at(array, i) : otherwise;
}

/* Normalise the `count` numbers at those places. */
static void
normalise(const gt_node *node, map in, map out, const int64_t *places, int64_t count)
{
    double sum = 0.0;
    double squares = 0.0;
    for (int64_t i = 0; i < count; i++) {
        sum += in.data[places[i]];
    }
    double mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++) {
        double away = in.data[places[i]] - mean;
        squares += away * away;
    }
    double deviation = sqrt(squares / (double)count + node->epsilon);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = places[i] % in.shape.channels;
        double gamma = array_or(&node->arrays[GT_GAMMA], c, 1.0);
        double beta = array_or(&node->arrays[GT_BETA], c, 0.0);
        out.data[places[i]] = (float)((in.data[places[i]] - mean) / deviation * gamma + beta);
    }
}

/* Over the channels of each pixel, or all pixels and the channels of each group. */
static void
norm(const gt_node *node, map in, map out)
{
    bool by_pixel = node->op == GT_OP_LAYER_NORM;
    int64_t pixels = (int64_t)in.shape.height * in.shape.width;
    int64_t channels = in.shape.channels;
    int64_t width = by_pixel ? channels : channels / node->groups;
    int64_t *places = malloc((size_t)gt_shape_size(in.shape) * sizeof(*places));
    for (int64_t set = 0; set < (by_pixel ? pixels : node->groups); set++) {
        int64_t count = 0;
        for (int64_t i = 0; i < gt_shape_size(in.shape); i++) {
            if ((by_pixel ? i / channels : i % channels / width) == set) {
                places[count++] = i;
            }
        }
        normalise(node, in, out, places, count);
    }
    free(places);
}

/* Of the cubic that Keys gave in 1981, with a = -1/2. */
static double
cubic_weight(double x)
{
    x = fabs(x);
    double near = 1.5 * x * x * x - 2.5 * x * x + 1.0;
    double far = -0.5 * x * x * x + 2.5 * x * x - 4.0 * x + 2.0;
    return x <= 1.0 ? near : x < 2.0 ? far : 0.0;
}

/* How much place j of `from` counts in place i of `to`. */
static double
resample_weight(int from, int to, int i, int j)
{
    double ratio = (double)from / to;
    double widening = ratio < 1.0 ? 1.0 : ratio;
    double sum = 0.0;
    for (int k = 0; k < from; k++) {
        sum += cubic_weight((k + 0.5 - ratio * (i + 0.5)) / widening);
    }
    return cubic_weight((j + 0.5 - ratio * (i + 0.5)) / widening) / sum;
}

static void
embed(const gt_node *node, map in, map out)
{
    const gt_array *value = &node->arrays[GT_VALUE];
    int height = (int)value->shape[0];
    int width = (int)value->shape[1];
    int channels = in.shape.channels;
    for (int64_t i = 0; i < gt_shape_size(in.shape); i++) {
        int c = (int)(i % channels);
        int x = (int)(i / channels % in.shape.width);
        int y = (int)(i / channels / in.shape.width);
        double sum = in.data[i];
        for (int row = 0; row < height; row++) {
            double down = resample_weight(height, in.shape.height, y, row);
            for (int column = 0; down != 0.0 && column < width; column++) {
                double across = resample_weight(width, in.shape.width, x, column);
                sum += down * across *
                       gt_array_at(value, (int64_t)(row * width + column) * channels + c);
            }
        }
        out.data[i] = (float)sum;
    }
}

/* A token of the map that windows are cut from: rolled and padded. */
typedef struct {
    int y; /* in the map before it was rolled */
    int x;
    bool is_padding;
    int region; /* tokens of a window in different regions were not neighbours */
    int window; /* it belongs to; and which of its tokens it is */
    int inner;
} token;

/* All tokens of the padded map, row by row; the number of them is *count. */
static token *
cut_windows(const gt_node *node, gt_shape shape, int *count)
{
    int size[2] = {node->attending.window[0], node->attending.window[1]};
    int extents[2] = {shape.height, shape.width};
    int padded[2];
    int shift[2];
    for (int axis = 0; axis < 2; axis++) {
        size[axis] = size[axis] == 0 ? extents[axis] : size[axis];
        padded[axis] = (extents[axis] + size[axis] - 1) / size[axis] * size[axis];
        shift[axis] = padded[axis] > size[axis] ? node->attending.shift[axis] : 0;
    }
    *count = padded[0] * padded[1];
    token *tokens = calloc((size_t)*count, sizeof(*tokens));
    for (int i = 0; i < *count; i++) {
        int place[2] = {i / padded[1], i % padded[1]}; /* in the rolled map */
        token *own = &tokens[i];
        own->y = (place[0] + shift[0]) % padded[0];
        own->x = (place[1] + shift[1]) % padded[1];
        own->is_padding = own->y >= extents[0] || own->x >= extents[1];
        own->window = place[0] / size[0] * (padded[1] / size[1]) + place[1] / size[1];
        own->inner = place[0] % size[0] * size[1] + place[1] % size[1];
        /* What came round from the other side is no neighbour of what it now stands beside. */
        bool is_round[2] = {place[0] + shift[0] >= padded[0], place[1] + shift[1] >= padded[1]};
        own->region = 2 * is_round[0] + is_round[1];
    }
    return tokens;
}

/* Number c of the queries (0), keys (1) or values (2) of a token. */
static double
operand(const gt_node *node, const map *inputs, int k, const token *own, int c)
{
    int channels = node->shape.channels;
    map in = node->n_inputs == 3 ? inputs[k] : inputs[0];
    int place = node->n_inputs == 3 ? c : k * channels + c;
    if (own->is_padding) {
        return array_or(&node->arrays[GT_BIAS], place, 0.0);
    }
    return in.data[((int64_t)own->y * in.shape.width + own->x) * in.shape.channels + place];
}

/* The result of one query and head: weights over the keys, and the mean that they make. */
static void
attend(const gt_node *node, const map *inputs, const token *query, const token *keys, int n_keys,
       int n_queries, int head, map out)
{
    int channels = node->shape.channels;
    int width = channels / node->attending.heads;
    const gt_array *value = &node->arrays[GT_VALUE];
    int in_window = node->attending.window[0] * node->attending.window[1];
    int64_t row_length = in_window > 0 ? in_window : n_keys;
    int64_t rows = in_window > 0 ? in_window : n_queries;
    double *weights = calloc((size_t)n_keys, sizeof(*weights));
    double total = 0.0;
    double largest = -INFINITY;
    for (int j = 0; j < n_keys; j++) {
        double score = 0.0;
        weights[j] = -INFINITY;
        if (query->window != keys[j].window) {
            continue;
        }
        for (int c = head * width; c < (head + 1) * width; c++) {
            score += operand(node, inputs, 0, query, c) * operand(node, inputs, 1, &keys[j], c);
        }
        int64_t place = (head * rows + query->inner) * row_length + keys[j].inner;
        weights[j] = score * node->attending.scale + array_or(value, place, 0.0) -
                     (query->region != keys[j].region ? 100.0 : 0.0);
        largest = weights[j] > largest ? weights[j] : largest;
    }
    for (int j = 0; j < n_keys; j++) {
        weights[j] = exp(weights[j] - largest);
        total += weights[j];
    }
    for (int c = head * width; c < (head + 1) * width; c++) {
        double sum = 0.0;
        for (int j = 0; j < n_keys; j++) {
            sum += weights[j] > 0.0 ? weights[j] * operand(node, inputs, 2, &keys[j], c) : 0.0;
        }
        out.data[((int64_t)query->y * out.shape.width + query->x) * channels + c] =
            (float)(sum / total);
    }
    free(weights);
}

static void
attention(const gt_node *node, const map *inputs, map out)
{
    int n_queries = 0;
    int n_keys = 0;
    token *queries = cut_windows(node, inputs[0].shape, &n_queries);
    token *keys = cut_windows(node, inputs[node->n_inputs == 3].shape, &n_keys);
    for (int i = 0; i < n_queries; i++) {
        for (int head = 0; !queries[i].is_padding && head < node->attending.heads; head++) {
            attend(node, inputs, &queries[i], keys, n_keys, n_queries, head, out);
        }
    }
    free(queries);
    free(keys);
}

#endif
