#include "kernels/resample/resample.h"

#include <math.h>
#include <stdlib.h>

/* Keys's cubic, which is 0 from a distance of 2 on. */
static double
cubic(double distance)
{
    double a = -0.5;
    double x = fabs(distance);
    if (x < 1.0) {
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    }
    return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * a : 0.0;
}

/* Weights (to, from) of the places of one axis; to be freed; NULL when memory is out. */
static double *
make_weights(int from, int to)
{
    double *weights = calloc((size_t)to * (size_t)from, sizeof(*weights));
    double scale = (double)from / to;
    double widening = scale > 1.0 ? scale : 1.0;
    for (int i = 0; weights != NULL && i < to; i++) {
        double *row = weights + (size_t)i * (size_t)from;
        double centre = scale * (i + 0.5);
        double sum = 0.0;
        for (int j = 0; j < from; j++) {
            row[j] = cubic((j + 0.5 - centre) / widening);
            sum += row[j];
        }
        for (int j = 0; j < from; j++) {
            row[j] /= sum;
        }
    }
    return weights;
}

/* One row of results, of which each number is a sum over the places with a weight. */
static void
resample_pixel(const float *source, gt_shape from, const double *down, const double *across,
               float *target)
{
    for (int c = 0; c < from.channels; c++) {
        double sum = 0.0;
        for (int y = 0; y < from.height; y++) {
            const float *row = source + (size_t)y * (size_t)from.width * (size_t)from.channels + c;
            double part = 0.0;
            if (down[y] == 0.0) {
                continue;
            }
            for (int x = 0; x < from.width; x++) {
                part += across[x] * (double)row[(size_t)x * (size_t)from.channels];
            }
            sum += down[y] * part;
        }
        target[c] = (float)sum;
    }
}

gt_status
gt_resample_bicubic(const float *source, gt_shape from, float *target, gt_shape to, gt_error *error)
{
    double *down = make_weights(from.height, to.height);
    double *across = make_weights(from.width, to.width);
    bool has_weights = down != NULL && across != NULL;
    for (int y = 0; has_weights && y < to.height; y++) {
        for (int x = 0; x < to.width; x++) {
            size_t place = ((size_t)y * (size_t)to.width + (size_t)x) * (size_t)to.channels;
            resample_pixel(source, from, down + (size_t)y * (size_t)from.height,
                           across + (size_t)x * (size_t)from.width, target + place);
        }
    }
    free(down);
    free(across);
    return has_weights ? GT_OK : gt_fail_memory(error, "a position embedding of another size");
}
