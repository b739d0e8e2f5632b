/* The three stages of Winograd's convolution, which winograd.c puts together.  Everywhere a vector
 * is 16 channels of one point or pixel. */
#ifndef GT_WINOGRAD_STAGES_H
#define GT_WINOGRAD_STAGES_H

#include <stdbool.h>
#include <stddef.h>

/* Where 16 channels of the results of a tile go, and what becomes of them. */
typedef struct {
    char *place;
    size_t row;   /* bytes from a row to the next */
    size_t pixel; /* bytes from a pixel to the next */
    int height;   /* rows of results that lie in the map */
    int width;
    const float *shift; /* (16,) added to the results */
    float low;          /* their bounds */
    float high;
} gt_winograd_target;

typedef struct {
    /* B^T d B of 16 channels of a tile of 8 x 8 pixels, whose rows and pixels lie so many bytes
     * apart.  Point i goes to out[i * stride]. */
    void (*read_tile)(const char *tile, size_t row, size_t pixel, float *out, size_t stride);

    /* products (rows, 32) = tiles x kernel, where tiles are (groups, rows, 16), for 16 * groups
     * channels, and kernel is (16 * groups, 32); rows is even and at most 14. */
    void (*multiply)(const float *tiles, const float *kernel, int groups, int rows,
                     float *products);

    /* A^T m A of 16 channels of a tile, written where it lies in the map; point i is
     * products[i * stride]. */
    void (*write_tile)(const float *products, size_t stride, const gt_winograd_target *target);
} gt_winograd_stages;

/* The stages for a kernel of that size and maps of that type, on processors with AVX-512. */
gt_winograd_stages gt_winograd_avx512(int size, bool bf16);

#endif
