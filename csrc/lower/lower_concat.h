/* Concatenations with channels last that our own kernels write: what else can comes straight to its
 * place, the rest is copied. */
#ifndef GT_LOWER_CONCAT_H
#define GT_LOWER_CONCAT_H

#include "plan/builder.h"

/* Whether node `index` is such a one: all of bytes are, of bfloat16 those that a kernel has begun. */
bool gt_concat_suits(const gt_builder *builder, int index);

/* Append the step that brings what is missing, as gt_lower_node does. */
gt_status gt_lower_concat(gt_builder *builder, int index, gt_error *error);

/* The value into which the result of node `index` is to be written, from *channel of each pixel of
 * *channels on: that of the concatenation which alone reads it, if there is one, else its own. */
gt_status gt_concat_destination(gt_builder *builder, int index, int *value, int *channel,
                                int *channels, gt_error *error);

#endif
