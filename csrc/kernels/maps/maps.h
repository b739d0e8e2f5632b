/* What moves numbers of maps about, or takes two of them to one: memory is the limit of all of it.
 * Each element depends on its operands alone, or on sums in an order that neither batch nor threads
 * change. */
#ifndef GT_MAPS_H
#define GT_MAPS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/geometry.h"

enum { GT_MAPS_AXES = 6 };

/* --- two operands -------------------------------------------------------------------------- */

typedef enum {
    GT_BINARY_ADD,
    GT_BINARY_SUBTRACT,
    GT_BINARY_MULTIPLY,
    GT_BINARY_DIVIDE,
    GT_BINARY_MAXIMUM,
    GT_BINARY_MINIMUM,
    GT_BINARY_PRELU,   /* a where it is positive, else a b; b is float32 */
    GT_BINARY_SOFTSIGN /* a / (1 + |b|) */
} gt_binary_function;

typedef struct {
    gt_binary_function function;
    gt_map_type type; /* float32 or bfloat16 */
    float low;        /* bounds of the result */
    float high;
    int64_t extents[GT_MAPS_AXES]; /* of the result, which is dense; the last axis lies dense */
    int64_t a[GT_MAPS_AXES];       /* elements from one to the next along each axis; 0: repeated */
    int64_t b[GT_MAPS_AXES];       /* likewise; of the last axis 0 or 1 */
    int threads;
} gt_binary;

/* Join axes that lie behind each other, once all else is set. */
void gt_binary_prepare(gt_binary *binary);

void gt_binary_run(const gt_binary *binary, const void *a, const void *b, void *result);

/* --- copies -------------------------------------------------------------------------------- */

typedef struct {
    int size;                      /* bytes of an element: 2 or 4 */
    int64_t extents[GT_MAPS_AXES]; /* elements to copy along each axis */
    int64_t from[GT_MAPS_AXES];    /* elements from one to the next in the source; 0: repeated */
    int64_t to[GT_MAPS_AXES];      /* likewise in the target */
    int64_t first_from;
    int64_t first_to;
    int64_t filled; /* elements of the target that become `fill` before; 0 for none */
    float fill;
    int threads;
} gt_copy;

/* Join axes that lie behind each other, once all else is set. */
void gt_copy_prepare(gt_copy *copy);

void gt_copy_run(const gt_copy *copy, const void *source, void *target);

/* `batch` copies of `count` float32 as numbers of that type. */
void gt_repeat_run(const float *source, int64_t count, int batch, gt_map_type type, void *target);

/* --- over windows and channels, with channels last ----------------------------------------- */

typedef struct {
    int batch;
    gt_shape from;
    gt_map_type type;
    gt_reduction function;
    bool over_channels; /* else over the pixels of a map */
    int threads;
} gt_reduce;

void gt_reduce_run(const gt_reduce *reduce, const void *source, void *target);

/* Bilinear. */
typedef struct {
    int batch;
    gt_shape from;
    gt_shape to;
    gt_map_type type;
    gt_coordinates coordinates;
    int threads;
} gt_resize;

void gt_resize_run(const gt_resize *resize, const void *source, void *target);

/* x / (bias + alpha / size * sum of the squares of `size` channels around it)^beta */
typedef struct {
    int64_t pixels; /* of all images */
    int channels;
    gt_map_type type;
    int size;
    double alpha;
    double beta;
    double bias;
    int threads;
} gt_response_norm;

void gt_response_norm_run(const gt_response_norm *norm, const void *source, void *target);

/* Means of windows that may reach beyond the padding; what is there does not count, padding does. */
typedef struct {
    int batch;
    gt_shape from;
    gt_shape to;
    gt_map_type type;
    gt_window window;
    int threads;
} gt_mean_pool;

void gt_mean_pool_run(const gt_mean_pool *pool, const void *source, void *target);

#endif
