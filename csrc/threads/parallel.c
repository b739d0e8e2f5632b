#include "threads/parallel.h"

#include <stddef.h>

gt_status
gt_parallel(int workers, int inner, gt_task task, void *context, gt_error *error)
{
    gt_team *team = NULL;
    gt_status status = gt_team_create(&team, workers, inner, error);
    if (status == GT_OK) {
        status = gt_team_run(team, task, context, error);
    }
    gt_team_free(team);
    return status;
}

gt_share
gt_share_of(int64_t count, int worker, int workers)
{
    return (gt_share){count * worker / workers, count * (worker + 1) / workers};
}
