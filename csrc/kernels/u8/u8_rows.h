/* What bytes.c does with the channels of one pixel, in plain C and for processors with AVX2
 * or AVX-512: the results are the same. */
#ifndef GT_U8_ROWS_H
#define GT_U8_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The pixels that make one. */
typedef struct {
    const uint8_t *first;
    int height;
    int width;
    size_t row;   /* bytes from a row to the next */
    size_t pixel; /* bytes from a pixel to the next */
    int channels;
    int factor; /* 2^15 / pixels, for the mean; at most 2^15 - 1 */
} gt_u8_window;

/* A row of windows three pixels wide, each one pixel further than the last. */
typedef struct {
    const uint8_t *first; /* of the uppermost row that the windows share with the map */
    int height;           /* rows that they share */
    int width;            /* of the map */
    size_t row;           /* bytes from a row to the next */
    int channels;
    int before;     /* pixels of the first window left of the map: 0, 1 or 2 */
    int count;      /* of windows */
    int factors[4]; /* for windows that have so many pixels across in the map */
} gt_u8_strip;

/* How many pixels of the window that begins at column `start` lie in the map. */
static inline int
gt_u8_strip_width(const gt_u8_strip *strip, int start)
{
    int end = start + 3 < strip->width ? start + 3 : strip->width;
    return end - (start > 0 ? start : 0);
}

typedef struct {
    void (*largest)(const gt_u8_window *window, uint8_t *out);
    void (*mean)(const gt_u8_window *window, uint8_t *out);
    void (*means_of_three)(const gt_u8_strip *strip, uint8_t *out);
    void (*copy)(const uint8_t *from, size_t count, uint8_t *to);
} gt_u8_rows;

/* For any processor. */
gt_u8_rows gt_u8_rows_plain(void);

/* With AVX-512; all NULL where the compiler makes none. */
gt_u8_rows gt_u8_rows_avx512(void);

/* With AVX2; all NULL where the compiler makes none. */
gt_u8_rows gt_u8_rows_avx2(void);

#endif
