/* The three stages of Winograd's convolution, which winograd.c puts together.  Everywhere a vector
 * is so many channels of one point or pixel as the processor's registers have lanes. */
#ifndef GT_WINOGRAD_STAGES_H
#define GT_WINOGRAD_STAGES_H

#include <stddef.h>
#include <stdint.h>

#include "winograd.h"

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
    float scale;  /* by which products become results, 1 but for bytes */
    float factor; /* by which results become bytes */
} gt_winograd_target;

typedef struct {
    int lanes;     /* channels in a vector, 0 where there are no stages */
    int most_rows; /* of a product, even */

    /* B^T d B of a vector of a tile of 8 x 8 pixels, whose rows and pixels lie so many bytes
     * apart.  Point i goes to out[i * stride]. */
    void (*read_tile)(const char *tile, size_t row, size_t pixel, float *out, size_t stride);

    /* products (rows, 32) = tiles x kernel, where tiles are (groups, rows, lanes), for
     * lanes * groups channels, and kernel is (lanes * groups, 32); rows is even. */
    void (*multiply)(const float *tiles, const void *kernel, int groups, int rows,
                     float *products);

    /* Make 32 numbers of a kernel those of 16 bits that `multiply` takes; NULL where it takes
     * float32. */
    void (*narrow)(const float *numbers, uint16_t *halves);

    /* A^T m A of a vector of a tile, written where it lies in the map; point i is
     * products[i * stride]. */
    void (*write_tile)(const float *products, size_t stride, const gt_winograd_target *target);
} gt_winograd_stages;

/* The stages for a kernel of that size and maps of float32 or bfloat16, on processors with
 * AVX-512. */
gt_winograd_stages gt_winograd_avx512(int size, gt_map_type type);

/* The stages for a kernel of that size and maps of float32 or bytes, on processors with AVX2 and
 * FMA. */
gt_winograd_stages gt_winograd_avx2(int size, gt_map_type type);

#endif
