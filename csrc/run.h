/* One batch through a plan. */
#ifndef GT_RUN_H
#define GT_RUN_H

#include "plan.h"

/* How pixels become numbers: value = byte * scale + offset. */
typedef struct {
    float scale;
    float offset;
} gt_preprocessing;

/* What one thread needs to run a plan: an arena, a stream, and memory objects over the arena. */
typedef struct gt_lane gt_lane;

/* The plan must outlive the lane.  On failure *lane is NULL. */
gt_status gt_lane_create(gt_lane **lane, const gt_plan *plan, gt_error *error);

/* Accepts NULL. */
void gt_lane_free(gt_lane *lane);

/* Run plan->batch images, uint8 (batch, height, width, channels), and write each output k as
 * float32 (batch, height_k, width_k, channels_k) to outputs[k].  Where `seconds` is not NULL, it
 * receives the time of writing the input and of each step, (n_steps + 1,).  One caller at a time
 * for a lane; lanes of one plan may run at once. */
gt_status gt_lane_run(gt_lane *lane, const uint8_t *images, gt_preprocessing preprocessing,
                      float *const *outputs, double *seconds, gt_error *error);

#endif
