/* Normalisation over the channels of each pixel or the channels and pixels of a group, and the
 * addition of an embedding.  Maps have channels last. */
#ifndef GT_NORM_H
#define GT_NORM_H

#include <stddef.h>

#include "kernels/norm/norm_types.h"

/* Over the channels of each pixel; gamma and beta are (channels,). */
void gt_layer_norm_run(const gt_norm *norm, const void *source, const float *gamma,
                       const float *beta, void *target);

/* Over all pixels of an image and the channels of each group, with so many bytes of scratch. */
size_t gt_group_norm_scratch_size(const gt_norm *norm);
void gt_group_norm_run(const gt_norm *norm, const void *source, const float *gamma,
                       const float *beta, void *target, float *scratch);

/* Add `value`, as many numbers as an image has, to every image. */
void gt_embedding_run(const gt_norm *norm, const void *source, const float *value, void *target);

#endif
