#include "threads/processors.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "threads/control_groups.h"

static int
affinity_count(void)
{
#ifdef CPU_COUNT
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return CPU_COUNT(&set);
    }
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

int
gt_available_threads(void)
{
    int count = affinity_count();
    int limit = gt_control_group_threads("");
    if (limit > 0 && limit < count) {
        count = limit;
    }
    return count < 1 ? 1 : count;
}

/* Running tasks of the whole machine, this thread one of them; 0 if unknown. */
static int
count_running(void)
{
    int running = 0;
    FILE *file = fopen("/proc/loadavg", "r");
    if (file != NULL) {
        if (fscanf(file, "%*f %*f %*f %d/", &running) != 1) {
            running = 0;
        }
        (void)fclose(file);
    }
    return running;
}

static int64_t
now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* A look takes longer than a small network's image, so that it is worth some milliseconds. */
bool
gt_processors_are_free(int count)
{
    static const int64_t lasting = 10000000; /* nanoseconds */
    static _Atomic(int64_t) looked;          /* when */
    static atomic_int running;
    int64_t time = now();
    if (atomic_load(&looked) == 0 || time - atomic_load(&looked) > lasting) {
        atomic_store(&running, count_running());
        atomic_store(&looked, time);
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 || atomic_load(&running) - 1 + count <= online;
}
