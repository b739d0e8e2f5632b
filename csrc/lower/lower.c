#include "lower/lower.h"

#include "lower/implementation.h"

/* The ways to run one operation, the first that a node can and should run by is taken. */
typedef const gt_implementation *const ways[5];

static const ways of_input = {&gt_input};
static const ways of_convolution = {&gt_mbconv_block, &gt_amx_convolution, &gt_winograd_convolution,
                                    &gt_onednn_convolution};
static const ways of_dense = {&gt_onednn_convolution};
static const ways of_relu = {&gt_onednn_relu};
static const ways of_pool = {&gt_u8_pool_by_rows, &gt_onednn_pool};
static const ways of_mean = {&gt_mean_of_map, &gt_onednn_pool};
static const ways of_concat = {&gt_copying_concat, &gt_onednn_join};
static const ways of_add = {&gt_mbconv_block, &gt_onednn_join};
static const ways of_flatten = {&gt_flatten};
static const ways of_softmax = {&gt_onednn_softmax};

/* NULL for operations that gt_optimize folds into others. */
static const ways *const operations[GT_OP_COUNT] = {
    [GT_OP_INPUT] = &of_input,
    [GT_OP_CONV2D] = &of_convolution,
    [GT_OP_DENSE] = &of_dense,
    [GT_OP_RELU] = &of_relu,
    [GT_OP_MAX_POOL] = &of_pool,
    [GT_OP_AVERAGE_POOL] = &of_pool,
    [GT_OP_GLOBAL_AVERAGE_POOL] = &of_mean,
    [GT_OP_GLOBAL_MAX_POOL] = &of_pool,
    [GT_OP_CONCAT] = &of_concat,
    [GT_OP_ADD] = &of_add,
    [GT_OP_FLATTEN] = &of_flatten,
    [GT_OP_SOFTMAX] = &of_softmax,
};

static bool
is_chosen(const gt_implementation *way, const gt_builder *builder, int index)
{
    return (way->is_available == NULL || way->is_available(builder, index)) &&
           (way->is_supported == NULL || way->is_supported(builder, index)) &&
           (way->is_profitable == NULL || way->is_profitable(builder, index));
}

gt_status
gt_lower_node(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    const ways *known = node->op < GT_OP_COUNT ? operations[node->op] : NULL;
    for (int i = 0; known != NULL && (*known)[i] != NULL; i++) {
        if (is_chosen((*known)[i], builder, index)) {
            return (*known)[i]->lower(builder, index, error);
        }
    }
    return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': %s was not folded before planning",
                   node->name, gt_op_name(node->op));
}
