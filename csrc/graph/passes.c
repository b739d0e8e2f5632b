#include "graph/passes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool
only_feeds_next(const gt_graph *graph, int index)
{
    return gt_graph_only_reader(graph, index) >= 0;
}

/* Let everything that reads node `from` read node `to` instead. */
static void
redirect(gt_graph *graph, int from, int to)
{
    for (int i = 0; i < graph->count; i++) {
        for (int k = 0; k < graph->nodes[i].n_inputs; k++) {
            if (graph->nodes[i].inputs[k] == from) {
                graph->nodes[i].inputs[k] = to;
            }
        }
    }
    for (int i = 0; i < graph->n_outputs; i++) {
        if (graph->outputs[i] == from) {
            graph->outputs[i] = to;
        }
    }
}

static void
release_node(gt_node *node)
{
    free(node->name);
    free(node->inputs);
    free(node->scale);
    free(node->shift);
}

gt_status
gt_prune(gt_graph *graph, gt_error *error)
{
    int *place = calloc((size_t)graph->count, sizeof(*place));
    if (place == NULL) {
        return gt_fail_memory(error, "pruning the network");
    }
    place[0] = 1;
    for (int i = 0; i < graph->n_outputs; i++) {
        place[graph->outputs[i]] = 1;
    }
    for (int i = graph->count - 1; i > 0; i--) {
        for (int k = 0; place[i] && k < graph->nodes[i].n_inputs; k++) {
            place[graph->nodes[i].inputs[k]] = 1;
        }
    }
    int kept = 0;
    for (int i = 0; i < graph->count; i++) {
        if (!place[i]) {
            release_node(&graph->nodes[i]);
            continue;
        }
        graph->nodes[kept] = graph->nodes[i];
        for (int k = 0; k < graph->nodes[kept].n_inputs; k++) {
            graph->nodes[kept].inputs[k] = place[graph->nodes[kept].inputs[k]];
        }
        place[i] = kept++;
    }
    for (int i = 0; i < graph->n_outputs; i++) {
        graph->outputs[i] = place[graph->outputs[i]];
    }
    graph->count = kept;
    free(place);
    return GT_OK;
}

/* The factor and the addend that a bias, scale or batch_norm node applies to channel c. */
static void
affine_at(const gt_node *node, int c, float *factor, float *addend)
{
    const gt_array *arrays = node->arrays;
    if (node->op == GT_OP_BIAS) {
        *factor = 1.0f;
        *addend = gt_array_at(&arrays[GT_BIAS], c);
        return;
    }
    if (node->op == GT_OP_SCALE) {
        *factor = gt_array_at(&arrays[GT_GAMMA], c);
        *addend = 0.0f;
        return;
    }
    double gamma = arrays[GT_GAMMA].data != NULL ? gt_array_at(&arrays[GT_GAMMA], c) : 1.0;
    double beta = arrays[GT_BETA].data != NULL ? gt_array_at(&arrays[GT_BETA], c) : 0.0;
    double variance = gt_array_at(&arrays[GT_VARIANCE], c);
    double ratio = gamma / sqrt(variance + node->epsilon);
    *factor = (float)ratio;
    *addend = (float)(beta - gt_array_at(&arrays[GT_MEAN], c) * ratio);
}

/* Give the node its own scale (one) and shift (its bias, or zero), if it has none yet. */
static gt_status
own_affine(gt_node *node, gt_error *error)
{
    int channels = node->shape.channels;
    if (node->scale != NULL) {
        return GT_OK;
    }
    node->scale = malloc((size_t)channels * sizeof(float));
    node->shift = malloc((size_t)channels * sizeof(float));
    if (node->scale == NULL || node->shift == NULL) {
        return gt_fail_memory(error, "folding batch normalisation");
    }
    const gt_array *bias = &node->arrays[GT_BIAS];
    for (int c = 0; c < channels; c++) {
        node->scale[c] = 1.0f;
        node->shift[c] = bias->data != NULL ? gt_array_at(bias, c) : 0.0f;
    }
    return GT_OK;
}

/* `layer` is the one to blame. */
static gt_status
check_finite(const gt_node *node, const char *layer, gt_error *error)
{
    for (int c = 0; c < node->shape.channels; c++) {
        if (!isfinite(node->scale[c]) || !isfinite(node->shift[c])) {
            return gt_fail(error, GT_ERROR_GRAPH,
                           "layer '%s': channel %d has no finite scale and shift", layer, c);
        }
    }
    return GT_OK;
}

static gt_status
fold_into(gt_node *target, const gt_node *affine, gt_error *error)
{
    gt_status status = own_affine(target, error);
    for (int c = 0; status == GT_OK && c < target->shape.channels; c++) {
        float factor = 1.0f;
        float addend = 0.0f;
        affine_at(affine, c, &factor, &addend);
        target->scale[c] *= factor;
        target->shift[c] = target->shift[c] * factor + addend;
    }
    return status;
}

static bool
is_linear(const gt_node *node)
{
    return (node->op == GT_OP_CONV2D || node->op == GT_OP_DENSE) &&
           !gt_activation_exists(&node->activation);
}

/* Make a bias, scale or batch_norm node a convolution that scales and shifts each channel. */
static gt_status
become_depthwise(gt_node *node, gt_error *error)
{
    gt_node affine = *node;
    memset(node->arrays, 0, sizeof(node->arrays));
    node->op = GT_OP_CONV2D;
    node->groups = node->shape.channels;
    gt_status status = own_affine(node, error);
    if (status == GT_OK) {
        status = fold_into(node, &affine, error);
    }
    return status;
}

gt_status
gt_fold_affine(gt_graph *graph, gt_error *error)
{
    gt_status status = GT_OK;
    for (int i = 1; status == GT_OK && i < graph->count; i++) {
        gt_node *node = &graph->nodes[i];
        if (is_linear(node)) {
            status = own_affine(node, error);
            if (status == GT_OK) {
                status = check_finite(node, node->name, error);
            }
        }
        if (node->op != GT_OP_BIAS && node->op != GT_OP_BATCH_NORM && node->op != GT_OP_SCALE) {
            continue;
        }
        int before = node->inputs[0];
        gt_node *target = &graph->nodes[before];
        if (is_linear(target) && only_feeds_next(graph, before)) {
            status = fold_into(target, node, error);
            redirect(graph, i, before);
            node->n_inputs = 0; /* it no longer counts as a reader of `before` */
        }
        else {
            status = become_depthwise(node, error);
            target = node;
        }
        if (status == GT_OK) {
            status = check_finite(target, node->name, error);
        }
    }
    return status == GT_OK ? gt_prune(graph, error) : status;
}

/* oneDNN's convolutions apply all functions but one; sums and the like have bounds. */
static bool
can_apply(const gt_node *node, const gt_activation *activation)
{
    if (gt_activation_exists(&node->activation)) {
        return false;
    }
    switch (node->op) {
    case GT_OP_CONV2D:
    case GT_OP_DENSE:
        return activation->function != GT_SOFTSIGN;
    case GT_OP_ADD:
        return activation->function == GT_IDENTITY;
    default:
        return gt_op_is_binary(node->op) && activation->function == GT_IDENTITY;
    }
}

gt_status
gt_fuse_activations(gt_graph *graph, gt_error *error)
{
    for (int i = 1; i < graph->count; i++) {
        const gt_node *node = &graph->nodes[i];
        if (node->op != GT_OP_RELU && node->op != GT_OP_CLIP && node->op != GT_OP_ACTIVATION) {
            continue;
        }
        int before = node->inputs[0];
        gt_node *target = &graph->nodes[before];
        if (can_apply(target, &node->activation) && only_feeds_next(graph, before)) {
            target->activation = node->activation;
            redirect(graph, i, before);
        }
    }
    return gt_prune(graph, error);
}

gt_status
gt_fold_pads(gt_graph *graph, gt_error *error)
{
    for (int i = 1; i < graph->count; i++) {
        const gt_node *pad = &graph->nodes[i];
        int reader =
            pad->op == GT_OP_PAD && pad->fill == 0.0f ? gt_graph_only_reader(graph, i) : -1;
        if (reader < 0 || graph->nodes[reader].op != GT_OP_CONV2D) {
            continue;
        }
        gt_window *window = &graph->nodes[reader].window;
        window->pad_mode = GT_PAD_EXPLICIT;
        for (int axis = 0; axis < 2; axis++) {
            window->before[axis] += pad->window.before[axis];
            window->after[axis] += pad->window.after[axis];
        }
        redirect(graph, i, pad->inputs[0]);
    }
    return gt_prune(graph, error);
}

static bool
can_commute(const gt_graph *graph, const gt_node *conv)
{
    int before = conv->inputs[0];
    const gt_node *pool = &graph->nodes[before];
    const gt_window *one = &conv->window;
    const gt_window *window = &pool->window;
    return conv->op == GT_OP_CONV2D && one->size[0] == 1 && one->size[1] == 1 &&
           one->strides[0] == 1 && one->strides[1] == 1 && !gt_window_has_padding(one) &&
           conv->groups == 1 && pool->op == GT_OP_AVERAGE_POOL &&
           !gt_activation_exists(&pool->activation) && window->strides[0] == 1 &&
           window->strides[1] == 1 && !(window->count_padding && gt_window_has_padding(window)) &&
           conv->shape.channels < pool->shape.channels && only_feeds_next(graph, before);
}

gt_status
gt_commute_average_pools(gt_graph *graph, gt_error *error)
{
    (void)error;
    for (int i = 1; i < graph->count; i++) {
        gt_node *conv = &graph->nodes[i];
        if (!can_commute(graph, conv)) {
            continue;
        }
        int before = conv->inputs[0];
        gt_node *pool = &graph->nodes[before];
        int channels = conv->shape.channels;
        gt_node exchanged = *conv;
        *conv = *pool;
        *pool = exchanged;
        /* `pool` now holds the convolution and `conv`, later in the order, the pool. */
        pool->inputs[0] = conv->inputs[0];
        conv->inputs[0] = before;
        const gt_shape *source = &graph->nodes[pool->inputs[0]].shape;
        pool->shape = (gt_shape){source->height, source->width, channels};
        conv->shape.channels = channels;
        gt_activation none = conv->activation;
        conv->activation = pool->activation;
        pool->activation = none;
    }
    return GT_OK;
}

gt_status
gt_optimize(gt_graph *graph, gt_precision precision, gt_error *error)
{
    gt_status status = gt_prune(graph, error);
    if (status == GT_OK) {
        status = gt_fold_affine(graph, error);
    }
    if (status == GT_OK) {
        status = gt_fuse_activations(graph, error);
    }
    if (status == GT_OK) {
        status = gt_fold_pads(graph, error);
    }
    if (status == GT_OK && precision != GT_PRECISION_INT8) {
        status = gt_commute_average_pools(graph, error);
    }
    return status;
}
