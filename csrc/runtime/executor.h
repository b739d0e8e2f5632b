/* One batch through a plan. */
#ifndef GT_RUN_H
#define GT_RUN_H

#include "plan/plan.h"

/* What one thread needs to run a plan: an arena, a stream, and memory objects over the arena. */
typedef struct gt_lane gt_lane;

/* The plan must outlive the lane.  On failure *lane is NULL. */
gt_status gt_lane_create(gt_lane **lane, const gt_plan *plan, gt_error *error);

/* Accepts NULL. */
void gt_lane_free(gt_lane *lane);

/* Where the numbers of a value are in a lane. */
const void *gt_lane_value(const gt_lane *lane, int value);

enum { GT_INPUT_WRITTEN = -1 };

/* Told, unless `observe` is NULL, when the input has been written (GT_INPUT_WRITTEN) and when each
 * step of the plan is over, as it is when it has been submitted: the streams of a processor execute
 * at once.  The lane then still holds what the step wrote. */
typedef struct {
    void (*observe)(void *context, const gt_lane *lane, int step);
    void *context;
} gt_observer;

/* Run plan->batch images, uint8 (batch, height, width, channels), or as many maps in float32, and
 * write each output k as float32 (batch, height_k, width_k, channels_k) to outputs[k].  One caller
 * at a time for a lane; lanes of one plan may run at once. */
gt_status gt_lane_run(gt_lane *lane, const void *images, gt_preprocessing preprocessing,
                      float *const *outputs, gt_observer observer, gt_error *error);

#endif
