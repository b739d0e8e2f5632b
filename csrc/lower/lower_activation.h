/* Activations as oneDNN primitives. */
#ifndef GT_LOWER_ACTIVATION_H
#define GT_LOWER_ACTIVATION_H

#include "plan/builder.h"

/* Append the activation of node `index` as steps of their own that read `source`; they set the
 * node's value. */
gt_status gt_lower_activation(gt_builder *builder, int index, int source, gt_error *error);

#endif
