/* The stages of an inverted residual block, which mbconv.c puts together, and how what lies between
 * them is laid out.
 *
 * A vector is `lanes` channels of a pixel.  Expanded rows are, for each vector of channels, so many
 * rows of (columns, lanes) float32, or of bytes in quads of columns: (columns / 4, lanes, 4).  The
 * depthwise results are, for each vector of channels, (pixels, lanes) of the block's type.
 * Kernels of 1x1 convolutions come in tiles of up to GT_MBCONV_TILE vectors of channels out:
 * (channels in / n, vectors, lanes, n) with n = 1 for float32, 2 for bfloat16, 4 for bytes, so that
 * 4 bytes of a pixel meet one vector of weights. */
#ifndef GT_MBCONV_STAGES_H
#define GT_MBCONV_STAGES_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/mbconv/mbconv_types.h"

enum {
    GT_MBCONV_TILE = 3,     /* vectors of channels out */
    GT_MBCONV_WORD = 4,     /* bytes of a pixel that meet one vector of weights */
    GT_MBCONV_QUAD = 4,     /* columns of bytes that lie side by side */
    GT_MBCONV_MAX_SIZE = 5, /* of a depthwise kernel */
    GT_MBCONV_VARIANTS = 8, /* of a row of a depthwise kernel of bytes */
    GT_MBCONV_ZERO = 128    /* the byte that stands for 0 in a source of signed numbers */
};

/* A 1x1 convolution of some pixels, to a tile of channels out. */
typedef struct {
    const char *from;    /* the first pixel */
    size_t pixel;        /* bytes from a pixel to the next */
    int parts;           /* into which the channels in are divided */
    size_t part;         /* bytes from a part of a pixel to the next */
    int words;           /* of a part */
    const char *weights; /* of the tile */
    const float *scales; /* (vectors * lanes,) of bytes: result = sum * scale + shift */
    const float *shift;  /* (vectors * lanes,) */
    int pixels;
    int vectors;
    float low; /* bounds of the results */
    float high;
    char *to;             /* the first result */
    size_t to_vector;     /* bytes from a vector of expanded channels to the next */
    size_t to_pixel;      /* bytes from a pixel of the target to the next */
    const char *residual; /* added to the results, with the target's distances; NULL for nothing */
    size_t residual_pixel;
    int channels; /* of the target, from this tile on */
} gt_mbconv_product;

/* A depthwise convolution of a row, of one vector of channels. */
typedef struct {
    const char *rows[GT_MBCONV_MAX_SIZE]; /* expanded rows, at their column 0 */
    const char *weights;
    const float *scales; /* (lanes,) of bytes */
    const float *shift;  /* (lanes,) */
    int columns;         /* of results */
    float low;
    float high;
    char *to;
} gt_mbconv_row;

typedef struct {
    int lanes; /* 0 where there are no stages */

    /* Write expanded pixels of one row. */
    void (*expand)(const gt_mbconv *block, const gt_mbconv_product *product);

    /* Expand nothing: bring a row of the source, of so many pixels, into the layout of expanded
     * rows, which are `vector` bytes apart. */
    void (*spread)(const gt_mbconv *block, const char *from, char *to, size_t vector);

    /* Make bytes of so many numbers of the source, GT_MBCONV_ZERO for 0. */
    void (*narrow)(const gt_mbconv *block, const char *from, size_t count, uint8_t *to);

    void (*convolve)(const gt_mbconv *block, const gt_mbconv_row *row);

    /* Write pixels of the target. */
    void (*project)(const gt_mbconv *block, const gt_mbconv_product *product);
} gt_mbconv_stages;

/* Where things lie in the packed weights: bytes from their begin. */
typedef struct {
    size_t expansion;
    size_t expansion_numbers; /* scales, then shifts */
    size_t depthwise;
    size_t depthwise_numbers;
    size_t projection;
    size_t projection_numbers;
    size_t size;
} gt_mbconv_packed;

gt_mbconv_packed gt_mbconv_lay_out(const gt_mbconv *block);

/* Vectors that hold so many channels. */
static inline int
gt_mbconv_vectors(const gt_mbconv *block, int channels)
{
    return (channels + block->lanes - 1) / block->lanes;
}

/* Vectors of the tile that begins with vector `first` of `vectors`: three, or two where one would
 * be left alone. */
static inline int
gt_mbconv_tile(int vectors, int first)
{
    int left = vectors - first;
    return left == 4 ? 2 : left < GT_MBCONV_TILE ? left : GT_MBCONV_TILE;
}

/* Channels of a word. */
static inline int
gt_mbconv_depth(gt_map_type type)
{
    return type == GT_MAP_U8 ? 4 : type == GT_MAP_BF16 ? 2 : 1;
}

/* Bytes of a number. */
static inline size_t
gt_mbconv_bytes(gt_map_type type)
{
    return (size_t)(4 / gt_mbconv_depth(type));
}

/* Bytes of the weights of a depthwise kernel of one vector of channels.  Of bytes, row by row, the
 * weights are laid out as results meet the quads of columns: for a result that begins at column
 * `phase` of a quad, variant 2 * phase has the weights for that quad, 2 * phase + 1 for the next. */
static inline size_t
gt_mbconv_depthwise_bytes(const gt_mbconv *block)
{
    size_t row = block->type == GT_MAP_U8 ? GT_MBCONV_VARIANTS * GT_MBCONV_QUAD
                                          : (size_t)block->size * sizeof(float);
    return (size_t)block->size * row * (size_t)block->lanes;
}

/* Bytes of an expanded number. */
static inline size_t
gt_mbconv_expanded_bytes(const gt_mbconv *block)
{
    return block->type == GT_MAP_U8 ? 1 : sizeof(float);
}

/* The quad of a column, which may lie in the padding to the left. */
static inline int
gt_mbconv_quad_of(int column)
{
    return column < 0 ? (column + 1) / GT_MBCONV_QUAD - 1 : column / GT_MBCONV_QUAD;
}

/* The stages for maps of that type: in plain C, of so many lanes; on processors with AVX2 and FMA;
 * with AVX-512, AVX-512 BF16 and AVX-512 VNNI; none if the compiler did not know them. */
gt_mbconv_stages gt_mbconv_plain(gt_map_type type);
gt_mbconv_stages gt_mbconv_avx512(void);
gt_mbconv_stages gt_mbconv_avx512_bf16(void);
gt_mbconv_stages gt_mbconv_avx512_vnni(void);

/* The stages for that block on this processor. */
gt_mbconv_stages gt_mbconv_choose(const gt_mbconv *block);

#endif
