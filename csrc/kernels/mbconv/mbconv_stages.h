/* The stages of an inverted residual block, which mbconv.c puts together, and how what lies between
 * them is laid out.
 *
 * A vector is `lanes` channels of a pixel.  All numbers come in groups of 4 bytes, of one float32,
 * two numbers of 16 bits or four bytes, so that a vector of groups meets a vector of weights in one
 * instruction.
 *
 * Beside float32 all are float32.  Beside bfloat16 and bytes, which the expansion multiplies, what lies
 * between the convolutions are integers of 16 bits, which are more exact and nearly as fast: of what
 * the depthwise convolution reads the largest stands for the upper bound.  What it writes is bfloat16
 * beside bfloat16; beside bytes an integer of 11 bits, so that sums of many fit 32.
 *
 * Expanded rows are, for each vector of channels, so many rows of (columns / n, lanes, n) numbers: n
 * neighbouring columns are a group.  The depthwise results are, for each vector of channels,
 * (pixels, lanes): n neighbouring channels are a group.  So they are in the source.  Kernels of the
 * other convolutions come in tiles of up to GT_MBCONV_TILE vectors of channels out:
 * (channels in / n, vectors, lanes, n). */
#ifndef GT_MBCONV_STAGES_H
#define GT_MBCONV_STAGES_H

#include <stddef.h>
#include <stdint.h>

#include "common/unrolled.h"
#include "kernels/mbconv/mbconv_types.h"

enum {
    GT_MBCONV_TILE = 3,             /* vectors of channels out */
    GT_MBCONV_WORD = 4,             /* bytes of a group */
    GT_MBCONV_MAX_SIZE = 5,         /* of a depthwise kernel */
    GT_MBCONV_ZERO = 128,           /* the byte that stands for 0 in a source of signed numbers */
    GT_MBCONV_LARGEST = 32767,      /* integer that the depthwise convolution reads */
    GT_MBCONV_LARGEST_RESULT = 2047 /* that it writes */
};

/* A convolution of some pixels, to a tile of channels out: of the parts of each pixel that lie so far
 * apart, one for a 1x1 convolution of a map, several where channels are in blocks or a kernel has rows. */
typedef struct {
    const char *from; /* the first pixel */
    size_t pixel;     /* bytes from a pixel to the next */
    int parts;
    size_t part;         /* bytes from a part of a pixel to the next */
    int groups;          /* of a part */
    const char *weights; /* of the tile */
    const float *scales; /* (vectors * lanes,) of integers: result = sum * scale + shift */
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
    const float *scales; /* (lanes,) of integers */
    const float *shift;  /* (lanes,) */
    int columns;         /* of results */
    char *to;
} gt_mbconv_row;

typedef struct {
    int lanes; /* 0 where there are no stages */

    /* Write expanded pixels of one row. */
    void (*expand)(const gt_mbconv *block, const gt_mbconv_product *product);

    /* Expand nothing: bring a row of the source, of so many pixels, into the layout of expanded
     * rows, which are `vector` bytes apart. */
    void (*spread)(const gt_mbconv *block, const char *from, char *to, size_t vector);

    /* Make bytes of so many float numbers of the source, GT_MBCONV_ZERO for 0. */
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

/* Numbers of a group. */
static inline int
gt_mbconv_group(gt_map_type type)
{
    return type == GT_MAP_U8 ? 4 : type == GT_MAP_BF16 ? 2 : 1;
}

/* Bytes of a number. */
static inline size_t
gt_mbconv_bytes(gt_map_type type)
{
    return (size_t)(GT_MBCONV_WORD / gt_mbconv_group(type));
}

/* The same of what lies between the convolutions. */
static inline int
gt_mbconv_inner_group(gt_map_type type)
{
    return type == GT_MAP_FLOAT32 ? 1 : 2;
}

static inline size_t
gt_mbconv_inner_bytes(gt_map_type type)
{
    return (size_t)(GT_MBCONV_WORD / gt_mbconv_inner_group(type));
}

/* What expanded numbers are multiplied by to become integers, else 1. */
static inline float
gt_mbconv_factor(const gt_mbconv *block)
{
    return block->type != GT_MAP_FLOAT32 ? (float)GT_MBCONV_LARGEST / block->expansion.high : 1.0f;
}

/* Groups of columns that the results of a depthwise kernel meet, wherever in one they begin. */
static inline int
gt_mbconv_sides(gt_map_type type, int size)
{
    int group = gt_mbconv_inner_group(type);
    return (size + 2 * (group - 1)) / group;
}

/* Bytes of the weights of a row of a depthwise kernel, of one vector of channels: a vector for each
 * column of a group that results can begin at (the phase) and each group from there on. */
static inline size_t
gt_mbconv_row_bytes(const gt_mbconv *block)
{
    return (size_t)(gt_mbconv_inner_group(block->type) * gt_mbconv_sides(block->type, block->size) *
                    block->lanes) *
           GT_MBCONV_WORD;
}

/* The group of a column, which may lie in the padding to the left. */
static inline int
gt_mbconv_group_of(int column, int group)
{
    return column < 0 ? (column + 1) / group - 1 : column / group;
}

/* Groups of a part of the source that the expansion reads, a row of its kernel. */
static inline int
gt_mbconv_expansion_groups(const gt_mbconv *block)
{
    int group = gt_mbconv_group(block->type);
    return (block->expansion_size * block->from.channels + group - 1) / group;
}

/* Whether the expansion reads the source through a padded copy of some rows. */
static inline bool
gt_mbconv_has_padded_rows(const gt_mbconv *block)
{
    return block->has_expansion && (block->expansion_size > 1 || block->expansion_stride > 1);
}

/* The stages for maps of that type: in plain C, of so many lanes; on processors with AVX2 and FMA;
 * with AVX-512, AVX-512 BF16 and AVX-512 VNNI; none if the compiler did not know them. */
gt_mbconv_stages gt_mbconv_plain(gt_map_type type);
gt_mbconv_stages gt_mbconv_avx2(void);
gt_mbconv_stages gt_mbconv_avx512(void);
gt_mbconv_stages gt_mbconv_avx512_bf16(void);
gt_mbconv_stages gt_mbconv_avx512_vnni(void);

/* The stages for that block on this processor. */
gt_mbconv_stages gt_mbconv_choose(const gt_mbconv *block);

#endif
