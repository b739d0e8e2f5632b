/* Convolutions that run faster by our own products of tiles than as oneDNN primitives. */
#ifndef GT_LOWER_AMX_H
#define GT_LOWER_AMX_H

#include "plan/builder.h"

/* Whether the convolution that is node `index` is such a one. */
bool gt_lower_amx_suits(const gt_builder *builder, int index);

/* Append the step of such a convolution, like gt_lower_node. */
gt_status gt_lower_amx(gt_builder *builder, int index, gt_error *error);

#endif
