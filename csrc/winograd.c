#include "winograd.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <string.h>

bool
gt_winograd_is_available(void)
{
#ifdef __x86_64__
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    unsigned avx512 = (unsigned)dnnl_cpu_isa_avx512_core;
    return (isa & avx512) == avx512;
#else
    return false;
#endif
}

/* Cost in float32 multiply-adds, measured on one core of a Zen 5 EPYC with oneDNN 3.2: to transform
 * one channel of a tile takes as long as 300 of them, and a direct convolution in bf16 does two in
 * the time of one.  The transformed kernel is streamed once a block: beyond 4 MB it would come from
 * memory and not from a cache, and the process would grow. */
enum { TRANSFORM_COST = 300, LARGEST_KERNEL = 4 << 20 };

bool
gt_winograd_pays(const gt_winograd *winograd)
{
    int in = winograd->from.channels;
    int out = winograd->to.channels;
    if (gt_winograd_kernel_count(in, out) * (int64_t)sizeof(float) > LARGEST_KERNEL) {
        return false;
    }
    double pairs = (double)in * out;
    double tiles = (double)gt_winograd_tiles(winograd, winograd->to.height) *
                   gt_winograd_tiles(winograd, winograd->to.width);
    double own = tiles * (GT_WINOGRAD_POINTS * pairs + TRANSFORM_COST * (in + out));
    double direct = (double)winograd->to.height * winograd->to.width * pairs * winograd->size *
                    winograd->size / (winograd->bf16 ? 2.0 : 1.0);
    return 1.1 * own < direct;
}

gt_map_strides
gt_winograd_channels_last(gt_shape shape)
{
    size_t pixel = (size_t)shape.channels;
    size_t row = pixel * (size_t)shape.width;
    return (gt_map_strides){row * (size_t)shape.height, row, pixel, GT_WINOGRAD_LANES};
}

gt_map_strides
gt_winograd_blocked(gt_shape shape)
{
    size_t row = GT_WINOGRAD_LANES * (size_t)shape.width;
    size_t group = row * (size_t)shape.height;
    size_t groups = (size_t)(shape.channels / GT_WINOGRAD_LANES);
    return (gt_map_strides){group * groups, row, GT_WINOGRAD_LANES, group};
}

static int64_t
count_tiles(const gt_winograd *winograd)
{
    return (int64_t)winograd->batch * gt_winograd_tiles(winograd, winograd->to.height) *
           gt_winograd_tiles(winograd, winograd->to.width);
}

/* Floats of one tile in a thread's scratch: its transform, and the products for one step of
 * channels out. */
static size_t
tile_size(const gt_winograd *winograd)
{
    return GT_WINOGRAD_POINTS * (size_t)(winograd->from.channels + GT_WINOGRAD_COLS);
}

void
gt_winograd_prepare(gt_winograd *winograd)
{
    /* Half of a second-level cache of 1 MB; the streamed kernel has the other half. */
    const size_t room = (size_t)512 << 10;
    size_t most = room / (tile_size(winograd) * sizeof(float) * GT_WINOGRAD_ROWS);
    int64_t limit = most > 4 ? 4 : most > 1 ? (int64_t)most : 1;
    int64_t rows = (count_tiles(winograd) + GT_WINOGRAD_ROWS - 1) / GT_WINOGRAD_ROWS;
    int64_t blocks = (rows + limit - 1) / limit;
    blocks = (blocks + winograd->threads - 1) / winograd->threads * winograd->threads;
    winograd->block = (int)((rows + blocks - 1) / blocks) * GT_WINOGRAD_ROWS;
}

/* Floats of one thread's scratch, a multiple of a cache line. */
static size_t
thread_scratch(const gt_winograd *winograd)
{
    return (size_t)winograd->block * tile_size(winograd);
}

size_t
gt_winograd_scratch_size(const gt_winograd *winograd)
{
    return (size_t)winograd->threads * thread_scratch(winograd) * sizeof(float);
}

int64_t
gt_winograd_kernel_count(int channels_in, int channels_out)
{
    return (int64_t)GT_WINOGRAD_POINTS * channels_in * channels_out;
}

/* G, (6, size): row i holds the powers of point i, divided by the product of its differences to the
 * other points. */
static void
make_kernel_transform(int size, double transform[GT_WINOGRAD_TILE][5])
{
    const double a = GT_WINOGRAD_A;
    const double b = GT_WINOGRAD_B;
    const double points[GT_WINOGRAD_TILE - 1] = {0.0, a, -a, b, -b};
    const double factors[GT_WINOGRAD_TILE - 1] = {
        1.0 / (a * a * b * b), 0.5 / (a * a * (a * a - b * b)), 0.5 / (a * a * (a * a - b * b)),
        0.5 / (b * b * (b * b - a * a)), 0.5 / (b * b * (b * b - a * a))};
    memset(transform, 0, GT_WINOGRAD_TILE * sizeof(*transform));
    for (int i = 0; i < GT_WINOGRAD_TILE - 1; i++) {
        double power = factors[i];
        for (int k = 0; k < size; k++) {
            transform[i][k] = power;
            power *= points[i];
        }
    }
    transform[GT_WINOGRAD_TILE - 1][size - 1] = 1.0;
}

/* sums[lane] = sum over k < count of weights[k] * values[k * stride + lane] */
static void
combine(const double *weights, const double *values, int count, int stride, double *sums)
{
    memset(sums, 0, GT_WINOGRAD_COLS * sizeof(*sums));
    for (int k = 0; k < count; k++) {
        for (int lane = 0; lane < GT_WINOGRAD_COLS; lane++) {
            sums[lane] += weights[k] * values[k * stride + lane];
        }
    }
}

/* G g G^T for one channel in and as many channels out as one step has: `kernel` points at the first
 * of them, `packed` at the place of point 0; a point is `point_stride` behind the last. */
static void
pack_columns(const float *kernel, size_t channel_stride, int size,
             double transform[GT_WINOGRAD_TILE][5], float *packed, size_t point_stride)
{
    double values[5 * 5 * GT_WINOGRAD_COLS];
    double halfway[GT_WINOGRAD_TILE * 5 * GT_WINOGRAD_COLS];
    double sums[GT_WINOGRAD_COLS];
    for (int i = 0; i < size * size; i++) {
        for (int lane = 0; lane < GT_WINOGRAD_COLS; lane++) {
            values[i * GT_WINOGRAD_COLS + lane] = (double)kernel[(size_t)i * channel_stride +
                                                                 (size_t)lane];
        }
    }
    for (int i = 0; i < GT_WINOGRAD_TILE; i++) {
        for (int x = 0; x < size; x++) {
            combine(transform[i], values + x * GT_WINOGRAD_COLS, size, size * GT_WINOGRAD_COLS,
                    halfway + (i * size + x) * GT_WINOGRAD_COLS);
        }
    }
    for (int point = 0; point < GT_WINOGRAD_POINTS; point++) {
        combine(transform[point % GT_WINOGRAD_TILE],
                halfway + point / GT_WINOGRAD_TILE * size * GT_WINOGRAD_COLS, size,
                GT_WINOGRAD_COLS, sums);
        for (int lane = 0; lane < GT_WINOGRAD_COLS; lane++) {
            packed[(size_t)point * point_stride + (size_t)lane] = (float)sums[lane];
        }
    }
}

/* The layout is (channels_out / 32, 36 points, channels_in, 32). */
void
gt_winograd_pack(const float *kernel, int size, int channels_in, int channels_out, float *packed)
{
    double transform[GT_WINOGRAD_TILE][5];
    size_t point_stride = (size_t)channels_in * GT_WINOGRAD_COLS;
    size_t channel_stride = (size_t)channels_in * (size_t)channels_out;
    make_kernel_transform(size, transform);
    for (int out = 0; out < channels_out; out += GT_WINOGRAD_COLS) {
        for (int in = 0; in < channels_in; in++) {
            pack_columns(kernel + (size_t)in * (size_t)channels_out + out, channel_stride, size,
                         transform, packed + (size_t)in * GT_WINOGRAD_COLS, point_stride);
        }
        packed += GT_WINOGRAD_POINTS * point_stride;
    }
}

void
gt_winograd_run(const gt_winograd *winograd, const void *source, const float *packed,
                const float *shift, void *target, void *scratch)
{
    int64_t tiles = count_tiles(winograd);
#pragma omp parallel for schedule(static) num_threads(winograd->threads) if (winograd->threads > 1)
    for (int64_t first = 0; first < tiles; first += winograd->block) {
        int64_t left = tiles - first;
        float *own = (float *)scratch + (size_t)omp_get_thread_num() * thread_scratch(winograd);
        gt_winograd_run_block(winograd, source, packed, shift, target, own, first,
                              left < winograd->block ? (int)left : winograd->block);
    }
}
