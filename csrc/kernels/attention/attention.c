#include "kernels/attention/attention.h"

#include <omp.h>
#include <string.h>

#include "common/arithmetic.h"
#include "common/bf16.h"
#include "kernels/attention/attention_stages.h"

enum { CHUNK = 24, ALIGNMENT = 64, PADDING = -1 };

/* What lies between regions of a rolled map that were not neighbours. */
static const float apart = -100.0f;

/* The sizes of one head of one window, and where its parts lie in a thread's scratch memory. */
typedef struct {
    int queries;
    int keys;
    int width;   /* numbers of a head */
    int windows; /* of an image */
    bool has_windows;
    int across;   /* windows beside each other */
    int shift[2]; /* of axes that have several windows */
    int words;    /* of a query or key */
    int columns;  /* of the scores */
    int channels; /* of the sums, padded likewise */
    int chunk;    /* queries at a time */
    size_t packed_keys;
    size_t packed_values;
    size_t packed_queries;
    size_t scores;
    size_t sums;
    size_t addend;
    size_t rows;    /* pointers to the queries, keys and values */
    size_t targets; /* pointers to the results */
    size_t places;  /* of the tokens, and their regions */
    size_t padding; /* a query, a key and a value of padding */
    size_t total;
} layout;

/* Reserve so many items of scratch memory. */
static size_t
reserve(layout *sizes, int64_t count, size_t size)
{
    size_t place = sizes->total;
    sizes->total += gt_round_up((size_t)count * size, ALIGNMENT);
    return place;
}

static void
lay_out_windows(const gt_attention *attention, layout *sizes)
{
    int across[2] = {0};
    int extents[2] = {attention->queries.height, attention->queries.width};
    for (int axis = 0; axis < 2; axis++) {
        across[axis] = (int)gt_divide_up(extents[axis], attention->window[axis]);
        sizes->shift[axis] = across[axis] > 1 ? attention->shift[axis] : 0;
    }
    sizes->across = across[1];
    sizes->windows = across[0] * across[1];
    sizes->has_windows = attention->window[0] != extents[0] || attention->window[1] != extents[1];
}

static layout
lay_out(const gt_attention *attention, const gt_attention_stages *stages)
{
    layout sizes = {.queries = attention->window[0] * attention->window[1],
                    .keys = attention->keys.height * attention->keys.width,
                    .width = attention->queries.channels / attention->heads,
                    .chunk = CHUNK};
    lay_out_windows(attention, &sizes);
    if (sizes.has_windows) {
        sizes.keys = sizes.queries;
    }
    size_t word = sizeof(uint32_t);
    size_t lanes = (size_t)stages->lanes;
    sizes.words = gt_attention_words(attention->type, sizes.width);
    sizes.columns = (int)gt_round_up((size_t)sizes.keys, lanes);
    sizes.channels = (int)gt_round_up((size_t)sizes.width, lanes);
    int64_t key_words = gt_attention_words(attention->type, sizes.keys);
    sizes.packed_keys = reserve(&sizes, (int64_t)sizes.words * sizes.columns, word);
    sizes.packed_values = reserve(&sizes, key_words * sizes.channels, word);
    sizes.packed_queries = reserve(&sizes, (int64_t)CHUNK * sizes.words, word);
    sizes.scores = reserve(&sizes, (int64_t)CHUNK * sizes.columns, word);
    sizes.sums = reserve(&sizes, (int64_t)CHUNK * sizes.channels, word);
    sizes.addend = reserve(&sizes, sizes.columns, sizeof(float));
    sizes.rows = reserve(&sizes, sizes.queries + 2 * (int64_t)sizes.keys, sizeof(char *));
    sizes.targets = reserve(&sizes, sizes.queries, sizeof(char *));
    sizes.places = reserve(&sizes, 2 * (int64_t)sizes.queries, sizeof(int));
    sizes.padding = reserve(&sizes, 3 * (int64_t)sizes.width, sizeof(float));
    return sizes;
}

/* What a thread works on: one head of one window of one image. */
typedef struct {
    const gt_attention *attention;
    const gt_attention_maps *maps;
    const gt_attention_stages *stages;
    const layout *sizes;
    int head;
    bool is_rolled; /* the window has regions that were not neighbours */
    char *scratch;  /* of the thread */
    const char **rows[3];
    char **targets; /* NULL for padding */
    int *places;    /* of the tokens in the map, or PADDING */
    int *regions;
} block;

static const void *
source_of(const gt_attention_maps *maps, int k)
{
    return k == 0 ? maps->queries : k == 1 ? maps->keys : maps->values;
}

/* A query, key and value of padding, which are the same for all windows. */
static void
write_padding(const block *work)
{
    int width = work->sizes->width;
    char *padding = work->scratch + work->sizes->padding;
    size_t size = gt_attention_size(work->attention->type);
    for (int k = 0; k < 3; k++) {
        const float *bias =
            work->maps->bias == NULL
                ? NULL
                : work->maps->bias + k * work->attention->queries.channels + work->head * width;
        for (int i = 0; i < width; i++) {
            float number = bias != NULL ? bias[i] : 0.0f;
            uint16_t half = gt_to_bf16(number);
            memcpy(padding + (size_t)(k * width + i) * size,
                   size == sizeof(half) ? (const void *)&half : &number, size);
        }
    }
}

/* Which of the regions of a rolled axis a place lies in: 0, or 1 and 2 of the last window. */
static int
region_of(int place, int extent, int window, int shift)
{
    return shift == 0 || place < extent - window ? 0 : place < extent - shift ? 1 : 2;
}

/* Find where token `i` of window `index` lies in the map, and its region. */
static void
place_token(const block *work, int index, int i)
{
    const gt_attention *attention = work->attention;
    const layout *sizes = work->sizes;
    int extents[2] = {attention->queries.height, attention->queries.width};
    int window[2] = {index / sizes->across, index % sizes->across};
    int inner[2] = {i / attention->window[1], i % attention->window[1]};
    int place[2] = {0};
    int region = 0;
    for (int axis = 0; axis < 2; axis++) {
        int size = attention->window[axis];
        int padded = (int)gt_round_up((size_t)extents[axis], (size_t)size);
        int rolled = window[axis] * size + inner[axis];
        place[axis] = (rolled + sizes->shift[axis]) % padded;
        region = region * 3 + region_of(rolled, padded, size, sizes->shift[axis]);
    }
    work->regions[i] = region;
    work->places[i] =
        place[0] < extents[0] && place[1] < extents[1] ? place[0] * extents[1] + place[1] : PADDING;
}

/* The same for all tokens of a window; whether some of them were not neighbours. */
static bool
place_tokens(const block *work, int window)
{
    bool is_rolled = false;
    for (int i = 0; i < work->sizes->queries; i++) {
        work->places[i] = i;
        if (work->sizes->has_windows) {
            place_token(work, window, i);
            is_rolled = is_rolled || work->regions[i] != work->regions[0];
        }
    }
    return is_rolled;
}

/* Point to the rows of a window of an image. */
static void
find_rows(const block *work, int image)
{
    const gt_attention *attention = work->attention;
    const layout *sizes = work->sizes;
    size_t size = gt_attention_size(attention->type);
    size_t first = (size_t)(work->head * sizes->width) * size;
    size_t result = (size_t)attention->queries.channels * size;
    char *target = (char *)work->maps->target + first +
                   (size_t)image * (size_t)gt_shape_size(attention->queries) * size;
    for (int i = 0; i < sizes->queries; i++) {
        work->targets[i] =
            work->places[i] == PADDING ? NULL : target + (size_t)work->places[i] * result;
    }
    for (int k = 0; k < 3; k++) {
        gt_shape shape = k == 0 ? attention->queries : attention->keys;
        size_t stride = (size_t)attention->strides[k] * size;
        const char *map = (const char *)source_of(work->maps, k) + first +
                          (size_t)image * (size_t)(shape.height * shape.width) * stride;
        const char *padding = work->scratch + sizes->padding + (size_t)(k * sizes->width) * size;
        for (int i = 0; i < (k == 0 ? sizes->queries : sizes->keys); i++) {
            int place = sizes->has_windows ? work->places[i] : i;
            work->rows[k][i] = place == PADDING ? padding : map + (size_t)place * stride;
        }
    }
}

static void
pack_queries(const block *work, int first, int count, int padded)
{
    const layout *sizes = work->sizes;
    size_t size = (size_t)sizes->width * gt_attention_size(work->attention->type);
    size_t row = (size_t)sizes->words * sizeof(uint32_t);
    char *packed = work->scratch + sizes->packed_queries;
    for (int i = 0; i < padded; i++, packed += row) {
        size_t present = i < count ? size : 0;
        if (present > 0) {
            memcpy(packed, work->rows[0][first + i], present);
        }
        memset(packed + present, 0, row - present);
    }
}

/* What is added to the scores of query `i`; NULL for nothing. */
static const float *
addend_of(const block *work, int i)
{
    const layout *sizes = work->sizes;
    float *addend = (float *)(void *)(work->scratch + sizes->addend);
    if (!work->attention->has_value && !work->is_rolled) {
        return NULL;
    }
    memset(addend, 0, (size_t)sizes->columns * sizeof(*addend));
    if (work->attention->has_value) {
        size_t row = (size_t)work->head * (size_t)sizes->queries + (size_t)i;
        memcpy(addend, work->maps->value + row * (size_t)sizes->keys,
               (size_t)sizes->keys * sizeof(*addend));
    }
    for (int j = 0; work->is_rolled && j < sizes->keys; j++) {
        addend[j] += work->regions[i] == work->regions[j] ? 0.0f : apart;
    }
    return addend;
}

/* The results of `count` queries from the first on. */
static void
attend(const block *work, int first, int count)
{
    const layout *sizes = work->sizes;
    char *scratch = work->scratch;
    float *scores = (float *)(void *)(scratch + sizes->scores);
    float *sums = (float *)(void *)(scratch + sizes->sums);
    float totals[CHUNK] = {0};
    int padded = (int)gt_round_up((size_t)count, (size_t)work->stages->rows);
    gt_attention_product product = {.left = (uint32_t *)(void *)(scratch + sizes->packed_queries),
                                    .left_row = (size_t)sizes->words,
                                    .right = (uint32_t *)(void *)(scratch + sizes->packed_keys),
                                    .words = sizes->words,
                                    .sums = scores,
                                    .sums_row = (size_t)sizes->columns,
                                    .rows = padded,
                                    .columns = sizes->columns};
    pack_queries(work, first, count, padded);
    work->stages->multiply(&product);
    for (int i = 0; i < count; i++) {
        totals[i] =
            work->stages->weigh(scores + (size_t)i * product.sums_row, addend_of(work, first + i),
                                sizes->keys, sizes->columns, work->attention->scale);
    }
    product.left = (uint32_t *)(void *)scores;
    product.left_row = (size_t)sizes->columns;
    product.right = (uint32_t *)(void *)(scratch + sizes->packed_values);
    product.words = gt_attention_words(work->attention->type, sizes->keys);
    product.sums = sums;
    product.sums_row = (size_t)sizes->channels;
    product.columns = sizes->channels;
    work->stages->multiply(&product);
    for (int i = 0; i < count; i++) {
        if (work->targets[first + i] != NULL) {
            work->stages->finish(sums + (size_t)i * product.sums_row, 1.0f / totals[i],
                                 sizes->width, work->targets[first + i]);
        }
    }
}

/* One part of the queries of one head of one window of an image. */
static void
run_block(block *work, int image, int window, int part, int parts)
{
    const layout *sizes = work->sizes;
    gt_map_type type = work->attention->type;
    int chunks = (int)gt_divide_up(sizes->queries, sizes->chunk);
    int begin = (int)((int64_t)chunks * part / parts) * sizes->chunk;
    int end = (int)((int64_t)chunks * (part + 1) / parts) * sizes->chunk;
    end = end < sizes->queries ? end : sizes->queries;
    write_padding(work);
    work->is_rolled = place_tokens(work, window);
    find_rows(work, image);
    gt_attention_pack_columns(type, work->rows[1], sizes->keys, sizes->columns, sizes->width,
                              work->stages->lanes,
                              (uint32_t *)(void *)(work->scratch + sizes->packed_keys));
    gt_attention_pack_rows(type, work->rows[2], sizes->keys, sizes->channels, sizes->width,
                           work->stages->lanes,
                           (uint32_t *)(void *)(work->scratch + sizes->packed_values));
    for (int first = begin; first < end; first += sizes->chunk) {
        attend(work, first, end - first < sizes->chunk ? end - first : sizes->chunk);
    }
}

static block
start_block(const gt_attention *attention, const gt_attention_maps *maps,
            const gt_attention_stages *stages, const layout *sizes, int thread)
{
    block work = {.attention = attention, .maps = maps, .stages = stages, .sizes = sizes};
    work.scratch = (char *)maps->scratch + (size_t)thread * sizes->total;
    work.rows[0] = (const char **)(void *)(work.scratch + sizes->rows);
    work.rows[1] = work.rows[0] + sizes->queries;
    work.rows[2] = work.rows[1] + sizes->keys;
    work.targets = (char **)(void *)(work.scratch + sizes->targets);
    work.places = (int *)(void *)(work.scratch + sizes->places);
    work.regions = work.places + sizes->queries;
    return work;
}

void
gt_attention_run(const gt_attention *attention, const gt_attention_maps *maps)
{
    gt_attention_stages stages = gt_attention_choose(attention);
    layout sizes = lay_out(attention, &stages);
    int64_t blocks = (int64_t)attention->batch * sizes.windows * attention->heads;
    int threads = attention->threads;
    /* Keys and values are packed for each part again; each query's result is the same in any. */
    int parts = blocks % threads == 0 || blocks >= 4 * threads ? 1 : threads;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < blocks * parts; i++) {
        block work = start_block(attention, maps, &stages, &sizes, omp_get_thread_num());
        int64_t index = i / parts;
        work.head = (int)(index % attention->heads);
        index /= attention->heads;
        run_block(&work, (int)(index / sizes.windows), (int)(index % sizes.windows),
                  (int)(i % parts), parts);
    }
}

size_t
gt_attention_scratch_size(const gt_attention *attention)
{
    gt_attention_stages stages = gt_attention_choose(attention);
    return lay_out(attention, &stages).total * (size_t)attention->threads;
}

const char *
gt_attention_name(const gt_attention *attention)
{
    return gt_attention_choose(attention).name;
}
