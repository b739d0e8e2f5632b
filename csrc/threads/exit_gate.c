#include "threads/exit_gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WAIT = 10000 /* milliseconds: nothing of ours keeps a process from ending */ };

static atomic_int inside;
static atomic_bool closed;
static pthread_once_t forks_guarded = PTHREAD_ONCE_INIT;

/* Whoever was inside did not come along into the child. */
static void
empty(void)
{
    atomic_store(&inside, 0);
}

static void
guard_forks(void)
{
    (void)pthread_atfork(NULL, NULL, empty);
}

/* It counts itself before it looks at the gate, and whoever closes looks after closing: so at least
 * one sees the other. */
void
gt_exit_gate_enter(void)
{
    (void)pthread_once(&forks_guarded, guard_forks);
    (void)atomic_fetch_add(&inside, 1);
    if (atomic_load(&closed)) {
        (void)atomic_fetch_sub(&inside, 1);
        for (;;) {
            (void)pause();
        }
    }
}

void
gt_exit_gate_leave(void)
{
    (void)atomic_fetch_sub(&inside, 1);
}

void
gt_exit_gate_close(void)
{
    const struct timespec millisecond = {0, 1000000};
    atomic_store(&closed, true);
    for (int i = 0; i < MAX_WAIT && atomic_load(&inside) > 0; i++) {
        (void)nanosleep(&millisecond, NULL);
    }
}
