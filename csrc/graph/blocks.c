#include "graph/blocks.h"

#include <stddef.h>

static bool
is_convolution(const gt_node *node)
{
    return node->op == GT_OP_CONV2D && node->arrays[GT_KERNEL].data != NULL &&
           node->window.dilations[0] == 1 && node->window.dilations[1] == 1 &&
           gt_activation_is_relu(&node->activation);
}

/* A 1x1 convolution of all pixels. */
static bool
is_pointwise(const gt_node *node)
{
    const gt_window *window = &node->window;
    return is_convolution(node) && node->groups == 1 && window->size[0] == 1 &&
           window->size[1] == 1 && window->strides[0] == 1 && window->strides[1] == 1 &&
           window->before[0] + window->before[1] + window->after[0] + window->after[1] == 0;
}

/* A convolution of the photographs, by a square kernel with equal strides. */
static bool
is_first_layer(const gt_node *node)
{
    const gt_window *window = &node->window;
    return is_convolution(node) && node->groups == 1 && node->inputs[0] == 0 &&
           window->size[0] > 1 && window->size[0] == window->size[1] &&
           window->strides[0] == window->strides[1];
}

static bool
is_depthwise(const gt_graph *graph, const gt_node *node)
{
    const gt_window *window = &node->window;
    return is_convolution(node) && node->groups == node->shape.channels &&
           node->groups == graph->nodes[node->inputs[0]].shape.channels &&
           window->size[0] == window->size[1] && (window->size[0] == 3 || window->size[0] == 5) &&
           window->strides[0] == window->strides[1] &&
           (window->strides[0] == 1 || window->strides[0] == 2);
}

/* The block that ends with a projection; what is added is set by the caller. */
static bool
match_projection(const gt_graph *graph, int projection, const gt_block *blocks, gt_block *block)
{
    if (!is_pointwise(&graph->nodes[projection])) {
        return false;
    }
    *block = (gt_block){.expansion = -1,
                        .depthwise = graph->nodes[projection].inputs[0],
                        .projection = projection,
                        .addition = -1,
                        .last = projection};
    const gt_node *depthwise = &graph->nodes[block->depthwise];
    if (block->depthwise == 0 || !is_depthwise(graph, depthwise) ||
        gt_graph_only_reader(graph, block->depthwise) != projection) {
        return false;
    }
    block->source = depthwise->inputs[0];
    if (blocks[block->source].fusion == GT_NOT_FUSED &&
        (is_pointwise(&graph->nodes[block->source]) ||
         is_first_layer(&graph->nodes[block->source])) &&
        gt_graph_only_reader(graph, block->source) == block->depthwise) {
        block->expansion = block->source;
        block->source = graph->nodes[block->expansion].inputs[0];
    }
    return block->source != 0 ||
           (block->expansion >= 0 && is_first_layer(&graph->nodes[block->expansion]));
}

static bool
has_shape_of(const gt_graph *graph, int index, int other)
{
    const gt_shape *a = &graph->nodes[index].shape;
    const gt_shape *b = &graph->nodes[other].shape;
    return a->height == b->height && a->width == b->width && a->channels == b->channels;
}

/* The block that ends with node `last`. */
static bool
match(const gt_graph *graph, int last, const gt_block *blocks, gt_block *block)
{
    const gt_node *node = &graph->nodes[last];
    if (node->op != GT_OP_ADD || node->n_inputs != 2) {
        return match_projection(graph, last, blocks, block);
    }
    if (!gt_activation_is_relu(&node->activation)) {
        return false;
    }
    for (int k = 0; k < 2; k++) {
        int projection = node->inputs[k];
        if (match_projection(graph, projection, blocks, block) &&
            !gt_activation_exists(&graph->nodes[projection].activation) &&
            gt_graph_only_reader(graph, projection) == last &&
            block->source == node->inputs[1 - k] && has_shape_of(graph, block->source, last)) {
            block->addition = block->last = last;
            return true;
        }
    }
    return false;
}

static bool
has_part(const gt_block *block, int index)
{
    return index == block->expansion || index == block->depthwise || index == block->projection ||
           index == block->addition;
}

bool
gt_block_find(const gt_graph *graph, int index, const gt_block *blocks, gt_block *block)
{
    enum { PARTS = 4 };
    int chain[PARTS];
    int count = 0;
    for (int next = index; count < PARTS && next > 0; next = gt_graph_only_reader(graph, next)) {
        chain[count++] = next;
    }
    while (count > 0) {
        count--;
        if (match(graph, chain[count], blocks, block) && has_part(block, index)) {
            return true;
        }
    }
    return false;
}

int
gt_block_first(const gt_block *block)
{
    return block->expansion >= 0 ? block->expansion : block->depthwise;
}
