#include "lower/lower_mbconv.h"

#include <math.h>
#include <omp.h>

#include "graph/blocks.h"
#include "kernels/mbconv/mbconv.h"
#include "lower/implementation.h"

enum { N_ARGS = 4 };

/* Whether it is known how large what a node makes can be, and that none is negative. */
static bool
is_bounded(const gt_node *node)
{
    const gt_activation *activation = &node->activation;
    return gt_activation_exists(activation) && gt_activation_is_relu(activation) &&
           (node->range > 0.0f || isfinite(activation->high));
}

/* Whether the block can read its source in 8 bits, and have integers between its convolutions. */
static bool
has_ranges(const gt_graph *graph, const gt_block *block)
{
    const gt_node *depthwise = &graph->nodes[block->depthwise];
    return (block->source == 0 || graph->nodes[block->source].range > 0.0f) &&
           is_bounded(&graph->nodes[depthwise->inputs[0]]) && is_bounded(depthwise);
}

static gt_map_type
inner_type(const gt_builder *builder, const gt_block *block)
{
    if (builder->precision == GT_PRECISION_INT8 && has_ranges(builder->graph, block) &&
        gt_mbconv_is_available(GT_MAP_U8)) {
        return GT_MAP_U8;
    }
    return gt_builder_float_map_type(builder);
}

static gt_map_type
map_type(dnnl_data_type_t type)
{
    return type == dnnl_u8 ? GT_MAP_U8 : type == dnnl_bf16 ? GT_MAP_BF16 : GT_MAP_FLOAT32;
}

/* What becomes of the sums of a convolution; for integers the bound that was seen, if that is less. */
static gt_mbconv_result
describe_result(const gt_node *node, bool in_integers)
{
    gt_mbconv_result result = {
        .low = node->activation.low, .high = node->activation.high, .scale = 1.0f};
    if (in_integers && node->range > 0.0f) {
        result.high = fminf(result.high, node->range);
    }
    return result;
}

/* What a block reads and writes. */
typedef struct {
    gt_format source;
    gt_format result;
} ends;

static ends
ends_of(const gt_builder *builder, const gt_block *block)
{
    return (ends){.source = builder->formats[gt_block_first(block)].source,
                  .result = builder->formats[block->last].result};
}

/* Before the formats are chosen: what will be chosen where the block can read and write it. */
static ends
expected_ends(const gt_builder *builder, const gt_block *block)
{
    gt_format format = gt_builder_float_format(builder);
    int zero = 0;
    bool bytes = inner_type(builder, block) == GT_MAP_U8 && block->source == 0 &&
                 gt_zero_is_byte(builder->preprocessing, &zero);
    return (ends){.source = bytes ? (gt_format){dnnl_u8, 1.0f} : format, .result = format};
}

/* The scale with which the block reads its source in bytes. */
static float
source_scale(const gt_builder *builder, const gt_block *block, gt_format format)
{
    float range = block->source == 0 ? gt_pixel_range(&builder->preprocessing)
                                     : builder->graph->nodes[block->source].range;
    return format.type == dnnl_u8 ? format.scale : range / 127.0f;
}

static void
describe_expansion(const gt_builder *builder, const gt_block *block, gt_mbconv *mbconv)
{
    const gt_node *node = &builder->graph->nodes[block->expansion];
    mbconv->has_expansion = true;
    mbconv->expansion_size = node->window.size[0];
    mbconv->expansion_stride = node->window.strides[0];
    mbconv->expansion_before[0] = node->window.before[0];
    mbconv->expansion_before[1] = node->window.before[1];
}

static gt_mbconv
describe(const gt_builder *builder, const gt_block *block, ends formats)
{
    const gt_graph *graph = builder->graph;
    const gt_node *depthwise = &graph->nodes[block->depthwise];
    const gt_node *last = &graph->nodes[block->last];
    gt_map_type type = inner_type(builder, block);
    gt_mbconv mbconv = {.batch = builder->plan->batch,
                        .from = graph->nodes[block->source].shape,
                        .inner = graph->nodes[depthwise->inputs[0]].shape,
                        .to = last->shape,
                        .has_residual = block->addition >= 0,
                        .size = depthwise->window.size[0],
                        .stride = depthwise->window.strides[0],
                        .before = {depthwise->window.before[0], depthwise->window.before[1]},
                        .type = type,
                        .source = map_type(formats.source.type),
                        .target = map_type(formats.result.type),
                        .source_scale = source_scale(builder, block, formats.source),
                        .depthwise = describe_result(depthwise, type == GT_MAP_U8),
                        .projection = describe_result(last, false),
                        .threads = omp_get_max_threads()};
    mbconv.projection.scale = formats.result.scale;
    if (block->source == 0) {
        (void)gt_zero_is_byte(builder->preprocessing, &mbconv.source_zero);
    }
    mbconv.expansion = describe_result(&graph->nodes[depthwise->inputs[0]], type == GT_MAP_U8);
    if (block->expansion >= 0) {
        describe_expansion(builder, block, &mbconv);
    }
    return mbconv;
}

/* In int8 what lies inside is integers of 16 bits or floats, which take longer to project than the
 * bytes of convolutions apart: only a map much wider than those around it makes up for that. */
static bool
is_profitable(const gt_builder *builder, const gt_mbconv *mbconv)
{
    int around = mbconv->to.channels;
    if (mbconv->has_expansion && mbconv->from.channels > around) {
        around = mbconv->from.channels;
    }
    return builder->precision != GT_PRECISION_INT8 || mbconv->inner.channels >= 2 * around;
}

void
gt_lower_mbconv_mark(gt_builder *builder)
{
    gt_block block;
    for (int i = 1; !builder->low_memory && i < builder->graph->count; i++) {
        if (builder->blocks[i].fusion != GT_NOT_FUSED ||
            !gt_block_find(builder->graph, i, builder->blocks, &block)) {
            continue;
        }
        gt_mbconv mbconv = describe(builder, &block, expected_ends(builder, &block));
        if (gt_mbconv_is_supported(&mbconv) && is_profitable(builder, &mbconv)) {
            const int parts[] = {block.expansion, block.depthwise, block.projection,
                                 block.addition};
            block.fusion = mbconv.type == GT_MAP_U8 ? GT_FUSED_U8 : GT_FUSED_FLOAT;
            for (int k = 0; k < 4; k++) {
                if (parts[k] >= 0) {
                    builder->blocks[parts[k]] = block;
                }
            }
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

static gt_status
lower_block(gt_builder *builder, const gt_block *block, gt_error *error)
{
    const gt_node *last = part_of(builder, block->last);
    gt_plan *plan = builder->plan;
    ends formats = ends_of(builder, block);
    gt_mbconv mbconv = describe(builder, block, formats);
    int source = GT_NO_VALUE;
    int scratch = GT_NO_VALUE;
    int weights = -1;
    gt_mbconv_prepare(&mbconv);
    gt_status status = gt_builder_fetch_last(builder, part_of(builder, gt_block_first(block)), 0,
                                             formats.source, &source, error);
    if (status == GT_OK) {
        const gt_mbconv_nodes nodes = {part_of(builder, block->expansion),
                                       part_of(builder, block->depthwise),
                                       part_of(builder, block->projection)};
        status = gt_weights_mbconv(plan->weights, &nodes, &mbconv, plan->engine, &weights, error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_result(builder, block->last, formats.result, error);
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

static bool
is_supported(const gt_builder *builder, int index)
{
    return builder->blocks[index].fusion != GT_NOT_FUSED;
}

/* Append the step of the block that ends with node `index`; the other nodes of a block have none. */
static gt_status
lower_mbconv(gt_builder *builder, int index, gt_error *error)
{
    const gt_block *block = &builder->blocks[index];
    return block->last == index ? lower_block(builder, block, error) : GT_OK;
}

const gt_implementation gt_mbconv_block = {.is_supported = is_supported, .lower = lower_mbconv};
