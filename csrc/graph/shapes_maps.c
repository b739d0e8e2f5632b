/* Shape inference of what joins maps, cuts them or moves their numbers. */
#include <limits.h>
#include <math.h>
#include <stddef.h>

#include "graph/shapes.h"

static gt_status
refuse_join(const gt_graph *graph, const gt_node *node, const gt_node *other, gt_error *error)
{
    const gt_node *begin = &graph->nodes[node->inputs[0]];
    const gt_shape *first = &begin->shape;
    const gt_shape *shape = &other->shape;
    return gt_fail(error, GT_ERROR_GRAPH,
                   "layer '%s': input '%s' of shape %d x %d x %d does not fit '%s' of shape %d x "
                   "%d x %d",
                   node->name, other->name, shape->height, shape->width, shape->channels,
                   begin->name, first->height, first->width, first->channels);
}

/* The extent of a shape along an axis. */
static int *
extent(gt_shape *shape, gt_axis axis)
{
    return axis == GT_AXIS_HEIGHT  ? &shape->height
           : axis == GT_AXIS_WIDTH ? &shape->width
                                   : &shape->channels;
}

gt_status
gt_shapes_infer_concat(const gt_graph *graph, gt_node *node, gt_error *error)
{
    gt_shape result = graph->nodes[node->inputs[0]].shape;
    int64_t length = *extent(&result, node->axis);
    for (int i = 1; i < node->n_inputs; i++) {
        const gt_node *other = &graph->nodes[node->inputs[i]];
        gt_shape shape = other->shape;
        length += *extent(&shape, node->axis);
        *extent(&shape, node->axis) = *extent(&result, node->axis);
        if (shape.height != result.height || shape.width != result.width ||
            shape.channels != result.channels) {
            return refuse_join(graph, node, other, error);
        }
    }
    if (length > INT_MAX) {
        return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': too many channels", node->name);
    }
    *extent(&result, node->axis) = (int)length;
    node->shape = result;
    return GT_OK;
}

gt_status
gt_shapes_infer_broadcast(const gt_graph *graph, gt_node *node, gt_error *error)
{
    static const gt_axis axes[] = {GT_AXIS_HEIGHT, GT_AXIS_WIDTH, GT_AXIS_CHANNELS};
    gt_shape result = graph->nodes[node->inputs[0]].shape;
    for (int i = 1; i < node->n_inputs; i++) {
        const gt_node *other = &graph->nodes[node->inputs[i]];
        for (int k = 0; k < 3; k++) {
            gt_shape shape = other->shape;
            int *own = extent(&result, axes[k]);
            int its = *extent(&shape, axes[k]);
            bool repeats = node->n_inputs == 2 && (its == 1 || *own == 1);
            if (its != *own && !repeats) {
                return refuse_join(graph, node, other, error);
            }
            *own = *own == 1 ? its : *own;
        }
    }
    node->shape = result;
    return GT_OK;
}

static gt_status
infer_constant(gt_node *node, gt_error *error)
{
    const gt_array *value = &node->arrays[GT_VALUE];
    for (int axis = 0; axis < 3; axis++) {
        if (value->data == NULL || value->rank != 3 || value->shape[axis] < 1 ||
            value->shape[axis] > INT_MAX) {
            return gt_fail(error, GT_ERROR_GRAPH,
                           "layer '%s': a constant needs a value of rank 3 (height, width, "
                           "channels), found rank %d",
                           node->name, value->data == NULL ? 0 : value->rank);
        }
    }
    node->shape = (gt_shape){(int)value->shape[0], (int)value->shape[1], (int)value->shape[2]};
    return GT_OK;
}

/* Pixels of `window` more or, cropped, fewer. */
static gt_status
infer_border(gt_node *node, const gt_shape *input, gt_error *error)
{
    const gt_window *window = &node->window;
    int sign = node->op == GT_OP_PAD ? 1 : -1;
    int64_t extents[2] = {input->height, input->width};
    for (int axis = 0; axis < 2; axis++) {
        extents[axis] += sign * ((int64_t)window->before[axis] + window->after[axis]);
        if (window->before[axis] < 0 || window->after[axis] < 0 || extents[axis] < 1 ||
            extents[axis] > INT_MAX) {
            return gt_fail(error, GT_ERROR_GRAPH,
                           "layer '%s': %s of %d and %d pixels does not fit an input of %d x %d",
                           node->name, gt_op_name(node->op), window->before[axis],
                           window->after[axis], input->height, input->width);
        }
    }
    node->shape.height = (int)extents[0];
    node->shape.width = (int)extents[1];
    return isfinite(node->fill)
               ? GT_OK
               : gt_fail(error, GT_ERROR_GRAPH,
                         "layer '%s': the value of its padding is not finite", node->name);
}

static gt_status
infer_slice(gt_node *node, const gt_shape *input, gt_error *error)
{
    gt_shape shape = *input;
    int length = *extent(&shape, node->axis);
    int start = gt_slice_place(node->first, length);
    int stop = gt_slice_place(node->stop, length);
    if (node->step < 1 || stop <= start) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "layer '%s': a slice from %d to %d by steps of %d takes nothing of %d",
                       node->name, start, stop, node->step, length);
    }
    *extent(&node->shape, node->axis) = (stop - start - 1) / node->step + 1;
    return GT_OK;
}

static gt_status
infer_resize(gt_node *node, const gt_shape *input, gt_error *error)
{
    int64_t height = (int64_t)input->height * node->factors[0];
    int64_t width = (int64_t)input->width * node->factors[1];
    if (node->factors[0] < 1 || node->factors[1] < 1 || height > INT_MAX || width > INT_MAX) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "layer '%s': an input of %d x %d cannot be resized by factors %d and %d",
                       node->name, input->height, input->width, node->factors[0], node->factors[1]);
    }
    if (!node->bilinear && node->coordinates == GT_ALIGN_CORNERS) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "layer '%s': the nearest pixel with aligned corners is not possible",
                       node->name);
    }
    node->shape.height = (int)height;
    node->shape.width = (int)width;
    return GT_OK;
}

static gt_status
infer_reshape(gt_node *node, const gt_shape *input, gt_error *error)
{
    int64_t size = gt_shape_size(*input);
    int64_t known = 1;
    int open = -1;
    int extents[3];
    for (int axis = 0; axis < 3; axis++) {
        extents[axis] = node->extents[axis];
        open = extents[axis] == -1 ? axis : open;
        known *= extents[axis] == -1 ? 1 : extents[axis];
        known = known > INT_MAX || known < 1 || extents[axis] < -1 ? 0 : known;
    }
    if (open >= 0 && known > 0 && size % known == 0) {
        extents[open] = (int)(size / known);
        known = size;
    }
    if (known != size || extents[0] < 1 || extents[1] < 1 || extents[2] < 1) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "layer '%s': %d x %d x %d numbers do not make %d x %d x %d", node->name,
                       input->height, input->width, input->channels, node->extents[0],
                       node->extents[1], node->extents[2]);
    }
    node->shape = (gt_shape){extents[0], extents[1], extents[2]};
    return GT_OK;
}

static gt_status
infer_transpose(gt_node *node, const gt_shape *input, gt_error *error)
{
    const int given[3] = {input->height, input->width, input->channels};
    const int *order = node->order;
    bool is_order = true;
    int seen = 0;
    for (int axis = 0; axis < 3; axis++) {
        is_order = is_order && order[axis] >= 0 && order[axis] < 3;
        seen |= is_order ? 1 << order[axis] : 0;
    }
    if (!is_order || seen != 7) {
        return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': %d, %d, %d is no order of three axes",
                       node->name, order[0], order[1], order[2]);
    }
    node->shape = (gt_shape){given[order[0]], given[order[1]], given[order[2]]};
    return GT_OK;
}

static gt_status
check_response_norm(const gt_node *node, gt_error *error)
{
    if (node->size >= 1 && node->offset > 0.0 && node->alpha >= 0.0 && isfinite(node->alpha) &&
        isfinite(node->beta) && isfinite(node->offset)) {
        return GT_OK;
    }
    return gt_fail(error, GT_ERROR_GRAPH,
                   "layer '%s': a normalisation over %d channels with alpha %g, beta %g and bias "
                   "%g is not possible",
                   node->name, node->size, node->alpha, node->beta, node->offset);
}

gt_status
gt_shapes_infer_map(gt_node *node, const gt_shape *input, gt_error *error)
{
    switch (node->op) {
    case GT_OP_CONSTANT:
        return infer_constant(node, error);
    case GT_OP_PAD:
    case GT_OP_CROP:
        return infer_border(node, input, error);
    case GT_OP_SLICE:
        return infer_slice(node, input, error);
    case GT_OP_RESIZE:
        return infer_resize(node, input, error);
    case GT_OP_RESHAPE:
        return infer_reshape(node, input, error);
    case GT_OP_TRANSPOSE:
        return infer_transpose(node, input, error);
    case GT_OP_LOCAL_RESPONSE_NORM:
        return check_response_norm(node, error);
    case GT_OP_REDUCE:
        node->shape = node->axis == GT_AXIS_MAP ? (gt_shape){1, 1, input->channels}
                                                : (gt_shape){input->height, input->width, 1};
        return GT_OK;
    default: /* channel_shuffle */
        if (node->groups < 1 || input->channels % node->groups != 0) {
            return gt_fail(error, GT_ERROR_GRAPH,
                           "layer '%s': %d channels do not make %d groups of one size", node->name,
                           input->channels, node->groups);
        }
        return GT_OK;
    }
}
