/* The stages in plain C, for any processor. */
#include <math.h>
#include <string.h>

#include "common/bf16.h"
#include "kernels/attention/attention_stages.h"

enum { LANES = 4, STEP = 1 };

static float
number_of(uint32_t word)
{
    float number = 0.0f;
    memcpy(&number, &word, sizeof(number));
    return number;
}

static float
add_float32(uint32_t a, uint32_t b, float sum)
{
    return sum + number_of(a) * number_of(b);
}

static float
add_bf16(uint32_t a, uint32_t b, float sum)
{
    sum += gt_from_bf16((uint16_t)a) * gt_from_bf16((uint16_t)b);
    return sum + gt_from_bf16((uint16_t)(a >> 16)) * gt_from_bf16((uint16_t)(b >> 16));
}

static inline void
multiply(const gt_attention_product *product, float (*add_words)(uint32_t, uint32_t, float))
{
    for (int first = 0; first < product->columns; first += 2 * LANES) {
        int left = product->columns - first;
        int width = left < 2 * LANES ? left : 2 * LANES;
        const uint32_t *panel = product->right + (size_t)first * (size_t)product->words;
        for (int row = 0; row < product->rows; row++) {
            const uint32_t *words = product->left + (size_t)row * product->left_row;
            float *sums = product->sums + (size_t)row * product->sums_row + first;
            for (int c = 0; c < width; c++) {
                float sum = 0.0f;
                for (int w = 0; w < product->words; w++) {
                    sum = add_words(words[w], panel[w * width + c], sum);
                }
                sums[c] = sum;
            }
        }
    }
}

static void
multiply_float32(const gt_attention_product *product)
{
    multiply(product, add_float32);
}

static void
multiply_bf16(const gt_attention_product *product)
{
    multiply(product, add_bf16);
}

static float
weigh_float32(float *scores, const float *addend, int count, int columns, float scale)
{
    float largest = -INFINITY;
    float sum = 0.0f;
    for (int i = 0; i < count; i++) {
        scores[i] = scores[i] * scale + (addend != NULL ? addend[i] : 0.0f);
        largest = scores[i] > largest ? scores[i] : largest;
    }
    for (int i = 0; i < count; i++) {
        scores[i] = expf(scores[i] - largest);
        sum += scores[i];
    }
    for (int i = count; i < columns; i++) {
        scores[i] = 0.0f;
    }
    return sum;
}

static float
weigh_bf16(float *scores, const float *addend, int count, int columns, float scale)
{
    float sum = weigh_float32(scores, addend, count, columns, scale);
    for (int i = 0; i < columns; i++) {
        uint16_t half = gt_to_bf16(scores[i]);
        memcpy((char *)scores + (size_t)i * sizeof(half), &half, sizeof(half));
    }
    return sum;
}

static void
finish_float32(const float *sums, float factor, int count, void *target)
{
    float *numbers = target;
    for (int i = 0; i < count; i++) {
        numbers[i] = sums[i] * factor;
    }
}

static void
finish_bf16(const float *sums, float factor, int count, void *target)
{
    uint16_t *halves = target;
    for (int i = 0; i < count; i++) {
        halves[i] = gt_to_bf16(sums[i] * factor);
    }
}

gt_attention_stages
gt_attention_plain(gt_map_type type)
{
    gt_attention_stages float32 = {
        LANES, STEP, "attention:plain", multiply_float32, weigh_float32, finish_float32};
    gt_attention_stages bf16 = {LANES,         STEP,       "attention:plain",
                                multiply_bf16, weigh_bf16, finish_bf16};
    return type == GT_MAP_BF16 ? bf16 : float32;
}
