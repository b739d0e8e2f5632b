#include "head/optimiser.h"

#include <math.h>

#include "common/multiversion.h"

double
gt_learning_rate(const gt_train_config *config, int64_t step, int64_t steps)
{
    if (config->schedule == GT_SCHEDULE_COSINE) {
        const double pi = 3.14159265358979323846;

        return config->learning_rate * 0.5 * (1.0 + cos(pi * (double)step / (double)steps));
    }
    return config->learning_rate;
}

/* Kingma and Ba, "Adam", 2015, in the form of the end of its section 2, as Keras has it. */
GT_INLINE void
adam_loop(const gt_train_config *config, double learning_rate, int64_t step, int64_t count,
          float *restrict weights, const float *restrict gradient, float *restrict mean,
          float *restrict square)
{
    const double correction1 = 1.0 - pow(config->beta1, (double)step);
    const double correction2 = 1.0 - pow(config->beta2, (double)step);
    const float rate = (float)(learning_rate * sqrt(correction2) / correction1);
    const float share1 = (float)(1.0 - config->beta1), share2 = (float)(1.0 - config->beta2);
    const float epsilon = (float)config->epsilon;

    for (int64_t i = 0; i < count; i++) {
        mean[i] += (gradient[i] - mean[i]) * share1;
        square[i] += (gradient[i] * gradient[i] - square[i]) * share2;
        weights[i] -= rate * mean[i] / (sqrtf(square[i]) + epsilon);
    }
}

static void
adam_step(const gt_train_config *config, double learning_rate, int64_t step, int64_t count,
          float *weights, const float *gradient, float *mean, float *square)
{
    adam_loop(config, learning_rate, step, count, weights, gradient, mean, square);
}

GT_AVX2 static void
adam_step_avx2(const gt_train_config *config, double learning_rate, int64_t step, int64_t count,
               float *weights, const float *gradient, float *mean, float *square)
{
    adam_loop(config, learning_rate, step, count, weights, gradient, mean, square);
}

void
gt_optimiser_step(const gt_train_config *config, double learning_rate, int64_t step, int64_t count,
                  float *weights, const float *gradient, float *first, float *second)
{
    const float rate = (float)learning_rate, momentum = (float)config->momentum;

    if (config->optimiser == GT_OPTIMISER_ADAM) {
        (gt_has_avx2() ? adam_step_avx2 : adam_step)(config, learning_rate, step, count, weights,
                                                     gradient, first, second);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        first[i] = momentum * first[i] - rate * gradient[i];
        weights[i] += first[i];
    }
}
