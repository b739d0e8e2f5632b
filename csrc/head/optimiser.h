/* Gradient methods: what one step of training does with the weights. */
#ifndef GT_OPTIMISER_H
#define GT_OPTIMISER_H

#include "head/head.h"

/* One update of `count` weights; `step` counts from 1.  first (count,): Adam's mean or SGD's
 * velocity; second (count,): Adam's mean square, unused by SGD.  Both begin as zeros. */
void gt_optimiser_step(const gt_train_config *config, double learning_rate, int64_t step,
                       int64_t count, float *weights, const float *gradient, float *first,
                       float *second);

/* Of a step counted from 0, out of `steps`. */
double gt_learning_rate(const gt_train_config *config, int64_t step, int64_t steps);

#endif
