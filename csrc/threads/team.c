#include "threads/team.h"

#include <errno.h>
#include <omp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/exceptions.h"

typedef struct {
    gt_team *team;
    int index;
    gt_status status;
    gt_error error;
    pthread_t thread;
} member;

struct gt_team {
    member *members; /* (workers,) */
    int workers;
    int inner;
    int started;   /* threads that live */
    pid_t process; /* in which they live */
    pthread_mutex_t lock;
    pthread_cond_t called;   /* to the members: there is a task, or it is time to end */
    pthread_cond_t finished; /* to the caller: no member works any more */
    unsigned long round;     /* tasks given out so far */
    int working;             /* members that have not finished the present task */
    bool ending;
    gt_task task;
    void *context;
};

/* Wait for a task other than that of `round`; false when it is time to end. */
static bool
next_task(gt_team *team, unsigned long *round)
{
    (void)pthread_mutex_lock(&team->lock);
    while (!team->ending && team->round == *round) {
        (void)pthread_cond_wait(&team->called, &team->lock);
    }
    *round = team->round;
    bool go_on = !team->ending;
    (void)pthread_mutex_unlock(&team->lock);
    return go_on;
}

static void
finish_task(gt_team *team)
{
    (void)pthread_mutex_lock(&team->lock);
    if (--team->working == 0) {
        (void)pthread_cond_signal(&team->finished);
    }
    (void)pthread_mutex_unlock(&team->lock);
}

static void
work_until_end(void *argument)
{
    member *self = argument;
    gt_team *team = self->team;
    unsigned long round = 0;
    omp_set_dynamic(0);
    omp_set_num_threads(team->inner);
    while (next_task(team, &round)) {
        self->status = team->task(team->context, self->index, &self->error);
        finish_task(team);
    }
}

static void *
serve(void *argument)
{
    gt_catch_exceptions(work_until_end, argument);
    return NULL;
}

gt_status
gt_team_create(gt_team **team, int workers, int inner, gt_error *error)
{
    *team = NULL;
    gt_team *created = calloc(1, sizeof(*created));
    member *members = calloc((size_t)workers, sizeof(*members));
    if (created == NULL || members == NULL) {
        free(created);
        free(members);
        return gt_fail_memory(error, "threads");
    }
    created->members = members;
    created->workers = workers;
    created->inner = inner;
    created->process = getpid();
    (void)pthread_mutex_init(&created->lock, NULL);
    (void)pthread_cond_init(&created->called, NULL);
    (void)pthread_cond_init(&created->finished, NULL);
    *team = created;
    return GT_OK;
}

static void
end_threads(gt_team *team)
{
    (void)pthread_mutex_lock(&team->lock);
    team->ending = true;
    (void)pthread_cond_broadcast(&team->called);
    (void)pthread_mutex_unlock(&team->lock);
    for (int i = 0; i < team->started; i++) {
        (void)pthread_join(team->members[i].thread, NULL);
    }
    team->started = 0;
    team->ending = false;
}

static void *
wait_for(void *lock)
{
    (void)pthread_mutex_lock(lock);
    (void)pthread_mutex_unlock(lock);
    return NULL;
}

/* The code of a failure to start so many threads at once. */
static int
try_threads(int count)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t *threads = calloc((size_t)count + 1, sizeof(*threads));
    int started = 0;
    int code = threads != NULL ? 0 : ENOMEM;
    (void)pthread_mutex_lock(&lock);
    while (code == 0 && started < count) {
        code = pthread_create(&threads[started], NULL, wait_for, &lock);
        started += code == 0;
    }
    (void)pthread_mutex_unlock(&lock);
    for (int i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    free(threads);
    (void)pthread_mutex_destroy(&lock);
    return code;
}

/* libgomp ends the process where it cannot start its threads, and oneDNN makes kernels when they are
 * first used, so both are tried before. */
static gt_status
check_room(const gt_team *team, gt_error *error)
{
    if (!gt_memory_is_left(0)) {
        return gt_fail_memory(error, "threads");
    }
    int code = team->inner > 1 ? try_threads(team->workers * team->inner - 1) : 0;
    return code == 0 ? GT_OK
                     : gt_fail(error, GT_ERROR_ENGINE, "cannot start %d threads: %s",
                               team->workers * team->inner, strerror(code));
}

static gt_status
start_threads(gt_team *team, gt_error *error)
{
    gt_status checked = check_room(team, error);
    if (checked != GT_OK) {
        return checked;
    }
    team->round = 0;
    for (; team->started < team->workers; team->started++) {
        member *next = &team->members[team->started];
        next->team = team;
        next->index = team->started;
        int code = pthread_create(&next->thread, NULL, serve, next);
        if (code != 0) {
            gt_status status = gt_fail(error, GT_ERROR_ENGINE, "cannot start thread %d of %d: %s",
                                       team->started + 1, team->workers, strerror(code));
            end_threads(team);
            return status;
        }
    }
    return GT_OK;
}

/* In a child: the threads, and what state they left the lock in, are the parent's. */
static void
forget_parent(gt_team *team)
{
    (void)pthread_mutex_init(&team->lock, NULL);
    (void)pthread_cond_init(&team->called, NULL);
    (void)pthread_cond_init(&team->finished, NULL);
    team->started = 0;
    team->working = 0;
    team->process = getpid();
}

void
gt_team_free(gt_team *team)
{
    if (team == NULL) {
        return;
    }
    if (team->process == getpid()) {
        end_threads(team);
        (void)pthread_cond_destroy(&team->finished);
        (void)pthread_cond_destroy(&team->called);
        (void)pthread_mutex_destroy(&team->lock);
    }
    free(team->members);
    free(team);
}

gt_status
gt_team_run(gt_team *team, gt_task task, void *context, gt_error *error)
{
    if (team->process != getpid()) {
        forget_parent(team);
    }
    gt_status status = team->started > 0 ? GT_OK : start_threads(team, error);
    if (status != GT_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&team->lock);
    team->task = task;
    team->context = context;
    team->working = team->workers;
    team->round++;
    (void)pthread_cond_broadcast(&team->called);
    while (team->working > 0) {
        (void)pthread_cond_wait(&team->finished, &team->lock);
    }
    (void)pthread_mutex_unlock(&team->lock);
    for (int i = 0; i < team->workers; i++) {
        if (team->members[i].status != GT_OK) {
            if (error != NULL) {
                *error = team->members[i].error;
            }
            return team->members[i].status;
        }
    }
    return GT_OK;
}
