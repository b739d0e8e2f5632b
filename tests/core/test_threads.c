/* Threads that live for one call, those that wait between calls, and how many there may be. */
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "threads/barrier.h"
#include "threads/parallel.h"
#include "threads/processors.h"
#include "threads/team.h"

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
    return check_report();
}
