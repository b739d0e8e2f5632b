/* Convolutions that run faster by Winograd's minimal filtering than as oneDNN primitives. */
#ifndef GT_LOWER_WINOGRAD_H
#define GT_LOWER_WINOGRAD_H

#include "plan/builder.h"

/* Whether the convolution that is node `index` is such a one. */
bool gt_winograd_suits(const gt_builder *builder, int index);

/* Append the step of such a convolution, like gt_lower_node. */
gt_status gt_lower_winograd(gt_builder *builder, int index, gt_error *error);

#endif
