#include <math.h>
#include <string.h>

#include "common/bf16.h"
#include "kernels/mbconv/mbconv.h"
#include "kernels/mbconv/mbconv_stages.h"

enum { CACHE_LINE = 64, LARGEST_WEIGHT = 127 /* in 8 bits */, LARGEST_WORD = 32767 };

static int
groups_of_expansion(const gt_mbconv *block)
{
    return block->expansion_size * gt_mbconv_expansion_groups(block);
}

static int
groups_of_projection(const gt_mbconv *block)
{
    return gt_mbconv_vectors(block, block->inner.channels) * block->lanes /
           gt_mbconv_inner_group(block->type);
}

/* The next place after `size` bytes from `place` on, which is moved behind them. */
static size_t
take(size_t *place, size_t size)
{
    size_t begin = *place;
    *place += (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    return begin;
}

gt_mbconv_packed
gt_mbconv_lay_out(const gt_mbconv *block)
{
    size_t lanes = (size_t)block->lanes;
    size_t inner = (size_t)gt_mbconv_vectors(block, block->inner.channels);
    size_t outer = (size_t)gt_mbconv_vectors(block, block->to.channels);
    gt_mbconv_packed packed = {0};
    if (block->has_expansion) {
        size_t groups = (size_t)groups_of_expansion(block);
        packed.expansion = take(&packed.size, groups * inner * lanes * GT_MBCONV_WORD);
        packed.expansion_numbers = take(&packed.size, 2 * inner * lanes * sizeof(float));
    }
    packed.depthwise = take(&packed.size, inner * (size_t)block->size * gt_mbconv_row_bytes(block));
    packed.depthwise_numbers = take(&packed.size, 2 * inner * lanes * sizeof(float));
    size_t groups = (size_t)groups_of_projection(block);
    packed.projection = take(&packed.size, groups * outer * lanes * GT_MBCONV_WORD);
    packed.projection_numbers = take(&packed.size, 2 * outer * lanes * sizeof(float));
    return packed;
}

size_t
gt_mbconv_packed_size(const gt_mbconv *block)
{
    return gt_mbconv_lay_out(block).size;
}

/* The weights of one channel out, and what makes integers of them. */
typedef struct {
    const float *weights; /* every `stride`th */
    size_t stride;
    int count;
    float scale; /* number = integer * scale */
    float error; /* that rounding left of the last weight */
    int sum;     /* of the integers so far */
} channel;

/* The scale with which the largest weight becomes 127; 1 for a channel of zeros. */
static channel
start_channel(const float *weights, int stride, int count)
{
    channel own = {.weights = weights, .stride = (size_t)stride, .count = count};
    for (int i = 0; i < count; i++) {
        own.scale = fmaxf(own.scale, fabsf(weights[(size_t)i * own.stride]));
    }
    own.scale = own.scale > 0.0f ? own.scale / LARGEST_WEIGHT : 1.0f;
    return own;
}

/* The next integer.  What rounding leaves of a weight goes on to the next (error diffusion), so that
 * the sum stays the same to half a step. */
static int8_t
round_weight(channel *own, int i)
{
    float number = own->weights[(size_t)i * own->stride] / own->scale + own->error;
    long nearest = lrintf(number);
    nearest = nearest > LARGEST_WEIGHT    ? LARGEST_WEIGHT
              : nearest < -LARGEST_WEIGHT ? -LARGEST_WEIGHT
                                          : nearest;
    own->error = number - (float)nearest;
    own->sum += (int)nearest;
    return (int8_t)nearest;
}

/* The scale with which 16-bit weights are as exact as they can be, if they meet integers of which the
 * largest is `number`: sums fit 32 bits. */
static float
scale_of_words(const channel *own, int number)
{
    float largest = 0.0f;
    float sum = 0.0f;
    for (int i = 0; i < own->count; i++) {
        float size = fabsf(own->weights[(size_t)i * own->stride]);
        largest = fmaxf(largest, size);
        sum += size;
    }
    float largest_sum =
        2147483647.0f / (float)number - (float)own->count; /* each may be rounded up */
    float scale = fmaxf(largest / LARGEST_WORD, sum / largest_sum);
    return scale > 0.0f ? scale : 1.0f;
}

/* An expansion or a projection to be packed. */
typedef struct {
    const float *kernel; /* (parts, in, out) */
    const float *shift;  /* (out,), or NULL for zeros */
    int parts;
    int in; /* channels of a part */
    int out;
    int groups;         /* that all channels in are packed to */
    bool in_words;      /* integers of 16 bits */
    float source_scale; /* of the integers that are read */
    float factor;       /* of the results */
    int zero;           /* the byte that stands for 0 */
    char *packed;
    float *scales;
    float *shifts;
} pointwise;

/* Where the weights of channel `out` begin, and in *step the bytes from a group to the next. */
static char *
find_channel(const gt_mbconv *block, const pointwise *convolution, int out, size_t *step)
{
    int vectors = gt_mbconv_vectors(block, convolution->out);
    int vector = out / block->lanes;
    char *tile = convolution->packed;
    int first = 0;
    size_t line = (size_t)block->lanes * GT_MBCONV_WORD;
    for (int width = gt_mbconv_tile(vectors, 0); first + width <= vector;
         width = gt_mbconv_tile(vectors, first)) {
        tile += (size_t)convolution->groups * (size_t)width * line;
        first += width;
    }
    *step = (size_t)gt_mbconv_tile(vectors, first) * line;
    return tile + (size_t)(vector - first) * line + (size_t)(out % block->lanes) * GT_MBCONV_WORD;
}

/* Weight `i` of a channel as it is packed; returns its bytes. */
static size_t
make_weight(const gt_mbconv *block, const pointwise *convolution, channel *own, int i, char *number)
{
    float weight = own->weights[(size_t)i * own->stride];
    float scaled = weight * convolution->factor;
    uint16_t half = gt_to_bf16(scaled);
    if (block->type == GT_MAP_FLOAT32) {
        memcpy(number, &scaled, sizeof(scaled));
        return sizeof(scaled);
    }
    if (block->type == GT_MAP_U8 && !convolution->in_words) {
        number[0] = (char)round_weight(own, i);
        return 1;
    }
    int16_t word = (int16_t)(block->type == GT_MAP_U8 ? lrintf(weight / own->scale) : 0);
    memcpy(number, block->type == GT_MAP_U8 ? (const void *)&word : (const void *)&half,
           sizeof(half));
    return sizeof(half);
}

static void
pack_channel(const gt_mbconv *block, const pointwise *convolution, int out)
{
    size_t step = 0;
    int groups = convolution->groups / convolution->parts;
    char *place = find_channel(block, convolution, out, &step);
    channel own = start_channel(convolution->kernel + out, convolution->out,
                                convolution->parts * convolution->in);
    own.scale = convolution->in_words ? scale_of_words(&own, GT_MBCONV_LARGEST_RESULT) : own.scale;
    for (int i = 0; i < own.count; i++) {
        char number[GT_MBCONV_WORD];
        size_t bytes = make_weight(block, convolution, &own, i, number);
        int group = GT_MBCONV_WORD / (int)bytes;
        int in = i % convolution->in;
        char *word = place + (size_t)(i / convolution->in * groups + in / group) * step;
        memcpy(word + (size_t)(in % group) * bytes, number, bytes);
    }
    float shift = convolution->shift != NULL ? convolution->shift[out] : 0.0f;
    convolution->shifts[out] = shift * convolution->factor;
    if (block->type == GT_MAP_U8) {
        float scale = convolution->source_scale * own.scale * convolution->factor;
        convolution->scales[out] = scale;
        convolution->shifts[out] -= scale * (float)(convolution->zero * own.sum);
    }
}

static void
pack_pointwise(const gt_mbconv *block, const pointwise *convolution)
{
    for (int out = 0; out < convolution->out; out++) {
        pack_channel(block, convolution, out);
    }
}

/* Write one weight of a row of a depthwise kernel to wherever results meet it; see
 * gt_mbconv_row_bytes. */
static void
spread_weight(const gt_mbconv *block, const void *weight, int x, int lane, char *row)
{
    int group = gt_mbconv_inner_group(block->type);
    int sides = gt_mbconv_sides(block->type, block->size);
    size_t bytes = gt_mbconv_inner_bytes(block->type);
    for (int phase = 0; phase < group; phase++) {
        int column = phase + x;
        int variant = phase * sides + column / group;
        memcpy(row + (size_t)(variant * block->lanes + lane) * GT_MBCONV_WORD +
                   (size_t)(column % group) * bytes,
               weight, bytes);
    }
}

/* The depthwise weights of channel `c`; returns their scale. */
static float
pack_depthwise_channel(const gt_mbconv *block, const gt_mbconv_weights *weights, int c,
                       char *packed)
{
    bool in_words = block->type != GT_MAP_FLOAT32;
    int taps = block->size * block->size;
    channel own = start_channel(weights->depthwise + c, block->inner.channels, taps);
    own.scale = scale_of_words(&own, GT_MBCONV_LARGEST);
    for (int i = 0; i < taps; i++) {
        float weight = own.weights[(size_t)i * own.stride];
        int16_t word = (int16_t)(in_words ? lrintf(weight / own.scale) : 0);
        spread_weight(block, in_words ? (const void *)&word : (const void *)&weight,
                      i % block->size, c % block->lanes,
                      packed + (size_t)(i / block->size) * gt_mbconv_row_bytes(block));
    }
    return own.scale;
}

/* What the depthwise results beside bytes are multiplied by, else 1. */
static float
result_factor(const gt_mbconv *block)
{
    return block->type == GT_MAP_U8 ? (float)GT_MBCONV_LARGEST_RESULT / block->depthwise.high
                                    : 1.0f;
}

static void
pack_depthwise(const gt_mbconv *block, const gt_mbconv_weights *weights, char *packed,
               float *scales, float *shifts)
{
    float factor = result_factor(block);
    size_t vector = (size_t)block->size * gt_mbconv_row_bytes(block);
    for (int c = 0; c < block->inner.channels; c++) {
        char *place = packed + (size_t)(c / block->lanes) * vector;
        float scale = pack_depthwise_channel(block, weights, c, place);
        float shift = weights->depthwise_shift != NULL ? weights->depthwise_shift[c] : 0.0f;
        scales[c] = scale / gt_mbconv_factor(block) * factor;
        shifts[c] = shift * factor;
    }
}

/* The scales of a stage and, in *shifts, what is added. */
static float *
numbers_at(void *packed, size_t place, const gt_mbconv *block, int channels, float **shifts)
{
    float *scales = (float *)(void *)((char *)packed + place);
    *shifts = scales + (size_t)gt_mbconv_vectors(block, channels) * (size_t)block->lanes;
    return scales;
}

void
gt_mbconv_pack(const gt_mbconv *block, const gt_mbconv_weights *weights, void *packed)
{
    gt_mbconv_packed places = gt_mbconv_lay_out(block);
    memset(packed, 0, places.size);
    if (block->has_expansion) {
        pointwise expansion = {.kernel = weights->expansion,
                               .shift = weights->expansion_shift,
                               .parts = block->expansion_size,
                               .in = block->expansion_size * block->from.channels,
                               .out = block->inner.channels,
                               .groups = groups_of_expansion(block),
                               .source_scale = block->source_scale,
                               .factor = gt_mbconv_factor(block),
                               .zero =
                                   block->source == GT_MAP_U8 ? block->source_zero : GT_MBCONV_ZERO,
                               .packed = (char *)packed + places.expansion};
        expansion.scales = numbers_at(packed, places.expansion_numbers, block,
                                      block->inner.channels, &expansion.shifts);
        pack_pointwise(block, &expansion);
    }
    float *shifts = NULL;
    float *scales =
        numbers_at(packed, places.depthwise_numbers, block, block->inner.channels, &shifts);
    pack_depthwise(block, weights, (char *)packed + places.depthwise, scales, shifts);
    pointwise projection = {.kernel = weights->projection,
                            .shift = weights->projection_shift,
                            .parts = 1,
                            .factor =
                                block->target == GT_MAP_U8 ? 1.0f / block->projection.scale : 1.0f,
                            .in = block->inner.channels,
                            .out = block->to.channels,
                            .groups = groups_of_projection(block),
                            .in_words = block->type == GT_MAP_U8,
                            .source_scale = 1.0f / result_factor(block),
                            .packed = (char *)packed + places.projection};
    projection.scales = numbers_at(packed, places.projection_numbers, block, block->to.channels,
                                   &projection.shifts);
    pack_pointwise(block, &projection);
}
