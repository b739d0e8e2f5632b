/* Which stages of Winograd's convolution run on this processor. */
#ifndef GT_WINOGRAD_DISPATCH_H
#define GT_WINOGRAD_DISPATCH_H

#include "kernels/winograd/winograd_stages.h"

/* The stages for that convolution, for this processor. */
gt_winograd_stages gt_winograd_choose(const gt_winograd *winograd);

/* Whether, between uint8 maps, tiles and kernels of 16-bit integers lose no more than the bytes. */
bool gt_winograd_int16_is_exact(const gt_winograd *winograd);

#endif
