#include "graph/segments.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of the weights of a segment, and of the maps at its end. */
static const int64_t weight_room = 16 << 20;
static const int64_t map_room = 16 << 20;

static int64_t
weight_size(const gt_node *node)
{
    const gt_array *kernel = &node->arrays[GT_KERNEL];
    int64_t count = kernel->data != NULL ? 1 : 0;
    for (int axis = 0; axis < kernel->rank; axis++) {
        count *= kernel->shape[axis];
    }
    return count * (int64_t)sizeof(float);
}

/* Whether the nodes after `index` have no inputs before it. */
static bool
is_cut_node(const gt_graph *network, int index)
{
    for (int i = index + 1; i < network->count; i++) {
        for (int k = 0; k < network->nodes[i].n_inputs; k++) {
            if (network->nodes[i].inputs[k] < index) {
                return false;
            }
        }
    }
    return true;
}

/* The last cut node before there are too many weights, else the first one after. */
static int
choose_end(const gt_graph *network, int first, int64_t images)
{
    int end = first;
    int64_t size = 0;
    for (int i = first + 1; i < network->count; i++) {
        const gt_node *node = &network->nodes[i];
        int64_t map = gt_shape_size(node->shape) * images * (int64_t)sizeof(float);
        size += weight_size(node);
        if (size > weight_room && end > first) {
            return end;
        }
        if (map <= map_room && is_cut_node(network, i)) {
            end = i;
        }
    }
    return network->count - 1;
}

int
gt_segment_end(const gt_segment *segment)
{
    return segment->first + segment->graph.count - 1;
}

void
gt_segment_clear(gt_segment *segment)
{
    free(segment->graph.nodes);
    free(segment->graph.outputs);
    free(segment->inputs);
    free(segment->wanted);
    memset(segment, 0, sizeof(*segment));
}

static void
copy_nodes(gt_segment *segment, const gt_graph *network)
{
    int *next = segment->inputs;
    int first = segment->first;
    for (int i = 0; i < segment->graph.count; i++) {
        const gt_node *own = &network->nodes[first + i];
        gt_node *node = &segment->graph.nodes[i];
        if (i == 0) {
            gt_node_init(node, GT_OP_INPUT);
            node->name = own->name;
            node->shape = own->shape;
            continue;
        }
        *node = *own;
        node->inputs = next;
        for (int k = 0; k < own->n_inputs; k++) {
            *next++ = own->inputs[k] - first;
        }
    }
}

static void
add_output(gt_segment *segment, int node, int wanted)
{
    int count = segment->graph.n_outputs++;
    segment->graph.outputs[count] = node - segment->first;
    segment->wanted[count] = wanted;
}

gt_status
gt_segment_cut(gt_segment *segment, const gt_graph *network, int first, int64_t images,
               gt_error *error)
{
    int end = choose_end(network, first, images);
    int count = end - first + 1;
    size_t n_inputs = 1;
    for (int i = first + 1; i <= end; i++) {
        n_inputs += (size_t)network->nodes[i].n_inputs;
    }
    gt_segment cut = {.first = first};
    size_t n_outputs = (size_t)network->n_outputs + 1;
    cut.graph.nodes = calloc((size_t)count, sizeof(*cut.graph.nodes));
    cut.graph.outputs = calloc(n_outputs, sizeof(*cut.graph.outputs));
    cut.inputs = calloc(n_inputs, sizeof(*cut.inputs));
    cut.wanted = calloc(n_outputs, sizeof(*cut.wanted));
    if (cut.graph.nodes == NULL || cut.graph.outputs == NULL || cut.inputs == NULL ||
        cut.wanted == NULL) {
        gt_segment_clear(&cut);
        return gt_fail_memory(error, "a part of the network");
    }
    cut.graph.count = count;
    cut.graph.capacity = count;
    copy_nodes(&cut, network);
    for (int k = 0; k < network->n_outputs; k++) {
        int node = network->outputs[k];
        if (node <= end && (node > first || first == 0)) {
            add_output(&cut, node, k);
        }
    }
    if (end < network->count - 1) {
        add_output(&cut, end, -1);
    }
    *segment = cut;
    return GT_OK;
}
