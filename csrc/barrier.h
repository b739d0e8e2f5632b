/* Where the threads of a team wait for each other. */
#ifndef GT_BARRIER_H
#define GT_BARRIER_H

#include <stdatomic.h>

typedef struct {
    int members;
    atomic_int arrived;
    atomic_uint round;
} gt_barrier;

void gt_barrier_start(gt_barrier *barrier, int members);

/* Returns when all members have called it; what each wrote before it is then seen by all.  Waits on the
 * processor, which costs less than sleep for what takes microseconds, and gives it away after that. */
void gt_barrier_wait(gt_barrier *barrier);

#endif
