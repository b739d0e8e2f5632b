/* Shapes of the operations on tokens: normalisations, position embeddings and attention. */
#include <math.h>
#include <stddef.h>

#include "graph/shapes.h"

/* Most tokens that attend to each other, and longest side of a window. */
enum { MAX_TOKENS = 1 << 16, MAX_SIDE = 1 << 8 };

static gt_status
infer_group_norm(const gt_node *node, const gt_shape *input, gt_error *error)
{
    if (node->groups < 1 || input->channels % node->groups != 0) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "layer '%s': %d channels cannot be divided into %d groups", node->name,
                       input->channels, node->groups);
    }
    return gt_shapes_check_vectors(node, input->channels, 0, error);
}

static gt_status
infer_embedding(const gt_node *node, const gt_shape *input, gt_error *error)
{
    const gt_array *value = &node->arrays[GT_VALUE];
    if (value->data == NULL || value->rank != 3 || value->shape[2] != input->channels ||
        value->shape[0] < 1 || value->shape[1] < 1 || value->shape[0] > MAX_TOKENS ||
        value->shape[1] > MAX_TOKENS) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "layer '%s': value must have shape (height, width, %d)", node->name,
                       input->channels);
    }
    return GT_OK;
}

/* The inputs of an attention: one with queries, keys and values side by side, or three. */
static gt_status
check_operands(const gt_graph *graph, const gt_node *node, gt_shape *result, gt_error *error)
{
    const gt_shape *first = &graph->nodes[node->inputs[0]].shape;
    *result = *first;
    if (node->n_inputs == 1) {
        result->channels /= 3;
    }
    for (int k = 1; k < node->n_inputs; k++) {
        const gt_shape *shape = &graph->nodes[node->inputs[k]].shape;
        const gt_shape *keys = &graph->nodes[node->inputs[1]].shape;
        if (shape->channels != first->channels || shape->height != keys->height ||
            shape->width != keys->width) {
            return gt_fail(error, GT_ERROR_GRAPH,
                           "layer '%s': queries, keys and values do not fit each other",
                           node->name);
        }
    }
    if (!(node->attending.scale > 0.0f && node->attending.scale < INFINITY)) {
        return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': the scale %g is not a positive number",
                       node->name, (double)node->attending.scale);
    }
    if (node->attending.heads < 1 || result->channels < 1 ||
        result->channels % node->attending.heads != 0 ||
        (node->n_inputs == 1 && first->channels % 3 != 0)) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "layer '%s': %d channels in %d inputs cannot be divided into %d heads",
                       node->name, first->channels, node->n_inputs, node->attending.heads);
    }
    return GT_OK;
}

/* Check the windows, and count the queries and the keys that each query meets. */
static gt_status
count_tokens(const gt_graph *graph, const gt_node *node, int64_t *queries, int64_t *keys,
             gt_error *error)
{
    const gt_attending *attending = &node->attending;
    const gt_shape *first = &graph->nodes[node->inputs[0]].shape;
    const gt_shape *second = &graph->nodes[node->inputs[node->n_inputs == 3]].shape;
    bool has_windows = attending->window[0] != 0 || attending->window[1] != 0;
    *queries = (int64_t)first->height * first->width;
    *keys = (int64_t)second->height * second->width;
    for (int axis = 0; has_windows && axis < 2; axis++) {
        if (attending->window[axis] < 1 || attending->window[axis] > MAX_SIDE ||
            attending->shift[axis] < 0 || attending->shift[axis] >= attending->window[axis] ||
            node->n_inputs != 1) {
            return gt_fail(error, GT_ERROR_GRAPH,
                           "layer '%s': windows of %d x %d shifted by %d x %d in %d inputs are not "
                           "possible",
                           node->name, attending->window[0], attending->window[1],
                           attending->shift[0], attending->shift[1], node->n_inputs);
        }
    }
    if (has_windows) {
        *queries = *keys = (int64_t)attending->window[0] * attending->window[1];
    }
    if (*queries > MAX_TOKENS || *keys > MAX_TOKENS) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "layer '%s': more than %d tokens attend to each other", node->name,
                       (int)MAX_TOKENS);
    }
    return GT_OK;
}

static gt_status
infer_attention(const gt_graph *graph, gt_node *node, gt_error *error)
{
    const gt_array *value = &node->arrays[GT_VALUE];
    const gt_array *bias = &node->arrays[GT_BIAS];
    int64_t queries = 0;
    int64_t keys = 0;
    gt_status status = check_operands(graph, node, &node->shape, error);
    if (status == GT_OK) {
        status = count_tokens(graph, node, &queries, &keys, error);
    }
    if (status == GT_OK && value->data != NULL &&
        (value->rank != 3 || value->shape[0] != node->attending.heads ||
         value->shape[1] != queries || value->shape[2] != keys)) {
        return gt_fail(
            error, GT_ERROR_GRAPH,
            "layer '%s': value must have shape (%d, %lld, %lld), one number for each pair "
            "of tokens",
            node->name, node->attending.heads, (long long)queries, (long long)keys);
    }
    if (status == GT_OK && bias->data != NULL) {
        status =
            gt_shapes_check_vectors(node, graph->nodes[node->inputs[0]].shape.channels, 0, error);
    }
    return status;
}

gt_status
gt_shapes_infer_tokens(const gt_graph *graph, gt_node *node, gt_error *error)
{
    const gt_shape *input = &graph->nodes[node->inputs[0]].shape;
    switch (node->op) {
    case GT_OP_LAYER_NORM:
        return gt_shapes_check_vectors(node, input->channels, 0, error);
    case GT_OP_GROUP_NORM:
        return infer_group_norm(node, input, error);
    case GT_OP_POSITION_EMBEDDING:
        return infer_embedding(node, input, error);
    default:
        return infer_attention(graph, node, error);
    }
}
