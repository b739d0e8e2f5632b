/* One convolution on matrix units with all that it reads, and guards around what it may write. */
#ifndef GT_AMX_BENCH_H
#define GT_AMX_BENCH_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "check.h"
#include "common/bf16.h"
#include "kernels/amx/amx.h"
#include "kernels/amx/amx_tiles.h"
#include "twin.h"

enum {
    GUARD = 64,          /* bytes around what may be written */
    UNTOUCHED = 0xa5,    /* what they are in an array of results */
    NOT_A_NUMBER = 0xff, /* and elsewhere: a NaN of bfloat16, seen wherever it is read */
    PAGE = 4096,
    MAX_PAGES = 1024,      /* of a source */
    MAX_PRODUCTS = 2000000 /* in the plain sums of a convolution, or only some are computed */
};

/* Sources end here, where nothing may be read: no sanitizer sees what the matrix units read. */
static char *edge;

/* A convolution with a height and a width of each, and padding above, left, below and right. */
typedef struct {
    int batch;
    int from[2];
    int in;
    int out;
    int size[2];
    int strides[2];
    int padding[4];
} layer;

/* It, with all that it reads; the batch and the threads are those of all images on one thread. */
typedef struct {
    gt_amx amx;
    gt_net net;     /* keeps the random numbers */
    float *source;  /* (batch, height, width, channels_in), as its type can hold them */
    float *weights; /* (height, width, channels_in, channels_out), likewise */
    float *shift;
    float *scales; /* also where there are no bytes */
    char *packed;
    int first; /* channel of the array of results that its own begin with */
} bench;

static size_t
element_size(const gt_amx *amx)
{
    return amx->type == GT_MAP_U8 ? 1 : sizeof(uint16_t);
}

static size_t
count_numbers(int batch, gt_shape shape)
{
    return (size_t)batch * (size_t)gt_shape_size(shape);
}

static char *
new_guarded(size_t size)
{
    void *block = NULL;
    CHECK(posix_memalign(&block, 64, size + GUARD) == 0);
    memset(block, NOT_A_NUMBER, size + GUARD);
    return block;
}

static bool
all_are(const char *bytes, size_t count, int value)
{
    return (unsigned char)bytes[0] == value && memcmp(bytes, bytes + 1, count - 1) == 0;
}

static void
free_guarded(char *block, size_t size)
{
    CHECK(all_are(block + size, GUARD, NOT_A_NUMBER));
    free(block);
}

static void
open_edge(void)
{
    size_t size = (size_t)MAX_PAGES * PAGE;
    char *map = mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + size, PAGE, PROT_NONE) != 0) {
        abort();
    }
    edge = map + size;
}

/* The numbers of some images as the convolution reads them, and NaN in the 63 bytes beyond, or for
 * bfloat16 in as many as are whole numbers, which may be read as well. */
static char *
write_source(const bench *job, int first_image, int images)
{
    size_t element = element_size(&job->amx);
    size_t count = count_numbers(images, job->amx.from);
    size_t size = count * element + 64 - element;
    const float *numbers = job->source + count_numbers(first_image, job->amx.from);
    CHECK(size + GUARD <= (size_t)MAX_PAGES * PAGE);
    memset(edge - size - GUARD, NOT_A_NUMBER, size + GUARD);
    for (size_t i = 0; i < count; i++) {
        uint16_t number = element == 1 ? (uint16_t)numbers[i] : gt_to_bf16(numbers[i]);
        memcpy(edge - size + i * element, &number, element); /* its lower byte comes first */
    }
    return edge - size;
}

static gt_amx
describe(const layer *like, gt_map_type type)
{
    gt_amx amx = {.batch = like->batch,
                  .from = {like->from[0], like->from[1], like->in},
                  .size = {like->size[0], like->size[1]},
                  .strides = {like->strides[0], like->strides[1]},
                  .before = {like->padding[0], like->padding[1]},
                  .type = type,
                  .source_scale = 0.02f,
                  .result_scale = 6.0f / 255.0f,
                  .low = type == GT_MAP_U8 ? 0.0f : -INFINITY,
                  .high = INFINITY,
                  .pixel = like->out,
                  .threads = 1};
    int to[2];
    for (int axis = 0; axis < 2; axis++) {
        int room = like->from[axis] + like->padding[axis] + like->padding[2 + axis];
        to[axis] = (room - like->size[axis]) / like->strides[axis] + 1;
    }
    amx.to = (gt_shape){to[0], to[1], like->out};
    return amx;
}

static float *
random_numbers(bench *job, size_t count, double low, double high)
{
    return (float *)(uintptr_t)gt_net_vector(&job->net, (int)count, low, high).data;
}

/* Weights that make a standard deviation of the results of about 0.6, and of bytes all. */
static void
set_weights(bench *job, size_t count)
{
    bool is_u8 = job->amx.type == GT_MAP_U8;
    double limit = is_u8 ? 127.4 : 1.7 / sqrt((double)count / job->amx.to.channels);
    float *numbers = random_numbers(job, count, -limit, limit);
    int8_t *bytes = malloc(count);
    job->weights = random_numbers(job, count, 0.0, 0.0);
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (int8_t)(is_u8 ? lrintf(numbers[i]) : 0);
        job->weights[i] = is_u8 ? bytes[i] : gt_from_bf16(gt_to_bf16(numbers[i]));
    }
    gt_amx_pack(&job->amx, is_u8 ? (void *)bytes : numbers, job->packed);
    free(bytes);
}

/* Results of bytes lie around 3, from 0 to 6, with some beyond: a product of two bytes has a
 * standard deviation of about 147 * 73. */
static void
start_bench(bench *job, gt_amx amx)
{
    bool is_u8 = amx.type == GT_MAP_U8;
    size_t count = count_numbers(amx.batch, amx.from);
    size_t channels = (size_t)amx.to.channels;
    size_t terms = (size_t)(amx.size[0] * amx.size[1] * amx.from.channels);
    double scale = 1.0 / (sqrt((double)terms) * 147.0 * 73.0 * (double)amx.source_scale);
    gt_amx_prepare(&amx);
    job->amx = amx;
    job->first = (amx.pixel - amx.to.channels) / 3;
    gt_net_start(&job->net, 1, 1, 1);
    job->source = random_numbers(job, count, is_u8 ? 0.0 : -1.0, is_u8 ? 255.4 : 1.0);
    for (size_t i = 0; i < count; i++) {
        float number = job->source[i];
        job->source[i] = is_u8 ? nearbyintf(number) : gt_from_bf16(gt_to_bf16(number));
    }
    CHECK(gt_amx_kernel_size(&amx) % 64 == 0);
    job->packed = new_guarded(gt_amx_kernel_size(&amx));
    set_weights(job, terms * channels);
    job->shift = random_numbers(job, channels, is_u8 ? 2.0 : -1.0, is_u8 ? 4.0 : 1.0);
    job->scales = random_numbers(job, channels, 0.5 * scale, 1.5 * scale);
}

static void
end_bench(bench *job)
{
    free_guarded(job->packed, gt_amx_kernel_size(&job->amx));
    gt_net_clear(&job->net);
}

/* The results out of their array, of which all else must be as it was. */
static char *
take_results(const bench *job, size_t pixels, char *array)
{
    size_t element = element_size(&job->amx);
    size_t row = (size_t)job->amx.to.channels * element;
    size_t array_row = (size_t)job->amx.pixel * element;
    char *results = malloc(pixels * row);
    for (size_t i = 0; i < pixels; i++) {
        char *place = array + GUARD + i * array_row + (size_t)job->first * element;
        memcpy(results + i * row, place, row);
        memset(place, UNTOUCHED, row);
    }
    CHECK(all_are(array, pixels * array_row + 2 * GUARD, UNTOUCHED));
    return results;
}

/* Without the matrix units, which not every processor has; slowly, but seen by the sanitizers. */
static bool is_plain;

/* Run it for some of the images; the results as they are, to be freed.  The packed kernel is the
 * same whatever the batch and the threads, as plans share it. */
static char *
run_bench(const bench *job, int first_image, int images, int threads)
{
    gt_amx amx = job->amx;
    amx.batch = images;
    amx.threads = threads;
    amx.is_plain = is_plain;
    amx.backwards = threads % 2 == 0;
    gt_amx_prepare(&amx);
    CHECK(gt_amx_kernel_size(&amx) == gt_amx_kernel_size(&job->amx));
    size_t pixels = (size_t)(images * amx.to.height * amx.to.width);
    size_t array_size = pixels * (size_t)amx.pixel * element_size(&amx) + 2 * GUARD;
    size_t scratch_size = gt_amx_scratch_size(&amx);
    char *scratch = new_guarded(scratch_size);
    char *array = malloc(array_size);
    char *source = write_source(job, first_image, images);
    memset(array, UNTOUCHED, array_size);
    gt_amx_convolve(&amx, source, job->packed, job->shift,
                    amx.type == GT_MAP_U8 ? job->scales : NULL,
                    array + GUARD + (size_t)job->first * element_size(&amx), scratch);
    char *results = take_results(job, pixels, array);
    free_guarded(scratch, scratch_size);
    free(array);
    return results;
}

static float
result_at(const bench *job, const char *results, size_t i)
{
    size_t element = element_size(&job->amx);
    uint16_t number = 0;
    memcpy(&number, results + i * element, element);
    return element == 1 ? (float)number : gt_from_bf16(number);
}

#endif
