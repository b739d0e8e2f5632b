/* The dense head: fully connected layers over features, trained by minibatch gradient descent.
 *
 *     features -> [dense, ReLU, dropout] ... -> dense -> softmax
 *
 * Arrays are float32, row-major, contiguous.  n: rows, d: features = widths[0], c: classes =
 * widths[layers].  Functions that return gt_status write the reason of a failure into `error`.
 * Training and prediction run oneDNN on threads of their own, never on the caller's: see
 * gt_parallel. */
#ifndef GT_HEAD_H
#define GT_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/random.h"
#include "common/status.h"

#define GT_HEAD_MAX_LAYERS 16

/* --- shape, weights, run state ------------------------------------------------------------- */

typedef struct {
    int layers;                             /* fully connected layers, at least 1 */
    int64_t widths[GT_HEAD_MAX_LAYERS + 1]; /* features, hidden widths, classes */
} gt_head_config;

/* Weights, and whatever has their shape: a gradient, the moments of an optimiser. */
typedef struct {
    int64_t count;                     /* of floats in the block */
    float *block;                      /* (count,) kernel 0, bias 0, kernel 1, ... */
    float *kernel[GT_HEAD_MAX_LAYERS]; /* (widths[k], widths[k + 1]), into the block */
    float *bias[GT_HEAD_MAX_LAYERS];   /* (widths[k + 1],), into the block */
} gt_head_weights;

typedef struct {
    gt_head_config config;
    gt_head_weights weights;
} gt_head;

/* What the products of each layer k read in bfloat16, or some of its rows;  NULL for a layer in
 * float32. */
typedef struct {
    uint16_t *block;                      /* owns what the pointers below point into, or NULL */
    uint16_t *kernel[GT_HEAD_MAX_LAYERS]; /* (widths[k], widths[k + 1]) */
    uint16_t *input[GT_HEAD_MAX_LAYERS];  /* (rows, widths[k]) */
    uint16_t *delta[GT_HEAD_MAX_LAYERS];  /* (rows, widths[k + 1]) gradient by its output */
} gt_head_bf16;

/* Scratch memory for up to `rows` rows; a thread's has some rows of the trainer's. */
typedef struct {
    int64_t rows;
    gt_head_bf16 bf16;                     /* read by large products, where it is there */
    float *block;                          /* owns what the pointers below point into, or NULL */
    float *active[GT_HEAD_MAX_LAYERS + 1]; /* (rows, widths[k]) input of layer k; last: logits */
    float *delta[GT_HEAD_MAX_LAYERS];      /* (rows, widths[k]) gradient by active[k], k >= 1 */
} gt_head_workspace;

/* --- training ------------------------------------------------------------------------------ */

/* Borrowed for the call. */
typedef struct {
    int64_t n;
    const float *features; /* (n, d), or as many rows as `rows` speaks of */
    const int32_t *labels; /* (n,), 0 .. c - 1 */
    const int64_t *rows;   /* (n,) where in features each sample is; NULL for 0 .. n - 1 */
} gt_head_data;

/* The features (d,) of a sample. */
static inline const float *
gt_head_row(const gt_head_data *data, int64_t sample, int64_t d)
{
    return data->features + (data->rows != NULL ? data->rows[sample] : sample) * d;
}

/* Standardisation of the rows of each minibatch: (x - mean) * inverse_deviation.  Borrowed. */
typedef struct {
    const float *mean;              /* (d,) or NULL for 0 */
    const float *inverse_deviation; /* (d,) or NULL for 1 */
} gt_head_scaling;

typedef enum { GT_OPTIMISER_ADAM, GT_OPTIMISER_SGD } gt_optimiser;
typedef enum { GT_SCHEDULE_CONSTANT, GT_SCHEDULE_COSINE } gt_schedule;

typedef struct {
    int64_t epochs;
    int64_t batch_size; /* the last minibatch of an epoch may be smaller */
    gt_optimiser optimiser;
    gt_schedule schedule; /* cosine: rate * (1 + cos(pi * step / all steps)) / 2 */
    double learning_rate;
    double beta1, beta2;        /* Adam */
    double epsilon;             /* Adam */
    double momentum;            /* SGD */
    double l2;                  /* adds l2 * sum(kernel ** 2) to the loss; biases are free */
    double dropout;             /* share of hidden activations set to zero */
    const float *class_weights; /* (c,) or NULL for 1; borrowed */
    uint64_t seed;              /* of the order and of dropout */
    bool allow_bf16;            /* large products may read bfloat16, see gt_bf16_is_profitable */
    int threads;                /* at most; as many share a minibatch as pay off */
} gt_train_config;

/* Loss is Keras's: sum(class_weight[label] * cross_entropy) / n of each minibatch plus the L2
 * penalty, averaged over the epoch's minibatches by their size while the weights move.  Validation
 * comes after the epoch, without dropout and class weights; NaN where there is no such data. */
typedef struct {
    int64_t epoch;  /* from 0 */
    int64_t epochs; /* as configured */
    double loss, accuracy;
    double validation_loss, validation_accuracy;
    double learning_rate; /* of the last step */
} gt_epoch;

/* Called on the calling thread after each epoch; may read and set the weights.  Returns 0 to go on,
 * positive to end the training well, negative to abort it. */
typedef int (*gt_epoch_callback)(void *context, const gt_epoch *epoch);

/* Adam as in Keras (0.001, 0.9, 0.999, 1e-7), 100 epochs of minibatches of 32, one thread. */
gt_train_config gt_train_defaults(void);

/* Train from the present weights.  `validation`, `scaling` and `callback` may be NULL.
 * GT_ERROR_STOPPED: the callback aborted.  GT_ERROR_ARGUMENT: bad data or settings, found before
 * the first step, or a loss that is no longer finite.  After a failure within an epoch the weights
 * are whatever they had become. */
gt_status gt_head_train(gt_head *head, const gt_head_data *training, const gt_head_data *validation,
                        const gt_head_scaling *scaling, const gt_train_config *config,
                        gt_epoch_callback callback, void *context, gt_error *error);

/* What makes the features (n, d) of `data` have mean 0 and deviation 1: mean (d,) and
 * inverse_deviation (d,), which is 1 for a feature that never changes.  Labels are not looked at.
 * In one pass over the features, on `threads` threads; the sums are combined as Chan, Golub and
 * LeVeque, "Updating Formulae", 1979, have it. */
gt_status gt_head_standardise(const gt_head_data *data, int64_t d, int threads, float *mean,
                              float *inverse_deviation, gt_error *error);

/* Loss of all rows as one minibatch without dropout, with `config`'s class weights and L2, and its
 * gradient (weights.count,), laid out like weights.block. */
gt_status gt_head_loss_gradient(const gt_head *head, const gt_head_data *data,
                                const gt_head_scaling *scaling, const gt_train_config *config,
                                double *loss, float *gradient, gt_error *error);

/* Loss (mean cross-entropy plus `config`'s L2 penalty) and accuracy without dropout and class
 * weights. */
gt_status gt_head_evaluate(const gt_head *head, const gt_head_data *data,
                           const gt_head_scaling *scaling, const gt_train_config *config,
                           double *loss, double *accuracy, gt_error *error);

/* --- the head ------------------------------------------------------------------------------ */

/* A new head, owned by the caller, initialised with `seed`.  *head is NULL after a failure. */
gt_status gt_head_create(const gt_head_config *config, uint64_t seed, gt_head **head,
                         gt_error *error);

/* Accepts NULL. */
void gt_head_free(gt_head *head);

/* Glorot uniform for the last kernel, He uniform for those before it, zeros for the biases. */
void gt_head_initialise(gt_head *head, uint64_t seed);

/* Copy kernel (widths[layer], widths[layer + 1]) and bias (widths[layer + 1],) into the head; NULL
 * keeps what is there.  Nothing is changed if a value is not finite.  To read a layer, read
 * head->weights. */
gt_status gt_head_set_layer(gt_head *head, int layer, const float *kernel, const float *bias,
                            gt_error *error);

/* Fold the scaling that was used in training into layer 0, so that the head takes raw features;
 * NULL folds nothing.  The weights are unchanged after a failure. */
gt_status gt_head_fold_scaling(gt_head *head, const gt_head_scaling *scaling, gt_error *error);

/* Probabilities, or logits, (n, c) of raw features (n, d), rows shared out over `threads` workers.
 * That of a row depends neither on `threads` nor on the other rows. */
gt_status gt_head_predict(const gt_head *head, const float *features, int64_t n, int logits,
                          int threads, float *output, gt_error *error);

/* --- parts that training and prediction share; to be run inside gt_parallel ------------------ */

/* Zeros in the shape of the weights.  Free with gt_head_weights_free, also after a failure. */
gt_status gt_head_weights_create(const gt_head_config *config, gt_head_weights *weights,
                                 gt_error *error);
void gt_head_weights_free(gt_head_weights *weights);

/* Without `training` there is only what lies between the first layer and the last: no active[0],
 * active[layers] and delta.  Free with gt_head_workspace_free, also after a failure. */
gt_status gt_head_workspace_create(const gt_head_config *config, int64_t rows, int training,
                                   gt_head_workspace *workspace, gt_error *error);
void gt_head_workspace_free(gt_head_workspace *workspace);

/* Logits into workspace->active[layers] from features (rows, d), at most workspace->rows of them.
 * Only used if dropout > 0:  `random`, of the first row of all, and how many rows those at hand
 * come after it, so that what a row loses does not depend on which are worked on together. */
gt_status gt_head_forward(const gt_head *head, gt_head_workspace *workspace, const float *features,
                          int64_t rows, double dropout, const gt_random *random, int64_t position,
                          gt_error *error);

/* Replace logits (rows, c) by probabilities.  With labels (rows,) not NULL, add the sum of the
 * cross-entropies of the rows, weighted by class_weights (c,) or NULL for 1, to *loss, and the
 * number of rows whose first largest logit is the label's to *correct. */
void gt_softmax(float *logits, int64_t rows, int64_t c, const int32_t *labels,
                const float *class_weights, double *loss, int64_t *correct);

/* GT_ERROR_ARGUMENT naming the first row (counted from `first_row`) and column of `what` (rows,
 * columns) that holds NaN or infinity. */
gt_status gt_check_finite(const char *what, const float *values, int64_t first_row, int64_t rows,
                          int64_t columns, gt_error *error);
gt_status gt_check_scaling(const gt_head *head, const gt_head_scaling *scaling, gt_error *error);

#endif
