#include "threads/processors.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

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

/* Whole processors that `quota` microseconds in every `period` amount to; 0 without a limit. */
static int
quota_to_count(long long quota, long long period)
{
    if (quota <= 0 || period <= 0) {
        return 0;
    }
    long long count = (quota - 1) / period + 1;
    return count < 1 ? 1 : (count > 1 << 16 ? 1 << 16 : (int)count);
}

/* The number in a one-number file, or -1. */
static long long
read_number(const char *path)
{
    long long value = -1;
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%lld", &value) != 1) {
            value = -1;
        }
        (void)fclose(file);
    }
    return value;
}

static int
control_group_count(void)
{
    long long quota = -1;
    long long period = -1;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (file != NULL) {
        /* The first word is "max" where there is no limit, and then does not scan. */
        if (fscanf(file, "%lld %lld", &quota, &period) != 2) {
            quota = -1;
        }
        (void)fclose(file);
    }
    else {
        quota = read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
        period = read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    }
    return quota_to_count(quota, period);
}

int
gt_available_threads(void)
{
    int count = affinity_count();
    int limit = control_group_count();
    if (limit > 0 && limit < count) {
        count = limit;
    }
    return count < 1 ? 1 : count;
}
