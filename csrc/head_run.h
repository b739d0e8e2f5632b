/* One minibatch of the head: inside training, between head_train.c and head_run.c only. */
#ifndef GT_HEAD_RUN_H
#define GT_HEAD_RUN_H

#include "head.h"

#define GT_EVALUATE_ROWS 256 /* of one block of data that is only evaluated */

/* Everything a run of training or evaluation works with; the pointers of the first group are
 * borrowed, the memory of the second is allocated once, before the first step. */
typedef struct {
    const gt_head *head;
    const gt_head_data *training;
    const gt_head_data *validation; /* or NULL */
    const gt_head_scaling *scaling; /* or NULL */
    const gt_train_config *config;

    int threads;              /* for loops over rows and weights; 0 counts as 1 */
    gt_head_state state;
    int32_t *labels;          /* (state.rows,) of the minibatch */
    int64_t *order;           /* (n,) rows of the epoch; NULL outside training */
    gt_head_weights gradient;
    gt_head_weights first;    /* of the optimiser */
    gt_head_weights second;   /* of Adam */

    int64_t step;             /* done so far */
    int64_t steps;            /* in all epochs */
    gt_epoch epoch;           /* the present one */
} gt_run;

/* Allocate for minibatches of up to `rows` rows; `gradient` unless only evaluation follows.  Free
 * with gt_run_free, also after a failure. */
gt_status gt_run_allocate(gt_run *run, int64_t rows, int gradient, gt_error *error);
void gt_run_free(gt_run *run);

/* Copy rows order[start ..] of the data, or with order NULL rows start .., into the state,
 * standardised. */
void gt_run_gather(gt_run *run, const gt_head_data *data, const int64_t *order, int64_t start,
                   int64_t rows);

/* Loss and gradient of the gathered minibatch; adds the rows classified correctly to *correct. */
gt_status gt_run_minibatch(gt_run *run, int64_t rows, double dropout, gt_random *random,
                           double *loss, int64_t *correct, gt_error *error);

/* Loss and accuracy over all rows, in blocks. */
gt_status gt_run_evaluate(gt_run *run, const gt_head_data *data, double *loss, double *accuracy,
                          gt_error *error);

#endif
