#include "kernels/winograd/winograd.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "common/arithmetic.h"
#include "common/onednn.h"
#include "kernels/winograd/winograd_dispatch.h"

/* Cost in float32 multiply-adds of oneDNN 3.2: to transform one channel of a tile takes as long as
 * 800 of them on a core of a Zen 4 or Zen 5 EPYC, with AVX-512, as 1,300 on a Zen 3, with AVX2.
 * The transformed kernel is read once a block: beyond 4 MB it would come from memory and not from
 * a cache, and the process would grow. */
enum { TRANSFORM_COST_AVX512 = 800, TRANSFORM_COST_AVX2 = 1300, MAX_KERNEL = 4 << 20 };

/* Multiply-adds of oneDNN's direct convolution in the time of one of float32, as measured. */
static double
direct_speed(gt_map_type type)
{
    return type == GT_MAP_FLOAT32                                  ? 1.0
           : type == GT_MAP_BF16 || !gt_adds_products_in_32_bits() ? 2.0
                                                                   : 3.5;
}

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
    return (int)gt_divide_up(extent, results);
}

static bool
uses_int16(const gt_winograd *winograd)
{
    return gt_winograd_choose(winograd).weights == GT_WINOGRAD_INT16;
}

bool
gt_winograd_is_profitable(const gt_winograd *winograd)
{
    int in = winograd->from.channels;
    int out = winograd->to.channels;
    bool int16 = uses_int16(winograd);
    if (winograd->lanes == 0 || gt_winograd_weights_size(winograd) > MAX_KERNEL ||
        (int16 && !gt_winograd_int16_is_exact(winograd))) { /* where there are no fp16 instead */
        return false;
    }
    double pairs = (double)in * out;
    double tiles = (double)tiles_along(winograd, winograd->to.height) *
                   tiles_along(winograd, winograd->to.width);
    bool wide = winograd->lanes == 16;
    double own_speed = !int16 ? 1.0 : wide ? 2.0 : 1.75; /* of products, as measured */
    double transform = wide ? TRANSFORM_COST_AVX512 : TRANSFORM_COST_AVX2;
    double own = tiles * (GT_WINOGRAD_POINTS * pairs / own_speed + transform * (in + out));
    double direct = (double)winograd->to.height * winograd->to.width * pairs * winograd->size *
                    winograd->size / direct_speed(winograd->type);
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

/* Bytes of a number of a transformed tile; sums have 4. */
static size_t
point_size(const gt_winograd *winograd)
{
    return uses_int16(winograd) ? sizeof(int16_t) : sizeof(float);
}

enum { CACHE_LINE = 64 /* bytes */, SUM_SIZE = sizeof(float), MAX_LANES = 16 };

/* Bytes from a point to the next of `tiles` tiles with `channels` numbers of `size` bytes.  One
 * cache line of padding keeps the points of a tile out of the same few sets of a cache. */
static size_t
point_stride(int tiles, int channels, size_t size)
{
    return (size_t)tiles * (size_t)channels * size + CACHE_LINE;
}

/* The tiles are shared out evenly to the threads, and those of a thread to products of few rows.  A
 * block (the transforms of its tiles, and the sums for one step of channels out) fills half of a
 * second-level cache of 1 MB; the other half is for the kernel, which is read once a block. */
void
gt_winograd_prepare(gt_winograd *winograd)
{
    const size_t room = (size_t)512 << 10;
    size_t tile = GT_WINOGRAD_POINTS * ((size_t)winograd->from.channels * point_size(winograd) +
                                        GT_WINOGRAD_COLS * SUM_SIZE);
    int64_t share = gt_divide_up(count_tiles(winograd), winograd->threads);
    int64_t rows = gt_winograd_choose(winograd).max_rows;
    int64_t products = gt_divide_up(share, rows);
    winograd->rows = 2 * (int)gt_divide_up(gt_divide_up(share, products), 2);
    int64_t fitting = (int64_t)(room / tile) / winograd->rows;
    int64_t blocks = fitting > 1 ? gt_divide_up(products, fitting) : products;
    winograd->block = (int)gt_divide_up(products, blocks) * winograd->rows;
}

/* Bytes of one thread's scratch, a multiple of a cache line. */
static size_t
thread_scratch(const gt_winograd *winograd)
{
    return GT_WINOGRAD_POINTS *
           (point_stride(winograd->block, winograd->from.channels, point_size(winograd)) +
            point_stride(winograd->block, GT_WINOGRAD_COLS, SUM_SIZE));
}

size_t
gt_winograd_scratch_size(const gt_winograd *winograd)
{
    return (size_t)winograd->threads * thread_scratch(winograd);
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

/* A tile along one axis: where it starts in the map, and the part of it that lies in the map, from
 * the first to before the last of its pixels. */
typedef struct {
    int start;
    int first;
    int last;
} span;

static span
span_inside(int start, int extent)
{
    int left = extent - start;
    return (span){.start = start,
                  .first = start < 0 ? -start : 0,
                  .last = left < GT_WINOGRAD_TILE ? left : GT_WINOGRAD_TILE};
}

static bool
is_whole(span axis)
{
    return axis.first == 0 && axis.last == GT_WINOGRAD_TILE;
}

/* Inlined for each length, so that a pixel is moved by an instruction or two. */
static inline __attribute__((always_inline)) void
copy_pixels(const char *image, size_t row, size_t pixel, span rows, span columns, size_t length,
            char *edge)
{
    for (int y = rows.first; y < rows.last; y++) {
        const char *from = image + (size_t)(rows.start + y) * row;
        for (int x = columns.first; x < columns.last; x++) {
            memcpy(edge + (size_t)(y * GT_WINOGRAD_TILE + x) * length,
                   from + (size_t)(columns.start + x) * pixel, length);
        }
    }
}

/* Copy a vector of a tile that reaches beyond its map, with zeros for the padding; `length` is the
 * vector's in bytes. */
static void
copy_edge(const char *image, size_t row, size_t pixel, span rows, span columns, size_t length,
          char *edge)
{
    memset(edge, 0, GT_WINOGRAD_POINTS * length);
    switch (length) {
    case 8:
        copy_pixels(image, row, pixel, rows, columns, 8, edge);
        break;
    case 16:
        copy_pixels(image, row, pixel, rows, columns, 16, edge);
        break;
    case 32:
        copy_pixels(image, row, pixel, rows, columns, 32, edge);
        break;
    default:
        copy_pixels(image, row, pixel, rows, columns, 64, edge);
        break;
    }
}

/* One block of a run: its tiles, and what a thread writes on the way. */
typedef struct {
    const gt_winograd *winograd;
    gt_winograd_stages stages;
    size_t size;        /* bytes of a number in the maps */
    size_t point;       /* of a number in a transformed tile */
    int64_t first;      /* tile */
    int count;          /* tiles */
    int rounded;        /* their number, rounded up to whole products */
    char *tiles;        /* (64, rounded / rows, channels_in / lanes, rows, lanes) */
    size_t tile_stride; /* bytes from a point to the next */
    char *sums;         /* (64, rounded, 32) */
    size_t sum_stride;
} tile_block;

static void
read_tile(const tile_block *block, const char *source, tile_place place, char *out)
{
    const gt_winograd *winograd = block->winograd;
    size_t row = winograd->source.row * block->size;
    size_t pixel = winograd->source.pixel * block->size;
    size_t length = (size_t)winograd->lanes * block->size;
    span rows = span_inside(place.y - winograd->before[0], winograd->from.height);
    span columns = span_inside(place.x - winograd->before[1], winograd->from.width);
    const char *image = source + place.image * winograd->source.image * block->size;
    for (int c = 0; c < winograd->from.channels; c += winograd->lanes) {
        if (is_whole(rows) && is_whole(columns)) {
            block->stages.read_tile(image + (size_t)rows.start * row +
                                        (size_t)columns.start * pixel,
                                    row, pixel, out, block->tile_stride);
        }
        else {
            char edge[GT_WINOGRAD_POINTS * MAX_LANES * sizeof(float)];
            copy_edge(image, row, pixel, rows, columns, length, edge);
            block->stages.read_tile(edge, GT_WINOGRAD_TILE * length, length, out,
                                    block->tile_stride);
        }
        image += winograd->source.group * block->size;
        out += (size_t)(winograd->rows * winograd->lanes) * block->point;
    }
}

static void
read_tiles(const tile_block *block, const char *source)
{
    const gt_winograd *winograd = block->winograd;
    for (int i = 0; i < block->count; i++) {
        int row = i % winograd->rows;
        size_t number =
            (size_t)(i - row) * (size_t)winograd->from.channels + (size_t)(row * winograd->lanes);
        char *out = block->tiles + number * block->point;
        read_tile(block, source, place_of(winograd, block->first + i), out);
    }
}

/* The products of all tiles at all points with the next 32 channels out of the kernel, whose end is
 * returned. */
static const char *
multiply_tiles(const tile_block *block, const char *kernel)
{
    const gt_winograd *winograd = block->winograd;
    size_t rows = (size_t)winograd->rows;
    size_t channels = (size_t)winograd->from.channels;
    size_t weights = channels * gt_winograd_row_size(block->stages); /* of a point */
    for (size_t point = 0; point < GT_WINOGRAD_POINTS; point++) {
        const char *tiles = block->tiles + point * block->tile_stride;
        char *sums = block->sums + point * block->sum_stride;
        for (int row = 0; row < block->rounded; row += winograd->rows) {
            block->stages.multiply(tiles, kernel, winograd->from.channels / winograd->lanes,
                                   winograd->rows, sums);
            tiles += rows * channels * block->point;
            sums += rows * GT_WINOGRAD_COLS * SUM_SIZE;
        }
        kernel += weights;
    }
    return kernel;
}

/* Write the results of 32 channels, from channel `out` on. */
static void
write_tiles(const tile_block *block, const float *scales, const float *shift, int out, char *target)
{
    const gt_winograd *winograd = block->winograd;
    const gt_map_strides *strides = &winograd->target;
    for (int i = 0; i < block->count; i++) {
        tile_place place = place_of(winograd, block->first + i);
        size_t pixel = place.image * strides->image + (size_t)place.y * strides->row +
                       (size_t)place.x * strides->pixel;
        for (int c = 0; c < GT_WINOGRAD_COLS; c += winograd->lanes) {
            size_t place_of_group = pixel + (size_t)((out + c) / winograd->lanes) * strides->group;
            gt_winograd_target to = {.place = target + place_of_group * block->size,
                                     .row = strides->row * block->size,
                                     .pixel = strides->pixel * block->size,
                                     .height = winograd->to.height - place.y,
                                     .width = winograd->to.width - place.x,
                                     .shift = shift + out + c,
                                     .low = winograd->low,
                                     .high = winograd->high,
                                     .scales = scales + out + c,
                                     .factor = 1.0f / winograd->result_scale};
            size_t number = (size_t)i * GT_WINOGRAD_COLS + (size_t)c;
            block->stages.write_tile(block->sums + number * SUM_SIZE, block->sum_stride, &to);
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
          const void *packed, const float *shift, char *target, char *scratch, int64_t first)
{
    int64_t left = count_tiles(winograd) - first;
    tile_block block = {.winograd = winograd,
                        .stages = stages,
                        .size = bytes_of(winograd->type),
                        .point = point_size(winograd),
                        .first = first,
                        .count = left < winograd->block ? (int)left : winograd->block,
                        .tiles = scratch};
    block.rounded = (int)gt_divide_up(block.count, winograd->rows) * winograd->rows;
    block.tile_stride = point_stride(block.rounded, winograd->from.channels, block.point);
    block.sum_stride = point_stride(block.rounded, GT_WINOGRAD_COLS, SUM_SIZE);
    block.sums = scratch + GT_WINOGRAD_POINTS * block.tile_stride;
    const char *kernel = gt_winograd_weights_of(winograd, packed);
    read_tiles(&block, source);
    for (int out = 0; out < winograd->to.channels; out += GT_WINOGRAD_COLS) {
        kernel = multiply_tiles(&block, kernel);
        write_tiles(&block, packed, shift, out, target);
    }
}

void
gt_winograd_run(const gt_winograd *winograd, const void *source, const void *packed,
                const float *shift, void *target, void *scratch)
{
    int64_t tiles = count_tiles(winograd);
    gt_winograd_stages stages = gt_winograd_choose(winograd);
#pragma omp parallel for schedule(static) num_threads(winograd->threads) if (winograd->threads > 1)
    for (int64_t first = 0; first < tiles; first += winograd->block) {
        char *own = (char *)scratch + (size_t)omp_get_thread_num() * thread_scratch(winograd);
        run_block(winograd, stages, source, packed, shift, target, own, first);
    }
}
