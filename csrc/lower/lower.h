/* From a node of the graph to steps of the plan. */
#ifndef GT_LOWER_H
#define GT_LOWER_H

#include "plan/builder.h"

/* Append the steps of one node, whose inputs have been lowered, by the first of the ways to run its
 * operation that this node can and should run by, and set its value. */
gt_status gt_lower_node(gt_builder *builder, int index, gt_error *error);

#endif
