/* The three stages of Winograd's convolution, which winograd.c puts together.  Everywhere a vector
 * is so many channels of one point or pixel as the processor's registers have lanes. */
#ifndef GT_WINOGRAD_STAGES_H
#define GT_WINOGRAD_STAGES_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/winograd/winograd_types.h"

/* Where a vector of the results of a tile goes, and what becomes of it. */
typedef struct {
    char *place;
    size_t row;   /* bytes from a row to the next */
    size_t pixel; /* bytes from a pixel to the next */
    int height;   /* rows of results that lie in the map */
    int width;
    const float *shift; /* (lanes,) added to the results */
    float low;          /* their bounds */
    float high;
    const float *scales; /* (lanes,) by which sums become results; of uint8 maps only */
    float factor;        /* by which results become bytes */
} gt_winograd_target;

/* What a kernel is multiplied by at the points +-2, along each axis. */
enum { GT_WINOGRAD_RAISE_3X3 = 8, GT_WINOGRAD_RAISE_5X5 = 2 };

/* How transformed kernels store their numbers, and with them transformed tiles and sums. */
typedef enum {
    GT_WINOGRAD_FLOAT32,
    GT_WINOGRAD_FP16, /* IEEE 754's floats of 16 bits; the others float32 */
    GT_WINOGRAD_INT16 /* integers of 16 bits, tiles too; sums of 32 */
} gt_winograd_weights;

typedef struct {
    int lanes;    /* channels in a vector, 0 where there are no stages */
    int max_rows; /* of a product, even */
    gt_winograd_weights weights;

    /* B^T d B of a vector of a tile of 8 x 8 pixels, whose rows and pixels lie so many bytes
     * apart.  Point i goes to out + i * stride. */
    void (*read_tile)(const char *tile, size_t row, size_t pixel, char *out, size_t stride);

    /* sums (rows, 32) = tiles x kernel, where tiles are (groups, rows, lanes), for
     * lanes * groups channels, and kernel is (lanes * groups, 32), of int16
     * (lanes * groups / 2, 32, 2); rows is even. */
    void (*multiply)(const void *tiles, const void *kernel, int groups, int rows, void *sums);

    /* Convert 32 numbers of a kernel to fp16; NULL for other weights. */
    void (*narrow)(const float *numbers, uint16_t *fp16);

    /* A^T m A of a vector of a tile, written where it lies in the map; point i is at
     * sums + i * stride. */
    void (*write_tile)(const char *sums, size_t stride, const gt_winograd_target *target);
} gt_winograd_stages;

/* Bytes of 32 channels out of a transformed kernel, at one point and for one channel in. */
size_t gt_winograd_row_size(gt_winograd_stages stages);

/* Bytes of the transformed kernel without the scales before them. */
size_t gt_winograd_weights_size(const gt_winograd *winograd);

/* Where they begin in a packed kernel. */
const void *gt_winograd_weights_of(const gt_winograd *winograd, const void *packed);

/* The stages for a kernel of that size and maps of that type, on processors with AVX-512; of bytes
 * on those with VNNI, and none if the compiler did not know that. */
gt_winograd_stages gt_winograd_avx512(int size, gt_map_type type);

/* The stages for a kernel of that size and maps of float32 or bytes, on processors with AVX2 and
 * FMA; `int16` between uint8 maps, instead of fp16. */
gt_winograd_stages gt_winograd_avx2(int size, gt_map_type type, bool int16);

#endif
