/* A network of operations on maps for the test of faults. */
#ifndef GT_TEST_FRAGILE_MAPS_H
#define GT_TEST_FRAGILE_MAPS_H

#include "trial.h"

static inline gt_node
node_of(gt_op op)
{
    gt_node node;
    gt_node_init(&node, op);
    return node;
}

static inline int
add_function(gt_net *net, gt_function function, int from)
{
    gt_node node = node_of(GT_OP_ACTIVATION);
    gt_activation_start(&node.activation, function);
    return gt_net_add(net, node, NULL, from);
}

/* Two maps become one along their height. */
static inline int
stack(gt_net *net, int a, int b)
{
    gt_node node = node_of(GT_OP_CONCAT);
    int index = -1;
    node.axis = GT_AXIS_HEIGHT;
    CHECK(gt_graph_add(&net->graph, &node, "stack", (int[]){a, b}, 2, &index, &error) == GT_OK);
    CHECK(gt_graph_infer_shapes(&net->graph, net->height, net->width, &error) == GT_OK);
    return index;
}

static inline int
add_constant(gt_net *net, int channels)
{
    gt_node node = node_of(GT_OP_CONSTANT);
    int index = -1;
    gt_array value = gt_net_vector(net, channels, 0.5, 1.5);
    node.arrays[GT_VALUE] =
        (gt_array){.data = value.data, .rank = 3, .shape = {1, 1, value.shape[0]}};
    CHECK(gt_graph_add(&net->graph, &node, "constant", NULL, 0, &index, &error) == GT_OK);
    return index;
}

/* Functions after what lies in blocks that 17 channels do not fill, alone and gated; then what
 * moves, resizes or normalises. */
static inline void
start_maps(gt_net *net, trial *job)
{
    enum { CHANNELS = 17 };
    gt_net_start(net, 9, 8, 3);
    int a = gt_net_add(net, gt_net_conv(net, 0, 3, 3, CHANNELS, 1), NULL, 0);
    int b = gt_net_add(net, gt_net_pool(GT_OP_MAX_POOL, 3, 2, GT_PAD_SAME), NULL, a);
    int c = add_function(net, GT_SELU, add_function(net, GT_SIGMOID, b));
    int gate = gt_net_plain(net, GT_OP_GLOBAL_AVERAGE_POOL, NULL, c);
    int d = gt_net_join(net, GT_OP_MULTIPLY, NULL, (int[]){c, gate}, 2);
    int e = gt_net_join(net, GT_OP_DIVIDE, NULL, (int[]){d, add_constant(net, CHANNELS)}, 2);
    e = gt_net_join(net, GT_OP_ADD, NULL, (int[]){d, e, c}, 3);
    int own = gt_net_add(net, gt_net_conv(net, e, 1, 1, CHANNELS, 1), NULL, e);
    e = gt_net_plain(net, GT_OP_RELU, NULL, gt_net_join(net, GT_OP_ADD, NULL, (int[]){own, e}, 2));
    gt_node slopes = node_of(GT_OP_PRELU);
    slopes.arrays[GT_ALPHA] = gt_net_vector(net, CHANNELS, 0.0, 0.5);
    int f = add_function(net, GT_SOFTSIGN, gt_net_add(net, slopes, NULL, e));
    gt_node pad = node_of(GT_OP_PAD);
    pad.window.after[0] = 1;
    int g = gt_net_add(net, pad, NULL, stack(net, f, b));
    gt_node large = node_of(GT_OP_RESIZE);
    large.factors[0] = large.factors[1] = 2;
    large.bilinear = true;
    gt_node norm = node_of(GT_OP_LOCAL_RESPONSE_NORM);
    norm.size = 3;
    norm.alpha = norm.beta = 0.75;
    norm.offset = 1.0;
    int h = gt_net_add(net, norm, NULL, gt_net_add(net, large, NULL, g));
    gt_node pool = gt_net_pool(GT_OP_AVERAGE_POOL, 3, 2, GT_PAD_EXPLICIT);
    pool.window.ceil_mode = pool.window.count_padding = true;
    pool.window.before[1] = 1;
    int i = gt_net_add(net, pool, NULL, h);
    gt_node mean = node_of(GT_OP_REDUCE);
    mean.axis = GT_AXIS_MAP;
    int j = gt_net_add(net, mean, NULL, i);
    start_trial(job, net, (int[]){c, j}, 2);
}

#endif
