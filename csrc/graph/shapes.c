/* Shape inference: what each layer produces for an input of a given size. */
#include <limits.h>
#include <math.h>
#include <stddef.h>

#include "common/arithmetic.h"
#include "graph/shapes.h"

static bool
has(const gt_node *node, gt_role role)
{
    return node->arrays[role].data != NULL;
}

static gt_status
check_vector(const gt_node *node, gt_role role, int channels, gt_error *error)
{
    const gt_array *array = &node->arrays[role];
    if (array->rank == 1 && array->shape[0] == channels) {
        return GT_OK;
    }
    return gt_fail(error, GT_ERROR_GRAPH,
                   "layer '%s': %s must have shape (%d,), its first axis has %lld of rank %d",
                   node->name, gt_role_name(role), channels,
                   (long long)(array->rank > 0 ? array->shape[0] : 0), array->rank);
}

gt_status
gt_shapes_check_vectors(const gt_node *node, int channels, unsigned required, gt_error *error)
{
    for (int role = GT_BIAS; role < GT_VALUE; role++) {
        if (!has(node, (gt_role)role)) {
            if (required & (1u << role)) {
                return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': %s is missing", node->name,
                               gt_role_name((gt_role)role));
            }
            continue;
        }
        gt_status status = check_vector(node, (gt_role)role, channels, error);
        if (status != GT_OK) {
            return status;
        }
    }
    return GT_OK;
}

/* Length of the output along one axis, and the padding of a `same` window as TensorFlow lays it:
 * output = ceil(input / stride), the odd pixel of padding goes after. */
static gt_status
slide(gt_node *node, int axis, int input, int *output, gt_error *error)
{
    gt_window *window = &node->window;
    int size = window->size[axis];
    int stride = window->strides[axis];
    int dilation = window->dilations[axis];
    int limit = 1 << 16;
    int64_t extent = ((int64_t)size - 1) * dilation + 1;
    if (size < 1 || stride < 1 || dilation < 1 || size > limit || stride > limit ||
        dilation > limit || extent > limit || window->before[axis] < 0 || window->after[axis] < 0 ||
        window->before[axis] > limit || window->after[axis] > limit) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "layer '%s': window %d, stride %d, dilation %d, padding %d and %d is not "
                       "possible",
                       node->name, size, stride, dilation, window->before[axis],
                       window->after[axis]);
    }
    if (window->pad_mode == GT_PAD_SAME) {
        int64_t same = gt_divide_up(input, stride);
        int64_t total = (same - 1) * stride + extent - input;
        total = total > 0 ? total : 0;
        window->before[axis] = (int)(total / 2);
        window->after[axis] = (int)(total - total / 2);
    }
    int64_t room = (int64_t)input + window->before[axis] + window->after[axis] - extent;
    if (room < 0) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "layer '%s': its window of %lld pixels is larger than its input of %d; the "
                       "input size is too small for this network",
                       node->name, (long long)extent, input);
    }
    if (window->ceil_mode) { /* one more window, unless it would begin behind the map */
        int64_t last = gt_divide_up(room, stride) * stride;
        last -= last >= (int64_t)input + window->before[axis] ? stride : 0;
        window->beyond[axis] = last > room ? (int)(last - room) : 0;
        room = last > room ? last : room;
    }
    if (room / stride >= INT_MAX) {
        return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': its result is too large", node->name);
    }
    *output = (int)(room / stride) + 1;
    return GT_OK;
}

/* Every window of a pool must hold a pixel, or its average is 0 / 0. */
static gt_status
check_pool(const gt_node *node, gt_error *error)
{
    const gt_window *window = &node->window;
    for (int axis = 0; axis < 2; axis++) {
        if (window->dilations[axis] != 1) {
            return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': a pool has no dilation", node->name);
        }
        if (window->before[axis] >= window->size[axis] ||
            window->after[axis] >= window->size[axis]) {
            return gt_fail(error, GT_ERROR_GRAPH,
                           "layer '%s': padding %d and %d must be less than the pool size %d",
                           node->name, window->before[axis], window->after[axis],
                           window->size[axis]);
        }
    }
    return GT_OK;
}

static gt_status
infer_window(gt_node *node, const gt_shape *input, gt_error *error)
{
    gt_status status = slide(node, 0, input->height, &node->shape.height, error);
    if (status == GT_OK) {
        status = slide(node, 1, input->width, &node->shape.width, error);
    }
    if (status == GT_OK && node->op != GT_OP_CONV2D) {
        status = check_pool(node, error);
    }
    return status;
}

static gt_status
infer_conv2d(gt_node *node, const gt_shape *input, gt_error *error)
{
    const gt_array *kernel = &node->arrays[GT_KERNEL];
    const int64_t *shape = kernel->shape;
    if (kernel->data == NULL || kernel->rank != 4) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "layer '%s': a convolution needs a kernel of rank 4, found rank %d",
                       node->name, kernel->data == NULL ? 0 : kernel->rank);
    }
    if (shape[0] < 1 || shape[1] < 1 || shape[0] > INT_MAX || shape[1] > INT_MAX || shape[3] < 1 ||
        shape[3] > INT_MAX) {
        return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': the kernel has an empty axis",
                       node->name);
    }
    if (node->groups < 1 || input->channels % node->groups != 0 || shape[3] % node->groups != 0 ||
        shape[2] != input->channels / node->groups) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "layer '%s': a kernel for %lld channels in and %lld out does not fit an "
                       "input of %d channels in %d groups",
                       node->name, (long long)shape[2], (long long)shape[3], input->channels,
                       node->groups);
    }
    node->window.size[0] = (int)shape[0];
    node->window.size[1] = (int)shape[1];
    node->shape.channels = (int)shape[3];
    gt_status status = infer_window(node, input, error);
    if (status == GT_OK) {
        status = gt_shapes_check_vectors(node, node->shape.channels, 0, error);
    }
    return status;
}

static gt_status
infer_dense(gt_node *node, const gt_shape *input, gt_error *error)
{
    const gt_array *kernel = &node->arrays[GT_KERNEL];
    if (input->height != 1 || input->width != 1) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "layer '%s': a dense layer needs a flat input, not a map of %d x %d",
                       node->name, input->height, input->width);
    }
    if (kernel->data == NULL || kernel->rank != 2 || kernel->shape[0] != input->channels ||
        kernel->shape[1] < 1 || kernel->shape[1] > INT_MAX) {
        return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': the kernel takes %lld inputs, %d arrive",
                       node->name, (long long)(kernel->data == NULL ? 0 : kernel->shape[0]),
                       input->channels);
    }
    node->shape = (gt_shape){1, 1, (int)kernel->shape[1]};
    return gt_shapes_check_vectors(node, node->shape.channels, 0, error);
}

static gt_status
infer_bounds(const gt_node *node, gt_error *error)
{
    const gt_activation *activation = &node->activation;
    if (activation->low <= activation->high && isfinite(activation->alpha) &&
        isfinite(activation->beta)) {
        return GT_OK;
    }
    return node->op == GT_OP_RELU
               ? gt_fail(error, GT_ERROR_GRAPH, "layer '%s': the limit %g of a ReLU is below 0",
                         node->name, (double)activation->high)
               : gt_fail(error, GT_ERROR_GRAPH,
                         "layer '%s': bounds %g and %g, alpha %g and beta %g are not possible",
                         node->name, (double)activation->low, (double)activation->high,
                         (double)activation->alpha, (double)activation->beta);
}

static gt_status
infer_node(const gt_graph *graph, gt_node *node, gt_error *error)
{
    const gt_shape *input = &graph->nodes[node->inputs[0]].shape;
    unsigned moments = 1u << GT_MEAN | 1u << GT_VARIANCE;
    node->shape = *input;
    switch (node->op) {
    case GT_OP_CONV2D:
        return infer_conv2d(node, input, error);
    case GT_OP_MAX_POOL:
    case GT_OP_AVERAGE_POOL:
        return infer_window(node, input, error);
    case GT_OP_CONCAT:
        return gt_shapes_infer_concat(graph, node, error);
    case GT_OP_ADD:
    case GT_OP_MULTIPLY:
    case GT_OP_SUBTRACT:
    case GT_OP_DIVIDE:
    case GT_OP_MAXIMUM:
    case GT_OP_MINIMUM:
        return gt_shapes_infer_broadcast(graph, node, error);
    case GT_OP_GLOBAL_AVERAGE_POOL:
    case GT_OP_GLOBAL_MAX_POOL:
        node->shape = (gt_shape){1, 1, input->channels};
        return GT_OK;
    case GT_OP_FLATTEN: /* check_size has bounded the product */
        node->shape = (gt_shape){1, 1, input->height * input->width * input->channels};
        return GT_OK;
    case GT_OP_DENSE:
        return infer_dense(node, input, error);
    case GT_OP_BATCH_NORM:
        return gt_shapes_check_vectors(node, input->channels, moments, error);
    case GT_OP_BIAS:
        return gt_shapes_check_vectors(node, input->channels, 1u << GT_BIAS, error);
    case GT_OP_SOFTMAX:
        return GT_OK;
    case GT_OP_RELU:
    case GT_OP_CLIP:
    case GT_OP_ACTIVATION:
        return infer_bounds(node, error);
    case GT_OP_PRELU:
        return gt_shapes_check_vectors(node, input->channels, 1u << GT_ALPHA, error);
    case GT_OP_SCALE:
        return gt_shapes_check_vectors(node, input->channels, 1u << GT_GAMMA, error);
    case GT_OP_CONSTANT:
    case GT_OP_PAD:
    case GT_OP_CROP:
    case GT_OP_SLICE:
    case GT_OP_CHANNEL_SHUFFLE:
    case GT_OP_LOCAL_RESPONSE_NORM:
    case GT_OP_REDUCE:
    case GT_OP_RESIZE:
    case GT_OP_RESHAPE:
    case GT_OP_TRANSPOSE:
        return gt_shapes_infer_map(node, input, error);
    case GT_OP_LAYER_NORM:
    case GT_OP_GROUP_NORM:
    case GT_OP_POSITION_EMBEDDING:
    case GT_OP_ATTENTION:
        return gt_shapes_infer_tokens(graph, node, error);
    case GT_OP_INPUT:
    case GT_OP_COUNT:
        break;
    }
    return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': unknown operation", node->name);
}

/* The numbers of one map are counted in an int, and their bytes in 64 bits for any batch. */
static gt_status
check_size(const gt_node *node, gt_error *error)
{
    const gt_shape *shape = &node->shape;
    int64_t pixels = (int64_t)shape->height * shape->width;
    if (pixels <= INT_MAX / shape->channels) {
        return GT_OK;
    }
    return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': its result of %d x %d x %d is too large",
                   node->name, shape->height, shape->width, shape->channels);
}

gt_status
gt_graph_infer_shapes(gt_graph *graph, int height, int width, gt_error *error)
{
    if (graph->count == 0) {
        return gt_fail(error, GT_ERROR_GRAPH, "the network has no layers");
    }
    gt_shape *input = &graph->nodes[0].shape;
    if (height < 1 || width < 1 || height > 1 << 14 || width > 1 << 14 || input->channels < 1) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "an input of %d x %d pixels and %d channels is not possible", height, width,
                       input->channels);
    }
    input->height = height;
    input->width = width;
    gt_status status = check_size(&graph->nodes[0], error);
    for (int i = 1; status == GT_OK && i < graph->count; i++) {
        status = infer_node(graph, &graph->nodes[i], error);
        if (status == GT_OK) {
            status = check_size(&graph->nodes[i], error);
        }
    }
    return status;
}
