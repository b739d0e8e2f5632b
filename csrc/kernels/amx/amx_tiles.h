/* Products of tiles of registers, which amx.c puts together to convolutions. */
#ifndef GT_AMX_PRODUCTS_H
#define GT_AMX_PRODUCTS_H

#include "kernels/amx/amx_types.h"

enum {
    GT_AMX_ROWS = 16, /* results in a tile */
    GT_AMX_COLS = 16, /* channels out of a tile */
    GT_AMX_STEP = 64, /* bytes of a row, of what is multiplied and of the sums */
    GT_AMX_TILE = GT_AMX_ROWS * GT_AMX_STEP /* bytes */
};

/* The results at hand: those of some images, or of a part of one, in tiles of sixteen of an image.
 * The last tile of an image begins so much earlier that it is whole. */
typedef struct {
    const char *from;  /* what the first result reads */
    char *to;          /* its place */
    size_t from_image; /* bytes from an image to the next */
    size_t to_image;
    int per_image; /* tiles */
    int count;
    int last; /* result that the last tile of an image begins with */
} gt_amx_tiles;

/* All those results, for one or two tiles of channels out. */
typedef struct {
    const gt_amx *amx;
    gt_amx_tiles tiles;
    const char *kernel;
    int n_columns;
    int channel;         /* first of the channels out */
    const float *shift;  /* (channels_out,) */
    const float *scales; /* (channels_out,) of an int8 kernel */
} gt_amx_product;

/* Sixteen results: what the first of them reads, its place, and its column among the results. */
typedef struct {
    const char *from;
    char *to;
    int column;
} gt_amx_place;

static inline gt_amx_place
gt_amx_place_of(const gt_amx_product *product, int index)
{
    const gt_amx *amx = product->amx;
    const gt_amx_tiles *tiles = &product->tiles;
    size_t image = (size_t)(index / tiles->per_image);
    size_t size = amx->type == GT_MAP_U8 ? 1 : sizeof(uint16_t);
    int first = index % tiles->per_image * GT_AMX_ROWS;
    first = first < tiles->last ? first : tiles->last;
    gt_amx_place place = {
        .from = tiles->from + image * tiles->from_image + (size_t)first * amx->stride,
        .to = tiles->to + image * tiles->to_image + (size_t)(first / amx->columns) * amx->to_row +
              (size_t)(first % amx->columns) * amx->to_column + (size_t)product->channel * size,
        .column = first % amx->columns};
    return place;
}

/* How the results lie; a copy of what a run knows, which no write to a map can change. */
typedef struct {
    int columns;
    int width;
    size_t stride;
    size_t to_column;
    ptrdiff_t to_next_row; /* bytes from beyond the end of a row to the next */
} gt_amx_layout;

static inline gt_amx_layout
gt_amx_layout_of(const gt_amx *amx)
{
    gt_amx_layout layout = {.columns = amx->columns,
                            .width = amx->width,
                            .stride = amx->stride,
                            .to_column = amx->to_column,
                            .to_next_row = (ptrdiff_t)amx->to_row -
                                           (ptrdiff_t)amx->columns * (ptrdiff_t)amx->to_column};
    return layout;
}

/* The place of the result after that; it has one in the map where its column is below the width. */
static inline void
gt_amx_advance(const gt_amx_layout *layout, gt_amx_place *place)
{
    place->from += layout->stride;
    place->to += layout->to_column;
    if (++place->column == layout->columns) {
        place->column = 0;
        place->to += layout->to_next_row;
    }
}

/* The tile registers of a thread, as it had them before. */
typedef struct {
    char bytes[64];
} gt_amx_registers;

/* Whether the compiler knew the instructions. */
bool gt_amx_is_compiled(void);

/* Products may be computed between these two. */
void gt_amx_begin(gt_amx_registers *before);
void gt_amx_end(const gt_amx_registers *before);

/* Sum up and write. */
void gt_amx_multiply(const gt_amx_product *product);

/* The same for any processor, slowly; sums of bfloat16 are rounded in another order. */
void gt_amx_multiply_plain(const gt_amx_product *product);

#endif
