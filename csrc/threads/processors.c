#include "threads/processors.h"

#include <sched.h>
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
