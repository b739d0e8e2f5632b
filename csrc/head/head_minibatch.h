/* Minibatches and evaluations of the head, shared out over a team of threads: what is computed row
 * by row by their rows (head_run.c), the gradient and the update by the weights (head_update.c).
 * For head_train.c only. */
#ifndef GT_HEAD_MINIBATCH_H
#define GT_HEAD_MINIBATCH_H

#include "head/head.h"
#include "threads/barrier.h"

/* What one thread works with, and what it has found. */
typedef struct {
    gt_head_workspace workspace; /* its rows of all that the threads work on at a time */
    int32_t *labels;             /* of these rows */
    uint16_t *columns;   /* its share of the bfloat16 inputs of a layer, without gaps, or NULL */
    double loss;         /* cross-entropy summed over its rows */
    double penalty;      /* that of the L2 of its share of the weights */
    int64_t correct;     /* of its rows */
    gt_status status;    /* how it stands */
    gt_status published; /* the status that the others know of */
} gt_worker;

/* Everything a run of training or evaluation works with; the pointers of the first group are
 * borrowed, the memory of the second is allocated once, before the first step. */
typedef struct {
    const gt_head *head;
    const gt_head_data *training;
    const gt_head_data *validation; /* or NULL */
    const gt_head_scaling *scaling; /* or NULL */
    const gt_train_config *config;

    int threads;
    bool uses_bf16;     /* minibatches do, after gt_trainer_round_weights */
    gt_worker *workers; /* (threads,) */
    gt_barrier barrier;
    gt_head_workspace workspace; /* of the rows that all threads work on at a time */
    int32_t *labels;             /* (state.rows,) */
    int64_t *order;              /* (n,) rows of the epoch; NULL outside training */
    gt_head_weights gradient;
    gt_head_weights first;  /* of the optimiser */
    gt_head_weights second; /* of Adam */

    int64_t steps;  /* in all epochs */
    gt_epoch epoch; /* the present one */
} gt_trainer;

/* Threads, at most `allowed`, that pay off for minibatches of `rows` out of n rows. */
int gt_trainer_threads(const gt_head_config *config, int64_t n, int64_t rows, int allowed);

/* Allocate for run->threads threads, which work on up to `rows` rows at a time; `gradient` unless
 * only evaluation follows.  Free with gt_trainer_free, also after a failure. */
gt_status gt_trainer_allocate(gt_trainer *trainer, int64_t rows, int gradient, gt_error *error);
void gt_trainer_free(gt_trainer *trainer);

/* Of rows start .. start + rows of the training data in run->order, NULL for as they are: loss and
 * right ones of a thread's rows into run->parts[worker], and of its share of the weights the
 * gradient into run->gradient.  `random` is that of the epoch's first row and only used if dropout
 * > 0.  All threads wait for each other in it, and have to once more after it; whether to go on is
 * the same in all.  If only this thread failed in the end, which the others hear of in the next
 * call or by gt_trainer_sync, run->parts[worker].status says so. */
bool gt_trainer_minibatch(gt_trainer *trainer, int worker, int64_t start, int64_t rows,
                          double dropout, const gt_random *random, gt_error *error);

/* Publish the status of this thread and wait for all of them.  Returns whether none has failed,
 * which is the same in all threads. */
bool gt_trainer_sync(gt_trainer *trainer, int worker);

/* Loss, penalty and right ones of a thread's share of all rows of data into run->parts[worker]. */
gt_status gt_trainer_evaluate(gt_trainer *trainer, int worker, const gt_head_data *data,
                              gt_error *error);

/* Sums over the parts, in their order. */
double gt_trainer_loss(const gt_trainer *trainer);
double gt_trainer_penalty(const gt_trainer *trainer);
int64_t gt_trainer_correct(const gt_trainer *trainer);

/* --- a thread's share of the weights, in head_update.c --------------------------------------- */

/* The gradient by it of the rows in run->state, into run->gradient; with `adds` to what is
 * there. */
gt_status gt_trainer_gradient(gt_trainer *trainer, int worker, int64_t rows, bool adds,
                              gt_error *error);

/* The loss of its L2 penalty into run->parts[worker], and with `gradient` (weights.count,) not NULL
 * the gradient of that added there. */
void gt_trainer_penalise(gt_trainer *trainer, int worker, float *gradient);

/* Round the kernels to bfloat16, where that is used.  To be called before the first minibatch, and
 * after anything but gt_trainer_update has changed the kernels, as the callback of an epoch may. */
void gt_trainer_round_weights(gt_trainer *trainer);

/* A step of the optimiser. */
typedef struct {
    double learning_rate;
    int64_t number; /* from 1 */
} gt_update;

/* Update a thread's share of the weights, and round its kernels where bfloat16 is used. */
void gt_trainer_update(gt_trainer *trainer, int worker, const gt_update *update);

#endif
