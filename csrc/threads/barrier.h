/* Where the threads of a team wait for each other. */
#ifndef GT_BARRIER_H
#define GT_BARRIER_H

#include <pthread.h>
#include <stdatomic.h>

typedef struct {
    int members;
    atomic_int arrived;
    atomic_uint round;
    atomic_int sleepers;
    pthread_mutex_t lock;
    pthread_cond_t next; /* the round has changed */
} gt_barrier;

void gt_barrier_start(gt_barrier *barrier, int members);

/* Releases what gt_barrier_start took, when no member waits any more. */
void gt_barrier_end(gt_barrier *barrier);

/* Returns when all members have called it; what each wrote before it is then seen by all.  Waits on
 * the processor, which costs less than sleep for what takes microseconds, and sleeps after that. */
void gt_barrier_wait(gt_barrier *barrier);

#endif
