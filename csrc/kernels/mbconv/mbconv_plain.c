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

/* The sum of a pixel's groups times those of one channel out, before or after shift and scale. */
static float
multiply(const gt_mbconv *block, const gt_mbconv_product *product, int pixel, int channel)
{
    size_t line = (size_t)block->lanes * GT_MBCONV_WORD;
    const char *weights = product->weights + (size_t)(channel / block->lanes) * line +
                          (size_t)(channel % block->lanes) * GT_MBCONV_WORD;
    size_t bytes = gt_mbconv_bytes(block->type);
    float sum = block->type == GT_MAP_U8 ? 0.0f : product->shift[channel];
    int32_t integer = 0;
    for (int part = 0; part < product->parts; part++) {
        const char *from =
            product->from + (size_t)pixel * product->pixel + (size_t)part * product->part;
        for (int group = 0; group < product->groups; group++) {
            for (size_t i = 0; i < GT_MBCONV_WORD; i += bytes) {
                const char *number = from + (size_t)group * GT_MBCONV_WORD + i;
                if (block->type == GT_MAP_U8) {
                    integer += (uint8_t)*number * (int8_t)weights[i];
                }
                else {
                    sum = fmaf(read_number(number, block->type),
                               read_number(weights + i, block->type), sum);
                }
            }
            weights += (size_t)product->vectors * line;
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
    int group = gt_mbconv_group(block->type);
    return (size_t)(column / group * block->lanes + lane) * GT_MBCONV_WORD +
           (size_t)(column % group) * gt_mbconv_bytes(block->type);
}

/* High bounds are of the numbers, not of their bytes. */
static float
high_of(const gt_mbconv *block, const gt_mbconv_result *result)
{
    return block->type == GT_MAP_U8 ? result->high / result->scale : result->high;
}

/* Write an expanded number, which is scaled to be an integer where it becomes one. */
static void
write_expanded(const gt_mbconv *block, char *place, float number)
{
    if (block->type == GT_MAP_BF16) {
        int16_t word = (int16_t)lrintf(bound(number, 0.0f, GT_MBCONV_LARGEST));
        memcpy(place, &word, sizeof(word));
        return;
    }
    write_number(place, block->type,
                 bound(number, block->expansion.low, high_of(block, &block->expansion)));
}

static float
read_expanded(const gt_mbconv *block, const char *place)
{
    int16_t word = 0;
    if (block->type == GT_MAP_BF16) {
        memcpy(&word, place, sizeof(word));
        return (float)word;
    }
    return read_number(place, block->type);
}

/* The columns of the last group that are not the map's are 0. */
static void
expand(const gt_mbconv *block, const gt_mbconv_product *product)
{
    int group = gt_mbconv_group(block->type);
    int columns = (product->pixels + group - 1) / group * group;
    for (int channel = 0; channel < product->vectors * block->lanes; channel++) {
        char *row = product->to + (size_t)(channel / block->lanes) * product->to_vector;
        for (int x = 0; x < columns; x++) {
            char *place = row + place_of(block, x, channel % block->lanes);
            memset(place, 0, gt_mbconv_bytes(block->type));
            if (x < product->pixels) {
                write_expanded(block, place, multiply(block, product, x, channel));
            }
        }
    }
}

static void
spread(const gt_mbconv *block, const char *from, char *to, size_t vector)
{
    int group = gt_mbconv_group(block->type);
    int width = block->from.width;
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
            if (block->type == GT_MAP_BF16) {
                write_expanded(block, place, number * gt_mbconv_factor(block));
            }
            else {
                write_number(place, block->type, number);
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
    int group = gt_mbconv_group(block->type);
    int phase = start - gt_mbconv_group_of(start, group) * group;
    int variant = phase * gt_mbconv_sides(block->type, block->size) + (phase + x) / group;
    const char *place = weights + (size_t)y * gt_mbconv_row_bytes(block) +
                        (size_t)(variant * block->lanes + lane) * GT_MBCONV_WORD +
                        (size_t)((phase + x) % group) * gt_mbconv_bytes(block->type);
    return block->type == GT_MAP_U8 ? (float)(int8_t)*place : read_expanded(block, place);
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
            integers += (double)number * weight;
        }
    }
    return block->type == GT_MAP_FLOAT32
               ? sum
               : fmaf((float)integers, row->scales[lane], row->shift[lane]);
}

static void
convolve(const gt_mbconv *block, const gt_mbconv_row *row)
{
    size_t bytes = gt_mbconv_bytes(block->type);
    for (int x = 0; x < row->columns; x++) {
        for (int lane = 0; lane < block->lanes; lane++) {
            float number = bound(convolve_one(block, row, x, lane), block->depthwise.low,
                                 high_of(block, &block->depthwise));
            write_number(row->to + (size_t)(x * block->lanes + lane) * bytes, block->type, number);
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
            float number = multiply(block, product, pixel, c);
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
