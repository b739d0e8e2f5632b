/* Whole numbers: division that rounds up, and arrays that grow. */
#ifndef GT_ARITHMETIC_H
#define GT_ARITHMETIC_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* a / b, rounded up, for any a and b > 0; nothing on the way overflows. */
static inline int64_t
gt_divide_up(int64_t a, int64_t b)
{
    return a / b + (a % b > 0);
}

/* The next multiple of `unit` from a size on. */
static inline size_t
gt_round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

/* An array with room for twice as many items of that size, 64 at first; NULL when memory is out,
 * and then the old array is unchanged. */
static inline void *
gt_grow(void *items, int *capacity, size_t size)
{
    int wanted = *capacity == 0 ? 64 : 2 * *capacity;
    void *grown = realloc(items, (size_t)wanted * size);
    if (grown != NULL) {
        *capacity = wanted;
    }
    return grown;
}

#endif
