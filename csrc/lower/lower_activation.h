/* Activations as oneDNN primitives. */
#ifndef GT_LOWER_ACTIVATION_H
#define GT_LOWER_ACTIVATION_H

#include "plan/builder.h"

/* Append the ReLU of node `index` as a step of its own that reads `source`; it sets the node's
 * value. */
gt_status gt_lower_relu(gt_builder *builder, int index, int source, gt_error *error);

#endif
