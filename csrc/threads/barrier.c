#include "threads/barrier.h"

/* Some 20 to 100 microseconds where there is a pause.  After that a thread sleeps: the system may
 * have put two of them on one processor, and only one that wakes up is given another. */
#define SPINS 2000

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
    atomic_init(&barrier->sleepers, 0);
    (void)pthread_mutex_init(&barrier->lock, NULL);
    (void)pthread_cond_init(&barrier->next, NULL);
}

void
gt_barrier_end(gt_barrier *barrier)
{
    (void)pthread_cond_destroy(&barrier->next);
    (void)pthread_mutex_destroy(&barrier->lock);
}

static void
sleep_until_next(gt_barrier *barrier, unsigned round)
{
    (void)pthread_mutex_lock(&barrier->lock);
    (void)atomic_fetch_add(&barrier->sleepers, 1);
    while (atomic_load(&barrier->round) == round) {
        (void)pthread_cond_wait(&barrier->next, &barrier->lock);
    }
    (void)atomic_fetch_sub(&barrier->sleepers, 1);
    (void)pthread_mutex_unlock(&barrier->lock);
}

/* Who falls asleep counts itself before it looks at the round, and this looks after it has changed
 * the round: so at least one sees the other. */
static void
start_next(gt_barrier *barrier, unsigned round)
{
    atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
    atomic_store(&barrier->round, round + 1);
    if (atomic_load(&barrier->sleepers) > 0) {
        (void)pthread_mutex_lock(&barrier->lock);
        (void)pthread_cond_broadcast(&barrier->next);
        (void)pthread_mutex_unlock(&barrier->lock);
    }
}

void
gt_barrier_wait(gt_barrier *barrier)
{
    const unsigned round = atomic_load_explicit(&barrier->round, memory_order_relaxed);

    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 >=
        barrier->members) {
        start_next(barrier, round);
        return;
    }
    for (int spins = 0; spins < SPINS; spins++) {
        if (atomic_load_explicit(&barrier->round, memory_order_acquire) != round) {
            return;
        }
        pause_briefly();
    }
    sleep_until_next(barrier, round);
}
