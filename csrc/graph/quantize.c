#include "graph/quantize.h"

#include <stdlib.h>

bool
gt_is_8_bit(dnnl_data_type_t type)
{
    return type == dnnl_u8 || type == dnnl_s8;
}

bool
gt_same_format(gt_format a, gt_format b)
{
    return a.type == b.type && a.scale == b.scale;
}

static bool
has_padding(const gt_window *window)
{
    return window->before[0] + window->before[1] + window->after[0] + window->after[1] > 0;
}

/* Layers whose result is of the same numbers as their inputs, or of means of them. */
static bool
keeps_format(const gt_node *node)
{
    return !node->relu && (node->op == GT_OP_CONCAT || node->op == GT_OP_MAX_POOL ||
                           node->op == GT_OP_AVERAGE_POOL);
}

/* A convolution can read 8 bits where the range of what it reads is known.  Bytes of photographs
 * stand for numbers with an offset, which is part of the bias only where every pixel of the
 * window is one of the photograph's. */
static bool
can_convolve(const gt_graph *graph, const gt_node *node, gt_preprocessing preprocessing)
{
    if (node->op != GT_OP_CONV2D || node->groups != 1) {
        return false;
    }
    if (node->inputs[0] == 0) {
        return preprocessing.offset == 0.0f || !has_padding(&node->window);
    }
    return graph->nodes[node->inputs[0]].range > 0.0f;
}

/* Whether a node reads its inputs in 8 bits; of a fused block only a depthwise convolution that
 * begins it does. */
static bool
reads_8_bits(const gt_graph *graph, int index, gt_preprocessing preprocessing, const bool *is_fused,
             const bool *wanted)
{
    const gt_node *node = &graph->nodes[index];
    if (is_fused[index]) {
        return node->groups > 1 && !is_fused[node->inputs[0]];
    }
    return can_convolve(graph, node, preprocessing) || (wanted[index] && keeps_format(node));
}

/* Mark in `wanted` the nodes whose result is read in 8 bits.  From the last node to the first, so
 * that all readers of a node are known before it. */
static void
mark_wanted(const gt_graph *graph, gt_preprocessing preprocessing, const bool *is_fused,
            bool *wanted)
{
    for (int i = graph->count - 1; i > 0; i--) {
        const gt_node *node = &graph->nodes[i];
        bool reads = reads_8_bits(graph, i, preprocessing, is_fused, wanted);
        for (int k = 0; reads && k < node->n_inputs; k++) {
            int input = node->inputs[k];
            wanted[input] = wanted[input] || input == 0 || graph->nodes[input].range > 0.0f;
        }
    }
    /* The bytes of photographs lack the offset: none but a convolution can add it. */
    for (int i = 1; i < graph->count; i++) {
        const gt_node *node = &graph->nodes[i];
        for (int k = 0; k < node->n_inputs; k++) {
            if (node->inputs[k] == 0 && !can_convolve(graph, node, preprocessing)) {
                wanted[0] = false;
            }
        }
    }
    for (int i = 0; i < graph->n_outputs; i++) {
        wanted[0] = wanted[0] && graph->outputs[i] != 0;
    }
}

static int
find_root(const int *parent, int i)
{
    while (parent[i] != i) {
        i = parent[i];
    }
    return i;
}

/* Nodes whose results must share a scale get one root. */
static void
unite(const gt_graph *graph, const bool *wanted, int *parent)
{
    for (int i = 0; i < graph->count; i++) {
        parent[i] = i;
    }
    for (int i = 1; i < graph->count; i++) {
        const gt_node *node = &graph->nodes[i];
        for (int k = 0; wanted[i] && keeps_format(node) && k < node->n_inputs; k++) {
            if (node->inputs[k] != 0 && wanted[node->inputs[k]]) {
                parent[find_root(parent, node->inputs[k])] = find_root(parent, i);
            }
        }
    }
}

/* One scale for each root, from the largest range and any negative number of its members. */
static void
set_scales(const gt_graph *graph, const bool *wanted, const int *parent, gt_format *formats)
{
    float *range = NULL;
    for (int i = 1; i < graph->count; i++) {
        int root = find_root(parent, i);
        if (!wanted[i]) {
            continue;
        }
        range = &formats[root].scale; /* the range until all members are seen */
        if (graph->nodes[i].range > *range) {
            *range = graph->nodes[i].range;
        }
        if (graph->nodes[i].negative) {
            formats[root].type = dnnl_s8;
        }
    }
    for (int i = 1; i < graph->count; i++) {
        if (wanted[i] && parent[i] == i) {
            formats[i].scale /= formats[i].type == dnnl_s8 ? 127.0f : 255.0f;
        }
    }
    for (int i = 1; i < graph->count; i++) {
        if (wanted[i]) {
            formats[i] = formats[find_root(parent, i)];
        }
    }
}

/* Whether only fused blocks read the result of a node, and some do. */
static bool
stays_among_blocks(const gt_graph *graph, int index, const bool *is_fused)
{
    bool is_read = false;
    for (int i = 0; i < graph->n_outputs; i++) {
        if (graph->outputs[i] == index) {
            return false;
        }
    }
    for (int i = index + 1; i < graph->count; i++) {
        for (int k = 0; k < graph->nodes[i].n_inputs; k++) {
            if (graph->nodes[i].inputs[k] == index && !is_fused[i]) {
                return false;
            }
            is_read = is_read || graph->nodes[i].inputs[k] == index;
        }
    }
    return is_read;
}

gt_status
gt_quantize(const gt_graph *graph, gt_precision precision, gt_preprocessing preprocessing,
            const bool *is_fused, gt_format *formats, gt_error *error)
{
    gt_format float_format = {precision == GT_PRECISION_BF16 ? dnnl_bf16 : dnnl_f32, 1.0f};
    for (int i = 0; i < graph->count; i++) {
        formats[i] = float_format;
    }
    if (precision != GT_PRECISION_INT8) {
        return GT_OK;
    }
    gt_status status = GT_OK;
    bool *wanted = calloc((size_t)graph->count, sizeof(*wanted));
    int *parent = calloc((size_t)graph->count, sizeof(*parent));
    if (wanted == NULL || parent == NULL) {
        status = gt_fail_memory(error, "choosing 8-bit values");
        goto done;
    }
    mark_wanted(graph, preprocessing, is_fused, wanted);
    unite(graph, wanted, parent);
    for (int i = 1; i < graph->count; i++) {
        if (wanted[i]) {
            formats[i] = (gt_format){dnnl_u8, 0.0f};
        }
        else if (is_fused[i] && stays_among_blocks(graph, i, is_fused)) {
            formats[i] = (gt_format){dnnl_bf16, 1.0f};
        }
    }
    set_scales(graph, wanted, parent, formats);
    if (wanted[0] && preprocessing.scale > 0.0f) {
        formats[0] = (gt_format){dnnl_u8, preprocessing.scale};
    }
done:
    free(parent);
    free(wanted);
    return status;
}

bool
gt_runs_in_int8(const gt_graph *graph, const gt_format *formats, int index)
{
    const gt_node *node = &graph->nodes[index];
    if (node->op == GT_OP_CONV2D) {
        return node->groups == 1 && gt_is_8_bit(formats[node->inputs[0]].type);
    }
    return keeps_format(node) && gt_is_8_bit(formats[index].type);
}
