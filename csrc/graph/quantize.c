#include "graph/quantize.h"

#include <math.h>
#include <stdlib.h>

#include "graph/additions.h"
#include "graph/blocks.h"

/* Values share a scale up to this ratio of their ranges: the smallest then keeps 6 of the 8 bits.
 * Values of one concatenation are read in 8 bits up to the other: 5 bits. */
static const float shared_ratio = 4.0f;
static const float mixed_ratio = 8.0f;

/* What becomes of the result of one node. */
typedef struct {
    bool is_wanted;   /* it is read in 8 bits */
    bool is_mixed;    /* the ranges of its channels are too far apart for one scale */
    bool shares;      /* the node's inputs and result have one scale */
    int convolution;  /* that computes this addition in 8 bits; -1 for none */
    int parent;       /* towards the root, the node that stands for all those of one scale */
    float smallest;   /* of a root: range among the nodes that it stands for */
    float largest;    /* likewise */
    gt_format format; /* in 8 bits */
} choice;

typedef struct {
    const gt_graph *graph;
    gt_preprocessing preprocessing;
    const gt_block *blocks; /* (graph->count,) */
    choice *nodes;          /* (graph->count,) */
} quantizer;

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

/* Layers whose result consists of numbers of their inputs, or of means of them. */
static bool
can_keep_format(const gt_node *node)
{
    bool concatenates = node->op == GT_OP_CONCAT && node->axis == GT_AXIS_CHANNELS;
    return !gt_activation_exists(&node->activation) &&
           (concatenates || node->op == GT_OP_MAX_POOL || node->op == GT_OP_AVERAGE_POOL);
}

/* A convolution of all channels, or of one a group that weighs pixels beside each other. */
static bool
is_for_8_bits(const gt_graph *graph, const gt_node *node)
{
    bool is_depthwise = node->groups == node->shape.channels && node->inputs[0] != 0 &&
                        node->groups == graph->nodes[node->inputs[0]].shape.channels &&
                        node->arrays[GT_KERNEL].data != NULL;
    return node->op == GT_OP_CONV2D && (node->groups == 1 || is_depthwise);
}

/* A convolution can read 8 bits where the range of what it reads is known.  Bytes of photographs
 * stand for numbers with an offset, which can become part of the bias only where every pixel of the
 * window is a byte too, those around the photograph bytes that stand for 0. */
static bool
can_read_8_bits(const quantizer *job, const gt_node *node)
{
    uint8_t zeros[GT_PIXEL_CHANNELS];
    if (!is_for_8_bits(job->graph, node)) {
        return false;
    }
    if (node->inputs[0] == 0) {
        return gt_pixels_lack_offset(&job->preprocessing) ||
               !gt_window_has_padding(&node->window) ||
               (job->graph->nodes[0].shape.channels == GT_PIXEL_CHANNELS &&
                gt_zeros_are_bytes(&job->preprocessing, zeros));
    }
    return job->graph->nodes[node->inputs[0]].range > 0.0f;
}

/* Whether a convolution reads 8 bits. */
static bool
reads_8_bits(const quantizer *job, int index)
{
    const gt_node *node = &job->graph->nodes[index];
    int zero = 0;
    switch (job->blocks[index].fusion) {
    case GT_FUSED_U8:
        return node->op == GT_OP_CONV2D && node->inputs[0] == 0 &&
               gt_zero_is_byte(job->preprocessing, &zero);
    case GT_FUSED_FLOAT:
        return false;
    case GT_NOT_FUSED:
        break;
    }
    return can_read_8_bits(job, node);
}

/* The convolution that computes an addition in 8 bits; -1 for none.  Numbers below zero would halve
 * the range: such a sum stays in floats. */
static int
find_convolution(const quantizer *job, int sum)
{
    const gt_graph *graph = job->graph;
    const gt_node *node = &graph->nodes[sum];
    if (!job->nodes[sum].is_wanted || node->negative || job->blocks[sum].fusion != GT_NOT_FUSED ||
        !gt_addition_is_of_two(graph, sum)) {
        return -1;
    }
    for (int k = 1; k >= 0; k--) {
        if (gt_addition_can_follow(graph, node->inputs[k], sum) &&
            reads_8_bits(job, node->inputs[k])) {
            return node->inputs[k];
        }
    }
    return -1;
}

/* Mark the inputs of a node as read in 8 bits, where their range is known. */
static void
mark_inputs(quantizer *job, const gt_node *node)
{
    for (int k = 0; k < node->n_inputs; k++) {
        int input = node->inputs[k];
        bool is_known = input == 0 || job->graph->nodes[input].range > 0.0f;
        job->nodes[input].is_wanted = job->nodes[input].is_wanted || is_known;
    }
}

/* Mark the nodes whose result is read in 8 bits: from the last node to the first, so that all
 * readers of a node are known before it. */
static void
mark_wanted(quantizer *job)
{
    const gt_graph *graph = job->graph;
    for (int i = graph->count - 1; i > 0; i--) {
        const gt_node *node = &graph->nodes[i];
        choice *own = &job->nodes[i];
        own->convolution = find_convolution(job, i);
        if (reads_8_bits(job, i) || (own->is_wanted && can_keep_format(node)) ||
            own->convolution >= 0) {
            mark_inputs(job, node);
        }
    }
}

/* The bytes of photographs lack the offset, which only a convolution can add. */
static bool
are_bytes_enough(const quantizer *job)
{
    const gt_graph *graph = job->graph;
    for (int i = 1; i < graph->count; i++) {
        const gt_node *node = &graph->nodes[i];
        for (int k = 0; k < node->n_inputs; k++) {
            if (node->inputs[k] == 0 && !reads_8_bits(job, i)) {
                return false;
            }
        }
    }
    for (int i = 0; i < graph->n_outputs; i++) {
        if (graph->outputs[i] == 0) {
            return false;
        }
    }
    return gt_pixel_common_scale(&job->preprocessing) > 0.0f;
}

static int
find_root(const quantizer *job, int i)
{
    while (job->nodes[i].parent != i) {
        i = job->nodes[i].parent;
    }
    return i;
}

/* Magnitude of the numbers of a node's result; 0 where it is not known, or all are zeros. */
static float
range_of(const quantizer *job, int index)
{
    return index > 0 ? job->graph->nodes[index].range : gt_pixel_range(&job->preprocessing);
}

/* Whether a node has channels whose ranges are too far apart for one scale: those of a
 * concatenation of such values, and of what hands them on channel by channel. */
static bool
is_mixed(const quantizer *job, int index)
{
    const gt_node *node = &job->graph->nodes[index];
    float smallest = INFINITY;
    float largest = 0.0f;
    for (int k = 0; k < node->n_inputs; k++) {
        float range = range_of(job, node->inputs[k]);
        smallest = range > 0.0f ? fminf(smallest, range) : smallest;
        largest = fmaxf(largest, range);
        if (job->nodes[node->inputs[k]].is_mixed && node->op != GT_OP_CONV2D &&
            node->op != GT_OP_DENSE) {
            return true;
        }
    }
    return node->op == GT_OP_CONCAT && largest > 0.0f && largest > mixed_ratio * smallest;
}

/* Whether a node and its inputs can share a scale.  Photographs do not: a pool of them may have a
 * far smaller range. */
static bool
can_share(const quantizer *job, int index)
{
    const gt_node *node = &job->graph->nodes[index];
    float smallest = node->range;
    float largest = node->range;
    for (int k = 0; k < node->n_inputs; k++) {
        int input = node->inputs[k];
        if (input == 0) {
            return false;
        }
        if (job->nodes[input].is_wanted) {
            int root = find_root(job, input);
            smallest = fminf(smallest, job->nodes[root].smallest);
            largest = fmaxf(largest, job->nodes[root].largest);
        }
    }
    return largest <= shared_ratio * smallest;
}

/* Give a node and its inputs one root. */
static void
unite(quantizer *job, int index)
{
    const gt_node *node = &job->graph->nodes[index];
    for (int k = 0; k < node->n_inputs; k++) {
        int input = node->inputs[k];
        int root = find_root(job, index);
        int other = find_root(job, input);
        if (job->nodes[input].is_wanted && other != root) {
            job->nodes[other].parent = root;
            job->nodes[root].smallest =
                fminf(job->nodes[root].smallest, job->nodes[other].smallest);
            job->nodes[root].largest = fmaxf(job->nodes[root].largest, job->nodes[other].largest);
        }
    }
}

/* Decide which nodes share a scale with their inputs. */
static void
share_scales(quantizer *job)
{
    for (int i = 0; i < job->graph->count; i++) {
        const gt_node *node = &job->graph->nodes[i];
        choice *own = &job->nodes[i];
        own->parent = i;
        own->smallest = node->range;
        own->largest = node->range;
        own->format = (gt_format){dnnl_u8, 0.0f};
        own->is_mixed = is_mixed(job, i);
        own->is_wanted = own->is_wanted && !own->is_mixed;
        own->shares = own->is_wanted && can_keep_format(node) && can_share(job, i);
        if (own->shares) {
            unite(job, i);
        }
    }
}

/* One scale for each root, from the largest range and any negative number of its nodes. */
static void
set_scales(quantizer *job)
{
    int count = job->graph->count;
    for (int i = 1; i < count; i++) {
        if (job->nodes[i].is_wanted && job->graph->nodes[i].negative) {
            job->nodes[find_root(job, i)].format.type = dnnl_s8;
        }
    }
    for (int i = 1; i < count; i++) {
        choice *own = &job->nodes[i];
        own->format.scale = own->largest / (own->format.type == dnnl_s8 ? 127.0f : 255.0f);
    }
    for (int i = 1; i < count; i++) {
        job->nodes[i].format = job->nodes[find_root(job, i)].format;
    }
    job->nodes[0].format.scale = gt_pixel_common_scale(&job->preprocessing);
}

/* A node that stays in floats. */
static gt_node_format
float_node(const gt_node *node, gt_precision precision)
{
    bool is_bf16 = precision == GT_PRECISION_BF16;
    gt_format format = {is_bf16 ? dnnl_bf16 : dnnl_f32, 1.0f};
    return (gt_node_format){.source = format,
                            .result = format,
                            .map_type = is_bf16 ? GT_MAP_BF16 : GT_MAP_FLOAT32,
                            .has_map_type = true,
                            .low = node->activation.low,
                            .high = node->activation.high};
}

/* Whether a node is a convolution in int8. */
static bool
convolves_in_int8(const quantizer *job, int index)
{
    const gt_node *node = &job->graph->nodes[index];
    return is_for_8_bits(job->graph, node) && job->blocks[index].fusion == GT_NOT_FUSED &&
           job->nodes[node->inputs[0]].is_wanted;
}

/* Let a convolution compute an addition as well, where both can in int8.  Its own result is nowhere. */
static void
set_addition(const quantizer *job, int index, gt_node_format *formats)
{
    const choice *own = &job->nodes[index];
    gt_node_format *chosen = &formats[index];
    if (!own->is_wanted || own->convolution < 0 || !convolves_in_int8(job, own->convolution)) {
        return;
    }
    gt_node_format *convolution = &formats[own->convolution];
    chosen->in_int8 = true;
    chosen->convolution = own->convolution;
    chosen->has_map_type = convolution->has_map_type = false;
    chosen->result = convolution->result = own->format;
}

/* Let a node compute in int8 where it can. */
static void
set_int8(const quantizer *job, int index, gt_node_format *chosen)
{
    const gt_node *node = &job->graph->nodes[index];
    const choice *own = &job->nodes[index];
    int input = index > 0 ? node->inputs[0] : 0;
    bool convolves = index > 0 && convolves_in_int8(job, index);
    chosen->in_int8 = convolves || own->shares;
    if (own->is_wanted && (chosen->in_int8 || index == 0)) {
        chosen->result = own->format;
    }
    if (!chosen->in_int8) {
        return;
    }
    chosen->source = job->nodes[input].is_wanted ? job->nodes[input].format : chosen->result;
    chosen->map_type = GT_MAP_U8;
    chosen->has_map_type =
        chosen->source.type == dnnl_u8 && chosen->result.type == dnnl_u8 && input != 0;
    if (chosen->has_map_type) { /* what is beyond would not fit an integer on the way */
        chosen->low = fmaxf(chosen->low, 0.0f);
        chosen->high = fminf(chosen->high, 255.0f * chosen->result.scale);
    }
}

/* Whether only fused blocks read the result of a node, and some do. */
static bool
stays_among_blocks(const quantizer *job, int index)
{
    const gt_graph *graph = job->graph;
    bool is_read = false;
    for (int i = 0; i < graph->n_outputs; i++) {
        if (graph->outputs[i] == index) {
            return false;
        }
    }
    for (int i = index + 1; i < graph->count; i++) {
        for (int k = 0; k < graph->nodes[i].n_inputs; k++) {
            bool reads = graph->nodes[i].inputs[k] == index;
            if (reads && job->blocks[i].fusion != GT_FUSED_U8) {
                return false;
            }
            is_read = is_read || reads;
        }
    }
    return is_read;
}

/* Choose what a block reads, which its first node says, and what it writes, which its last one says. */
static void
set_block(const quantizer *job, const gt_block *block, gt_node_format *formats)
{
    const choice *last = &job->nodes[block->last];
    const choice *source = &job->nodes[block->source];
    gt_node_format *first = &formats[gt_block_first(block)];
    gt_format written = formats[block->source].result;
    bool reads_bytes = block->source == 0 && source->is_wanted;
    if (reads_bytes || written.type == dnnl_bf16) {
        first->source = reads_bytes ? source->format : written;
    }
    if (last->is_wanted && last->format.type == dnnl_u8 && block->addition < 0) {
        formats[block->last].result = last->format;
    }
    else if (!last->is_wanted && stays_among_blocks(job, block->last)) {
        formats[block->last].result = (gt_format){dnnl_bf16, 1.0f};
    }
}

/* Attention is in bfloat16 where the processor multiplies that, twice as fast as float32, and what
 * only it reads is written so. */
static void
set_attention(const quantizer *job, int index, gt_node_format *formats)
{
    const gt_node *node = &job->graph->nodes[index];
    const gt_format bf16 = {dnnl_bf16, 1.0f};
    if (node->op != GT_OP_ATTENTION || !gt_precision_is_fast(GT_PRECISION_BF16)) {
        return;
    }
    formats[index].source = bf16;
    formats[index].result = bf16;
    formats[index].map_type = GT_MAP_BF16;
    for (int k = 0; k < node->n_inputs; k++) {
        gt_node_format *input = &formats[node->inputs[k]];
        if (input->in_int8 && !gt_is_8_bit(input->result.type) &&
            gt_graph_only_reader(job->graph, node->inputs[k]) == index) {
            input->result = bf16;
        }
    }
}

gt_status
gt_choose_formats(const gt_graph *graph, gt_precision precision, gt_preprocessing preprocessing,
                  const gt_block *blocks, gt_node_format *formats, gt_error *error)
{
    for (int i = 0; i < graph->count; i++) {
        formats[i] = float_node(&graph->nodes[i], precision);
    }
    if (precision != GT_PRECISION_INT8) {
        return GT_OK;
    }
    quantizer job = {graph, preprocessing, blocks,
                     calloc((size_t)graph->count, sizeof(*job.nodes))};
    if (job.nodes == NULL) {
        return gt_fail_memory(error, "choosing 8-bit values");
    }
    mark_wanted(&job);
    job.nodes[0].is_wanted = job.nodes[0].is_wanted && are_bytes_enough(&job);
    share_scales(&job);
    set_scales(&job);
    for (int i = 0; i < graph->count; i++) {
        if (blocks[i].fusion == GT_NOT_FUSED) {
            set_int8(&job, i, &formats[i]);
            set_addition(&job, i, formats);
        }
        else if (blocks[i].fusion == GT_FUSED_U8 && blocks[i].last == i) {
            set_block(&job, &blocks[i], formats);
        }
        set_attention(&job, i, formats);
    }
    free(job.nodes);
    return GT_OK;
}
