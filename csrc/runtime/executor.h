/* One batch through a plan. */
#ifndef GT_EXECUTOR_H
#define GT_EXECUTOR_H

#include "plan/plan.h"

/* What one thread needs to run a plan: an arena, a stream, and memory objects over the arena. */
typedef struct gt_executor gt_executor;

/* The plan must outlive the executor.  On failure *executor is NULL. */
gt_status gt_executor_create(gt_executor **executor, const gt_plan *plan, gt_error *error);

/* Accepts NULL. */
void gt_executor_free(gt_executor *executor);

/* Where an executor has the numbers of a value. */
const void *gt_executor_value(const gt_executor *executor, int value);

enum { GT_INPUT_WRITTEN = -1 };

/* Told, unless `observe` is NULL, when the input has been written (GT_INPUT_WRITTEN) and when each
 * step of the plan is over, as it is when it has been submitted: the streams of a processor execute
 * at once.  The executor then still holds what the step wrote. */
typedef struct {
    void (*observe)(void *context, const gt_executor *executor, int step);
    void *context;
} gt_observer;

/* Run plan->batch images, uint8 (batch, height, width, channels), or as many maps in float32, and
 * write each output k as float32 (batch, height_k, width_k, channels_k) to outputs[k].  One caller
 * at a time for an executor; executors of one plan may run at once. */
gt_status gt_executor_run(gt_executor *executor, const void *images, gt_preprocessing preprocessing,
                          float *const *outputs, gt_observer observer, gt_error *error);

#endif
