#include "barrier.h"

#include <sched.h>

#define SPINS 2000 /* some 20 to 100 microseconds where there is a pause */

static inline void
pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

void
gt_barrier_start(gt_barrier *barrier, int members)
{
    barrier->members = members;
    atomic_init(&barrier->arrived, 0);
    atomic_init(&barrier->round, 0);
}

void
gt_barrier_wait(gt_barrier *barrier)
{
    const unsigned round = atomic_load_explicit(&barrier->round, memory_order_relaxed);

    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 >=
        barrier->members) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&barrier->round, round + 1, memory_order_release);
        return;
    }
    for (int spins = 0;
         atomic_load_explicit(&barrier->round, memory_order_acquire) == round;) {
        if (spins < SPINS) {
            spins++;
            pause_briefly();
        }
        else {
            (void)sched_yield();
        }
    }
}
