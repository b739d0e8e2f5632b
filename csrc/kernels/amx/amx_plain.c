#include <math.h>
#include <string.h>

#include "common/bf16.h"
#include "kernels/amx/amx_tiles.h"

enum { QUAD = 4 /* bytes of a column that lie side by side in a tile of a kernel */ };

static float
read_bf16(const char *place)
{
    uint16_t half = 0;
    memcpy(&half, place, sizeof(half));
    return gt_from_bf16(half);
}

/* The sum of what 64 bytes of a map and a column of a tile make, of integers that are exact in
 * it. */
static double
multiply_step(gt_map_type type, const char *from, const char *column)
{
    double sum = 0.0;
    for (int i = 0; i < GT_AMX_STEP; i += QUAD) {
        for (int k = 0; type == GT_MAP_U8 && k < QUAD; k++) {
            sum += (int)(uint8_t)from[i + k] * (int)(int8_t)column[k];
        }
        for (int k = 0; type == GT_MAP_BF16 && k < QUAD; k += 2) {
            sum += (double)read_bf16(from + i + k) * (double)read_bf16(column + k);
        }
        column += GT_AMX_STEP; /* from row to row of the tile */
    }
    return sum;
}

/* Channel `channel` of those of the product, of the result that reads at `from`. */
static float
sum_up(const gt_amx_product *product, const char *from, int channel)
{
    const gt_amx *amx = product->amx;
    size_t tile = (size_t)(channel / GT_AMX_COLS) * GT_AMX_TILE;
    const char *column = product->kernel + tile + (size_t)(channel % GT_AMX_COLS * QUAD);
    double sum = 0.0;
    for (int i = 0; i < amx->n_runs; i++) {
        const gt_amx_run *run = &amx->runs[i];
        for (int step = 0; step < run->steps; step++) {
            sum +=
                multiply_step(amx->type, from + run->offset + (size_t)step * run->advance, column);
            column += product->n_columns * GT_AMX_TILE;
        }
    }
    return (float)sum;
}

static void
write_number(const gt_amx_product *product, int channel, float value, char *to)
{
    const gt_amx *amx = product->amx;
    bool is_u8 = amx->type == GT_MAP_U8;
    int index = product->channel + channel;
    if (is_u8) {
        value *= product->scales[index] * amx->source_scale;
    }
    value += product->shift[index];
    value = amx->low > value ? amx->low : value; /* a NaN stays one */
    value = amx->high < value ? amx->high : value;
    if (is_u8) {
        float whole = rintf(value * (1.0f / amx->result_scale));
        to[channel] = (char)(uint8_t)(whole < 255.0f ? whole : 255.0f);
        return;
    }
    uint16_t half = gt_to_bf16(value);
    memcpy(to + (size_t)channel * sizeof(half), &half, sizeof(half));
}

void
gt_amx_multiply_plain(const gt_amx_product *product)
{
    const gt_amx_layout layout = gt_amx_layout_of(product->amx);
    for (int i = 0; i < product->tiles.count; i++) {
        gt_amx_place place = gt_amx_place_of(product, i);
        for (int row = 0; row < GT_AMX_ROWS; row++) {
            bool has_place = place.column < layout.width;
            for (int c = 0; has_place && c < product->n_columns * GT_AMX_COLS; c++) {
                write_number(product, c, sum_up(product, place.from, c), place.to);
            }
            gt_amx_advance(&layout, &place);
        }
    }
}
