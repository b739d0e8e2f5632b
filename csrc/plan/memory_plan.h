/* Where each value of a plan lies in memory. */
#ifndef GT_MEMORY_PLAN_H
#define GT_MEMORY_PLAN_H

#include "plan/plan.h"

/* Give every value an offset such that values alive at the same step do not overlap, and set
 * plan->arena_size.  Largest first, each at the lowest place that is free (greedy by size:
 * Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020). */
gt_status gt_memory_plan(gt_plan *plan, gt_error *error);

#endif
