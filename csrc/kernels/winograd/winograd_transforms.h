/* The transforms of Winograd's convolution in plain arithmetic on vectors of channels, for each of
 * the sources that know a processor's vectors.  Such a source includes common/simd_... before, and
 * defines:
 *
 *     INLINE_STAGE   what stands before each function here
 *     STAGE          the same of a function that is called
 *     load_sums      read a point of a tile; how it is stored depends on the weights
 *     store_points   write it */
#include "kernels/winograd/winograd_stages.h"
#include "kernels/winograd/winograd_types.h"

enum { TILE = GT_WINOGRAD_TILE, MAX_RESULTS = TILE + 1 - 3 };

/* B^T d.  Row p holds the coefficients of the product of (x - q) over the points q other than p, in
 * ascending order; those of +-p share their even and, but for the sign, their odd ones.  Those of
 * +-2 are doubled: as int16 they use no fewer bits than the others. */
INLINE_STAGE void
transform_pixels(const vector d[TILE], vector out[TILE])
{
    vector even_half = add_times(4.0f, d[2], add_times(-5.0f, d[4], d[6]));
    vector odd_half = add_times(4.0f, d[1], add_times(-5.0f, d[3], d[5]));
    vector even_one = add_times(-4.25f, d[4], add(d[2], d[6]));
    vector odd_one = add_times(-4.25f, d[3], add(d[1], d[5]));
    vector even_two = add_times(0.5f, d[2], add_times(-2.5f, d[4], add(d[6], d[6])));
    vector odd_two = add_times(0.5f, d[1], add_times(-2.5f, d[3], add(d[5], d[5])));
    out[0] = add_times(5.25f, subtract(d[2], d[4]), subtract(d[6], d[0]));
    out[1] = add_times(0.5f, odd_half, even_half);
    out[2] = add_times(-0.5f, odd_half, even_half);
    out[3] = add(even_one, odd_one);
    out[4] = subtract(even_one, odd_one);
    out[5] = add_times(2.0f, odd_two, even_two);
    out[6] = add_times(-2.0f, odd_two, even_two);
    out[7] = add_times(5.25f, subtract(d[3], d[5]), subtract(d[7], d[1]));
}

/* A^T m.  Row k holds the k-th powers of the points, divided by what the rows of the tile and of
 * the kernel are multiplied by: twice GT_WINOGRAD_RAISE_... for +-2, 1 for +-1, 1/2 for the others;
 * infinity takes part in the highest only. */
INLINE_STAGE void
transform_products(const vector m[TILE], int results, vector out[MAX_RESULTS])
{
    const float two = 0.5f / (float)(results == 6 ? GT_WINOGRAD_RAISE_3X3 : GT_WINOGRAD_RAISE_5X5);
    vector even_half = add(m[1], m[2]);
    vector odd_half = subtract(m[1], m[2]);
    vector even_one = add(m[3], m[4]);
    vector odd_one = subtract(m[3], m[4]);
    vector even_two = add(m[5], m[6]);
    vector odd_two = subtract(m[5], m[6]);
    out[0] = add_times(2.0f, add(m[0], even_half), add_times(two, even_two, even_one));
    out[1] = add_times(2.0f * two, odd_two, add(odd_half, odd_one));
    out[2] = add_times(4.0f * two, even_two, add_times(0.5f, even_half, even_one));
    if (results == 4) {
        odd_one = add_times(2.0f, m[7], odd_one);
    }
    out[3] = add_times(8.0f * two, odd_two, add_times(0.25f, odd_half, odd_one));
    if (results == 6) {
        out[4] = add_times(16.0f * two, even_two, add_times(0.125f, even_half, even_one));
        odd_one = add_times(2.0f, m[7], odd_one);
        out[5] = add_times(32.0f * two, odd_two, add_times(0.0625f, odd_half, odd_one));
    }
}

INLINE_STAGE void
read_tile(const char *tile, size_t row, size_t pixel, gt_map_type type, gt_winograd_weights weights,
          char *out, size_t stride)
{
    vector halfway[TILE][TILE];
    for (int x = 0; x < TILE; x++) {
        const char *place = tile;
        vector column[TILE];
        vector result[TILE];
        for (int y = 0; y < TILE; y++) {
            column[y] = load(place, type);
            place += row;
        }
        transform_pixels(column, result);
        for (int y = 0; y < TILE; y++) {
            halfway[y][x] = result[y];
        }
        tile += pixel;
    }
    for (int y = 0; y < TILE; y++) {
        vector result[TILE];
        transform_pixels(halfway[y], result);
        for (int x = 0; x < TILE; x++) {
            store_points(out, result[x], weights);
            out += stride;
        }
    }
}

INLINE_STAGE void
write_tile(const char *sums, size_t stride, const gt_winograd_target *target, int results,
           gt_map_type type, gt_winograd_weights weights)
{
    const vector low = all(target->low);
    const vector high = all(target->high);
    const vector factor = all(target->factor);
    const vector addend = load((const char *)target->shift, GT_MAP_FLOAT32);
    const vector scales =
        type == GT_MAP_U8 ? load((const char *)target->scales, GT_MAP_FLOAT32) : addend;
    vector halfway[MAX_RESULTS][TILE];
    for (int x = 0; x < TILE; x++) {
        const char *place = sums;
        vector column[TILE];
        vector result[MAX_RESULTS];
        for (int y = 0; y < TILE; y++) {
            column[y] = load_sums(place, weights);
            place += TILE * stride;
        }
        transform_products(column, results, result);
        for (int y = 0; y < results; y++) {
            halfway[y][x] = result[y];
        }
        sums += stride;
    }
    char *row = target->place;
    for (int y = 0; y < results && y < target->height; y++) {
        char *place = row;
        vector result[MAX_RESULTS];
        transform_products(halfway[y], results, result);
        for (int x = 0; x < results && x < target->width; x++) {
            vector sum =
                type == GT_MAP_U8 ? add_product(scales, result[x], addend) : add(result[x], addend);
            vector value = min_of(high, max_of(low, sum)); /* lets NaN through */
            if (type == GT_MAP_U8) {
                value = multiply(value, factor);
            }
            store(place, value, type);
            place += target->pixel;
        }
        row += target->row;
    }
}

/* A stage of that name for maps of one type beside weights of one type. */
#define DEFINE_READ(name, type, weights)                                                           \
    static STAGE void name(const char *tile, size_t row, size_t pixel, char *out, size_t stride)   \
    {                                                                                              \
        read_tile(tile, row, pixel, type, weights, out, stride);                                   \
    }
#define DEFINE_WRITE(name, results, type, weights)                                                 \
    static STAGE void name(const char *sums, size_t stride, const gt_winograd_target *target)      \
    {                                                                                              \
        write_tile(sums, stride, target, results, type, weights);                                  \
    }
