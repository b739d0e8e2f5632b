#include "graph/additions.h"

static bool
same_shape(const gt_node *a, const gt_node *b)
{
    return a->shape.height == b->shape.height && a->shape.width == b->shape.width &&
           a->shape.channels == b->shape.channels;
}

bool
gt_addition_is_of_two(const gt_graph *graph, int sum)
{
    const gt_node *node = &graph->nodes[sum];
    const int *inputs = node->inputs;
    return node->op == GT_OP_ADD && node->n_inputs == 2 && inputs[0] != inputs[1] &&
           same_shape(&graph->nodes[inputs[0]], node) && same_shape(&graph->nodes[inputs[1]], node);
}

/* A map of one pixel oneDNN takes for a vector where there is one image, and rounds otherwise. */
bool
gt_addition_can_follow(const gt_graph *graph, int convolution, int sum)
{
    const gt_node *node = &graph->nodes[convolution];
    return node->op == GT_OP_CONV2D && node->groups == 1 &&
           node->shape.height * node->shape.width > 1 && !gt_activation_exists(&node->activation) &&
           gt_graph_only_reader(graph, convolution) == sum;
}

int
gt_addition_other(const gt_graph *graph, int sum, int convolution)
{
    const int *inputs = graph->nodes[sum].inputs;
    return inputs[0] == convolution ? inputs[1] : inputs[0];
}
