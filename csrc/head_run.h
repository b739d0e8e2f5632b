/* Minibatches and evaluations of the head, their rows shared out over a team of threads: between
 * head_train.c and head_run.c only. */
#ifndef GT_HEAD_RUN_H
#define GT_HEAD_RUN_H

#include "barrier.h"
#include "head.h"

/* What one thread works with, and what it found. */
typedef struct {
    gt_head_state state;
    int32_t *labels;          /* (state.rows,) */
    gt_head_weights gradient; /* of its rows */
    double loss;              /* cross-entropy summed over its rows */
    double penalty;           /* that of the L2 of its share of the weights */
    int64_t correct;          /* of its rows */
    gt_status status;         /* of its rows in the present minibatch */
} gt_run_part;

/* Everything a run of training or evaluation works with; the pointers of the first group are
 * borrowed, the memory of the second is allocated once, before the first step. */
typedef struct {
    const gt_head *head;
    const gt_head_data *training;
    const gt_head_data *validation; /* or NULL */
    const gt_head_scaling *scaling; /* or NULL */
    const gt_train_config *config;

    int threads;
    bool rounds;              /* products of minibatches, to bfloat16 */
    gt_run_part *parts;       /* (threads,) */
    gt_barrier barrier;
    int64_t *order;           /* (n,) rows of the epoch; NULL outside training */
    gt_head_weights first;    /* of the optimiser */
    gt_head_weights second;   /* of Adam */

    int64_t steps;            /* in all epochs */
    gt_epoch epoch;           /* the present one */
} gt_run;

/* Allocate for run->threads threads and minibatches of up to `rows` rows; `gradient` unless only
 * evaluation follows.  Free with gt_run_free, also after a failure. */
gt_status gt_run_allocate(gt_run *run, int64_t rows, int gradient, gt_error *error);
void gt_run_free(gt_run *run);

/* Of rows start .. start + rows of the training data in run->order, NULL for as they are: loss, right
 * ones and gradient of a thread's share into run->parts[worker].  `random` is that of the epoch's
 * first row and only used if dropout > 0. */
gt_status gt_run_minibatch(gt_run *run, int worker, int64_t start, int64_t rows, double dropout,
                           const gt_random *random, gt_error *error);

/* When all threads are done with their rows: bring a thread's share of the gradients together in that
 * of part 0, with that of the L2 penalty, whose loss goes into run->parts[worker]. */
void gt_run_combine(gt_run *run, int worker);

/* Loss, penalty and right ones of a thread's share of all rows of data into run->parts[worker]. */
gt_status gt_run_evaluate(gt_run *run, int worker, const gt_head_data *data, gt_error *error);

/* Sums over the parts, in their order. */
double gt_run_loss(const gt_run *run);
double gt_run_penalty(const gt_run *run);
int64_t gt_run_correct(const gt_run *run);

#endif
