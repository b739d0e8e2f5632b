/* Inverted residual blocks against the plain sums. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "common/bf16.h"
#include "common/onednn.h"
#include "kernels/mbconv/mbconv.h"
#include "kernels/mbconv/mbconv_stages.h"
#include "older.h"
#include "twin.h"

/* A block and everything it reads, each in memory of exactly its size, and what it must write. */
typedef struct {
    gt_mbconv block;
    gt_net net; /* keeps the random numbers */
    gt_mbconv_weights weights;
    float *source;  /* (batch, height, width, channels), as its type can hold them */
    double *wanted; /* (batch, height, width, channels) of the result */
} bench;

static size_t
count_numbers(const bench *job, gt_shape shape)
{
    return (size_t)(job->block.batch * gt_shape_size(shape));
}

static double
bound(double number, gt_mbconv_result result)
{
    return fmin(fmax(number, result.low), result.high);
}

/* Expanded pixel (y, x) of an image. */
static double
expand(const bench *job, int image, int y, int x, int channel)
{
    const gt_mbconv *block = &job->block;
    gt_shape from = block->from;
    const float *source = job->source + image * gt_shape_size(from);
    if (!block->has_expansion) {
        return source[(y * from.width + x) * from.channels + channel];
    }
    int size = block->expansion_size;
    double sum = job->weights.expansion_shift[channel];
    for (int i = 0; i < size * size * from.channels; i++) {
        int tap = i / from.channels;
        int row = y * block->expansion_stride - block->expansion_before[0] + tap / size;
        int column = x * block->expansion_stride - block->expansion_before[1] + tap % size;
        if (row >= 0 && row < from.height && column >= 0 && column < from.width) {
            sum += (double)source[(row * from.width + column) * from.channels + i % from.channels] *
                   job->weights.expansion[i * block->inner.channels + channel];
        }
    }
    return bound(sum, block->expansion);
}

/* All expanded channels of an image, by the definition. */
static double *
expand_all(const bench *job, int image)
{
    gt_shape inner = job->block.inner;
    double *map = malloc((size_t)gt_shape_size(inner) * sizeof(*map));
    for (int i = 0; i < gt_shape_size(inner); i++) {
        int pixel = i / inner.channels;
        map[i] = expand(job, image, pixel / inner.width, pixel % inner.width, i % inner.channels);
    }
    return map;
}

static double
convolve(const bench *job, const double *map, int y, int x, int channel)
{
    const gt_mbconv *block = &job->block;
    double sum = job->weights.depthwise_shift[channel];
    for (int i = 0; i < block->size * block->size; i++) {
        int row = y * block->stride - block->before[0] + i / block->size;
        int column = x * block->stride - block->before[1] + i % block->size;
        if (row >= 0 && row < block->inner.height && column >= 0 && column < block->inner.width) {
            sum += map[(row * block->inner.width + column) * block->inner.channels + channel] *
                   job->weights.depthwise[i * block->inner.channels + channel];
        }
    }
    return bound(sum, block->depthwise);
}

/* What the results of one pixel must be, before the source is added. */
static void
project(const bench *job, const double *map, int y, int x, double *wanted)
{
    const gt_mbconv *block = &job->block;
    for (int out = 0; out < block->to.channels; out++) {
        wanted[out] = job->weights.projection_shift[out];
    }
    for (int c = 0; c < block->inner.channels; c++) {
        double value = convolve(job, map, y, x, c);
        for (int out = 0; out < block->to.channels; out++) {
            wanted[out] += value * job->weights.projection[c * block->to.channels + out];
        }
    }
}

static void
set_wanted(bench *job)
{
    const gt_mbconv *block = &job->block;
    int channels = block->to.channels;
    int64_t pixels = block->to.height * block->to.width;
    for (int image = 0; image < block->batch; image++) {
        double *map = expand_all(job, image);
        for (int64_t i = 0; i < pixels; i++) {
            int64_t place = (image * pixels + i) * channels;
            project(job, map, (int)i / block->to.width, (int)i % block->to.width,
                    job->wanted + place);
            for (int c = 0; c < channels; c++) {
                double residual = block->has_residual ? job->source[place + c] : 0.0;
                double number = bound(job->wanted[place + c] + residual, block->projection);
                job->wanted[place + c] = block->target == GT_MAP_U8
                                             ? fmin(number, 255.0 * (double)block->projection.scale)
                                             : number;
            }
        }
        free(map);
    }
}

static float
as_type_holds(float value, gt_map_type type)
{
    return type == GT_MAP_BF16 ? gt_from_bf16(gt_to_bf16(value)) : value;
}

static const float *
random_kernel(bench *job, int taps, int in, int out)
{
    return gt_net_kernel(&job->net, taps, 1, in, out).data;
}

static const float *
random_shift(bench *job, int channels)
{
    return gt_net_vector(&job->net, channels, -0.3, 0.3).data;
}

/* The scale of the source's bytes, which else are from 0 to 255. */
enum { SIGNED_STEPS = 127 };

static void
start_bench(bench *job, gt_mbconv block)
{
    job->block = block;
    gt_net_start(&job->net, 1, 1, 1);
    size_t size = count_numbers(job, block.from);
    job->source = malloc(size * sizeof(float));
    for (size_t i = 0; i < size; i++) {
        job->source[i] =
            block.source == GT_MAP_U8
                ? (float)(gt_net_choice(&job->net, 0, 255) - block.source_zero) * block.source_scale
                : as_type_holds(
                      (float)gt_net_random(&job->net, block.has_expansion ? -1.0 : 0.0, 1.0),
                      block.source);
    }
    job->weights = (gt_mbconv_weights){
        .expansion = random_kernel(job, block.expansion_size * block.expansion_size,
                                   block.from.channels, block.inner.channels),
        .expansion_shift = random_shift(job, block.inner.channels),
        .depthwise = random_kernel(job, block.size * block.size, 1, block.inner.channels),
        .depthwise_shift = random_shift(job, block.inner.channels),
        .projection = random_kernel(job, 1, block.inner.channels, block.to.channels),
        .projection_shift = random_shift(job, block.to.channels)};
    job->wanted = malloc(count_numbers(job, block.to) * sizeof(double));
    set_wanted(job);
}

static void
end_bench(bench *job)
{
    free(job->source);
    free(job->wanted);
    gt_net_clear(&job->net);
}

/* The source in its type. */
static void *
write_source(const bench *job)
{
    const gt_mbconv *block = &job->block;
    size_t size = count_numbers(job, block->from);
    size_t bytes = gt_mbconv_bytes(block->source);
    char *source = malloc(size * bytes);
    for (size_t i = 0; i < size; i++) {
        uint16_t half = gt_to_bf16(job->source[i]);
        uint8_t byte =
            (uint8_t)lrintf(block->source == GT_MAP_U8
                                ? job->source[i] / block->source_scale + (float)block->source_zero
                                : 0.0f);
        const void *number = block->source == GT_MAP_U8     ? (const void *)&byte
                             : block->source == GT_MAP_BF16 ? (const void *)&half
                                                            : (const void *)&job->source[i];
        memcpy(source + i * bytes, number, bytes);
    }
    return source;
}

static float
read_number(const gt_mbconv *block, const char *place)
{
    float number = 0.0f;
    uint16_t half = 0;
    switch (block->target) {
    case GT_MAP_U8:
        return (float)(uint8_t)*place * block->projection.scale;
    case GT_MAP_BF16:
        memcpy(&half, place, sizeof(half));
        return gt_from_bf16(half);
    case GT_MAP_FLOAT32:
        memcpy(&number, place, sizeof(number));
        break;
    }
    return number;
}

/* Run it with the stages of the block; the result as float32, to be freed. */
static float *
run_block(const bench *job, gt_mbconv block)
{
    size_t size = count_numbers(job, block.to);
    size_t bytes = gt_mbconv_bytes(block.target);
    int rows = block.rows;
    gt_mbconv_prepare(&block);
    if (rows > 0) { /* which no image is then shared by its channels with */
        block.rows = rows < block.rows ? rows : block.rows;
        block.is_shared = false;
    }
    void *packed = NULL;
    void *scratch = NULL;
    CHECK(posix_memalign(&packed, 64, gt_mbconv_packed_size(&block)) == 0);
    CHECK(posix_memalign(&scratch, 64, gt_mbconv_scratch_size(&block)) == 0);
    memset(scratch, 0x7f, gt_mbconv_scratch_size(&block)); /* large numbers of any type */
    void *source = write_source(job);
    char *target = malloc(size * bytes);
    float *result = malloc(size * sizeof(float));
    memset(target, 0xff, size * bytes);
    gt_mbconv_pack(&block, &job->weights, packed);
    gt_mbconv_run(&block, source, packed, target, scratch);
    for (size_t i = 0; i < size; i++) {
        result[i] = read_number(&block, target + i * bytes);
    }
    free(target);
    free(source);
    free(scratch);
    free(packed);
    return result;
}

/* The cosine of the angle between two results. */
static double
cosine_to_wanted(const bench *job, const float *result)
{
    double product = 0.0;
    double squares = 1e-12;
    double wanted = 1e-12;
    for (size_t i = 0; i < count_numbers(job, job->block.to); i++) {
        product += result[i] * job->wanted[i];
        squares += (double)result[i] * result[i];
        wanted += job->wanted[i] * job->wanted[i];
    }
    return product / sqrt(squares * wanted);
}

/* max |result - wanted| / max |wanted|; INFINITY where a result is not finite. */
static double
distance_to_wanted(const bench *job, const float *result)
{
    double furthest = 0.0;
    double largest = 1e-3;
    for (size_t i = 0; i < count_numbers(job, job->block.to); i++) {
        double distance = fabs(result[i] - job->wanted[i]);
        furthest = distance < INFINITY ? fmax(furthest, distance) : INFINITY;
        largest = fmax(largest, fabs(job->wanted[i]));
    }
    return furthest / largest;
}

/* By the type between the convolutions: units in the last place of 24 bits, of 8, and of bytes. */
static const double tolerances[] = {2e-6, 0.01, 0.03};
static const double cosines[] = {1.0 - 1e-10, 1.0 - 1e-4, 1.0 - 5e-4};

static void
check_result(const bench *job, const float *result)
{
    gt_map_type type = job->block.type;
    CHECK_CLOSE(distance_to_wanted(job, result), 0.0, tolerances[type]);
    CHECK(cosine_to_wanted(job, result) >= cosines[type]);
}

/* Whether two ways to the same results give the same bits; sums of bfloat16 are rounded otherwise by
 * the instruction for them. */
static void
check_same(const bench *job, const float *result, const float *other)
{
    size_t size = count_numbers(job, job->block.to);
    if (job->block.type == GT_MAP_BF16) {
        CHECK_CLOSE(gt_distance(result, other, (int64_t)size), 0.0, 0.01);
        return;
    }
    CHECK(memcmp(result, other, size * sizeof(float)) == 0);
}

/* In plain C, in vectors where this processor has them, with threads and with few rows at a time. */
static void
verify(gt_mbconv block)
{
    bench job;
    gt_mbconv plain = block;
    plain.is_plain = true;
    CHECK(gt_mbconv_is_supported(&plain));
    start_bench(&job, block);
    float *twin = run_block(&job, plain);
    check_result(&job, twin);
    if (gt_mbconv_is_supported(&block)) {
        float *result = run_block(&job, block);
        check_result(&job, result);
        check_same(&job, result, twin);
        for (int threads = 1; threads <= 4; threads++) {
            for (int rows = 0; rows < 3; rows++) { /* 0: as many as are best */
                gt_mbconv shared = block;
                shared.threads = threads;
                shared.rows = rows;
                float *other = run_block(&job, shared);
                CHECK(memcmp(result, other, count_numbers(&job, block.to) * sizeof(float)) == 0);
                free(other);
            }
        }
        free(result);
    }
    else {
        CHECK(!gt_mbconv_is_available(block.type));
    }
    free(twin);
    end_bench(&job);
}

/* A block with the padding of TensorFlow's SAME, or of one more to the left. */
static gt_mbconv
describe(int batch, gt_shape from, int channels, int out, int size, int stride, bool shifted,
         gt_map_type type)
{
    gt_shape to = {(from.height + stride - 1) / stride, (from.width + stride - 1) / stride, out};
    int down = (to.height - 1) * stride + size - from.height;
    int across = (to.width - 1) * stride + size - from.width;
    int middle = (size - 1) / 2;
    bool bytes = type == GT_MAP_U8;
    gt_mbconv block = {.batch = batch,
                       .from = from,
                       .to = to,
                       .inner = {from.height, from.width, channels},
                       .expansion_size = 1,
                       .expansion_stride = 1,
                       .has_expansion = channels != from.channels,
                       .has_residual = stride == 1 && out == from.channels,
                       .size = size,
                       .stride = stride,
                       .before = {shifted || down < 0 ? middle : down / 2,
                                  shifted || across < 0 ? middle : across / 2},
                       .type = type,
                       .source = type,
                       .target = bytes ? GT_MAP_FLOAT32 : type,
                       .source_scale = bytes ? 1.0f / SIGNED_STEPS : 1.0f,
                       .expansion = {0.0f, 1.5f, 1.0f},
                       .depthwise = {0.0f, 2.0f, 1.0f},
                       .projection = {-INFINITY, INFINITY, 1.0f},
                       .threads = 1};
    if (bytes) {
        block.source = block.target = batch % 2 == 0 ? GT_MAP_BF16 : GT_MAP_FLOAT32;
    }
    block.has_residual = block.has_residual && block.source != GT_MAP_U8;
    return block;
}

static void
test_shapes(void)
{
    static const int shapes[][7] = {
        /* height, width, in, channels, out, size, stride */
        {1, 1, 8, 16, 8, 3, 1},     {1, 1, 4, 24, 12, 5, 1},    {2, 3, 8, 40, 8, 5, 2},
        {7, 7, 16, 96, 16, 5, 1},   {9, 14, 24, 144, 40, 3, 1}, {14, 9, 12, 33, 7, 5, 2},
        {17, 13, 16, 48, 24, 3, 2}, {8, 8, 32, 32, 16, 3, 1},   {15, 20, 20, 20, 20, 5, 1},
        {11, 16, 24, 24, 9, 3, 2},  {12, 28, 8, 80, 80, 5, 2},  {5, 31, 4, 64, 112, 3, 1},
        {30, 5, 4, 17, 4, 3, 1},    {6, 10, 20, 50, 20, 5, 1},  {10, 33, 8, 16, 70, 5, 2},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const int *s = shapes[i];
        for (int type = 0; type < 3; type++) {
            gt_shape from = {s[0], s[1], s[2]};
            verify(
                describe(1 + (int)i % 3, from, s[3], s[4], s[5], s[6], false, (gt_map_type)type));
            verify(describe(1 + (int)(i + 1) % 2, from, s[3], s[4], s[5], s[6], true,
                            (gt_map_type)type));
        }
    }
}

static void
test_channels_that_fill_no_word(void)
{
    verify(describe(1, (gt_shape){6, 5, 7}, 21, 5, 3, 1, false, GT_MAP_FLOAT32));
    verify(describe(1, (gt_shape){6, 5, 6}, 21, 5, 3, 1, false, GT_MAP_BF16));
    gt_mbconv odd = describe(1, (gt_shape){6, 5, 7}, 21, 5, 3, 1, false, GT_MAP_BF16);
    odd.is_plain = true;
    CHECK(!gt_mbconv_is_supported(&odd));
}

static void
test_bytes_read_as_they_are(void)
{
    gt_mbconv block = describe(2, (gt_shape){9, 10, 16}, 48, 24, 3, 1, false, GT_MAP_U8);
    block.source = GT_MAP_U8;
    verify(block);
}

/* The first layers of a network: few channels in, rows that are read with their padding. */
static void
test_first_layers(void)
{
    static const int shapes[][6] = {
        /* height, width, of the source's padding, size, stride, channels in */
        {15, 18, 0, 3, 2, 3},
        {14, 9, 1, 3, 2, 3},
        {9, 8, 1, 3, 1, 4},
        {17, 20, 2, 5, 2, 1},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const int *s = shapes[i];
        for (int type = 0; type < 4; type++) {
            gt_shape inner = {(s[0] + s[4] - 1) / s[4], (s[1] + s[4] - 1) / s[4], 5};
            gt_mbconv block =
                describe(2, inner, 32, 16, 3, 1, false, type == 3 ? GT_MAP_U8 : (gt_map_type)type);
            block.from = (gt_shape){s[0], s[1], s[5]};
            block.expansion_size = s[3];
            block.expansion_stride = s[4];
            block.expansion_before[0] = block.expansion_before[1] = s[2];
            if (type == GT_MAP_U8) {
                block.source = GT_MAP_U8;
                block.source_zero = 127;
            }
            block.source = type == 3 ? GT_MAP_FLOAT32 : block.source;
            verify(block);
        }
    }
}

/* Without padding the last rows of a map may be read by no result. */
static void
test_rows_that_nobody_reads(void)
{
    for (int type = 0; type < 3; type++) {
        for (int size = 3; size <= 5; size += 2) {
            gt_mbconv block =
                describe(1, (gt_shape){16, 13, 8}, 40, 12, size, 2, true, (gt_map_type)type);
            block.before[0] = 0;
            block.to.height = (block.inner.height - size) / 2; /* of which one more had room */
            verify(block);
        }
    }
}

static void
test_bytes_written(void)
{
    gt_mbconv block = describe(2, (gt_shape){9, 10, 16}, 48, 23, 5, 2, false, GT_MAP_U8);
    block.target = GT_MAP_U8;
    block.projection = (gt_mbconv_result){0.0f, 1.2f, 1.2f / 255};
    verify(block);
    block = describe(1, (gt_shape){9, 10, 24}, 24, 40, 3, 1, false, GT_MAP_U8);
    block.target = GT_MAP_U8;
    block.projection = (gt_mbconv_result){0.0f, INFINITY, 1.2f / 255};
    verify(block);
}

static void
test_bounds_of_the_result(void)
{
    for (int type = 0; type < 3; type++) {
        gt_mbconv block = describe(1, (gt_shape){8, 9, 16}, 48, 16, 3, 1, false, (gt_map_type)type);
        block.projection = (gt_mbconv_result){0.0f, 0.5f, 1.0f};
        verify(block);
    }
}

static void
test_what_cannot_be_run(void)
{
    gt_mbconv block = describe(1, (gt_shape){8, 9, 16}, 48, 16, 3, 1, false, GT_MAP_FLOAT32);
    block.is_plain = true;
    CHECK(gt_mbconv_is_supported(&block));
    gt_mbconv other = block;
    other.size = 7;
    CHECK(!gt_mbconv_is_supported(&other));
    other = block;
    other.stride = 3;
    CHECK(!gt_mbconv_is_supported(&other));
    other = block;
    other.before[0] = 3;
    CHECK(!gt_mbconv_is_supported(&other));
    other = block;
    other.target = GT_MAP_BF16;
    CHECK(!gt_mbconv_is_supported(&other));
    other = describe(1, (gt_shape){8, 9, 16}, 48, 16, 3, 1, false, GT_MAP_U8);
    other.is_plain = true;
    CHECK(gt_mbconv_is_supported(&other));
    other.before[1] = 0;
    CHECK(!gt_mbconv_is_supported(&other));
    other.before[1] = 1;
    other.depthwise.high = INFINITY;
    CHECK(!gt_mbconv_is_supported(&other));
    other.depthwise.high = 2.0f;
    other.source = GT_MAP_U8;
    CHECK(!gt_mbconv_is_supported(&other)); /* to which nothing is added */
    other.has_residual = false;
    CHECK(gt_mbconv_is_supported(&other));
}

static void
test_all(void)
{
    RUN(test_shapes);
    RUN(test_channels_that_fill_no_word);
    RUN(test_bytes_read_as_they_are);
    RUN(test_first_layers);
    RUN(test_rows_that_nobody_reads);
    RUN(test_bytes_written);
    RUN(test_bounds_of_the_result);
    RUN(test_what_cannot_be_run);
}

int
main(void)
{
    check_on_older(dnnl_cpu_isa_avx512_core, test_all); /* first: oneDNN is not asked yet */
    check_on_older(dnnl_cpu_isa_avx2, test_all);
    check_on_older(dnnl_cpu_isa_sse41, test_all);
    test_all();
    return check_report();
}
