/* Convolution of stride 1 by Winograd's minimal filtering (Lavin and Gray 2016, "Fast algorithms
 * for convolutional neural networks"; points after Cook and Toom).  A tile of 8 x 8 pixels gives
 * m x m results of an r x r kernel, m + r - 1 = 8, with 64 multiplications a pair of channels:
 * 64 for the 324 of the direct way with a 3x3 kernel, 64 for 400 with a 5x5 one.
 *
 * The points are 0, +-1/2, +-1, +-2 and infinity.  With them the errors in float32 are at most
 * ten times those of the direct way, far below the rounding of bfloat16.  Between uint8 maps
 * weights of 16 bits do: integers, then of tiles as well, or fp16. */
#ifndef GT_WINOGRAD_H
#define GT_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/winograd/winograd_types.h"

/* Channels in a vector of this processor for maps of that type, 0 if it cannot run such a
 * convolution, which ONEDNN_MAX_CPU_ISA may deny. */
int gt_winograd_lanes(gt_map_type type);

/* What the numbers of a transformed kernel between uint8 maps are on this processor, on which
 * the rounding depends: "int16", "int16+fp16" or "none". */
const char *gt_winograd_u8_weights(void);

/* Whether it can run, should be faster than oneDNN's direct convolution of the same type and,
 * between uint8 maps, not less exact than they are.  Never depends on the batch or the threads,
 * on which features must not depend. */
bool gt_winograd_is_profitable(const gt_winograd *winograd);

/* The strides of a map with channels last. */
gt_map_strides gt_winograd_channels_last(gt_shape shape, int lanes);

/* The strides of a map in blocks of so many channels, as oneDNN's nChw8c and nChw16c. */
gt_map_strides gt_winograd_blocked(gt_shape shape, int lanes);

/* Choose how tiles are taken together; everything else is set. */
void gt_winograd_prepare(gt_winograd *winograd);

/* Bytes that a run writes besides its result. */
size_t gt_winograd_scratch_size(const gt_winograd *winograd);

/* Bytes of the transformed kernel, a multiple of 64. */
size_t gt_winograd_kernel_size(const gt_winograd *winograd);

/* Transform `kernel` (size, size, channels_in, channels_out) into `packed`; `source_scale` is that
 * of the source's bytes, else 1.  Between uint8 maps the numbers become some of 16 bits, whose
 * rounding costs less than that of the results. */
void gt_winograd_pack(const gt_winograd *winograd, const float *kernel, float source_scale,
                      void *packed);

/* Convolve: `packed` is the transformed kernel, `shift` (channels_out,) is added to the results.
 * `scratch` is aligned to 64 bytes. */
void gt_winograd_run(const gt_winograd *winograd, const void *source, const void *packed,
                     const float *shift, void *target, void *scratch);

#endif
