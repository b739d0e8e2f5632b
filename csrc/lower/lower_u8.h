/* Pools in 8 bits by kernels of our own. */
#ifndef GT_LOWER_U8_H
#define GT_LOWER_U8_H

#include "plan/builder.h"

/* Whether the node is a pool of bytes that the kernels compute. */
bool gt_u8_pool_suits(const gt_builder *builder, int index);

/* Append its step, as gt_lower_node does. */
gt_status gt_lower_u8_pool(gt_builder *builder, int index, gt_error *error);

#endif
