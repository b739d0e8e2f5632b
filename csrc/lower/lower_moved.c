/* Layers that only move numbers: each is a copy of a box, in an order of axes, with channels last. */
#include <limits.h>
#include <omp.h>
#include <string.h>

#include "kernels/maps/maps.h"
#include "lower/implementation.h"

enum { IMAGE, ROW, FINE_ROW, COLUMN, FINE_COLUMN, CHANNEL, N_AXES = GT_MAPS_AXES };

/* The copy of a whole map; axes of one element may still be given a meaning. */
static gt_copy
copy_of(const gt_builder *builder, gt_shape shape, gt_shape from, gt_shape to)
{
    gt_copy copy = {
        .size = builder->plan->type == dnnl_bf16 ? 2 : 4,
        .extents = {builder->plan->batch, shape.height, 1, shape.width, 1, shape.channels},
        .threads = omp_get_max_threads()};
    const gt_shape *shapes[2] = {&from, &to};
    int64_t *strides[2] = {copy.from, copy.to};
    for (int k = 0; k < 2; k++) {
        strides[k][IMAGE] = gt_shape_size(*shapes[k]);
        strides[k][ROW] = (int64_t)shapes[k]->width * shapes[k]->channels;
        strides[k][COLUMN] = shapes[k]->channels;
        strides[k][CHANNEL] = 1;
    }
    return copy;
}

static int64_t
place_of(const int64_t *strides, int row, int column)
{
    return row * strides[ROW] + column * strides[COLUMN];
}

static gt_copy
describe_border(const gt_builder *builder, const gt_node *node, gt_shape from)
{
    const gt_window *window = &node->window;
    bool pads = node->op == GT_OP_PAD;
    gt_copy copy = copy_of(builder, pads ? from : node->shape, from, node->shape);
    if (pads) {
        copy.first_to = place_of(copy.to, window->before[0], window->before[1]);
        copy.filled = builder->plan->batch * gt_shape_size(node->shape);
        copy.fill = node->fill;
    }
    else {
        copy.first_from = place_of(copy.from, window->before[0], window->before[1]);
    }
    return copy;
}

static int
copy_axis(gt_axis axis)
{
    return axis == GT_AXIS_HEIGHT ? ROW : axis == GT_AXIS_WIDTH ? COLUMN : CHANNEL;
}

static gt_copy
describe_slice(const gt_builder *builder, const gt_node *node, gt_shape from)
{
    gt_copy copy = copy_of(builder, node->shape, from, node->shape);
    int lengths[N_AXES] = {[ROW] = from.height, [COLUMN] = from.width, [CHANNEL] = from.channels};
    int axis = copy_axis(node->axis);
    copy.first_from = gt_slice_place(node->first, lengths[axis]) * copy.from[axis];
    copy.from[axis] *= node->step;
    return copy;
}

/* (groups, channels of each) become (channels of each, groups). */
static gt_copy
describe_shuffle(const gt_builder *builder, const gt_node *node, gt_shape from)
{
    gt_copy copy = copy_of(builder, node->shape, from, node->shape);
    int each = from.channels / node->groups;
    copy.extents[FINE_COLUMN] = node->groups;
    copy.from[FINE_COLUMN] = each;
    copy.to[FINE_COLUMN] = 1;
    copy.extents[CHANNEL] = each;
    copy.to[CHANNEL] = node->groups;
    return copy;
}

static gt_copy
describe_transpose(const gt_builder *builder, const gt_node *node, gt_shape from)
{
    static const int axes[3] = {ROW, COLUMN, CHANNEL};
    static const int channels_first[3] = {2, 0, 1};
    const int *order = node->op == GT_OP_FLATTEN ? channels_first : node->order;
    const int given[3] = {from.height, from.width, from.channels};
    gt_shape to = {given[order[0]], given[order[1]], given[order[2]]};
    gt_copy copy = copy_of(builder, to, from, to);
    int64_t strides[GT_MAPS_AXES];
    memcpy(strides, copy.from, sizeof(strides));
    for (int k = 0; k < 3; k++) {
        copy.from[axes[k]] = strides[axes[order[k]]];
    }
    return copy;
}

/* Each pixel becomes a rectangle of them. */
static gt_copy
describe_nearest(const gt_builder *builder, const gt_node *node, gt_shape from)
{
    gt_copy copy = copy_of(builder, from, from, node->shape);
    copy.extents[FINE_ROW] = node->factors[0];
    copy.extents[FINE_COLUMN] = node->factors[1];
    copy.to[FINE_ROW] = copy.to[ROW];
    copy.to[FINE_COLUMN] = copy.to[COLUMN];
    copy.to[ROW] *= node->factors[0];
    copy.to[COLUMN] *= node->factors[1];
    return copy;
}

static gt_copy
describe(const gt_builder *builder, const gt_node *node, gt_shape from)
{
    switch (node->op) {
    case GT_OP_PAD:
    case GT_OP_CROP:
        return describe_border(builder, node, from);
    case GT_OP_SLICE:
        return describe_slice(builder, node, from);
    case GT_OP_CHANNEL_SHUFFLE:
        return describe_shuffle(builder, node, from);
    case GT_OP_RESIZE:
        return describe_nearest(builder, node, from);
    case GT_OP_CONCAT: /* the caller says where to */
        return copy_of(builder, from, from, node->shape);
    default:
        return describe_transpose(builder, node, from);
    }
}

static void
run(const void *context, void *const *memory)
{
    gt_copy_run(context, memory[0], memory[1]);
}

/* Append the copy of input k, from place `offset` along the axis of a concatenation on. */
static gt_status
append_copy(gt_builder *builder, int index, int k, int offset, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_copy copy = describe(builder, node, builder->graph->nodes[node->inputs[k]].shape);
    int source = GT_NO_VALUE;
    gt_status status =
        gt_builder_fetch_last(builder, node, k, gt_builder_float_format(builder), &source, error);
    if (status != GT_OK) {
        return status;
    }
    copy.first_to += offset * copy.to[copy_axis(node->axis)];
    gt_copy_prepare(&copy);
    const gt_arg args[2] = {gt_value_arg(DNNL_ARG_SRC, source),
                            gt_value_arg(DNNL_ARG_DST, builder->plan->value_of[index])};
    return gt_builder_add_kernel(builder, (gt_kernel){run, &copy, sizeof(copy), "copy", "maps"},
                                 node->name, args, 2, error);
}

static int
length_along(gt_shape shape, gt_axis axis)
{
    return axis == GT_AXIS_HEIGHT  ? shape.height
           : axis == GT_AXIS_WIDTH ? shape.width
                                   : shape.channels;
}

static bool
only_moves(const gt_builder *builder, int index)
{
    const gt_node *node = &builder->graph->nodes[index];
    return (node->op != GT_OP_CONCAT || node->axis != GT_AXIS_CHANNELS) &&
           (node->op != GT_OP_FLATTEN || node->channels_first) &&
           (node->op != GT_OP_RESIZE || !node->bilinear);
}

static gt_status
lower_moved(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    int offset = 0;
    gt_status status =
        gt_builder_add_result(builder, index, gt_builder_float_format(builder), error);
    for (int k = 0; status == GT_OK && k < node->n_inputs; k++) {
        status = append_copy(builder, index, k, offset, error);
        offset += length_along(builder->graph->nodes[node->inputs[k]].shape, node->axis);
    }
    return status;
}

const gt_implementation gt_moved_map = {.is_supported = only_moves, .lower = lower_moved};

/* --- constants ----------------------------------------------------------------------------- */

typedef struct {
    int64_t count;
    int batch;
    gt_map_type type;
} repetition;

static void
run_constant(const void *context, void *const *memory)
{
    const repetition *constant = context;
    gt_repeat_run(memory[0], constant->count, constant->batch, constant->type, memory[1]);
}

static gt_status
lower_constant(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_plan *plan = builder->plan;
    const repetition constant = {gt_shape_size(node->shape), plan->batch,
                                 gt_builder_float_map_type(builder)};
    int array = -1;
    gt_status status =
        gt_weights_array(plan->weights, node, GT_VALUE, 0.0f, plan->engine, &array, error);
    if (status == GT_OK) {
        status = gt_builder_add_result(builder, index, gt_builder_float_format(builder), error);
    }
    if (status != GT_OK) {
        return status;
    }
    const gt_arg args[2] = {{DNNL_ARG_WEIGHTS, GT_ARG_WEIGHT, array},
                            gt_value_arg(DNNL_ARG_DST, plan->value_of[index])};
    return gt_builder_add_kernel(
        builder, (gt_kernel){run_constant, &constant, sizeof(constant), "constant", "maps"},
        node->name, args, 2, error);
}

const gt_implementation gt_constant = {.lower = lower_constant};
