/* Threads that wait between calls, for work that comes often. */
#ifndef GT_TEAM_H
#define GT_TEAM_H

#include "common/status.h"

/* What the worker of that number does. */
typedef gt_status (*gt_task)(void *context, int worker, gt_error *error);

typedef struct gt_team gt_team;

/* A team of `workers` threads in each of which oneDNN uses `inner` threads.  They are started by
 * the first run and again by the first run in a forked child, which does not inherit threads.  On
 * failure *team is NULL. */
gt_status gt_team_create(gt_team **team, int workers, int inner, gt_error *error);

/* Ends the threads; accepts NULL. */
void gt_team_free(gt_team *team);

/* As gt_parallel, on the threads of the team; one caller at a time. */
gt_status gt_team_run(gt_team *team, gt_task task, void *context, gt_error *error);

#endif
