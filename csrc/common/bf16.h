/* bfloat16: the upper half of a float32. */
#ifndef GT_BF16_H
#define GT_BF16_H

#include <stdint.h>
#include <string.h>

/* The nearest, ties to even; a NaN stays one. */
static inline uint16_t
gt_to_bf16(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
    uint32_t quiet = bits | UINT32_C(0x400000);
    return (uint16_t)(((bits & INT32_MAX) > UINT32_C(0x7f800000) ? quiet : rounded) >> 16);
}

static inline float
gt_from_bf16(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value = 0.0f;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

#endif
