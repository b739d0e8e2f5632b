/* Inverted residual blocks (Sandler et al. 2018, "MobileNetV2"): a 1x1 convolution that expands the
 * channels, a depthwise one, a 1x1 convolution that projects them to fewer, and the source added.
 *
 * The block runs some rows of results at a time, so that what lies between the convolutions stays in
 * the second-level cache.  Rows of expanded channels that the next results read as well are kept. */
#ifndef GT_MBCONV_H
#define GT_MBCONV_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/mbconv/mbconv_types.h"

/* The kernels of a block with what is added to their sums, all float32; a shift may be NULL. */
typedef struct {
    const float *expansion; /* (size, size, channels_in, channels); NULL without expansion */
    const float *expansion_shift;
    const float *depthwise; /* (size, size, channels) */
    const float *depthwise_shift;
    const float *projection; /* (channels, channels_out) */
    const float *projection_shift;
} gt_mbconv_weights;

/* Whether this processor has instructions for blocks of that type, which ONEDNN_MAX_CPU_ISA may deny. */
bool gt_mbconv_is_available(gt_map_type type);

/* Whether the block can be run.  Never depends on the batch or the threads, on which features must
 * not depend. */
bool gt_mbconv_is_supported(const gt_mbconv *block);

/* Choose how it runs; everything else is set. */
void gt_mbconv_prepare(gt_mbconv *block);

/* Bytes that a run writes besides its result. */
size_t gt_mbconv_scratch_size(const gt_mbconv *block);

/* Bytes of the packed weights, a multiple of 64. */
size_t gt_mbconv_packed_size(const gt_mbconv *block);

/* Lay out the weights of a prepared block; in 8 bits each channel out has a scale of its own. */
void gt_mbconv_pack(const gt_mbconv *block, const gt_mbconv_weights *weights, void *packed);

/* Run the block.  `packed` and `scratch` are aligned to 64 bytes. */
void gt_mbconv_run(const gt_mbconv *block, const void *source, const void *packed, void *target,
                   void *scratch);

#endif
