/* Additions that a convolution can compute as it writes. */
#ifndef GT_ADDITIONS_H
#define GT_ADDITIONS_H

#include "graph/graph.h"

/* Whether node `sum` adds two different maps of its own shape. */
bool gt_addition_is_of_two(const gt_graph *graph, int sum);

/* Whether a convolution can add to its result what such an addition adds to that. */
bool gt_addition_can_follow(const gt_graph *graph, int convolution, int sum);

/* What such an addition adds to the result of a convolution. */
int gt_addition_other(const gt_graph *graph, int sum, int convolution);

#endif
