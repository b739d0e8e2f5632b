/* Attention of several heads: softmax(scale * q k^T + value) v for each head of each image.
 *
 * One head of one image, or of one window of it, is computed at a time: its keys and values are
 * packed, then some queries after the others get their scores, weights and sums, which stay in the
 * cache (T. Dao et al., "FlashAttention", NeurIPS 2022, keeps them on the chip likewise; here whole
 * rows of scores have room). */
#ifndef GT_ATTENTION_H
#define GT_ATTENTION_H

#include <stddef.h>

#include "kernels/attention/attention_types.h"

/* Bytes of scratch memory that a run takes. */
size_t gt_attention_scratch_size(const gt_attention *attention);

/* What the kernel is called in a list of steps. */
const char *gt_attention_name(const gt_attention *attention);

/* Windows begin at the upper left corner of the map, rolled by `shift` up and to the left, and the
 * last ones are padded below and to the right.  Where a window spans a whole axis, that is not
 * rolled.  In a rolled map, tokens that were not neighbours get 100 less (Z. Liu et al., "Swin
 * Transformer", ICCV 2021). */
void gt_attention_run(const gt_attention *attention, const gt_attention_maps *maps);

#endif
