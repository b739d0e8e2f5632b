/* Photographs as the numbers that a plan reads. */
#ifndef GT_PIXEL_WRITER_H
#define GT_PIXEL_WRITER_H

#include "plan/plan.h"

/* Write a batch of photographs, uint8 with channels last, in the type and layout of the plan's input
 * value: preprocessed, or as bytes in the network's order of channels where the plan reads those. */
void gt_write_pixels(const gt_plan *plan, const gt_preprocessing *preprocessing,
                     const uint8_t *images, char *input);

#endif
