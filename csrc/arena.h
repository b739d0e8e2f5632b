/* Where each value of a plan lies in memory. */
#ifndef GT_ARENA_H
#define GT_ARENA_H

#include "plan.h"

/* Give every value an offset such that values alive at the same step do not overlap, and set
 * plan->arena_size.  Largest first, each at the lowest place that is free (greedy by size:
 * Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020). */
gt_status gt_arena_plan(gt_plan *plan, gt_error *error);

/* Memory of at least `size` bytes on huge pages where the system gives them; NULL when memory is
 * out.  To be released with gt_arena_free. */
void *gt_arena_allocate(size_t size);

/* Accepts NULL. */
void gt_arena_free(void *arena);

#endif
