/* The stages in plain C, one number after the other: what the others compute, for any processor.
 * Float32 and bytes give the same bits as vectors do. */
#include <math.h>
#include <string.h>

#include "common/bf16.h"
#include "kernels/mbconv/mbconv_stages.h"

enum { LANES = 16 };

static float
read_number(const char *place, gt_map_type type)
{
    if (type == GT_MAP_U8) {
        return (float)(uint8_t)*place;
    }
    if (type == GT_MAP_BF16) {
        uint16_t half = 0;
        memcpy(&half, place, sizeof(half));
        return gt_from_bf16(half);
    }
    float number = 0.0f;
    memcpy(&number, place, sizeof(number));
    return number;
}

static void
write_number(char *place, gt_map_type type, float number)
{
    if (type == GT_MAP_U8) {
        *place = (char)(uint8_t)lrintf(fminf(fmaxf(number, 0.0f), 255.0f));
    }
    else if (type == GT_MAP_BF16) {
        uint16_t half = gt_to_bf16(number);
        memcpy(place, &half, sizeof(half));
    }
    else {
        memcpy(place, &number, sizeof(number));
    }
}

static float
bound(float number, float low, float high)
{
    return fminf(fmaxf(number, low), high);
}

static int
read_word(const char *place)
{
    int16_t word = 0;
    memcpy(&word, place, sizeof(word));
    return word;
}

/* The sum of a pixel's groups times those of one channel out, with shift and scale; `bytes` are those
 * of a number. */
static float
multiply(const gt_mbconv *block, const gt_mbconv_product *product, size_t bytes, int pixel,
         int channel)
{
    size_t line = (size_t)block->lanes * GT_MBCONV_WORD;
    const char *weights = product->weights + (size_t)(channel / block->lanes) * line +
                          (size_t)(channel % block->lanes) * GT_MBCONV_WORD;
    float sum = block->type == GT_MAP_U8 ? 0.0f : product->shift[channel];
    int32_t integer = 0;
    for (int part = 0; part < product->parts; part++) {
        const char *from =
            product->from + (size_t)pixel * product->pixel + (size_t)part * product->part;
        for (int i = 0; i < product->groups * GT_MBCONV_WORD; i += (int)bytes) {
            const char *weight = weights + i % GT_MBCONV_WORD;
            if (block->type != GT_MAP_U8) {
                sum =
                    fmaf(read_number(from + i, block->type), read_number(weight, block->type), sum);
            }
            else if (bytes == 1) {
                integer += (uint8_t)from[i] * (int8_t)*weight;
            }
            else {
                integer += read_word(from + i) * read_word(weight);
            }
            if ((i + (int)bytes) % GT_MBCONV_WORD == 0) {
                weights += (size_t)product->vectors * line;
            }
        }
    }
    return block->type == GT_MAP_U8
               ? fmaf((float)integer, product->scales[channel], product->shift[channel])
               : sum;
}

/* The place of an expanded number in a row. */
static size_t
place_of(const gt_mbconv *block, int column, int lane)
{
    int group = gt_mbconv_inner_group(block->type);
    return (size_t)(column / group * block->lanes + lane) * GT_MBCONV_WORD +
           (size_t)(column % group) * gt_mbconv_inner_bytes(block->type);
}

static void
write_word(char *place, float number, float largest)
{
    int16_t word = (int16_t)lrintf(bound(number, 0.0f, largest));
    memcpy(place, &word, sizeof(word));
}

/* Write an expanded number, which is scaled where it becomes an integer. */
static void
write_expanded(const gt_mbconv *block, char *place, float number)
{
    if (block->type != GT_MAP_FLOAT32) {
        write_word(place, number, GT_MBCONV_LARGEST);
        return;
    }
    write_number(place, GT_MAP_FLOAT32, bound(number, block->expansion.low, block->expansion.high));
}

static float
read_expanded(const gt_mbconv *block, const char *place)
{
    return block->type == GT_MAP_FLOAT32 ? read_number(place, GT_MAP_FLOAT32)
                                         : (float)read_word(place);
}

/* The columns of the last group that are not the map's are 0. */
static void
expand(const gt_mbconv *block, const gt_mbconv_product *product)
{
    int group = gt_mbconv_inner_group(block->type);
    int columns = (product->pixels + group - 1) / group * group;
    for (int channel = 0; channel < product->vectors * block->lanes; channel++) {
        char *row = product->to + (size_t)(channel / block->lanes) * product->to_vector;
        for (int x = 0; x < columns; x++) {
            char *place = row + place_of(block, x, channel % block->lanes);
            memset(place, 0, gt_mbconv_inner_bytes(block->type));
            if (x < product->pixels) {
                write_expanded(block, place,
                               multiply(block, product, gt_mbconv_bytes(block->type), x, channel));
            }
        }
    }
}

static void
spread(const gt_mbconv *block, const char *from, char *to, size_t vector)
{
    int group = gt_mbconv_inner_group(block->type);
    int width = block->inner.width;
    int columns = (width + group - 1) / group * group;
    size_t bytes = gt_mbconv_bytes(block->source);
    int channels = gt_mbconv_vectors(block, block->inner.channels) * block->lanes;
    for (int channel = 0; channel < channels; channel++) {
        char *row = to + (size_t)(channel / block->lanes) * vector;
        for (int x = 0; x < columns; x++) {
            float number = 0.0f;
            if (x < width && channel < block->inner.channels) {
                number = read_number(from + (size_t)(x * block->inner.channels + channel) * bytes,
                                     block->source);
            }
            char *place = row + place_of(block, x, channel % block->lanes);
            if (block->type == GT_MAP_FLOAT32) {
                write_number(place, GT_MAP_FLOAT32, number);
            }
            else {
                write_word(place, number * gt_mbconv_factor(block), GT_MBCONV_LARGEST);
            }
        }
    }
}

static void
narrow(const gt_mbconv *block, const char *from, size_t count, uint8_t *to)
{
    size_t bytes = gt_mbconv_bytes(block->source);
    float factor = 1.0f / block->source_scale;
    for (size_t i = 0; i < count; i++) {
        float number = read_number(from + i * bytes, block->source) * factor;
        to[i] =
            (uint8_t)(lrintf(bound(number, -GT_MBCONV_ZERO, GT_MBCONV_ZERO - 1)) + GT_MBCONV_ZERO);
    }
}

/* The weight of a tap for results that begin at column `start`. */
static float
weight_of(const gt_mbconv *block, const char *weights, int y, int x, int start, int lane)
{
    int group = gt_mbconv_inner_group(block->type);
    int phase = start - gt_mbconv_group_of(start, group) * group;
    int variant = phase * gt_mbconv_sides(block->type, block->size) + (phase + x) / group;
    const char *place = weights + (size_t)y * gt_mbconv_row_bytes(block) +
                        (size_t)(variant * block->lanes + lane) * GT_MBCONV_WORD +
                        (size_t)((phase + x) % group) * gt_mbconv_inner_bytes(block->type);
    return read_expanded(block, place);
}

/* Sums of integers are exact in double, those of float32 are rounded as vectors round them. */
static float
convolve_one(const gt_mbconv *block, const gt_mbconv_row *row, int result, int lane)
{
    enum { PADDING = 8 }; /* more than a kernel has, of whole groups */
    int start = result * block->stride - block->before[1];
    size_t back = place_of(block, PADDING, 0);
    float sum = row->shift[lane];
    double integers = 0.0;
    for (int y = 0; y < block->size; y++) {
        for (int x = 0; x < block->size; x++) {
            const char *place = row->rows[y] + place_of(block, start + x + PADDING, lane) - back;
            float number = read_expanded(block, place);
            float weight = weight_of(block, row->weights, y, x, start, lane);
            sum = fmaf(number, weight, sum);
            integers += (double)number * (double)weight;
        }
    }
    return block->type == GT_MAP_FLOAT32
               ? sum
               : fmaf((float)integers, row->scales[lane], row->shift[lane]);
}

static void
convolve(const gt_mbconv *block, const gt_mbconv_row *row)
{
    size_t bytes = gt_mbconv_inner_bytes(block->type);
    for (int x = 0; x < row->columns; x++) {
        for (int lane = 0; lane < block->lanes; lane++) {
            char *place = row->to + (size_t)(x * block->lanes + lane) * bytes;
            float number = convolve_one(block, row, x, lane);
            if (block->type == GT_MAP_U8) {
                write_word(place, number, GT_MBCONV_LARGEST_RESULT);
            }
            else {
                write_number(place, block->type,
                             bound(number, block->depthwise.low, block->depthwise.high));
            }
        }
    }
}

static void
project(const gt_mbconv *block, const gt_mbconv_product *product)
{
    size_t source = gt_mbconv_bytes(block->source);
    size_t target = gt_mbconv_bytes(block->target);
    for (int pixel = 0; pixel < product->pixels; pixel++) {
        for (int c = 0; c < product->channels && c < product->vectors * block->lanes; c++) {
            float number = multiply(block, product, gt_mbconv_inner_bytes(block->type), pixel, c);
            if (product->residual != NULL) {
                number += read_number(product->residual + (size_t)pixel * product->residual_pixel +
                                          (size_t)c * source,
                                      block->source);
            }
            write_number(product->to + (size_t)pixel * product->to_pixel + (size_t)c * target,
                         block->target, bound(number, product->low, product->high));
        }
    }
}

gt_mbconv_stages
gt_mbconv_plain(gt_map_type type)
{
    (void)type;
    return (gt_mbconv_stages){LANES, expand, spread, narrow, convolve, project};
}
