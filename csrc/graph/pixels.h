/* What a network sees of the pixels of a photograph. */
#ifndef GT_PIXELS_H
#define GT_PIXELS_H

#include "common/status.h"
#include "graph/graph.h"

enum { GT_PIXEL_CHANNELS = 3 };

/* How pixels become numbers: value = byte * scale + offset. */
typedef struct {
    float scale;
    float offset;
    bool reversed;   /* of three channels, the network wants the last first */
    bool by_channel; /* instead of the two above, of channel c in the network's order: */
    float scales[GT_PIXEL_CHANNELS];
    float offsets[GT_PIXEL_CHANNELS];
} gt_preprocessing;

/* The scale and the offset of channel c, in the network's order. */
float gt_pixel_scale(const gt_preprocessing *preprocessing, int c);
float gt_pixel_offset(const gt_preprocessing *preprocessing, int c);

/* Magnitude of the numbers that pixels become. */
float gt_pixel_range(const gt_preprocessing *preprocessing);

/* Whether no channel has an offset. */
bool gt_pixels_lack_offset(const gt_preprocessing *preprocessing);

/* The one scale for all bytes of a photograph; 0 where a channel's is not above 0. */
float gt_pixel_common_scale(const gt_preprocessing *preprocessing);

/* Whether a byte stands for 0 in all channels, of one scale, which then is *zero. */
bool gt_zero_is_byte(gt_preprocessing preprocessing, int *zero);

/* Whether a byte stands for 0 in each channel, to half a byte: then zeros[c] is that of channel c. */
bool gt_zeros_are_bytes(const gt_preprocessing *preprocessing, uint8_t zeros[GT_PIXEL_CHANNELS]);

/* A copy of a convolution that reads bytes of the common scale and without any offset as `node` would
 * the numbers that they stand for.  It has arrays of its own, for gt_pixels_clear_folded; the rest is
 * the node's. */
gt_status gt_pixels_fold(const gt_preprocessing *preprocessing, const gt_node *node,
                         gt_node *folded, gt_error *error);

/* Accepts a zeroed node. */
void gt_pixels_clear_folded(gt_node *folded);

#endif
