#include "winograd.h"

#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <string.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

#include "engine.h"
#include "winograd_stages.h"

/* Of compilers, only recent ones know F16C by name; to ask the processor takes long in a virtual
 * machine. */
static bool
has_fma_and_f16c(void)
{
#ifdef __x86_64__
    static atomic_int known; /* 1 for no, 2 for yes */
    int answer = atomic_load(&known);
    if (answer == 0) {
        unsigned int eax = 0;
        unsigned int ebx = 0;
        unsigned int ecx = 0;
        unsigned int edx = 0;
        bool has_f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C) != 0;
        answer = has_f16c && __builtin_cpu_supports("fma") ? 2 : 1;
        atomic_store(&known, answer);
    }
    return answer == 2;
#else
    return false;
#endif
}

/* Maps of bytes are only for where oneDNN's direct convolution of bytes takes half as long as one of
 * float32: with VNNI it takes a quarter. */
static gt_winograd_stages
choose_stages(int size, gt_map_type type)
{
    if (gt_processor_offers(dnnl_cpu_isa_avx512_core) && type != GT_MAP_BYTES) {
        return gt_winograd_avx512(size, type);
    }
    if (!gt_processor_offers(dnnl_cpu_isa_avx2) || !has_fma_and_f16c() ||
        (type == GT_MAP_BYTES && gt_adds_products_in_32_bits())) {
        return (gt_winograd_stages){0};
    }
    return gt_winograd_avx2(size, type);
}

int
gt_winograd_lanes(gt_map_type type)
{
    return choose_stages(3, type).lanes;
}

/* Cost in float32 multiply-adds of oneDNN 3.2: to transform one channel of a tile takes as long as
 * 800 of them on a core of a Zen 5 EPYC, with AVX-512, as 1,300 on a Zen 3, with AVX2; a direct
 * convolution of bfloat16 or bytes does two in the time of one.  The transformed kernel is read
 * once a block: beyond 4 MB it would come from memory and not from a cache, and the process would
 * grow. */
enum { TRANSFORM_COST_AVX512 = 800, TRANSFORM_COST_AVX2 = 1300, LARGEST_KERNEL = 4 << 20 };

/* A kernel begins with the number that its elements are to be multiplied by, on a cache line of its
 * own. */
enum { KERNEL_HEAD = 64 /* bytes */ };

/* Results along the side of a tile. */
static int
results_along(const gt_winograd *winograd)
{
    return GT_WINOGRAD_TILE + 1 - winograd->size;
}

/* Tiles along an axis of `extent` results. */
static int
tiles_along(const gt_winograd *winograd, int extent)
{
    int results = results_along(winograd);
    return (extent + results - 1) / results;
}

bool
gt_winograd_pays(const gt_winograd *winograd)
{
    int in = winograd->from.channels;
    int out = winograd->to.channels;
    if (gt_winograd_kernel_size(winograd) - KERNEL_HEAD > LARGEST_KERNEL) {
        return false;
    }
    double pairs = (double)in * out;
    double tiles = (double)tiles_along(winograd, winograd->to.height) *
                   tiles_along(winograd, winograd->to.width);
    double transform = winograd->lanes == 16 ? TRANSFORM_COST_AVX512 : TRANSFORM_COST_AVX2;
    double own = tiles * (GT_WINOGRAD_POINTS * pairs + transform * (in + out));
    double direct = (double)winograd->to.height * winograd->to.width * pairs * winograd->size *
                    winograd->size / (winograd->type == GT_MAP_FLOAT32 ? 1.0 : 2.0);
    return 1.1 * own < direct;
}

gt_map_strides
gt_winograd_channels_last(gt_shape shape, int lanes)
{
    size_t pixel = (size_t)shape.channels;
    size_t row = pixel * (size_t)shape.width;
    return (gt_map_strides){row * (size_t)shape.height, row, pixel, (size_t)lanes};
}

gt_map_strides
gt_winograd_blocked(gt_shape shape, int lanes)
{
    size_t pixel = (size_t)lanes;
    size_t row = pixel * (size_t)shape.width;
    size_t group = row * (size_t)shape.height;
    size_t groups = (size_t)(shape.channels / lanes);
    return (gt_map_strides){group * groups, row, pixel, group};
}

static int64_t
count_tiles(const gt_winograd *winograd)
{
    return (int64_t)winograd->batch * tiles_along(winograd, winograd->to.height) *
           tiles_along(winograd, winograd->to.width);
}

/* Floats of one tile in a thread's scratch: its transform, and the products for one step of
 * channels out. */
static size_t
tile_size(const gt_winograd *winograd)
{
    return GT_WINOGRAD_POINTS * (size_t)(winograd->from.channels + GT_WINOGRAD_COLS);
}

enum { CACHE_LINE = 16 /* floats */, MOST_LANES = 16 };

/* Floats from a point to the next in the scratch for `tiles` tiles of `channels`.  One cache line of
 * padding keeps the points of a tile out of the same few sets of a cache. */
static size_t
point_stride(int tiles, int channels)
{
    return (size_t)tiles * (size_t)channels + CACHE_LINE;
}

/* The tiles are shared out evenly to the threads, and those of a thread to products of few
 * rows.  A block fills half of a second-level cache of 1 MB; the other half is for the kernel,
 * which is read once a block. */
void
gt_winograd_prepare(gt_winograd *winograd)
{
    const size_t room = (size_t)512 << 10;
    int64_t share = (count_tiles(winograd) + winograd->threads - 1) / winograd->threads;
    int64_t rows = choose_stages(winograd->size, winograd->type).most_rows;
    int64_t products = (share + rows - 1) / rows;
    winograd->rows = (int)((share + products - 1) / products + 1) / 2 * 2;
    int64_t most = (int64_t)(room / (tile_size(winograd) * sizeof(float))) / winograd->rows;
    int64_t blocks = most > 1 ? (products + most - 1) / most : products;
    winograd->block = (int)((products + blocks - 1) / blocks) * winograd->rows;
}

/* Floats of one thread's scratch, a multiple of a cache line. */
static size_t
thread_scratch(const gt_winograd *winograd)
{
    return GT_WINOGRAD_POINTS * (point_stride(winograd->block, winograd->from.channels) +
                                 point_stride(winograd->block, GT_WINOGRAD_COLS));
}

size_t
gt_winograd_scratch_size(const gt_winograd *winograd)
{
    return (size_t)winograd->threads * thread_scratch(winograd) * sizeof(float);
}

/* Bytes of a number of the kernel. */
static size_t
kernel_element(gt_winograd_stages stages)
{
    return stages.narrow != NULL ? sizeof(uint16_t) : sizeof(float);
}

size_t
gt_winograd_kernel_size(const gt_winograd *winograd)
{
    size_t numbers = (size_t)winograd->from.channels * (size_t)winograd->to.channels;
    gt_winograd_stages stages = choose_stages(winograd->size, winograd->type);
    return KERNEL_HEAD + GT_WINOGRAD_POINTS * numbers * kernel_element(stages);
}

enum { MOST_TAPS = 5 };

/* G, (8, size): row p holds the powers of point p, divided by the product of its differences to the
 * other points. */
static void
make_kernel_transform(int size, double transform[GT_WINOGRAD_TILE][MOST_TAPS])
{
    static const double points[GT_WINOGRAD_TILE - 1] = {0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0};
    memset(transform, 0, GT_WINOGRAD_TILE * sizeof(*transform));
    for (int p = 0; p < GT_WINOGRAD_TILE - 1; p++) {
        double power = 1.0;
        for (int q = 0; q < GT_WINOGRAD_TILE - 1; q++) {
            power /= q != p ? points[p] - points[q] : 1.0;
        }
        for (int k = 0; k < size; k++) {
            transform[p][k] = power;
            power *= points[p];
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

/* A kernel that is being packed. */
typedef struct {
    int size;
    int channels_in;
    int channels_out;
    double transform[GT_WINOGRAD_TILE][MOST_TAPS];
    double scale; /* by which its numbers are multiplied */
    gt_winograd_stages stages;
} packing;

/* G g G^T for one channel in and as many channels out as one step has: `kernel` points at the first
 * of them, `packed` at the place of point 0. */
static void
pack_columns(const packing *job, const float *kernel, char *packed)
{
    double values[MOST_TAPS * MOST_TAPS * GT_WINOGRAD_COLS];
    double halfway[GT_WINOGRAD_TILE * MOST_TAPS * GT_WINOGRAD_COLS];
    double sums[GT_WINOGRAD_COLS];
    float numbers[GT_WINOGRAD_COLS];
    int size = job->size;
    size_t channel_stride = (size_t)job->channels_in * (size_t)job->channels_out;
    size_t row = GT_WINOGRAD_COLS * kernel_element(job->stages);
    for (int i = 0; i < size * size; i++) {
        for (int lane = 0; lane < GT_WINOGRAD_COLS; lane++) {
            values[i * GT_WINOGRAD_COLS + lane] = (double)kernel[(size_t)i * channel_stride +
                                                                 (size_t)lane];
        }
    }
    for (int i = 0; i < GT_WINOGRAD_TILE; i++) {
        for (int x = 0; x < size; x++) {
            combine(job->transform[i], values + x * GT_WINOGRAD_COLS, size,
                    size * GT_WINOGRAD_COLS, halfway + (i * size + x) * GT_WINOGRAD_COLS);
        }
    }
    for (int point = 0; point < GT_WINOGRAD_POINTS; point++) {
        combine(job->transform[point % GT_WINOGRAD_TILE],
                halfway + point / GT_WINOGRAD_TILE * size * GT_WINOGRAD_COLS, size,
                GT_WINOGRAD_COLS, sums);
        for (int lane = 0; lane < GT_WINOGRAD_COLS; lane++) {
            numbers[lane] = (float)(sums[lane] * job->scale);
        }
        if (job->stages.narrow != NULL) {
            job->stages.narrow(numbers, (uint16_t *)(void *)packed);
        }
        else {
            memcpy(packed, numbers, sizeof(numbers));
        }
        packed += (size_t)job->channels_in * row;
    }
}

/* A power of two that brings the largest number of a transformed kernel near the largest of 16
 * bits, 65,504, for the smallest normal one is 2^-14. */
static double
scale_for_halves(const packing *job, const float *kernel)
{
    double largest = 0.0;
    double most = 0.0; /* sum of the sizes of a row of the transform */
    int64_t count = (int64_t)job->size * job->size * job->channels_in * job->channels_out;
    for (int64_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs((double)kernel[i]));
    }
    for (int p = 0; p < GT_WINOGRAD_TILE; p++) {
        double sum = 0.0;
        for (int k = 0; k < job->size; k++) {
            sum += fabs(job->transform[p][k]);
        }
        most = fmax(most, sum);
    }
    double bound = largest * most * most;
    return bound > 0.0 && isfinite(bound) ? ldexp(1.0, 14 - ilogb(bound)) : 1.0;
}

/* After its head the layout is (channels_out / 32, 64 points, channels_in, 32). */
void
gt_winograd_pack(const gt_winograd *winograd, const float *kernel, float step, void *packed)
{
    packing job = {.size = winograd->size,
                   .channels_in = winograd->from.channels,
                   .channels_out = winograd->to.channels,
                   .scale = 1.0,
                   .stages = choose_stages(winograd->size, winograd->type)};
    make_kernel_transform(job.size, job.transform);
    if (job.stages.narrow != NULL) {
        job.scale = scale_for_halves(&job, kernel);
    }
    memset(packed, 0, KERNEL_HEAD);
    *(float *)packed = (float)((double)step / job.scale);
    char *next = (char *)packed + KERNEL_HEAD;
    size_t row = GT_WINOGRAD_COLS * kernel_element(job.stages);
    for (int out = 0; out < job.channels_out; out += GT_WINOGRAD_COLS) {
        for (int in = 0; in < job.channels_in; in++) {
            pack_columns(&job, kernel + (size_t)in * (size_t)job.channels_out + out,
                         next + (size_t)in * row);
        }
        next += GT_WINOGRAD_POINTS * (size_t)job.channels_in * row;
    }
}

/* Where a tile lies: its image, and the first of its results. */
typedef struct {
    size_t image;
    int y;
    int x;
} tile_place;

static tile_place
place_of(const gt_winograd *winograd, int64_t tile)
{
    int across = tiles_along(winograd, winograd->to.width);
    int down = tiles_along(winograd, winograd->to.height);
    int results = results_along(winograd);
    return (tile_place){.image = (size_t)(tile / across / down),
                        .y = (int)(tile / across % down) * results,
                        .x = (int)(tile % across) * results};
}

/* Copy a vector of a tile that reaches beyond its map, with zeros for the padding. */
static void
copy_edge(const gt_winograd *winograd, const char *image, int top, int left, size_t size,
          char *edge)
{
    size_t length = (size_t)winograd->lanes * size;
    for (int i = 0; i < GT_WINOGRAD_POINTS; i++) {
        int y = top + i / GT_WINOGRAD_TILE;
        int x = left + i % GT_WINOGRAD_TILE;
        char *pixel = edge + (size_t)i * length;
        if (y < 0 || y >= winograd->from.height || x < 0 || x >= winograd->from.width) {
            memset(pixel, 0, length);
            continue;
        }
        size_t offset = (size_t)y * winograd->source.row + (size_t)x * winograd->source.pixel;
        memcpy(pixel, image + offset * size, length);
    }
}

/* One block of a run: its tiles, and what a thread writes on the way. */
typedef struct {
    const gt_winograd *winograd;
    gt_winograd_stages stages;
    size_t size;     /* bytes of a number in the maps */
    int64_t first;   /* tile */
    int count;       /* tiles */
    int rounded;     /* their number, rounded up to whole products */
    float *tiles;    /* (64, rounded / rows, channels_in / lanes, rows, lanes) */
    size_t tile_stride; /* floats from a point to the next */
    float *products; /* (64, rounded, 32) */
    size_t product_stride;
} tile_block;

static void
read_tile(const tile_block *block, const char *source, tile_place place, float *out)
{
    const gt_winograd *winograd = block->winograd;
    size_t size = block->size;
    int top = place.y - winograd->before[0];
    int left = place.x - winograd->before[1];
    bool whole = top >= 0 && left >= 0 && top + GT_WINOGRAD_TILE <= winograd->from.height &&
                 left + GT_WINOGRAD_TILE <= winograd->from.width;
    const char *image = source + place.image * winograd->source.image * size;
    for (int c = 0; c < winograd->from.channels; c += winograd->lanes) {
        if (whole) {
            size_t offset = (size_t)top * winograd->source.row +
                            (size_t)left * winograd->source.pixel;
            block->stages.read_tile(image + offset * size, winograd->source.row * size,
                                    winograd->source.pixel * size, out,
                                    block->tile_stride);
        }
        else {
            char edge[GT_WINOGRAD_POINTS * MOST_LANES * sizeof(float)];
            size_t pixel = (size_t)winograd->lanes * size;
            copy_edge(winograd, image, top, left, size, edge);
            block->stages.read_tile(edge, GT_WINOGRAD_TILE * pixel, pixel, out,
                                    block->tile_stride);
        }
        image += winograd->source.group * size;
        out += winograd->rows * winograd->lanes;
    }
}

static void
read_tiles(const tile_block *block, const char *source)
{
    const gt_winograd *winograd = block->winograd;
    for (int i = 0; i < block->count; i++) {
        int row = i % winograd->rows;
        float *out = block->tiles + (size_t)(i - row) * (size_t)winograd->from.channels +
                     row * winograd->lanes;
        read_tile(block, source, place_of(winograd, block->first + i), out);
    }
}

/* The products of all tiles at all points with 32 channels out. */
static void
multiply_tiles(const tile_block *block, const char *packed)
{
    const gt_winograd *winograd = block->winograd;
    size_t channels = (size_t)winograd->from.channels;
    for (size_t point = 0; point < GT_WINOGRAD_POINTS; point++) {
        const float *tiles = block->tiles + point * block->tile_stride;
        float *products = block->products + point * block->product_stride;
        for (int row = 0; row < block->rounded; row += winograd->rows) {
            block->stages.multiply(tiles, packed, winograd->from.channels / winograd->lanes,
                                   winograd->rows, products);
            tiles += (size_t)winograd->rows * channels;
            products += winograd->rows * GT_WINOGRAD_COLS;
        }
        packed += channels * GT_WINOGRAD_COLS * kernel_element(block->stages);
    }
}

/* Write the results of 32 channels, from channel `out` on. */
static void
write_tiles(const tile_block *block, float scale, const float *shift, int out, char *target)
{
    const gt_winograd *winograd = block->winograd;
    const gt_map_strides *strides = &winograd->target;
    for (int i = 0; i < block->count; i++) {
        tile_place place = place_of(winograd, block->first + i);
        size_t pixel = place.image * strides->image + (size_t)place.y * strides->row +
                       (size_t)place.x * strides->pixel;
        for (int c = 0; c < GT_WINOGRAD_COLS; c += winograd->lanes) {
            size_t place_of_group =
                pixel + (size_t)((out + c) / winograd->lanes) * strides->group;
            gt_winograd_target to = {.place = target + place_of_group * block->size,
                                     .row = strides->row * block->size,
                                     .pixel = strides->pixel * block->size,
                                     .height = winograd->to.height - place.y,
                                     .width = winograd->to.width - place.x,
                                     .shift = shift + out + c,
                                     .low = winograd->low,
                                     .high = winograd->high,
                                     .scale = scale,
                                     .factor = 1.0f / winograd->step};
            block->stages.write_tile(block->products + (size_t)i * GT_WINOGRAD_COLS + c,
                                     block->product_stride, &to);
        }
    }
}

static size_t
bytes_of(gt_map_type type)
{
    return type == GT_MAP_FLOAT32 ? sizeof(float) : type == GT_MAP_BF16 ? sizeof(uint16_t) : 1;
}

/* `first` is the first tile of the block, in the order of images, rows and columns. */
static void
run_block(const gt_winograd *winograd, gt_winograd_stages stages, const char *source,
          const char *packed, const float *shift, char *target, float *scratch, int64_t first)
{
    int64_t left = count_tiles(winograd) - first;
    size_t channels = (size_t)winograd->from.channels;
    tile_block block = {.winograd = winograd,
                        .stages = stages,
                        .size = bytes_of(winograd->type),
                        .first = first,
                        .count = left < winograd->block ? (int)left : winograd->block,
                        .tiles = scratch};
    block.rounded = (block.count + winograd->rows - 1) / winograd->rows * winograd->rows;
    block.tile_stride = point_stride(block.rounded, winograd->from.channels);
    block.product_stride = point_stride(block.rounded, GT_WINOGRAD_COLS);
    block.products = scratch + GT_WINOGRAD_POINTS * block.tile_stride;
    const float scale = *(const float *)(const void *)packed;
    packed += KERNEL_HEAD;
    read_tiles(&block, source);
    for (int out = 0; out < winograd->to.channels; out += GT_WINOGRAD_COLS) {
        multiply_tiles(&block, packed);
        write_tiles(&block, scale, shift, out, target);
        packed += GT_WINOGRAD_POINTS * channels * GT_WINOGRAD_COLS * kernel_element(stages);
    }
}

void
gt_winograd_run(const gt_winograd *winograd, const void *source, const void *packed,
                const float *shift, void *target, void *scratch)
{
    int64_t tiles = count_tiles(winograd);
    gt_winograd_stages stages = choose_stages(winograd->size, winograd->type);
#pragma omp parallel for schedule(static) num_threads(winograd->threads) if (winograd->threads > 1)
    for (int64_t first = 0; first < tiles; first += winograd->block) {
        float *own = (float *)scratch + (size_t)omp_get_thread_num() * thread_scratch(winograd);
        run_block(winograd, stages, source, packed, shift, target, own, first);
    }
}
