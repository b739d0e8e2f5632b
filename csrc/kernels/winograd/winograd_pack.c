/* The kernel of a convolution, transformed and laid out as the stages read it: first the number by
 * which the sums of each channel out are to be multiplied, then (channels_out / 32, 64 points,
 * channels_in, 32) weights; of int16, two channels in lie side by side for each channel out. */
#include "kernels/winograd/winograd.h"

#include <math.h>
#include <string.h>

#include "common/multiversion.h"
#include "kernels/winograd/winograd_dispatch.h"

enum {
    MAX_TAPS = 5,
    TILE = GT_WINOGRAD_TILE,
    POINTS = GT_WINOGRAD_POINTS,
    COLS = GT_WINOGRAD_COLS
};

/* A kernel that is being packed. */
typedef struct {
    int size;
    int channels_in;
    int channels_out;
    gt_winograd_stages stages;
    const float *kernel; /* (size, size, channels_in, channels_out) */
    double transform[TILE][MAX_TAPS];
    double scales[COLS]; /* by which the weights of the channels out at hand are multiplied */
} packing;

size_t
gt_winograd_row_size(gt_winograd_stages stages)
{
    return COLS * (stages.weights == GT_WINOGRAD_FLOAT32 ? sizeof(float) : sizeof(uint16_t));
}

static size_t
scales_size(const gt_winograd *winograd)
{
    return (size_t)winograd->to.channels * sizeof(float);
}

size_t
gt_winograd_weights_size(const gt_winograd *winograd)
{
    size_t rows = (size_t)winograd->from.channels * (size_t)(winograd->to.channels / COLS);
    return POINTS * rows * gt_winograd_row_size(gt_winograd_choose(winograd));
}

size_t
gt_winograd_kernel_size(const gt_winograd *winograd)
{
    return scales_size(winograd) + gt_winograd_weights_size(winograd);
}

const void *
gt_winograd_weights_of(const gt_winograd *winograd, const void *packed)
{
    return (const char *)packed + scales_size(winograd);
}

/* G, (8, size): row p holds the powers of point p, divided by the product of its differences to the
 * other points, and times a power of two that makes tile times kernel about as large at all points:
 * int16 then have as many bits at each. */
static void
make_transform(int size, double transform[TILE][MAX_TAPS])
{
    static const double points[TILE - 1] = {0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0};
    const double raise = size == 3 ? GT_WINOGRAD_RAISE_3X3 : GT_WINOGRAD_RAISE_5X5;
    memset(transform, 0, TILE * sizeof(*transform));
    for (int p = 0; p < TILE - 1; p++) {
        double power = fabs(points[p]) == 2.0 ? raise : fabs(points[p]) == 1.0 ? 1.0 : 0.5;
        for (int q = 0; q < TILE - 1; q++) {
            power /= q != p ? points[p] - points[q] : 1.0;
        }
        for (int k = 0; k < size; k++) {
            transform[p][k] = power;
            power *= points[p];
        }
    }
    transform[TILE - 1][size - 1] = 0.5;
}

/* sums[lane] = sum over k < count of weights[k] * values[k * stride + lane] */
GT_INLINE void
combine(const double *weights, const double *values, int count, int stride, double *restrict sums)
{
    for (int lane = 0; lane < COLS; lane++) {
        double sum = 0.0;
        for (int k = 0; k < count; k++) {
            sum += weights[k] * values[k * stride + lane];
        }
        sums[lane] = sum;
    }
}

/* G g G^T for one channel in and 32 channels out, from channel `out` on; `size` is the job's, known
 * to the compiler. */
GT_INLINE void
transform_sized(const packing *job, int size, int in, int out, double transformed[POINTS][COLS])
{
    double values[MAX_TAPS * MAX_TAPS * COLS];
    double halfway[TILE * MAX_TAPS * COLS];
    for (int tap = 0; tap < size * size; tap++) {
        const float *from =
            job->kernel + ((int64_t)tap * job->channels_in + in) * job->channels_out + out;
        for (int lane = 0; lane < COLS; lane++) {
            values[tap * COLS + lane] = (double)from[lane];
        }
    }
    for (int i = 0; i < TILE; i++) {
        for (int x = 0; x < size; x++) {
            combine(job->transform[i], values + x * COLS, size, size * COLS,
                    halfway + (i * size + x) * COLS);
        }
    }
    for (int point = 0; point < POINTS; point++) {
        combine(job->transform[point % TILE], halfway + point / TILE * size * COLS, size, COLS,
                transformed[point]);
    }
}

GT_INLINE void
transform_any(const packing *job, int in, int out, double transformed[POINTS][COLS])
{
    if (job->size == 3) {
        transform_sized(job, 3, in, out, transformed);
    }
    else {
        transform_sized(job, 5, in, out, transformed);
    }
}

static void
transform_plainly(const packing *job, int in, int out, double transformed[POINTS][COLS])
{
    transform_any(job, in, out, transformed);
}

GT_AVX2 static void
transform_avx2(const packing *job, int in, int out, double transformed[POINTS][COLS])
{
    transform_any(job, in, out, transformed);
}

static void
transform_columns(const packing *job, int in, int out, double transformed[POINTS][COLS])
{
    (gt_has_avx2() ? transform_avx2 : transform_plainly)(job, in, out, transformed);
}

/* The largest size of a tile at a point, as int16, for bytes in the map: what transform_pixels of
 * winograd_transforms.h can make of them. */
static double
max_int16(int point)
{
    /* Sums of the positive and of the negative coefficients of the rows of B^T. */
    static const double positive[TILE] = {6.25, 7.5, 7.5, 4.0, 6.25, 7.5, 7.5, 6.25};
    static const double negative[TILE] = {6.25, 7.5, 7.5, 8.5, 6.25, 7.5, 7.5, 6.25};
    int p = point / TILE;
    int q = point % TILE;
    double above = positive[p] * positive[q] + negative[p] * negative[q];
    double below = positive[p] * negative[q] + negative[p] * positive[q];
    return 255.0 * fmax(above, below) + 0.5;
}

/* The most by which weights may be multiplied as int16: no sum over the channels in leaves 32 bits,
 * whatever the tile.  `sum` is that of the sizes of a point's weights, each of which rounding makes
 * larger by half at most. */
static double
max_for_int16(const packing *job, int point, double sum)
{
    return (INT32_MAX / max_int16(point) - 0.5 * job->channels_in) / sum;
}

/* The scale of a channel out of which a point's weights have those sums and are that large at most.
 * In fp16 they come near its largest number, 65,504, for the smallest normal one is 2^-14. */
static double
choose_scale(const packing *job, double sums[POINTS][COLS], int lane, double largest)
{
    if (job->stages.weights == GT_WINOGRAD_FP16) {
        return ldexp(1.0, 14 - ilogb(largest));
    }
    double scale = INT16_MAX / largest;
    for (int point = 0; point < POINTS; point++) {
        scale = fmin(scale, max_for_int16(job, point, sums[point][lane]));
    }
    return scale;
}

static void
choose_scales(packing *job, int out)
{
    double transformed[POINTS][COLS];
    double sums[POINTS][COLS] = {{0.0}};
    double largest[COLS] = {0.0};
    if (job->stages.weights == GT_WINOGRAD_FLOAT32) {
        return; /* they are 1 */
    }
    for (int in = 0; in < job->channels_in; in++) {
        transform_columns(job, in, out, transformed);
        for (int i = 0; i < POINTS * COLS; i++) {
            double amount = fabs(transformed[i / COLS][i % COLS]);
            sums[i / COLS][i % COLS] += amount;
            largest[i % COLS] = amount > largest[i % COLS] ? amount : largest[i % COLS];
        }
    }
    for (int lane = 0; lane < COLS; lane++) {
        bool usual = largest[lane] > 0.0 && isfinite(sums[0][lane]); /* all are, or none */
        job->scales[lane] = usual ? choose_scale(job, sums, lane, largest[lane]) : 1.0;
    }
}

/* Weights that are not finite have no scale, and become what fits. */
static int16_t
to_int16(double number)
{
    double above = number > -INT16_MAX ? number : -INT16_MAX;
    return (int16_t)lrint(above < INT16_MAX ? above : INT16_MAX);
}

/* The weights of one point and one channel in. */
static void
write_row(const packing *job, const double *row, int in, char *to)
{
    float numbers[COLS];
    for (int lane = 0; lane < COLS; lane++) {
        numbers[lane] = (float)(row[lane] * job->scales[lane]);
    }
    switch (job->stages.weights) {
    case GT_WINOGRAD_FLOAT32:
        memcpy(to + (size_t)in * sizeof(numbers), numbers, sizeof(numbers));
        break;
    case GT_WINOGRAD_FP16:
        job->stages.narrow(numbers, (uint16_t *)(void *)to + in * COLS);
        break;
    case GT_WINOGRAD_INT16:
        for (int lane = 0; lane < COLS; lane++) {
            ((int16_t *)(void *)to)[((in / 2) * COLS + lane) * 2 + in % 2] =
                to_int16(row[lane] * job->scales[lane]);
        }
        break;
    }
}

void
gt_winograd_pack(const gt_winograd *winograd, const float *kernel, float source_scale, void *packed)
{
    packing job = {.size = winograd->size,
                   .channels_in = winograd->from.channels,
                   .channels_out = winograd->to.channels,
                   .stages = gt_winograd_choose(winograd),
                   .kernel = kernel};
    float *scales = packed;
    char *next = (char *)packed + scales_size(winograd);
    size_t point_size = (size_t)job.channels_in * gt_winograd_row_size(job.stages);
    make_transform(job.size, job.transform);
    for (int lane = 0; lane < COLS; lane++) {
        job.scales[lane] = 1.0;
    }
    for (int out = 0; out < job.channels_out; out += COLS) {
        choose_scales(&job, out);
        for (int lane = 0; lane < COLS; lane++) {
            *scales++ = (float)((double)source_scale / job.scales[lane]);
        }
        for (int in = 0; in < job.channels_in; in++) {
            double transformed[POINTS][COLS];
            transform_columns(&job, in, out, transformed);
            for (int point = 0; point < POINTS; point++) {
                write_row(&job, transformed[point], in, next + (size_t)point * point_size);
            }
        }
        next += POINTS * point_size;
    }
}
