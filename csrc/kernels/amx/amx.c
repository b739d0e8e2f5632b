#include "kernels/amx/amx.h"

#include <omp.h>
#include <string.h>

#include "common/arithmetic.h"
#include "common/bf16.h"
#include "common/onednn.h"
#include "kernels/amx/amx_tiles.h"

enum { WIDTH = 2 * GT_AMX_COLS /* channels out at a time */, MIN_CHANNELS = 16 };

/* Bytes of a copy, which with the weights at hand shall fit a second-level cache of 2 MB. */
static const size_t room = (size_t)512 << 10;

/* Beyond it the pixels of a tile lie too far apart for the processor to foresee. */
enum { MAX_IN_PLACE = 256 /* bytes of a pixel */ };

/* a / b, rounded up; 0 or less where a is. */
static int
divide_up(int a, int b)
{
    return (int)gt_divide_up(a, b);
}

static size_t
element_size(const gt_amx *amx)
{
    return amx->type == GT_MAP_U8 ? 1 : sizeof(uint16_t);
}

/* Bytes of a pixel of the source. */
static size_t
pixel_size(const gt_amx *amx)
{
    return (size_t)amx->from.channels * element_size(amx);
}

/* Rows or columns of a shape along an axis, 0 for height. */
static int
extent(gt_shape shape, int axis)
{
    return axis == 0 ? shape.height : shape.width;
}

/* Maps along an axis that pixels are sorted into: as many as the stride, but for those that no tap
 * meets. */
static int
phases(const gt_amx *amx, int axis)
{
    return amx->strides[axis] < amx->size[axis] ? amx->strides[axis] : amx->size[axis];
}

/* Rows or columns of the copy that come to those of the results. */
static int
overhang(const gt_amx *amx, int axis)
{
    return (amx->size[axis] - 1) / amx->strides[axis];
}

/* Pixels of one of the maps of the copy, for so many rows of results. */
static size_t
plane_pixels(const gt_amx *amx, int rows)
{
    return (size_t)(rows + overhang(amx, amx->axis)) * (size_t)amx->columns;
}

/* Its bytes.  Steps that are not whole read a little beyond it, where zeros are. */
static size_t
plane_size(const gt_amx *amx, int rows)
{
    return plane_pixels(amx, rows) * pixel_size(amx) + (amx->is_grouped ? 0 : GT_AMX_STEP);
}

/* Bytes of the copy of one image, for so many rows of results. */
static size_t
copy_size(const gt_amx *amx, int rows)
{
    return (size_t)(phases(amx, 0) * phases(amx, 1)) * plane_size(amx, rows);
}

/* The copy's outer axis is the one along which fewer results without a place come about. */
static int
choose_axis(const gt_amx *amx)
{
    return overhang(amx, 1) * amx->to.height > overhang(amx, 0) * amx->to.width;
}

static bool
is_pointwise(const gt_amx *amx)
{
    return amx->size[0] == 1 && amx->size[1] == 1;
}

/* Numbers beyond the taps meet weights of 0, but there may be a NaN among those of bfloat16. */
static bool
can_be_in_place(const gt_amx *amx)
{
    bool whole_steps = (size_t)amx->size[1] * pixel_size(amx) % GT_AMX_STEP == 0;
    bool is_dense = amx->strides[0] == 1 && amx->strides[1] == 1 && amx->before[0] == 0 &&
                    amx->before[1] == 0 && amx->to.width + amx->size[1] - 1 == amx->from.width &&
                    amx->to.height + amx->size[0] - 1 == amx->from.height;
    return is_dense && amx->axis == 0 && (whole_steps || amx->type == GT_MAP_U8) &&
           (pixel_size(amx) <= MAX_IN_PLACE || is_pointwise(amx));
}

/* The run that begins with a tap. */
static gt_amx_run
run_from(const gt_amx *amx, int outer, int inner)
{
    int u = amx->axis;
    int v = 1 - u;
    size_t plane = amx->is_in_place ? 0 : plane_size(amx, amx->band);
    int phase = outer % amx->strides[u] * phases(amx, v) + inner % amx->strides[v];
    int pixels = outer / amx->strides[u] * amx->columns + inner / amx->strides[v];
    int taps = amx->is_grouped ? 1 : divide_up(amx->size[v] - inner, amx->strides[v]);
    return (gt_amx_run){.outer = outer,
                        .inner = inner,
                        .taps = taps,
                        .steps = divide_up(taps * (int)pixel_size(amx), GT_AMX_STEP),
                        .offset = (size_t)phase * plane + (size_t)pixels * amx->stride,
                        .advance = amx->is_grouped ? plane_pixels(amx, amx->band) * GT_AMX_STEP
                                                   : GT_AMX_STEP};
}

static void
set_runs(gt_amx *amx)
{
    int inners = amx->is_grouped ? amx->size[1 - amx->axis] : phases(amx, 1 - amx->axis);
    amx->n_runs = 0;
    amx->n_steps = 0;
    for (int outer = 0; outer < amx->size[amx->axis]; outer++) {
        for (int inner = 0; inner < inners; inner++) {
            gt_amx_run run = run_from(amx, outer, inner);
            amx->n_steps += run.steps;
            amx->runs[amx->n_runs++] = run;
        }
    }
}

/* oneDNN asks the system for the registers when it looks for the instructions. */
bool
gt_amx_is_available(void)
{
    return gt_amx_is_compiled() && gt_processor_has(dnnl_cpu_isa_avx512_core_amx);
}

bool
gt_amx_is_supported(const gt_amx *amx)
{
    return amx->type != GT_MAP_FLOAT32 && amx->from.channels >= MIN_CHANNELS &&
           amx->to.channels % GT_AMX_COLS == 0 && amx->size[0] * amx->size[1] <= GT_AMX_MAX_RUNS &&
           amx->to.height * amx->to.width >= GT_AMX_ROWS;
}

/* Bytes that are read or copied for an image. */
static size_t
image_size(const gt_amx *amx)
{
    int rows = extent(amx->to, amx->axis);
    return amx->is_in_place ? plane_size(amx, rows) : copy_size(amx, rows);
}

/* The share of `count` that the thread with most of it has. */
static double
largest_share(int count, int threads)
{
    return (double)divide_up(count, threads) / count;
}

/* Whether threads that share an image better do by its rows, where each reads all weights, than by
 * channels out, where each copies the image; by the time of one, as measured on a Granite
 * Rapids. */
static bool
rows_are_better(const gt_amx *amx)
{
    const double product = 5.0, byte = 1.0 / 20.0; /* ns */
    int rows = extent(amx->to, amx->axis);
    double image = (double)image_size(amx) * byte;
    double weights = (double)pixel_size(amx) * amx->size[0] * amx->size[1] * amx->to.channels;
    double products = weights / GT_AMX_TILE * rows * amx->columns / GT_AMX_ROWS * product;
    double blocks = largest_share(divide_up(amx->to.channels, WIDTH), amx->threads);
    double by_channels = (products + weights * byte) * blocks + image;
    double by_rows = (products + image) * largest_share(rows, amx->threads) + weights * byte;
    return rows >= 2 * amx->threads && by_rows < by_channels;
}

/* Whole images as far as there is room, else bands of one, of a tile at least. */
static void
share_out(gt_amx *amx)
{
    int rows = extent(amx->to, amx->axis);
    int max_bands = amx->width < GT_AMX_ROWS ? 1 : rows;
    size_t image = image_size(amx);
    int bands = (int)gt_divide_up((int64_t)image, (int64_t)room);
    bands = bands < max_bands ? bands : max_bands;
    amx->images = bands == 1 && image < room ? (int)(room / image) : 1;
    amx->images = amx->images < amx->batch ? amx->images : amx->batch;
    amx->parts = 1;
    if (divide_up(amx->batch, amx->images) * bands < 4 * amx->threads) {
        if (amx->batch == 1 && max_bands > 1 && rows_are_better(amx)) {
            bands = divide_up(bands, amx->threads) * amx->threads;
        }
        else {
            amx->parts = amx->threads;
        }
    }
    amx->band = divide_up(rows, bands < max_bands ? bands : max_bands);
}

void
gt_amx_prepare(gt_amx *amx)
{
    size_t result = (size_t)amx->pixel * element_size(amx);
    size_t row = (size_t)amx->to.width * result;
    amx->axis = choose_axis(amx);
    amx->is_in_place = can_be_in_place(amx);
    amx->width = extent(amx->to, 1 - amx->axis);
    amx->columns = amx->width + overhang(amx, 1 - amx->axis);
    amx->is_grouped = !amx->is_in_place && pixel_size(amx) % GT_AMX_STEP == 0;
    amx->stride = amx->is_grouped ? GT_AMX_STEP : pixel_size(amx);
    amx->to_row = amx->axis == 0 ? row : result;
    amx->to_column = amx->axis == 0 ? result : row;
    share_out(amx);
    set_runs(amx);
}

static size_t
thread_scratch(const gt_amx *amx)
{
    size_t copy = (size_t)amx->images * copy_size(amx, amx->band);
    return amx->is_in_place ? 0 : gt_round_up(copy, GT_AMX_STEP);
}

size_t
gt_amx_scratch_size(const gt_amx *amx)
{
    return (size_t)amx->threads * thread_scratch(amx);
}

size_t
gt_amx_kernel_size(const gt_amx *amx)
{
    return (size_t)amx->n_steps * (size_t)(amx->to.channels / GT_AMX_COLS) * GT_AMX_TILE;
}

/* Number `index` of a run, for a channel out, into its place. */
static void
pack_number(const gt_amx *amx, const void *kernel, const gt_amx_run *run, int index, int channel,
            char *place)
{
    int channels = amx->from.channels;
    int tap = index / channels;
    int u = run->outer;
    int v = run->inner + tap * amx->strides[1 - amx->axis];
    int y = amx->axis == 0 ? u : v;
    int x = amx->axis == 0 ? v : u;
    size_t number =
        ((size_t)(y * amx->size[1] + x) * (size_t)channels + (size_t)(index % channels)) *
            (size_t)amx->to.channels +
        (size_t)channel;
    if (amx->type == GT_MAP_U8) {
        *place = tap < run->taps ? ((const char *)kernel)[number] : 0;
        return;
    }
    uint16_t half = tap < run->taps ? gt_to_bf16(((const float *)kernel)[number]) : 0;
    memcpy(place, &half, sizeof(half));
}

/* One tile: four bytes of a column of the product lie side by side. */
static void
pack_tile(const gt_amx *amx, const void *kernel, const gt_amx_run *run, int step, int channel,
          char *tile)
{
    enum { QUAD = 4 };
    int size = (int)element_size(amx);
    for (int row = 0; row < GT_AMX_ROWS; row++) {
        for (int column = 0; column < GT_AMX_COLS; column++) {
            for (int i = 0; i < QUAD / size; i++) {
                int index = (step * GT_AMX_STEP + row * QUAD) / size + i;
                char *place = tile + row * GT_AMX_STEP + column * QUAD + i * size;
                pack_number(amx, kernel, run, index, channel + column, place);
            }
        }
    }
}

void
gt_amx_pack(const gt_amx *amx, const void *kernel, void *packed)
{
    char *tile = packed;
    for (int block = 0; block < amx->to.channels; block += WIDTH) {
        int end = block + WIDTH < amx->to.channels ? block + WIDTH : amx->to.channels;
        for (int i = 0; i < amx->n_runs; i++) {
            for (int step = 0; step < amx->runs[i].steps; step++) {
                for (int channel = block; channel < end; channel += GT_AMX_COLS) {
                    pack_tile(amx, kernel, &amx->runs[i], step, channel, tile);
                    tile += GT_AMX_TILE;
                }
            }
        }
    }
}

/* What is computed at a time: rows of results of some images. */
typedef struct {
    int first_image;
    int images;
    int first_row;
    int rows;
} chunk;

static int
count_bands(const gt_amx *amx)
{
    return divide_up(extent(amx->to, amx->axis), amx->band);
}

static chunk
chunk_at(const gt_amx *amx, int index)
{
    int bands = count_bands(amx);
    chunk at = {.first_image = index / bands * amx->images, .first_row = index % bands * amx->band};
    int images = amx->batch - at.first_image;
    int rows = extent(amx->to, amx->axis) - at.first_row;
    at.images = images < amx->images ? images : amx->images;
    at.rows = rows < amx->band ? rows : amx->band;
    return at;
}

/* Sixty-four bytes of each of some pixels, which lie `next` bytes apart. */
static void
copy_group(const char *from, size_t next, int count, char *to)
{
    for (int i = 0; i < count; i++) {
        memcpy(to, from, GT_AMX_STEP);
        from += next;
        to += GT_AMX_STEP;
    }
}

/* Pixels into a row of the copy; `plane` is from a group of 64 bytes of a pixel to the next. */
static void
copy_pixels(const gt_amx *amx, const char *from, size_t next, int count, size_t plane, char *to)
{
    size_t size = pixel_size(amx);
    if (amx->stride == next) {
        memcpy(to, from, size * (size_t)count);
    }
    else if (amx->is_grouped) {
        for (size_t i = 0; i < size; i += GT_AMX_STEP) {
            copy_group(from + i, next, count, to);
            to += plane;
        }
    }
    else {
        for (int i = 0; i < count; i++) {
            memcpy(to + (size_t)i * size, from + (size_t)i * next, size);
        }
    }
}

/* Pixels of the padding. */
static void
clear_pixels(const gt_amx *amx, int count, size_t plane, char *to)
{
    size_t groups = amx->is_grouped ? pixel_size(amx) / GT_AMX_STEP : 1;
    for (size_t i = 0; i < groups; i++) {
        memset(to, 0, amx->stride * (size_t)count);
        to += plane;
    }
}

static int
clamped(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* One row of one of the maps of a copy: every stride-th pixel, the first of them pixel `at`, of a
 * row of the source along the copy's inner axis; NULL for one of the padding. */
static void
copy_row(const gt_amx *amx, const char *row, int at, char *to)
{
    int v = 1 - amx->axis;
    int stride = amx->strides[v];
    size_t pixel = pixel_size(amx) * (v == 0 ? (size_t)amx->from.width : 1);
    size_t plane = plane_pixels(amx, amx->band) * GT_AMX_STEP;
    int first = clamped(divide_up(-at, stride), 0, amx->columns);
    int last = clamped(divide_up(extent(amx->from, v) - at, stride), first, amx->columns);
    if (row == NULL) {
        first = last = amx->columns;
    }
    clear_pixels(amx, first, plane, to);
    if (last > first) {
        copy_pixels(amx, row + (size_t)(at + first * stride) * pixel, pixel * (size_t)stride,
                    last - first, plane, to + (size_t)first * amx->stride);
    }
    clear_pixels(amx, amx->columns - last, plane, to + (size_t)last * amx->stride);
}

/* The copy of a part of an image. */
static void
copy_image(const gt_amx *amx, const char *image, const chunk *part, char *to)
{
    int u = amx->axis;
    int v = 1 - u;
    size_t next = pixel_size(amx) * (u == 0 ? (size_t)amx->from.width : 1);
    for (int outer = 0; outer < phases(amx, u); outer++) {
        for (int inner = 0; inner < phases(amx, v); inner++) {
            for (int i = 0; i < part->rows + overhang(amx, u); i++) {
                int at = (part->first_row + i) * amx->strides[u] + outer - amx->before[u];
                bool is_there = at >= 0 && at < extent(amx->from, u);
                copy_row(amx, is_there ? image + (size_t)at * next : NULL, inner - amx->before[v],
                         to + (size_t)(i * amx->columns) * amx->stride);
            }
            if (!amx->is_grouped) {
                memset(to + plane_pixels(amx, part->rows) * amx->stride, 0, GT_AMX_STEP);
            }
            to += plane_size(amx, amx->band);
        }
    }
}

static const char *
read_chunk(const gt_amx *amx, const char *source, const chunk *part, char *scratch,
           size_t *image_bytes)
{
    size_t image = (size_t)amx->from.height * (size_t)amx->from.width * pixel_size(amx);
    source += (size_t)part->first_image * image;
    if (amx->is_in_place) {
        *image_bytes = image;
        return source + (size_t)(part->first_row * amx->from.width) * pixel_size(amx);
    }
    *image_bytes = copy_size(amx, amx->band);
    for (int i = 0; i < part->images; i++) {
        copy_image(amx, source + (size_t)i * image, part, scratch + (size_t)i * *image_bytes);
    }
    return scratch;
}

/* The results of a part of the images, and what they read. */
static gt_amx_tiles
tiles_of(const gt_amx *amx, const chunk *part, const char *source, char *target, char *scratch)
{
    size_t result = (size_t)amx->pixel * element_size(amx);
    size_t map = (size_t)amx->to.height * (size_t)amx->to.width * result;
    int results = (part->rows - 1) * amx->columns + amx->width;
    gt_amx_tiles tiles = {.to = target + (size_t)part->first_image * map +
                                (size_t)part->first_row * amx->to_row,
                          .to_image = map,
                          .per_image = divide_up(results, GT_AMX_ROWS),
                          .last = results - GT_AMX_ROWS};
    tiles.count = tiles.per_image * part->images;
    tiles.from = read_chunk(amx, source, part, scratch, &tiles.from_image);
    return tiles;
}

/* What a run is given. */
typedef struct {
    const gt_amx *amx;
    const char *source;
    const char *packed;
    const float *shift;
    const float *scales;
    char *target;
    bool is_plain;
} amx_run;

/* Channels out of the blocks `first` to before `last`, of a part of the images. */
static void
run_chunk(const amx_run *run, int index, int first, int last, char *scratch)
{
    const gt_amx *amx = run->amx;
    chunk part = chunk_at(amx, index);
    gt_amx_tiles tiles = tiles_of(amx, &part, run->source, run->target, scratch);
    size_t column_size = (size_t)amx->n_steps * GT_AMX_TILE;
    for (int channel = first * WIDTH; channel < last * WIDTH; channel += WIDTH) {
        gt_amx_product product = {.amx = amx,
                                  .tiles = tiles,
                                  .kernel =
                                      run->packed + (size_t)(channel / GT_AMX_COLS) * column_size,
                                  .n_columns = amx->to.channels - channel < WIDTH ? 1 : 2,
                                  .channel = channel,
                                  .shift = run->shift,
                                  .scales = run->scales};
        (run->is_plain ? gt_amx_multiply_plain : gt_amx_multiply)(&product);
    }
}

/* The units of work of one of the threads, a unit being a share of the channels out of a chunk;
 * those of a chunk are taken together, which is copied once. */
static void
run_share(const amx_run *run, int worker, int workers, char *scratch)
{
    const gt_amx *amx = run->amx;
    int chunks = divide_up(amx->batch, amx->images) * count_bands(amx);
    int blocks = divide_up(amx->to.channels, WIDTH);
    int64_t units = (int64_t)chunks * amx->parts;
    int64_t last = units * (worker + 1) / workers;
    for (int64_t unit = units * worker / workers; unit < last;) {
        int index = (int)(unit / amx->parts);
        int64_t end = (int64_t)(index + 1) * amx->parts;
        int from = (int)(unit - (int64_t)index * amx->parts);
        int to = (int)((end < last ? end : last) - (int64_t)index * amx->parts);
        int first_block = blocks * from / amx->parts;
        int last_block = blocks * to / amx->parts;
        if (first_block < last_block) {
            run_chunk(run, amx->backwards ? chunks - 1 - index : index, first_block, last_block,
                      scratch);
        }
        unit += to - from;
    }
}

void
gt_amx_convolve(const gt_amx *amx, const void *source, const void *packed, const float *shift,
                const float *scales, void *target, void *scratch)
{
    const amx_run run = {.amx = amx,
                         .source = source,
                         .packed = packed,
                         .shift = shift,
                         .scales = scales,
                         .target = target,
                         .is_plain = amx->is_plain || !gt_amx_is_compiled()};
#pragma omp parallel num_threads(amx->threads) if (amx -> threads > 1)
    {
        int worker = omp_get_thread_num();
        gt_amx_registers before;
        if (!run.is_plain) {
            gt_amx_begin(&before);
        }
        run_share(&run, worker, omp_get_num_threads(),
                  (char *)scratch + (size_t)worker * thread_scratch(amx));
        if (!run.is_plain) {
            gt_amx_end(&before);
        }
    }
}
