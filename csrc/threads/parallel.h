/* Threads that live for one call. */
#ifndef GT_PARALLEL_H
#define GT_PARALLEL_H

#include <stdint.h>

#include "threads/team.h"

/* Run task(context, worker, error) for worker = 0 .. workers - 1, each on a thread of its own in
 * which oneDNN uses `inner` threads, and wait for all of them.  Returns the failure of the lowest
 * worker that failed, with its message in `error`.
 *
 * All work of oneDNN goes through here: libgomp binds its pool to the thread that opened the first
 * parallel region, and a pool of the calling thread would hang a forked child.  The threads end
 * with the call, so nothing is left to inherit. */
gt_status gt_parallel(int workers, int inner, gt_task task, void *context, gt_error *error);

/* What of `count` things a worker works on where each has an even share. */
typedef struct {
    int64_t first, last; /* without the last */
} gt_share;

gt_share gt_share_of(int64_t count, int worker, int workers);

#endif
