/* Convolutions on the matrix units of a processor with AMX (Intel, "Architecture Instruction Set
 * Extensions Programming Reference", chapter 3), between maps of bfloat16 or of bytes.
 * Sixteen results of sixteen channels out are a tile of registers.  What they read lies in a copy
 * of the map with its padding, or in the map itself, such that from one result to the next it
 * always is the same number of bytes, also from the end of a row to the next row: the few results
 * between that have no place in the map are computed and dropped.  For a stride of s the copy is of
 * s x s maps, each of the pixels that some taps of the kernel meet. */
#ifndef GT_AMX_H
#define GT_AMX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/amx/amx_types.h"

/* Whether this processor can run such convolutions, which ONEDNN_MAX_CPU_ISA may deny.  To be asked
 * before the first one runs: only then does the system let the process use the registers. */
bool gt_amx_is_available(void);

/* Whether such a convolution can run by them at all.  Does not depend on the batch or the threads,
 * on which features must not depend. */
bool gt_amx_is_supported(const gt_amx *amx);

/* Choose how it runs. */
void gt_amx_prepare(gt_amx *amx);

/* Bytes that a run writes besides its results. */
size_t gt_amx_scratch_size(const gt_amx *amx);

/* Bytes of the packed kernel, a multiple of 64. */
size_t gt_amx_kernel_size(const gt_amx *amx);

/* Lay out a kernel (height, width, channels_in, channels_out): float32, which becomes bfloat16, or
 * for maps of bytes int8. */
void gt_amx_pack(const gt_amx *amx, const void *kernel, void *packed);

/* Convolve: `shift` (channels_out,) is added to the results; `scales` (channels_out,) are those
 * of an int8 kernel, else NULL.  `scratch` and `packed` are aligned to 64 bytes; behind a source of
 * bytes 63 more must be readable.  A NaN in the source may also spoil a result beside those that
 * read it. */
void gt_amx_convolve(const gt_amx *amx, const void *source, const void *packed, const float *shift,
                     const float *scales, void *target, void *scratch);

#endif
