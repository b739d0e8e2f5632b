/* Where kernels that write with channels last put their results. */
#ifndef GT_LOWER_CONCAT_H
#define GT_LOWER_CONCAT_H

#include "plan/builder.h"

/* The value into which the result of node `index` is to be written, as channels *channel and so on
 * of the *channels of each pixel: that of the concatenation which alone reads it, if there is one,
 * else its own. */
gt_status gt_concat_destination(gt_builder *builder, int index, int *value, int *channel,
                                int *channels, gt_error *error);

#endif
