#include "lower/lower_mbconv.h"

#include <math.h>
#include <omp.h>

#include "graph/blocks.h"
#include "kernels/mbconv/mbconv.h"

enum { N_ARGS = 4 };

/* Whether a convolution's results can be bytes without a sign. */
static bool
has_byte_range(const gt_node *node)
{
    return node->relu && node->range > 0.0f;
}

/* Whether all that the block has between its convolutions can be bytes. */
static bool
has_ranges(const gt_graph *graph, const gt_block *block)
{
    const gt_node *source = &graph->nodes[block->source];
    bool can_begin =
        block->expansion >= 0 ? has_byte_range(&graph->nodes[block->expansion]) : !source->negative;
    return can_begin && source->range > 0.0f && has_byte_range(&graph->nodes[block->depthwise]);
}

static gt_map_type
inner_type(const gt_builder *builder, const gt_block *block)
{
    if (builder->precision == GT_PRECISION_INT8 && has_ranges(builder->graph, block) &&
        gt_mbconv_is_available(GT_MAP_U8)) {
        return GT_MAP_U8;
    }
    return builder->plan->type == dnnl_bf16 ? GT_MAP_BF16 : GT_MAP_FLOAT32;
}

static gt_map_type
map_type(dnnl_data_type_t type)
{
    return type == dnnl_u8 ? GT_MAP_U8 : type == dnnl_bf16 ? GT_MAP_BF16 : GT_MAP_FLOAT32;
}

/* What becomes of the sums of a convolution. */
static gt_mbconv_result
describe_result(const gt_node *node, bool in_bytes)
{
    gt_mbconv_result result = {.low = node->relu ? 0.0f : -INFINITY,
                               .high = node->relu ? node->relu_max : INFINITY,
                               .scale = 1.0f};
    if (in_bytes) {
        result.high = fminf(result.high, node->range);
        result.scale = result.high / 255.0f;
    }
    return result;
}

/* In which format the block reads its source: as it is, but for bytes that it cannot read. */
static gt_format
choose_source(const gt_builder *builder, const gt_block *block, gt_map_type type)
{
    const gt_graph *graph = builder->graph;
    const gt_node *source = &graph->nodes[block->source];
    gt_format format = builder->formats[block->source];
    bool signed_bytes = format.type == dnnl_s8 || (format.type == dnnl_u8 && source->negative);
    if (type != GT_MAP_U8 || signed_bytes || (format.type == dnnl_u8 && block->addition >= 0)) {
        return gt_builder_float_format(builder);
    }
    return format;
}

/* A block's result is written as bytes only where none is negative. */
static gt_format
choose_result(const gt_builder *builder, const gt_block *block, gt_map_type type)
{
    gt_format format = builder->formats[block->last];
    bool is_plain = type == GT_MAP_U8 && block->addition < 0 &&
                    builder->graph->nodes[block->last].relu && format.type == dnnl_u8;
    bool is_float = type == GT_MAP_U8 && !gt_is_8_bit(format.type);
    return is_plain || is_float ? format : gt_builder_float_format(builder);
}

static gt_mbconv
describe(const gt_builder *builder, const gt_block *block)
{
    const gt_graph *graph = builder->graph;
    const gt_node *source = &graph->nodes[block->source];
    const gt_node *depthwise = &graph->nodes[block->depthwise];
    const gt_node *last = &graph->nodes[block->last];
    gt_map_type type = inner_type(builder, block);
    bool bytes = type == GT_MAP_U8;
    gt_format from = choose_source(builder, block, type);
    gt_format to = choose_result(builder, block, type);
    gt_mbconv mbconv = {.batch = builder->plan->batch,
                        .from = source->shape,
                        .to = last->shape,
                        .inner = graph->nodes[depthwise->inputs[0]].shape,
                        .expansion_size = 1,
                        .expansion_stride = 1,
                        .has_expansion = block->expansion >= 0,
                        .has_residual = block->addition >= 0,
                        .size = depthwise->window.size[0],
                        .stride = depthwise->window.strides[0],
                        .before = {depthwise->window.before[0], depthwise->window.before[1]},
                        .type = type,
                        .source = map_type(from.type),
                        .target = map_type(to.type),
                        .source_scale = 1.0f,
                        .depthwise = describe_result(depthwise, bytes),
                        .projection = describe_result(last, false),
                        .threads = omp_get_max_threads()};
    if (bytes) {
        mbconv.source_scale = from.type == dnnl_u8 ? from.scale : source->range / 127.0f;
        mbconv.projection.scale = to.scale;
    }
    if (mbconv.has_expansion) {
        mbconv.expansion = describe_result(&graph->nodes[block->expansion], bytes);
    }
    return mbconv;
}

static void
set_parts(gt_builder *builder, const gt_block *block, bool is_fused)
{
    const int parts[] = {block->expansion, block->depthwise, block->projection, block->addition};
    for (int i = 0; i < 4; i++) {
        if (parts[i] >= 0) {
            builder->is_fused[parts[i]] = is_fused;
        }
    }
}

void
gt_lower_mbconv_mark(gt_builder *builder)
{
    gt_block block;
    for (int i = 1; !builder->low_memory && i < builder->graph->count; i++) {
        if (builder->is_fused[i] || !gt_block_find(builder->graph, i, &block)) {
            continue;
        }
        gt_mbconv mbconv = describe(builder, &block);
        if (mbconv.type == GT_MAP_U8 && !mbconv.has_expansion) {
            mbconv.source = GT_MAP_U8; /* which it makes its source be */
        }
        set_parts(builder, &block, gt_mbconv_is_supported(&mbconv));
    }
}

void
gt_lower_mbconv_confirm(gt_builder *builder)
{
    gt_block block;
    for (int i = 1; i < builder->graph->count; i++) {
        if (builder->is_fused[i] && gt_block_find(builder->graph, i, &block)) {
            gt_mbconv mbconv = describe(builder, &block);
            set_parts(builder, &block, gt_mbconv_is_supported(&mbconv));
        }
    }
}

static void
run(const void *context, void *const *memory)
{
    gt_mbconv_run(context, memory[0], memory[1], memory[2], memory[3]);
}

static const gt_node *
part_of(const gt_builder *builder, int index)
{
    return index >= 0 ? &builder->graph->nodes[index] : NULL;
}

/* The node of the block that reads the source. */
static const gt_node *
first_of(const gt_builder *builder, const gt_block *block)
{
    return part_of(builder, block->expansion >= 0 ? block->expansion : block->depthwise);
}

static gt_status
lower_block(gt_builder *builder, const gt_block *block, gt_error *error)
{
    const gt_node *last = part_of(builder, block->last);
    gt_plan *plan = builder->plan;
    gt_mbconv mbconv = describe(builder, block);
    int source = GT_NO_VALUE;
    int scratch = GT_NO_VALUE;
    int weights = -1;
    gt_mbconv_prepare(&mbconv);
    gt_status status =
        gt_builder_fetch_last(builder, first_of(builder, block), 0,
                              choose_source(builder, block, mbconv.type), &source, error);
    if (status == GT_OK) {
        status = gt_weights_mbconv(
            plan->weights, part_of(builder, block->expansion), part_of(builder, block->depthwise),
            part_of(builder, block->projection), &mbconv, plan->engine, &weights, error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_result(builder, block->last,
                                       choose_result(builder, block, mbconv.type), error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_scratch(builder, gt_mbconv_scratch_size(&mbconv), last->name,
                                        &scratch, error);
    }
    if (status == GT_OK) {
        gt_arg args[N_ARGS] = {gt_value_arg(DNNL_ARG_SRC, source),
                               {DNNL_ARG_WEIGHTS, GT_ARG_WEIGHT, weights},
                               gt_value_arg(DNNL_ARG_DST, plan->value_of[block->last]),
                               gt_value_arg(DNNL_ARG_SCRATCHPAD, scratch)};
        status = gt_builder_add_kernel(builder,
                                       (gt_kernel){run, &mbconv, sizeof(mbconv), "block", "mbconv"},
                                       last->name, args, N_ARGS, error);
    }
    return status;
}

gt_status
gt_lower_mbconv(gt_builder *builder, int index, gt_error *error)
{
    gt_block block;
    if (!gt_block_find(builder->graph, index, &block) || block.last != index) {
        return GT_OK;
    }
    return lower_block(builder, &block, error);
}
