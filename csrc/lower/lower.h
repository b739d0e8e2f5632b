/* From a node of the graph to steps of the plan. */
#ifndef GT_LOWER_H
#define GT_LOWER_H

#include "plan/builder.h"

/* Append the steps of one node, whose inputs have been lowered, by the first of the ways to run its
 * operation that this node can and should run by, and set its value. */
gt_status gt_lower_node(gt_builder *builder, int index, gt_error *error);

/* Set the partners of convolutions that oneDNN runs and of the additions that alone read them, once
 * the formats are chosen.  Where little memory is wanted there are none: every node then has a
 * result, as calibration needs it. */
void gt_lower_mark_additions(gt_builder *builder);

#endif
