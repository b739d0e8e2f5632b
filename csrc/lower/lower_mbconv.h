/* Inverted residual blocks that one kernel of our own computes. */
#ifndef GT_LOWER_MBCONV_H
#define GT_LOWER_MBCONV_H

#include "plan/builder.h"

/* Set is_fused of all nodes; before the formats are chosen.  Where little memory is wanted, nothing
 * is fused: every node then has a result, as calibration needs it. */
void gt_lower_mbconv_mark(gt_builder *builder);

/* Clear is_fused of the blocks that cannot read their source in the format that was chosen. */
void gt_lower_mbconv_confirm(gt_builder *builder);

/* Append the step of the block that ends with node `index`, like gt_lower_node; nothing for the other
 * nodes of a block. */
gt_status gt_lower_mbconv(gt_builder *builder, int index, gt_error *error);

#endif
