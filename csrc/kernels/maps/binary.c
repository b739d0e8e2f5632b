/* Functions of two operands. */
#include <math.h>

#include "kernels/maps/maps_axes.h"
#include "kernels/maps/maps_elements.h"

enum { LAST = GT_MAPS_AXES - 1, PIECE = 4096 /* elements that a thread takes at a time */ };

void
gt_binary_prepare(gt_binary *binary)
{
    gt_maps_join_axes(binary->extents, binary->a, binary->b);
}

GT_INLINE float
apply(gt_binary_function function, float a, float b)
{
    switch (function) {
    case GT_BINARY_ADD:
        return a + b;
    case GT_BINARY_SUBTRACT:
        return a - b;
    case GT_BINARY_MULTIPLY:
        return a * b;
    case GT_BINARY_DIVIDE:
        return a / b;
    case GT_BINARY_MAXIMUM:
        return a > b ? a : b;
    case GT_BINARY_MINIMUM:
        return a < b ? a : b;
    case GT_BINARY_PRELU:
        return a > 0.0f ? a : a * b;
    case GT_BINARY_SOFTSIGN:
        break;
    }
    return a / (1.0f + fabsf(b));
}

/* A row of results; an operand is one number where its flag is not set. */
GT_INLINE void
compute(gt_binary_function function, gt_map_type type, bool a_runs, bool b_runs,
        const gt_binary *binary, const void *a, const void *b, void *result, int64_t count)
{
    const gt_map_type type_b = function == GT_BINARY_PRELU ? GT_MAP_FLOAT32 : type;
    const float low = binary->low;
    const float high = binary->high;
    for (int64_t i = 0; i < count; i++) {
        float value =
            apply(function, load(a, a_runs ? i : 0, type), load(b, b_runs ? i : 0, type_b));
        value = value < low ? low : value;
        store(result, i, value > high ? high : value, type);
    }
}

GT_INLINE void
compute_in(gt_binary_function function, gt_map_type type, const gt_binary *binary, const void *a,
           const void *b, void *result, int64_t count)
{
    if (binary->a[LAST] == 0) {
        compute(function, type, false, true, binary, a, b, result, count);
    }
    else if (binary->b[LAST] == 0) {
        compute(function, type, true, false, binary, a, b, result, count);
    }
    else {
        compute(function, type, true, true, binary, a, b, result, count);
    }
}

GT_INLINE void
compute_of(gt_binary_function function, const gt_binary *binary, const void *a, const void *b,
           void *result, int64_t count)
{
    if (binary->type == GT_MAP_BF16) {
        compute_in(function, GT_MAP_BF16, binary, a, b, result, count);
    }
    else {
        compute_in(function, GT_MAP_FLOAT32, binary, a, b, result, count);
    }
}

/* A loop for each function, type and way to read the operands. */
GT_INLINE void
compute_any(const gt_binary *binary, const void *a, const void *b, void *result, int64_t count)
{
    switch (binary->function) {
    case GT_BINARY_ADD:
        compute_of(GT_BINARY_ADD, binary, a, b, result, count);
        break;
    case GT_BINARY_SUBTRACT:
        compute_of(GT_BINARY_SUBTRACT, binary, a, b, result, count);
        break;
    case GT_BINARY_MULTIPLY:
        compute_of(GT_BINARY_MULTIPLY, binary, a, b, result, count);
        break;
    case GT_BINARY_DIVIDE:
        compute_of(GT_BINARY_DIVIDE, binary, a, b, result, count);
        break;
    case GT_BINARY_MAXIMUM:
        compute_of(GT_BINARY_MAXIMUM, binary, a, b, result, count);
        break;
    case GT_BINARY_MINIMUM:
        compute_of(GT_BINARY_MINIMUM, binary, a, b, result, count);
        break;
    case GT_BINARY_PRELU:
        compute_of(GT_BINARY_PRELU, binary, a, b, result, count);
        break;
    case GT_BINARY_SOFTSIGN:
        compute_of(GT_BINARY_SOFTSIGN, binary, a, b, result, count);
        break;
    }
}

static void
compute_row(const gt_binary *binary, const void *a, const void *b, void *result, int64_t count)
{
    compute_any(binary, a, b, result, count);
}

GT_AVX2 static void
compute_row_avx2(const gt_binary *binary, const void *a, const void *b, void *result, int64_t count)
{
    compute_any(binary, a, b, result, count);
}

GT_AVX512 static void
compute_row_avx512(const gt_binary *binary, const void *a, const void *b, void *result,
                   int64_t count)
{
    compute_any(binary, a, b, result, count);
}

void
gt_binary_run(const gt_binary *binary, const void *a, const void *b, void *result)
{
    void (*row)(const gt_binary *, const void *, const void *, void *, int64_t) =
        gt_has_avx512() ? compute_row_avx512
        : gt_has_avx2() ? compute_row_avx2
                        : compute_row;
    const gt_map_type type = binary->type;
    const gt_map_type type_b = binary->function == GT_BINARY_PRELU ? GT_MAP_FLOAT32 : type;
    int64_t length = binary->extents[LAST];
    int64_t pieces = (length + PIECE - 1) / PIECE;
    int64_t count = gt_maps_count(binary->extents, LAST) * pieces;
#pragma omp parallel for schedule(static) num_threads(binary->threads) if (binary->threads > 1)
    for (int64_t i = 0; i < count; i++) {
        int64_t line = i / pieces;
        int64_t first = i % pieces * PIECE;
        int64_t place_a = gt_maps_place(binary->extents, binary->a, LAST, line);
        int64_t place_b = gt_maps_place(binary->extents, binary->b, LAST, line);
        row(binary, element(a, place_a + first * binary->a[LAST], type),
            element(b, place_b + first * binary->b[LAST], type_b),
            element_to_write(result, line * length + first, type),
            length - first < PIECE ? length - first : PIECE);
    }
}
