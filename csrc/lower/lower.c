#include "lower/lower.h"

#include "graph/additions.h"
#include "lower/implementation.h"

/* The ways to run one operation, the first that a node can and should run by is taken. */
typedef const gt_implementation *const ways[6];

static const ways of_input = {&gt_input};
static const ways of_convolution = {&gt_mbconv_block, &gt_amx_convolution, &gt_winograd_convolution,
                                    &gt_deferred_convolution, &gt_onednn_convolution};
static const ways of_dense = {&gt_onednn_convolution};
static const ways of_activation = {&gt_onednn_activation, &gt_softsign};
static const ways of_pool = {&gt_mean_pool_beyond, &gt_u8_pool_by_rows, &gt_onednn_pool};
static const ways of_mean = {&gt_mean_of_map, &gt_onednn_pool};
static const ways of_concat = {&gt_moved_map, &gt_copying_concat, &gt_onednn_join};
static const ways of_add = {&gt_mbconv_block, &gt_convolution_and_addition, &gt_binary_map,
                            &gt_onednn_join};
static const ways of_flatten = {&gt_moved_map, &gt_flatten};
static const ways of_softmax = {&gt_onednn_softmax};
static const ways of_prelu = {&gt_prelu};
static const ways of_binary = {&gt_binary_map};
static const ways of_constant = {&gt_constant};
static const ways of_moved = {&gt_moved_map};
static const ways of_response_norm = {&gt_response_normalisation};
static const ways of_reduce = {&gt_reduced_map};
static const ways of_resize = {&gt_moved_map, &gt_bilinear_resize};
static const ways of_reshape = {&gt_flatten};
static const ways of_norm = {&gt_norm_of_rows};
static const ways of_embedding = {&gt_position_embedding};
static const ways of_attention = {&gt_attention_of_heads};

/* NULL for operations that gt_optimize folds into others. */
static const ways *const operations[GT_OP_COUNT] = {
    [GT_OP_INPUT] = &of_input,
    [GT_OP_CONV2D] = &of_convolution,
    [GT_OP_DENSE] = &of_dense,
    [GT_OP_RELU] = &of_activation,
    [GT_OP_MAX_POOL] = &of_pool,
    [GT_OP_AVERAGE_POOL] = &of_pool,
    [GT_OP_GLOBAL_AVERAGE_POOL] = &of_mean,
    [GT_OP_GLOBAL_MAX_POOL] = &of_pool,
    [GT_OP_CONCAT] = &of_concat,
    [GT_OP_ADD] = &of_add,
    [GT_OP_FLATTEN] = &of_flatten,
    [GT_OP_SOFTMAX] = &of_softmax,
    [GT_OP_ACTIVATION] = &of_activation,
    [GT_OP_CLIP] = &of_activation,
    [GT_OP_PRELU] = &of_prelu,
    [GT_OP_MULTIPLY] = &of_binary,
    [GT_OP_SUBTRACT] = &of_binary,
    [GT_OP_DIVIDE] = &of_binary,
    [GT_OP_MAXIMUM] = &of_binary,
    [GT_OP_MINIMUM] = &of_binary,
    [GT_OP_CONSTANT] = &of_constant,
    [GT_OP_PAD] = &of_moved,
    [GT_OP_CROP] = &of_moved,
    [GT_OP_SLICE] = &of_moved,
    [GT_OP_CHANNEL_SHUFFLE] = &of_moved,
    [GT_OP_LOCAL_RESPONSE_NORM] = &of_response_norm,
    [GT_OP_REDUCE] = &of_reduce,
    [GT_OP_RESIZE] = &of_resize,
    [GT_OP_RESHAPE] = &of_reshape,
    [GT_OP_TRANSPOSE] = &of_moved,
    [GT_OP_LAYER_NORM] = &of_norm,
    [GT_OP_GROUP_NORM] = &of_norm,
    [GT_OP_POSITION_EMBEDDING] = &of_embedding,
    [GT_OP_ATTENTION] = &of_attention,
};

static bool
is_chosen(const gt_implementation *way, const gt_builder *builder, int index)
{
    return (way->is_available == NULL || way->is_available(builder, index)) &&
           (way->is_supported == NULL || way->is_supported(builder, index)) &&
           (way->is_profitable == NULL || way->is_profitable(builder, index));
}

/* The way that a node is run; NULL where there is none. */
static const gt_implementation *
choose(const gt_builder *builder, int index)
{
    const gt_node *node = &builder->graph->nodes[index];
    const ways *known = node->op < GT_OP_COUNT ? operations[node->op] : NULL;
    for (int i = 0; known != NULL && (*known)[i] != NULL; i++) {
        if (is_chosen((*known)[i], builder, index)) {
            return (*known)[i];
        }
    }
    return NULL;
}

/* Whether a convolution can add what addition `sum` adds to its result. */
static bool
can_add(const gt_builder *builder, int convolution, int sum)
{
    return gt_addition_can_follow(builder->graph, convolution, sum) &&
           gt_same_format(builder->formats[convolution].result, builder->formats[sum].result) &&
           choose(builder, convolution) == &gt_onednn_convolution;
}

/* The convolution that computes an addition as well; GT_NO_VALUE where none does. */
static int
find_convolution(const gt_builder *builder, int sum)
{
    const int *inputs = builder->graph->nodes[sum].inputs;
    int later = inputs[0] > inputs[1] ? 0 : 1;
    if (builder->formats[sum].in_int8) {
        return builder->formats[sum].convolution;
    }
    for (int k = 0; k < 2; k++) {
        int convolution = inputs[k == 0 ? later : 1 - later];
        if (can_add(builder, convolution, sum)) {
            return convolution;
        }
    }
    return GT_NO_VALUE;
}

void
gt_lower_mark_additions(gt_builder *builder)
{
    for (int i = 1; !builder->low_memory && i < builder->graph->count; i++) {
        if (builder->blocks[i].fusion != GT_NOT_FUSED ||
            !gt_addition_is_of_two(builder->graph, i)) {
            continue;
        }
        int convolution = find_convolution(builder, i);
        if (convolution != GT_NO_VALUE) {
            builder->partners[i] = convolution;
            builder->partners[convolution] = i;
        }
    }
}

gt_status
gt_lower_node(gt_builder *builder, int index, gt_error *error)
{
    const gt_implementation *way = choose(builder, index);
    if (way != NULL) {
        return way->lower(builder, index, error);
    }
    const gt_node *node = &builder->graph->nodes[index];
    return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': %s was not folded before planning",
                   node->name, gt_op_name(node->op));
}
