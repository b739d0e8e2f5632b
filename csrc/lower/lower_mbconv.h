/* Inverted residual blocks that one kernel of our own computes. */
#ifndef GT_LOWER_MBCONV_H
#define GT_LOWER_MBCONV_H

#include "plan/builder.h"

/* Set the blocks of all nodes, before the formats are chosen.  Where little memory is wanted, nothing
 * is fused: every node then has a result, as calibration needs it. */
void gt_lower_mbconv_mark(gt_builder *builder);

#endif
