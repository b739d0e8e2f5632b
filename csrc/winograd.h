/* Convolution of stride 1 by Winograd's minimal filtering (Lavin and Gray 2016, "Fast algorithms
 * for convolutional neural networks"; points after Cook and Toom).  A tile of 6 x 6 pixels gives
 * m x m results of an r x r kernel, m + r - 1 = 6, with 36 multiplications a pair of channels: a
 * quarter of the 144 of the direct way for a 3x3 kernel, 36 for 100 for a 5x5 one. */
#ifndef GT_WINOGRAD_H
#define GT_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "graph.h"

enum {
    GT_WINOGRAD_TILE = 6,   /* pixels along a side */
    GT_WINOGRAD_POINTS = GT_WINOGRAD_TILE * GT_WINOGRAD_TILE,
    GT_WINOGRAD_LANES = 16, /* channels in a vector; channels in are a multiple of it */
    GT_WINOGRAD_COLS = 32,  /* channels out at a time, of which they are a multiple */
    GT_WINOGRAD_ROWS = 14   /* tiles at a time */
};

/* The points at which the polynomials are evaluated: 0, +-a, +-b and infinity.  With b = 1 / a the
 * errors are half of those with 1 and 2, and one multiplication falls away. */
#define GT_WINOGRAD_A (2.0 / 3.0)
#define GT_WINOGRAD_B (3.0 / 2.0)

/* Where a map has its numbers: distances in elements. */
typedef struct {
    size_t image;
    size_t row;
    size_t pixel;
    size_t group; /* from 16 channels of a pixel to the next 16 */
} gt_map_strides;

typedef struct {
    int batch;
    gt_shape from;
    gt_shape to;
    int before[2]; /* padding above and to the left */
    int size;      /* of the kernel: 3 or 5 */
    bool bf16;     /* type of both maps, else float32; all between them is float32 */
    float low;     /* bounds of the results */
    float high;
    gt_map_strides source;
    gt_map_strides target;
    int threads;
    int block;     /* tiles that a thread transforms at a time; set by gt_winograd_prepare */
} gt_winograd;

/* Whether this processor can run it, which ONEDNN_MAX_CPU_ISA may deny. */
bool gt_winograd_is_available(void);

/* Whether it should be faster than oneDNN's direct convolution of the same type.  Never depends on
 * the batch or the threads, on which features must not depend. */
bool gt_winograd_pays(const gt_winograd *winograd);

/* The strides of a map with channels last. */
gt_map_strides gt_winograd_channels_last(gt_shape shape);

/* The strides of a map in oneDNN's layout nChw16c. */
gt_map_strides gt_winograd_blocked(gt_shape shape);

/* Choose the size of blocks; everything else is set. */
void gt_winograd_prepare(gt_winograd *winograd);

/* Bytes that a run writes besides its result. */
size_t gt_winograd_scratch_size(const gt_winograd *winograd);

/* Numbers in the transformed kernel. */
int64_t gt_winograd_kernel_count(int channels_in, int channels_out);

/* Transform `kernel` (size, size, channels_in, channels_out) into `packed`. */
void gt_winograd_pack(const float *kernel, int size, int channels_in, int channels_out,
                      float *packed);

/* Convolve: `packed` is the transformed kernel, `shift` (channels_out,) is added to the results.
 * `scratch` is aligned to 64 bytes. */
void gt_winograd_run(const gt_winograd *winograd, const void *source, const float *packed,
                     const float *shift, void *target, void *scratch);

/* One block of a run: tiles first to first + count - 1, in the order of images, rows, columns.
 * For processors with AVX-512; winograd_avx512.c. */
void gt_winograd_run_block(const gt_winograd *winograd, const void *source, const float *packed,
                           const float *shift, void *target, float *scratch, int64_t first,
                           int count);

/* Results along the side of a tile. */
static inline int
gt_winograd_results(const gt_winograd *winograd)
{
    return GT_WINOGRAD_TILE + 1 - winograd->size;
}

/* Tiles along an axis of `extent` results. */
static inline int
gt_winograd_tiles(const gt_winograd *winograd, int extent)
{
    int results = gt_winograd_results(winograd);
    return (extent + results - 1) / results;
}

#endif
