/* Functions of two maps, of which one may be repeated along axes of the other, and of a map and
 * itself or numbers of the layer. */
#include <omp.h>

#include "kernels/maps/maps.h"
#include "lower/implementation.h"

/* --- layouts ------------------------------------------------------------------------------- */

/* Channels in blocks of so many, or last (0). */
static const struct {
    dnnl_format_tag_t tag;
    int block;
} layouts[] = {{dnnl_nChw8c, 8}, {dnnl_nChw16c, 16}, {dnnl_nhwc, 0}};

enum { CHANNELS_LAST = 2, N_LAYOUTS = CHANNELS_LAST + 1 };

static gt_shape
operand_shape(const gt_builder *builder, const gt_node *node, int k)
{
    return builder->graph->nodes[node->inputs[k]].shape;
}

/* What fills up blocks are zeros, and must stay zeros. */
static bool
can_have_blocks(const gt_builder *builder, const gt_node *node)
{
    for (int k = 0; k < 2; k++) {
        if (operand_shape(builder, node, k).channels != node->shape.channels) {
            return false;
        }
    }
    return node->op != GT_OP_DIVIDE && node->activation.low <= 0.0f &&
           node->activation.high >= 0.0f;
}

/* The layout of a value of that shape, of those that we read, else channels last. */
static gt_status
find_layout(const gt_builder *builder, int value, gt_shape shape, int *layout, gt_error *error)
{
    gt_status status = GT_OK;
    *layout = CHANNELS_LAST;
    for (int i = 0; status == GT_OK && i < CHANNELS_LAST && *layout == CHANNELS_LAST; i++) {
        const gt_value *known = &builder->plan->values[value];
        dnnl_memory_desc_t desc = NULL;
        status =
            gt_builder_describe(builder, &desc, shape, known->format.type, layouts[i].tag, error);
        if (status == GT_OK && dnnl_memory_desc_equal(known->desc, desc)) {
            *layout = i;
        }
        (void)dnnl_memory_desc_destroy(desc);
    }
    return status;
}

static bool
is_whole(const gt_builder *builder, const gt_node *node, int k)
{
    return gt_shape_size(operand_shape(builder, node, k)) == gt_shape_size(node->shape);
}

/* The layout of the first operand that is not repeated. */
static gt_status
choose_layout(gt_builder *builder, const gt_node *node, int *layout, gt_error *error)
{
    int value = GT_NO_VALUE;
    int k = is_whole(builder, node, 0) ? 0 : 1;
    *layout = CHANNELS_LAST;
    if (!can_have_blocks(builder, node) || !is_whole(builder, node, k)) {
        return GT_OK;
    }
    gt_status status =
        gt_builder_fetch(builder, node->inputs[k], gt_builder_float_format(builder), &value, error);
    return status == GT_OK ? find_layout(builder, value, node->shape, layout, error) : status;
}

/* Elements from one to the next along (images, blocks of channels, rows, columns, channels). */
static void
set_strides(gt_shape shape, gt_shape whole, int block, int64_t *strides)
{
    int64_t inner = block > 0 ? block : shape.channels;
    int64_t blocks = block > 0 ? (shape.channels + block - 1) / block : 1;
    int64_t map = (int64_t)shape.height * shape.width * inner;
    strides[1] = map * blocks;
    strides[2] = map;
    strides[3] = shape.height == whole.height ? shape.width * inner : 0;
    strides[4] = shape.width == whole.width ? inner : 0;
    strides[5] = shape.channels == whole.channels ? 1 : 0;
}

static void
set_extents(gt_binary *binary, gt_shape shape, int batch, int block)
{
    binary->extents[0] = 1;
    binary->extents[1] = batch;
    binary->extents[2] = block > 0 ? (shape.channels + block - 1) / block : 1;
    binary->extents[3] = shape.height;
    binary->extents[4] = shape.width;
    binary->extents[5] = block > 0 ? block : shape.channels;
}

/* --- two maps ------------------------------------------------------------------------------ */

static gt_binary_function
function_of(gt_op op)
{
    switch (op) {
    case GT_OP_SUBTRACT:
        return GT_BINARY_SUBTRACT;
    case GT_OP_MULTIPLY:
        return GT_BINARY_MULTIPLY;
    case GT_OP_DIVIDE:
        return GT_BINARY_DIVIDE;
    case GT_OP_MAXIMUM:
        return GT_BINARY_MAXIMUM;
    case GT_OP_MINIMUM:
        return GT_BINARY_MINIMUM;
    default:
        return GT_BINARY_ADD;
    }
}

static void
run(const void *context, void *const *memory)
{
    gt_binary_run(context, memory[0], memory[1], memory[2]);
}

static gt_status
append(gt_builder *builder, int index, gt_binary *binary, gt_arg a, gt_arg b, gt_error *error)
{
    const gt_arg args[3] = {a, b, gt_value_arg(DNNL_ARG_DST, builder->plan->value_of[index])};
    gt_binary_prepare(binary);
    return gt_builder_add_kernel(builder,
                                 (gt_kernel){run, binary, sizeof(*binary), "binary", "maps"},
                                 builder->graph->nodes[index].name, args, 3, error);
}

/* Operand k in a layout. */
static gt_status
fetch_operand(gt_builder *builder, const gt_node *node, int k, int layout, int *value,
              gt_error *error)
{
    gt_format format = gt_builder_float_format(builder);
    dnnl_memory_desc_t desc = NULL;
    gt_status status = gt_builder_fetch(builder, node->inputs[k], format, value, error);
    if (status == GT_OK) {
        status = gt_builder_describe(builder, &desc, operand_shape(builder, node, k), format.type,
                                     layouts[layout].tag, error);
    }
    if (status == GT_OK) {
        status = gt_builder_reorder(builder, *value, desc, format, node->name, value, error);
    }
    (void)dnnl_memory_desc_destroy(desc);
    return status;
}

static gt_status
add_result(gt_builder *builder, int index, int layout, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_format format = gt_builder_float_format(builder);
    dnnl_memory_desc_t desc = NULL;
    gt_status status =
        gt_builder_describe(builder, &desc, node->shape, format.type, layouts[layout].tag, error);
    if (status == GT_OK) {
        status = gt_builder_add_value(builder, desc, format, node->name,
                                      &builder->plan->value_of[index], error);
    }
    (void)dnnl_memory_desc_destroy(desc);
    return status;
}

static bool
has_two_inputs(const gt_builder *builder, int index)
{
    return builder->graph->nodes[index].n_inputs == 2;
}

static gt_status
lower_binary(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_binary binary = {.function = function_of(node->op),
                        .type = gt_builder_float_map_type(builder),
                        .low = node->activation.low,
                        .high = node->activation.high,
                        .threads = omp_get_max_threads()};
    int layout = CHANNELS_LAST;
    int values[2] = {GT_NO_VALUE, GT_NO_VALUE};
    gt_status status = choose_layout(builder, node, &layout, error);
    for (int k = 0; status == GT_OK && k < 2; k++) {
        status = fetch_operand(builder, node, k, layout, &values[k], error);
    }
    if (status == GT_OK) {
        status = add_result(builder, index, layout, error);
    }
    if (status != GT_OK) {
        return status;
    }
    int block = layouts[layout].block;
    set_extents(&binary, node->shape, builder->plan->batch, block);
    set_strides(operand_shape(builder, node, 0), node->shape, block, binary.a);
    set_strides(operand_shape(builder, node, 1), node->shape, block, binary.b);
    return append(builder, index, &binary, gt_value_arg(DNNL_ARG_SRC_0, values[0]),
                  gt_value_arg(DNNL_ARG_SRC_1, values[1]), error);
}

const gt_implementation gt_binary_map = {.is_supported = has_two_inputs, .lower = lower_binary};

/* --- a map and itself, or slopes ----------------------------------------------------------- */

/* With channels last; `b` follows from the operation. */
static gt_status
lower_with(gt_builder *builder, int index, gt_binary_function function, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    gt_plan *plan = builder->plan;
    gt_format format = gt_builder_float_format(builder);
    gt_binary binary = {.function = function,
                        .type = gt_builder_float_map_type(builder),
                        .low = node->activation.low,
                        .high = node->activation.high,
                        .threads = omp_get_max_threads()};
    gt_shape slopes = {1, 1, node->shape.channels};
    bool has_slopes = function == GT_BINARY_PRELU;
    gt_arg b = {DNNL_ARG_WEIGHTS, GT_ARG_WEIGHT, -1};
    int source = GT_NO_VALUE;
    gt_status status = gt_builder_fetch_last(builder, node, 0, format, &source, error);
    if (status == GT_OK && has_slopes) {
        status =
            gt_weights_array(plan->weights, node, GT_ALPHA, 0.0f, plan->engine, &b.index, error);
    }
    if (status == GT_OK) {
        status = gt_builder_add_result(builder, index, format, error);
    }
    if (status != GT_OK) {
        return status;
    }
    set_extents(&binary, node->shape, plan->batch, 0);
    set_strides(node->shape, node->shape, 0, binary.a);
    set_strides(has_slopes ? slopes : node->shape, node->shape, 0, binary.b);
    if (has_slopes) { /* the same for each image, and for maps of one pixel too */
        binary.b[1] = binary.b[2] = binary.b[3] = binary.b[4] = 0;
    }
    else {
        b = gt_value_arg(DNNL_ARG_SRC_1, source);
    }
    return append(builder, index, &binary, gt_value_arg(DNNL_ARG_SRC_0, source), b, error);
}

static gt_status
lower_prelu(gt_builder *builder, int index, gt_error *error)
{
    return lower_with(builder, index, GT_BINARY_PRELU, error);
}

static gt_status
lower_softsign(gt_builder *builder, int index, gt_error *error)
{
    return lower_with(builder, index, GT_BINARY_SOFTSIGN, error);
}

const gt_implementation gt_prelu = {.lower = lower_prelu};
const gt_implementation gt_softsign = {.lower = lower_softsign};
