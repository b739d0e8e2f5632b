/* Each layer as oneDNN primitives. */
#ifndef GT_LOWER_H
#define GT_LOWER_H

#include "plan/builder.h"

/* Append the steps of one node of the graph, whose inputs have been lowered, and set its value. */
gt_status gt_lower_node(gt_builder *builder, int index, gt_error *error);

/* The same for a convolution or dense layer. */
gt_status gt_lower_convolution(gt_builder *builder, int index, gt_error *error);

#endif
