/* Keys and values as the product reads them. */
#include <string.h>

#include "kernels/attention/attention_stages.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Tokens and words that are moved at a time. */
enum { BLOCK = 4 };

/* Word w of a row, with zeros behind its last number. */
static uint32_t
word_at(const char *row, size_t size, int w)
{
    uint32_t word = 0;
    size_t place = (size_t)w * sizeof(word);
    if (row != NULL && place < size) {
        memcpy(&word, row + place, size - place < sizeof(word) ? size - place : sizeof(word));
    }
    return word;
}

/* Four words of four rows, transposed. */
static void
transpose(const char *const *rows, size_t place, uint32_t *target, size_t step)
{
#ifdef __SSE2__
    __m128 a = _mm_loadu_ps((const float *)(const void *)(rows[0] + place));
    __m128 b = _mm_loadu_ps((const float *)(const void *)(rows[1] + place));
    __m128 c = _mm_loadu_ps((const float *)(const void *)(rows[2] + place));
    __m128 d = _mm_loadu_ps((const float *)(const void *)(rows[3] + place));
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps((float *)(void *)target, a);
    _mm_storeu_ps((float *)(void *)(target + step), b);
    _mm_storeu_ps((float *)(void *)(target + 2 * step), c);
    _mm_storeu_ps((float *)(void *)(target + 3 * step), d);
#else
    for (int i = 0; i < BLOCK; i++) {
        for (int w = 0; w < BLOCK; w++) {
            memcpy(target + (size_t)w * step + i, rows[i] + place + (size_t)w * sizeof(*target),
                   sizeof(*target));
        }
    }
#endif
}

/* Columns in the panel that begins with this one. */
static int
panel_width(int column, int columns, int lanes)
{
    return columns - column < 2 * lanes ? columns - column : 2 * lanes;
}

/* Four rows as the words of four columns. */
static void
pack_block(const char *const *rows, int present, size_t size, uint32_t *target, size_t step)
{
    const char *block[BLOCK] = {NULL};
    int words = (int)((size + sizeof(uint32_t) - 1) / sizeof(uint32_t));
    int whole = (int)(size / sizeof(uint32_t)) / BLOCK * BLOCK;
    for (int i = 0; i < present; i++) {
        block[i] = rows[i];
    }
    for (int w = 0; w < (present == BLOCK ? whole : 0); w += BLOCK) {
        transpose(block, (size_t)w * sizeof(uint32_t), target + (size_t)w * step, step);
    }
    for (int w = present == BLOCK ? whole : 0; w < words; w++) {
        for (int i = 0; i < BLOCK; i++) {
            target[(size_t)w * step + (size_t)i] = word_at(block[i], size, w);
        }
    }
}

void
gt_attention_pack_columns(gt_map_type type, const char *const *rows, int count, int columns,
                          int numbers, int lanes, uint32_t *packed)
{
    size_t size = (size_t)numbers * gt_attention_size(type);
    size_t words = (size_t)gt_attention_words(type, numbers);
    for (int first = 0; first < columns; first += 2 * lanes) {
        int width = panel_width(first, columns, lanes);
        uint32_t *panel = packed + (size_t)first * words;
        for (int i = 0; i < width; i += BLOCK) {
            int left = count - first - i;
            int present = left < 0 ? 0 : left < BLOCK ? left : BLOCK;
            pack_block(rows + first + (present > 0 ? i : 0), present, size, panel + i,
                       (size_t)width);
        }
    }
}

/* Numbers from `first` on of one row, with zeros behind its last. */
static void
copy_numbers(const char *row, int numbers, int first, int width, uint32_t *target)
{
    int present = numbers - first < width ? numbers - first : width;
    present = present > 0 ? present : 0;
    memcpy(target, row + (size_t)first * sizeof(*target), (size_t)present * sizeof(*target));
    memset(target + present, 0, (size_t)(width - present) * sizeof(*target));
}

static uint32_t
half_at(const char *row, int i)
{
    uint16_t half = 0;
    memcpy(&half, row + (size_t)i * sizeof(half), sizeof(half));
    return half;
}

/* Numbers from `first` on of two rows, number by number in turn; `odd` may be NULL for zeros. */
static void
pair_numbers(const char *even, const char *odd, int numbers, int first, int width, uint32_t *target)
{
    int i = 0;
    int present = numbers - first < width ? numbers - first : width;
#ifdef __SSE2__
    for (; odd != NULL && i + 8 <= present; i += 8) {
        size_t place = (size_t)(first + i) * sizeof(uint16_t);
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(even + place));
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(odd + place));
        _mm_storeu_si128((__m128i *)(void *)(target + i), _mm_unpacklo_epi16(a, b));
        _mm_storeu_si128((__m128i *)(void *)(target + i + 4), _mm_unpackhi_epi16(a, b));
    }
#endif
    for (; i < present; i++) {
        target[i] = half_at(even, first + i) | (odd != NULL ? half_at(odd, first + i) << 16 : 0);
    }
    for (; i < width; i++) {
        target[i] = 0;
    }
}

void
gt_attention_pack_rows(gt_map_type type, const char *const *rows, int count, int columns,
                       int numbers, int lanes, uint32_t *packed)
{
    int words = gt_attention_words(type, count);
    for (int first = 0; first < columns; first += 2 * lanes) {
        int width = panel_width(first, columns, lanes);
        for (int w = 0; w < words; w++) {
            uint32_t *target = packed + (size_t)first * (size_t)words + (size_t)w * (size_t)width;
            if (type == GT_MAP_BF16) {
                const char *odd = 2 * w + 1 < count ? rows[2 * w + 1] : NULL;
                pair_numbers(rows[2 * w], odd, numbers, first, width, target);
            }
            else {
                copy_numbers(rows[w], numbers, first, width, target);
            }
        }
    }
}
