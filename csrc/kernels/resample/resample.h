/* Maps of numbers brought to another size. */
#ifndef GT_RESAMPLE_H
#define GT_RESAMPLE_H

#include "common/geometry.h"
#include "common/status.h"

/* Bicubic (Keys, a = -1/2), with the kernel widened where the map shrinks (antialiasing): what
 * torch.nn.functional.interpolate(mode="bicubic", antialias=True, align_corners=False) and Pillow
 * give.  Both are (height, width, channels), with the same channels. */
gt_status gt_resample_bicubic(const float *source, gt_shape from, float *target, gt_shape to,
                              gt_error *error);

#endif
