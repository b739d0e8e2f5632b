#include "kernels/mbconv/mbconv.h"

#include <omp.h>
#include <string.h>

#include "kernels/mbconv/mbconv_stages.h"

enum { CACHE_LINE = 64 };

/* Bytes of what lies between the convolutions of some rows: half a second-level cache of 1 MB, of
 * which the weights want the rest. */
enum { ROOM = 512 << 10 };

/* How one thread's scratch is laid out. */
typedef struct {
    int left;         /* columns of padding before column 0 of an expanded row */
    int columns;      /* of an expanded row, with its padding */
    int capacity;     /* expanded rows that are kept */
    size_t row;       /* bytes of an expanded row of a vector of channels */
    size_t vector;    /* of all its rows */
    size_t result;    /* bytes of the depthwise results of a vector of channels */
    size_t zeros;     /* where a row of padding is */
    size_t expanded;  /* where the expanded rows are */
    size_t convolved; /* where the depthwise results are */
    size_t copied;    /* where a copy of the source's rows is */
    size_t size;
} scratch_layout;

static size_t
round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

static int
least(int a, int b)
{
    return a < b ? a : b;
}

static int
most(int a, int b)
{
    return a > b ? a : b;
}

/* Columns that the results of a row read, and the map's own. */
static void
lay_out_row(const gt_mbconv *block, scratch_layout *layout)
{
    size_t group = (size_t)gt_mbconv_inner_group(block->type);
    int last = (block->to.width - 1) * block->stride - block->before[1] + block->size - 1;
    int end = most(last + 1, block->inner.width);
    layout->left = (int)round_up((size_t)block->before[1], group);
    layout->columns = layout->left + (int)round_up((size_t)end, group);
    layout->row = (size_t)(layout->columns * block->lanes) * gt_mbconv_inner_bytes(block->type);
}

/* Numbers of a row of the source as the expansion reads it, with its padding, to which a group is
 * added that may be read and is not used. */
static size_t
padded_row(const gt_mbconv *block)
{
    int width = block->from.width;
    if (gt_mbconv_has_padded_rows(block)) {
        width = most(width + block->expansion_before[1],
                     (block->inner.width - 1) * block->expansion_stride + block->expansion_size);
    }
    return (size_t)(width * block->from.channels) +
           (gt_mbconv_has_padded_rows(block) ? GT_MBCONV_WORD : 0);
}

/* Rows of the source from which so many expanded rows are made. */
static int
source_rows(const gt_mbconv *block, int rows)
{
    return (rows - 1) * block->expansion_stride + block->expansion_size;
}

/* Whether the expansion reads a copy of the source's rows. */
static bool
reads_copy(const gt_mbconv *block)
{
    return gt_mbconv_has_padded_rows(block) ||
           (block->has_expansion && block->type == GT_MAP_U8 && block->source != GT_MAP_U8);
}

static scratch_layout
lay_out_scratch(const gt_mbconv *block, int rows)
{
    scratch_layout layout = {0};
    size_t vectors = (size_t)gt_mbconv_vectors(block, block->inner.channels);
    lay_out_row(block, &layout);
    layout.capacity = least((rows - 1) * block->stride + block->size, block->inner.height);
    layout.vector = round_up((size_t)layout.capacity * layout.row, CACHE_LINE);
    layout.result = round_up((size_t)(rows * block->to.width * block->lanes) *
                                 gt_mbconv_inner_bytes(block->type),
                             CACHE_LINE);
    layout.expanded = layout.zeros + round_up(layout.row, CACHE_LINE);
    layout.convolved = layout.expanded + vectors * layout.vector;
    layout.copied = layout.convolved + vectors * layout.result;
    layout.size = layout.copied;
    if (reads_copy(block)) {
        layout.size += (size_t)source_rows(block, layout.capacity) * padded_row(block) *
                       gt_mbconv_bytes(block->type);
    }
    layout.size = round_up(layout.size, CACHE_LINE);
    return layout;
}

/* With more threads than images, an image is shared by its channels where the whole map has room in the
 * caches, else by its rows, of which neighbours read the same.  The rows at a time are as even as
 * can be. */
void
gt_mbconv_prepare(gt_mbconv *block)
{
    block->lanes = 1;
    block->lanes = gt_mbconv_choose(block).lanes;
    int rows = block->to.height;
    block->is_shared = block->threads > block->batch &&
                       lay_out_scratch(block, rows).size <= (size_t)block->threads * ROOM;
    while (!block->is_shared && rows > 1 && lay_out_scratch(block, rows).size > ROOM) {
        rows--;
    }
    int bands = (block->to.height + rows - 1) / rows;
    block->rows = (block->to.height + bands - 1) / bands;
}

size_t
gt_mbconv_scratch_size(const gt_mbconv *block)
{
    size_t size = lay_out_scratch(block, block->rows).size;
    return block->is_shared ? size : (size_t)block->threads * size;
}

/* A run of one thread. */
typedef struct {
    const gt_mbconv *block;
    gt_mbconv_stages stages;
    scratch_layout layout;
    gt_mbconv_packed places;
    const char *packed;
    char *scratch;
    const char *source; /* of the image */
    char *target;
} job;

static size_t
row_bytes(gt_shape shape, gt_map_type type)
{
    return (size_t)shape.width * (size_t)shape.channels * gt_mbconv_bytes(type);
}

static size_t
map_bytes(gt_shape shape, gt_map_type type)
{
    return (size_t)shape.height * row_bytes(shape, type);
}

/* Column 0 of an expanded row of a vector of channels; rows outside the map are of zeros. */
static char *
expanded_row(const job *own, int vector, int y)
{
    const scratch_layout *layout = &own->layout;
    char *row = own->scratch + layout->zeros;
    if (y >= 0 && y < own->block->inner.height) {
        row = own->scratch + layout->expanded + (size_t)vector * layout->vector +
              (size_t)(y % layout->capacity) * layout->row;
    }
    return row +
           (size_t)(layout->left * own->block->lanes) * gt_mbconv_inner_bytes(own->block->type);
}

/* The padding of all rows is zero once and for all. */
static void
clear_padding(const job *own)
{
    const gt_mbconv *block = own->block;
    const scratch_layout *layout = &own->layout;
    size_t column = (size_t)block->lanes * gt_mbconv_inner_bytes(block->type);
    size_t group = (size_t)gt_mbconv_inner_group(block->type);
    size_t before = (size_t)layout->left * column;
    size_t end = before + round_up((size_t)block->inner.width, group) * column;
    memset(own->scratch + layout->zeros, 0, layout->row);
    for (int vector = 0; vector < gt_mbconv_vectors(block, block->inner.channels); vector++) {
        for (int y = 0; y < layout->capacity; y++) {
            char *row = expanded_row(own, vector, y) - before;
            memset(row, 0, before);
            memset(row + end, 0, layout->row - end);
        }
    }
}

static const float *
numbers_at(const job *own, size_t place, int first)
{
    const float *numbers = (const float *)(const void *)(own->packed + place);
    return numbers + (size_t)first * (size_t)own->block->lanes;
}

/* Copy row `y` of the source, in the type that the expansion reads. */
static void
copy_numbers(const job *own, int y, char *to)
{
    const gt_mbconv *block = own->block;
    size_t row = row_bytes(block->from, block->source);
    const char *from = own->source + (size_t)y * row;
    if (block->source == block->type) {
        memcpy(to, from, row);
        return;
    }
    own->stages.narrow(block, from, (size_t)(block->from.width * block->from.channels),
                       (uint8_t *)to);
}

/* Copy row `y` of the source with its padding; the row may lie outside the map. */
static void
copy_row(const job *own, int y, char *to)
{
    const gt_mbconv *block = own->block;
    size_t bytes = gt_mbconv_bytes(block->type);
    size_t before = (size_t)(block->expansion_before[1] * block->from.channels) * bytes;
    size_t end = before + row_bytes(block->from, block->type);
    bool is_inside = y >= 0 && y < block->from.height;
    int zero = block->type != GT_MAP_U8     ? 0
               : block->source == GT_MAP_U8 ? block->source_zero
                                            : GT_MBCONV_ZERO;
    memset(to, zero, is_inside ? before : padded_row(block) * bytes);
    if (is_inside) {
        copy_numbers(own, y, to + before);
        memset(to + end, zero, padded_row(block) * bytes - end);
    }
}

/* Where the expansion reads for expanded row `first`: in the source, or in the copy that begins with
 * what this row reads. */
static const char *
find_rows(const job *own, int first)
{
    const gt_mbconv *block = own->block;
    return reads_copy(block) ? own->scratch + own->layout.copied
                             : own->source + (size_t)first * row_bytes(block->from, block->source);
}

/* Copy the rows of the source that so many expanded rows are made from. */
static void
copy_rows(const job *own, int first, int count)
{
    const gt_mbconv *block = own->block;
    size_t row = padded_row(block) * gt_mbconv_bytes(block->type);
    int y = first * block->expansion_stride - block->expansion_before[0];
    for (int i = 0; i < source_rows(block, count); i++) {
        copy_row(own, y + i, own->scratch + own->layout.copied + (size_t)i * row);
    }
}

/* Make expanded rows from `first` to before `end`, of the tile that begins with vector `vector`; `from`
 * is what find_rows gave for the first. */
static void
expand_tile(const job *own, const char *from, int vector, int first, int end)
{
    const gt_mbconv *block = own->block;
    int vectors = gt_mbconv_vectors(block, block->inner.channels);
    int groups = gt_mbconv_expansion_groups(block);
    size_t row = padded_row(block) * gt_mbconv_bytes(block->type);
    size_t line = (size_t)block->lanes * GT_MBCONV_WORD;
    gt_mbconv_product product = {
        .pixel =
            (size_t)(block->expansion_stride * block->from.channels) * gt_mbconv_bytes(block->type),
        .parts = block->expansion_size,
        .part = row,
        .groups = groups,
        .weights = own->packed + own->places.expansion +
                   (size_t)(block->expansion_size * groups * vector) * line,
        .scales = numbers_at(own, own->places.expansion_numbers, vector),
        .shift = numbers_at(own, own->places.expansion_numbers, vectors + vector),
        .pixels = block->inner.width,
        .vectors = gt_mbconv_tile(vectors, vector),
        .to_vector = own->layout.vector};
    for (int y = first; y < end; y++) {
        product.from = from + (size_t)((y - first) * block->expansion_stride) * row;
        product.to = expanded_row(own, vector, y);
        own->stages.expand(block, &product);
    }
}

static void
expand_rows(const job *own, int first, int end)
{
    int vectors = gt_mbconv_vectors(own->block, own->block->inner.channels);
    if (reads_copy(own->block)) {
        copy_rows(own, first, end - first);
    }
    for (int vector = 0; vector < vectors; vector += gt_mbconv_tile(vectors, vector)) {
        expand_tile(own, find_rows(own, first), vector, first, end);
    }
}

static void
spread_rows(const job *own, int first, int end)
{
    const gt_mbconv *block = own->block;
    for (int y = first; y < end; y++) {
        own->stages.spread(block, own->source + (size_t)y * row_bytes(block->from, block->source),
                           expanded_row(own, 0, y), own->layout.vector);
    }
}

/* The depthwise convolution of a vector of channels, of rows of results from `first` to before `end`. */
static void
convolve_vector(const job *own, int vector, int first, int end)
{
    const gt_mbconv *block = own->block;
    int vectors = gt_mbconv_vectors(block, block->inner.channels);
    size_t row_size = (size_t)(block->to.width * block->lanes) * gt_mbconv_inner_bytes(block->type);
    gt_mbconv_row row = {.weights = own->packed + own->places.depthwise +
                                    (size_t)(vector * block->size) * gt_mbconv_row_bytes(block),
                         .scales = numbers_at(own, own->places.depthwise_numbers, vector),
                         .shift = numbers_at(own, own->places.depthwise_numbers, vectors + vector),
                         .columns = block->to.width,
                         .to = own->scratch + own->layout.convolved +
                               (size_t)vector * own->layout.result};
    for (int y = first; y < end; y++) {
        for (int i = 0; i < block->size; i++) {
            row.rows[i] = expanded_row(own, vector, y * block->stride - block->before[0] + i);
        }
        own->stages.convolve(block, &row);
        row.to += row_size;
    }
}

/* Results of so many pixels from `pixel` of the map on, of which the depthwise results begin with row
 * `first`. */
static void
project_pixels(const job *own, int first, int pixel, int count)
{
    const gt_mbconv *block = own->block;
    int inner = gt_mbconv_vectors(block, block->inner.channels);
    int vectors = gt_mbconv_vectors(block, block->to.channels);
    int groups = block->lanes / gt_mbconv_inner_group(block->type);
    size_t step = (size_t)block->lanes * gt_mbconv_inner_bytes(block->type);
    size_t to_pixel = (size_t)block->to.channels * gt_mbconv_bytes(block->target);
    size_t from_pixel = (size_t)block->from.channels * gt_mbconv_bytes(block->source);
    size_t line = (size_t)block->lanes * GT_MBCONV_WORD;
    const char *weights = own->packed + own->places.projection;
    int width = 0;
    for (int vector = 0; vector < vectors; vector += width) {
        width = gt_mbconv_tile(vectors, vector);
        size_t channel = (size_t)(vector * block->lanes);
        gt_mbconv_product product = {
            .from = own->scratch + own->layout.convolved +
                    (size_t)(pixel - first * block->to.width) * step,
            .pixel = step,
            .parts = inner,
            .part = own->layout.result,
            .groups = groups,
            .weights = weights,
            .scales = numbers_at(own, own->places.projection_numbers, vector),
            .shift = numbers_at(own, own->places.projection_numbers, vectors + vector),
            .pixels = count,
            .vectors = width,
            .low = block->projection.low,
            .high = block->target == GT_MAP_U8 ? block->projection.high / block->projection.scale
                                               : block->projection.high,
            .to = own->target + (size_t)pixel * to_pixel + channel * gt_mbconv_bytes(block->target),
            .to_pixel = to_pixel,
            .channels = block->to.channels - (int)channel};
        if (block->has_residual) {
            product.residual =
                own->source + (size_t)pixel * from_pixel + channel * gt_mbconv_bytes(block->source);
            product.residual_pixel = from_pixel;
        }
        own->stages.project(block, &product);
        weights += (size_t)(groups * inner * width) * line;
    }
}

/* Expanded rows that results before row `end` read, from the map's first row on. */
static int
count_rows(const gt_mbconv *block, int end)
{
    return least((end - 1) * block->stride - block->before[0] + block->size, block->inner.height);
}

/* Rows of results of an image from `first` to before `end`. */
static void
run_rows(const job *own, int first, int end)
{
    const gt_mbconv *block = own->block;
    int vectors = gt_mbconv_vectors(block, block->inner.channels);
    int next = most(first * block->stride - block->before[0], 0);
    for (int y = first; y < end; y += block->rows) {
        int band = least(y + block->rows, end);
        int needed = count_rows(block, band);
        if (needed > next) {
            if (block->has_expansion) {
                expand_rows(own, next, needed);
            }
            else {
                spread_rows(own, next, needed);
            }
            next = needed;
        }
        for (int vector = 0; vector < vectors; vector++) {
            convolve_vector(own, vector, y, band);
        }
        project_pixels(own, y, y * block->to.width, (band - y) * block->to.width);
    }
}

/* Parts of an image, of whole rows, such that all threads have some. */
static int
count_parts(const gt_mbconv *block)
{
    int parts = (block->threads + block->batch - 1) / block->batch;
    return least(parts, block->to.height);
}

/* The first vector of tile `tile` of an expansion. */
static int
tile_start(int vectors, int tile)
{
    int start = tile * GT_MBCONV_TILE;
    return vectors > 1 && vectors - start == 1 ? start - 1 : start;
}

/* What all of an image's expanded rows are made of, or these rows where nothing is expanded. */
static void
prepare_image(const job *own)
{
    const gt_mbconv *block = own->block;
    if (block->has_expansion) {
        copy_rows(own, 0, count_rows(block, block->to.height));
    }
    else {
        spread_rows(own, 0, count_rows(block, block->to.height));
    }
}

/* One image by all threads: each makes some channels of the whole map, then all results of some pixels.
 * To be called by all of them. */
static void
share_image(const job *own)
{
    const gt_mbconv *block = own->block;
    int vectors = gt_mbconv_vectors(block, block->inner.channels);
    int tiles = (vectors + GT_MBCONV_TILE - 1) / GT_MBCONV_TILE;
    int pixels = block->to.height * block->to.width;
    int rows = count_rows(block, block->to.height);
    if (!block->has_expansion || reads_copy(block)) {
#pragma omp single
        prepare_image(own);
    }
#pragma omp for schedule(static)
    for (int tile = 0; tile < tiles; tile++) {
        int first = tile_start(vectors, tile);
        int end = tile + 1 < tiles ? tile_start(vectors, tile + 1) : vectors;
        if (block->has_expansion) {
            expand_tile(own, find_rows(own, 0), first, 0, rows);
        }
        for (int vector = first; vector < end; vector++) {
            convolve_vector(own, vector, 0, block->to.height);
        }
    }
#pragma omp for schedule(static) nowait
    for (int part = 0; part < block->threads; part++) {
        int first = pixels * part / block->threads;
        project_pixels(own, 0, first, pixels * (part + 1) / block->threads - first);
    }
}

static void
run_shared(const job *whole, const char *source, char *target)
{
    const gt_mbconv *block = whole->block;
    clear_padding(whole);
#pragma omp parallel num_threads(block->threads)
    for (int image = 0; image < block->batch; image++) {
        job own = *whole;
        if (image > 0) { /* until all have read what lies between the convolutions */
#pragma omp barrier
        }
        own.source = source + (size_t)image * map_bytes(block->from, block->source);
        own.target = target + (size_t)image * map_bytes(block->to, block->target);
        share_image(&own);
    }
}

static void
run_apart(const job *whole, const char *source, char *target)
{
    const gt_mbconv *block = whole->block;
    int parts = count_parts(block);
#pragma omp parallel num_threads(block->threads) if (block -> threads > 1)
    {
        job own = *whole;
        own.scratch += (size_t)omp_get_thread_num() * own.layout.size;
        clear_padding(&own);
#pragma omp for schedule(static) nowait
        for (int piece = 0; piece < block->batch * parts; piece++) {
            size_t image = (size_t)(piece / parts);
            int part = piece % parts;
            own.source = source + image * map_bytes(block->from, block->source);
            own.target = target + image * map_bytes(block->to, block->target);
            run_rows(&own, block->to.height * part / parts, block->to.height * (part + 1) / parts);
        }
    }
}

void
gt_mbconv_run(const gt_mbconv *block, const void *source, const void *packed, void *target,
              void *scratch)
{
    job whole = {.block = block,
                 .stages = gt_mbconv_choose(block),
                 .layout = lay_out_scratch(block, block->rows),
                 .places = gt_mbconv_lay_out(block),
                 .packed = packed,
                 .scratch = scratch};
    if (block->is_shared) {
        run_shared(&whole, source, target);
    }
    else {
        run_apart(&whole, source, target);
    }
}
