/* Threads that live for one call, those that wait between calls, and how many there may be. */
#include <ftw.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "common/exceptions.h"
#include "threads/barrier.h"
#include "threads/control_groups.h"
#include "threads/exit_gate.h"
#include "threads/parallel.h"
#include "threads/processors.h"
#include "threads/team.h"
#include "thrown.h"

enum { WORKERS = 7 };

typedef struct {
    int seen[WORKERS];
    int inner[WORKERS];
    int team[WORKERS];
    pthread_t threads[WORKERS];
    int fails; /* workers from this one on fail */
} record;

static gt_status
note(void *context, int worker, gt_error *error)
{
    record *all = context;
    all->seen[worker]++;
    all->inner[worker] = omp_get_max_threads();
    all->threads[worker] = pthread_self();
    int team = 0;
#pragma omp parallel
    {
#pragma omp single
        team = omp_get_num_threads();
    }
    all->team[worker] = team;
    if (worker >= all->fails) {
        /* The lowest failure ends last and must win all the same. */
        (void)usleep((useconds_t)(WORKERS - worker) * 5000);
        return gt_fail(error, GT_ERROR_STOPPED, "worker %d", worker);
    }
    return GT_OK;
}

static void
test_all_workers_run(void)
{
    gt_error error = {""};
    for (int workers = 1; workers <= WORKERS; workers += 3) {
        for (int inner = 1; inner <= 3; inner++) {
            record all = {.fails = WORKERS};
            CHECK(gt_parallel(workers, inner, note, &all, &error) == GT_OK);
            for (int i = 0; i < WORKERS; i++) {
                CHECK(all.seen[i] == (i < workers));
                CHECK(all.inner[i] == (i < workers ? inner : 0));
                CHECK(all.team[i] == (i < workers ? inner : 0));
                CHECK(i >= workers || !pthread_equal(all.threads[i], pthread_self()));
            }
        }
    }
    CHECK(error.message[0] == '\0');
}

static void
test_the_lowest_failure_wins(void)
{
    gt_error error = {""};
    record all = {.fails = 2};
    CHECK(gt_parallel(WORKERS, 1, note, &all, &error) == GT_ERROR_STOPPED);
    CHECK(strcmp(error.message, "worker 2") == 0);
    for (int i = 0; i < WORKERS; i++) {
        CHECK(all.seen[i] == 1);
    }
    CHECK(gt_parallel(WORKERS, 1, note, &all, NULL) == GT_ERROR_STOPPED);
}

static void
test_the_caller_is_left_alone(void)
{
    record all = {.fails = WORKERS};
    int before = omp_get_max_threads();
    CHECK(gt_parallel(1, before + 1, note, &all, NULL) == GT_OK);
    CHECK(all.inner[0] == before + 1 && omp_get_max_threads() == before);
}

static void
test_a_team_keeps_its_threads(void)
{
    enum { ROUNDS = 200 };
    gt_team *team = NULL;
    gt_error error = {""};
    record all = {.fails = WORKERS};
    CHECK(gt_team_create(&team, 3, 2, &error) == GT_OK);
    CHECK(gt_team_run(team, note, &all, &error) == GT_OK);
    record first = all;
    for (int round = 1; round < ROUNDS; round++) {
        CHECK(gt_team_run(team, note, &all, &error) == GT_OK);
    }
    for (int i = 0; i < WORKERS; i++) {
        CHECK(all.seen[i] == (i < 3 ? ROUNDS : 0));
        CHECK(all.inner[i] == (i < 3 ? 2 : 0) && all.team[i] == (i < 3 ? 2 : 0));
        CHECK(i >= 3 || pthread_equal(all.threads[i], first.threads[i]));
    }
    all.fails = 1;
    CHECK(gt_team_run(team, note, &all, &error) == GT_ERROR_STOPPED);
    CHECK(strcmp(error.message, "worker 1") == 0);
    all.fails = WORKERS;
    CHECK(gt_team_run(team, note, &all, &error) == GT_OK);
    gt_team_free(team);
    gt_team_free(NULL);
}

enum { ROUNDS = 500 };

typedef struct {
    gt_barrier barrier;
    int done[WORKERS];  /* rounds */
    int early[WORKERS]; /* rounds in which another had not come as far */
} race;

static gt_status
race_task(void *context, int worker, gt_error *error)
{
    race *all = context;
    (void)error;
    for (int round = 1; round <= ROUNDS; round++) {
        all->done[worker] = round;
        if (round % 25 == 0 && round / 25 % all->barrier.members == worker) {
            (void)usleep(2000); /* the others fall asleep */
        }
        gt_barrier_wait(&all->barrier);
        for (int i = 0; i < all->barrier.members; i++) {
            all->early[worker] += all->done[i] != round;
        }
        gt_barrier_wait(&all->barrier);
    }
    return GT_OK;
}

static void
test_nobody_passes_a_barrier_early(void)
{
    for (int workers = 1; workers <= WORKERS; workers += 3) {
        race all = {.early = {0}};
        gt_barrier_start(&all.barrier, workers);
        CHECK(gt_parallel(workers, 1, race_task, &all, NULL) == GT_OK);
        for (int i = 0; i < workers; i++) {
            CHECK(all.done[i] == ROUNDS && all.early[i] == 0);
        }
        gt_barrier_end(&all.barrier);
    }
}

static void
test_a_team_that_never_ran_ends(void)
{
    gt_team *team = NULL;
    CHECK(gt_team_create(&team, 2, 1, NULL) == GT_OK);
    gt_team_free(team);
}

#ifndef __SANITIZE_THREAD__ /* which knows no threads in a child */
static void
test_a_team_serves_parent_and_child(void)
{
    gt_team *team = NULL;
    record all = {.fails = WORKERS};
    CHECK(gt_team_create(&team, 2, 2, NULL) == GT_OK);
    CHECK(gt_team_run(team, note, &all, NULL) == GT_OK);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            (void)alarm(30);
            gt_status status = gt_team_run(team, note, &all, NULL);
            gt_team_free(team);
            _exit(status == GT_OK && all.seen[1] == i + 2 ? 0 : 1);
        }
        int ended = -1;
        CHECK(child > 0 && waitpid(child, &ended, 0) == child && ended == 0);
        CHECK(gt_team_run(team, note, &all, NULL) == GT_OK);
    }
    gt_team_free(team);
}
#endif

static void
test_affinity_counts(void)
{
    cpu_set_t all;
    cpu_set_t one;
    CHECK(gt_available_threads() >= 1);
    CHECK(sched_getaffinity(0, sizeof(all), &all) == 0);
    CHECK(gt_available_threads() <= CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++) {
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &one);
        }
    }
    CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
    CHECK(gt_available_threads() == 1);
    CHECK(sched_setaffinity(0, sizeof(all), &all) == 0);
}

/* --- control groups, below a root of their own ---------------------------------------------- */

static char root[64];

/* Write a file below the root, with the folders on the way. */
static void
put(const char *name, const char *text)
{
    char path[512];
    int length = snprintf(path, sizeof(path), "%s/%s", root, name);
    CHECK(length > 0 && length < (int)sizeof(path));
    for (char *end = strchr(path + strlen(root) + 1, '/'); end != NULL;
         end = strchr(end + 1, '/')) {
        *end = '\0';
        (void)mkdir(path, 0700);
        *end = '/';
    }
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs(text, file) >= 0);
    CHECK(file != NULL && fclose(file) == 0);
}

static int
remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static void
begin_root(const char *groups, const char *mounts)
{
    (void)snprintf(root, sizeof(root), "/tmp/control_groups_XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    put("proc/self/cgroup", groups);
    put("proc/self/mountinfo", mounts);
}

static int
end_root(void)
{
    int count = gt_control_group_threads(root);
    CHECK(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
    return count;
}

#define SECOND "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

static void
test_the_smallest_quota_on_the_way_up_counts(void)
{
    begin_root("0::/user.slice/job.scope\n", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" SECOND);
    put("sys/fs/cgroup/user.slice/job.scope/cpu.max", "max 100000\n");
    CHECK(gt_control_group_threads(root) == 0);
    put("sys/fs/cgroup/user.slice/job.scope/cpu.max", "250000 100000\n");
    CHECK(gt_control_group_threads(root) == 3);
    put("sys/fs/cgroup/other.slice/cpu.max", "100000 100000\n");
    CHECK(gt_control_group_threads(root) == 3);
    put("sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n");
    CHECK(gt_control_group_threads(root) == 2);
    put("sys/fs/cgroup/cpu.max", "50000 100000\n");
    CHECK(gt_control_group_threads(root) == 1);
    put("cpu.max", "1 100000\n"); /* above what is mounted */
    CHECK(end_root() == 1);
}

static void
test_quotas_of_version_1(void)
{
    begin_root(
        "9:cpuset:/elsewhere\n4:cpu,cpuacct:/docker/12ab/inner\n0::/\n",
        "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
        "34 31 0:31 /docker/12ab /sys/fs/cgroup/cpu\\040here ro - cgroup none rw,cpu,cpuacct\n"
        "35 31 0:32 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n");
    put("sys/fs/cgroup/cpu here/inner/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu here/inner/cpu.cfs_period_us", "100000\n");
    CHECK(gt_control_group_threads(root) == 0);
    put("sys/fs/cgroup/cpu here/cpu.cfs_quota_us", "400000\n");
    put("sys/fs/cgroup/cpu here/cpu.cfs_period_us", "100000\n");
    CHECK(gt_control_group_threads(root) == 4);
    put("sys/fs/cgroup/unified/cpu.max", "300000 100000\n");
    CHECK(end_root() == 3);
}

/* A container that does not see its own name, or a group moved out of the namespace. */
static void
test_groups_that_are_not_below_what_is_mounted(void)
{
    begin_root("4:cpu:/docker/12ab\n",
               "34 31 0:31 /other /sys/fs/cgroup/cpu ro - cgroup c rw,cpu\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    CHECK(end_root() == 2);
    begin_root("0::/../moved\n", SECOND);
    put("sys/fs/cgroup/cpu.max", "100000 100000\n");
    CHECK(end_root() == 1);
}

static void
test_odd_tables_of_mounts(void)
{
    char mounts[9000] = "nonsense\n1 2 3 - cgroup2\n- - -\n5 1 0:9 / /x rw - overlay o lowerdir=";
    size_t length = strlen(mounts);
    memset(mounts + length, 'a', 8000);
    mounts[length + 8000] = '\0';
    strcat(strcat(mounts, "\n"), SECOND);
    begin_root("nonsense\n:\n0::/a\n", mounts);
    put("sys/fs/cgroup/a/cpu.max", "100000 100000\n");
    CHECK(end_root() == 1);
    begin_root("", SECOND);
    put("sys/fs/cgroup/cpu.max", "100000 100000\n");
    CHECK(end_root() == 0);
    CHECK(gt_control_group_threads("/no/such/folder") == 0);
}

static gt_status
call_what_throws(void *context, int worker, gt_error *error)
{
    int before = worker + 1;
    dnnl_status_t code = GT_CAUGHT(throw_exception(3));
    (void)error;
    *(dnnl_status_t *)context = code;
    return before == worker + 1 ? GT_OK : GT_ERROR_ENGINE;
}

static void
test_exceptions_are_caught_where_oneDNN_is_called(void)
{
    gt_error error = {""};
    for (int i = 1; i <= 3; i++) {
        dnnl_status_t code = dnnl_success;
        CHECK(gt_parallel(1, 1, call_what_throws, &code, &error) == GT_OK);
        CHECK(code == dnnl_out_of_memory && exceptions_cleared == i);
    }
    CHECK(throw_exception(2) == dnnl_success); /* here nobody catches it */
}

static void *
leave_thread(void *unused)
{
    (void)unused;
    pthread_exit(NULL);
}

static void
leave_inside(void *context)
{
    (void)leave_thread(context);
}

static void *
leave_caught(void *context)
{
    gt_catch_exceptions(leave_inside, context);
    return context;
}

/* A thread that ends unwinds too, with force. */
static void
test_threads_that_end_are_let_through(void)
{
    pthread_t thread;
    int mark = 0;
    void *result = &mark;
    CHECK(pthread_create(&thread, NULL, leave_caught, &mark) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == NULL);
}

static atomic_int works;

static void *
pass_gate(void *unused)
{
    for (;;) {
        gt_exit_gate_enter();
        (void)atomic_fetch_add(&works, 1);
        (void)usleep(20000);
        (void)atomic_fetch_add(&works, 1);
        gt_exit_gate_leave();
    }
    return unused;
}

/* The last test, since the gate stays closed. */
static void
test_nobody_works_when_the_gate_is_closed(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, pass_gate, NULL) == 0);
        (void)pthread_detach(threads[i]);
    }
    (void)usleep(50000);
    gt_exit_gate_close();
    int done = atomic_load(&works);
    CHECK(done > 0 && done % 2 == 0);
    (void)usleep(50000);
    CHECK(atomic_load(&works) == done);
}

int
main(void)
{
    RUN(test_all_workers_run);
    RUN(test_the_lowest_failure_wins);
    RUN(test_the_caller_is_left_alone);
    RUN(test_a_team_keeps_its_threads);
    RUN(test_nobody_passes_a_barrier_early);
    RUN(test_a_team_that_never_ran_ends);
#ifndef __SANITIZE_THREAD__
    RUN(test_a_team_serves_parent_and_child);
#endif
    RUN(test_affinity_counts);
    RUN(test_the_smallest_quota_on_the_way_up_counts);
    RUN(test_quotas_of_version_1);
    RUN(test_groups_that_are_not_below_what_is_mounted);
    RUN(test_odd_tables_of_mounts);
    RUN(test_exceptions_are_caught_where_oneDNN_is_called);
    RUN(test_threads_that_end_are_let_through);
    RUN(test_nobody_works_when_the_gate_is_closed);
    return check_report();
}
