/* The file is compiled for any processor of the family; gt_amx_is_available tells where its
 * functions can run.  GT_WITHOUT_AMX is for an assembler that is older than the compiler. */
#include "kernels/amx/amx_tiles.h"

#if !defined(__x86_64__) || defined(GT_WITHOUT_AMX)
#define HAS_AMX 0
#elif defined(__clang__)
#define HAS_AMX (__clang_major__ >= 12)
#else
#define HAS_AMX (__GNUC__ >= 11)
#endif

bool
gt_amx_is_compiled(void)
{
    return HAS_AMX;
}

#if HAS_AMX

#include <immintrin.h>
#include <string.h>

#include "common/arithmetic.h"

#define TARGET target("avx512f,avx512bw,avx512bf16,amx-tile,amx-int8,amx-bf16")
#define AMX __attribute__((TARGET))
#define INLINE_AMX static inline __attribute__((always_inline, TARGET))

enum { COLS = GT_AMX_COLS, ROWS = GT_AMX_ROWS, MAX = 2, TILES = 8 };

/* Sums of up to 2 x 2 tiles as they are stored: rows of 32 channels. */
enum { SUMS_ROW = MAX * GT_AMX_STEP };

/* As the instructions read it. */
typedef struct {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_configuration;

/* To some compilers the instructions do not read the memory that they are pointed to. */
static inline void
write_memory(const void *place)
{
    __asm__ volatile("" : : "r"(place) : "memory");
}

/* Of tiles 0 to 3 the sums, 4 and 5 what is read, 6 and 7 the kernel. */
AMX void
gt_amx_begin(gt_amx_registers *before)
{
    tile_configuration all;
    memset(&all, 0, sizeof(all));
    all.palette = 1;
    for (int i = 0; i < TILES; i++) {
        all.row_bytes[i] = GT_AMX_STEP;
        all.rows[i] = ROWS;
    }
    _tile_storeconfig(before);
    write_memory(&all);
    _tile_loadconfig(&all);
}

AMX void
gt_amx_end(const gt_amx_registers *before)
{
    if (before->bytes[0] == 0) {
        _tile_release();
    }
    else {
        _tile_loadconfig(before);
    }
}

/* What becomes of the sums of some channels out. */
typedef struct {
    __m512 scales[MAX]; /* of bytes */
    __m512 shift[MAX];
    __m512 low;
    __m512 high;
    __m512 factor; /* of bytes */
} finish;

INLINE_AMX finish
prepare_finish(const gt_amx_product *product, bool is_u8, int n_columns)
{
    const gt_amx *amx = product->amx;
    finish last = {.factor = _mm512_set1_ps(is_u8 ? 1.0f / amx->result_scale : 1.0f)};
    last.low = _mm512_set1_ps(amx->low);
    last.high = _mm512_set1_ps(amx->high);
    for (int k = 0; k < n_columns; k++) {
        int channel = product->channel + k * COLS;
        last.shift[k] = _mm512_loadu_ps(product->shift + channel);
        last.scales[k] = is_u8 ? _mm512_mul_ps(_mm512_loadu_ps(product->scales + channel),
                                               _mm512_set1_ps(amx->source_scale))
                               : _mm512_set1_ps(1.0f);
    }
    return last;
}

/* A NaN stays one. */
INLINE_AMX __m512
finish_vector(const finish *last, bool is_u8, int k, const char *sums)
{
    __m512 value = is_u8
                       ? _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums)), last->scales[k])
                       : _mm512_load_ps(sums);
    value = _mm512_max_ps(last->low, _mm512_add_ps(value, last->shift[k]));
    return _mm512_min_ps(last->high, value);
}

INLINE_AMX void
write_result(const finish *last, bool is_u8, int n_columns, const char *sums, char *to)
{
    __m512 first = finish_vector(last, is_u8, 0, sums);
    if (is_u8) {
        for (int k = 0; k < n_columns; k++) {
            __m512 value = finish_vector(last, is_u8, k, sums + k * GT_AMX_STEP);
            __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(value, last->factor));
            _mm_storeu_si128((__m128i *)(void *)(to + k * COLS), _mm512_cvtusepi32_epi8(whole));
        }
    }
    else if (n_columns == MAX) {
        __m512 second = finish_vector(last, is_u8, 1, sums + GT_AMX_STEP);
        _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(second, first));
    }
    else {
        _mm256_storeu_si256((__m256i *)(void *)to, (__m256i)_mm512_cvtneps_pbh(first));
    }
}

/* Sums on their way to their places, where they are written while the next ones are computed. */
typedef struct {
    const char *sums;
    gt_amx_place place;
    gt_amx_place second; /* tile after this one */
    int left;            /* rows of sums */
    int pace;            /* rows to be written at each step of the next sums */
} written_later;

/* Write the next row of sums, where it belongs to the map. */
INLINE_AMX void
write_next(const gt_amx_layout *where, const finish *last, bool is_u8, int n_columns,
           written_later *later)
{
    if (later->place.column < where->width) {
        write_result(last, is_u8, n_columns, later->sums, later->place.to);
    }
    later->sums += SUMS_ROW;
    gt_amx_advance(where, &later->place);
    if (--later->left == ROWS) {
        later->place = later->second;
    }
}

/* Of tiles: sums += from * kernel; their numbers are part of the instruction. */
#define MULTIPLY_ADD(is_u8, sums, from, kernel)                                                    \
    do {                                                                                           \
        if (is_u8) {                                                                               \
            _tile_dpbusd(sums, from, kernel);                                                      \
        }                                                                                          \
        else {                                                                                     \
            _tile_dpbf16ps(sums, from, kernel);                                                    \
        }                                                                                          \
    } while (0)

/* The sums of n_tiles x n_columns tiles, which are constants where this is inlined. */
INLINE_AMX void
sum_up(const gt_amx_product *product, const gt_amx_layout *where, const finish *last, bool is_u8,
       int n_tiles, int n_columns, const gt_amx_place *places, written_later *later)
{
    const gt_amx *amx = product->amx;
    const size_t stride = amx->stride;
    const int n_runs = amx->n_runs;
    const char *kernel = product->kernel;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int i = 0; i < n_runs; i++) {
        const gt_amx_run run = amx->runs[i];
        const char *upper = places[0].from + run.offset;
        const char *lower = places[n_tiles - 1].from + run.offset;
        for (int step = 0; step < run.steps; step++) {
            _tile_loadd(4, upper, stride);
            if (n_tiles == MAX) {
                _tile_loadd(5, lower, stride);
            }
            _tile_loadd(6, kernel, GT_AMX_STEP);
            MULTIPLY_ADD(is_u8, 0, 4, 6);
            if (n_tiles == MAX) {
                MULTIPLY_ADD(is_u8, 2, 5, 6);
            }
            if (n_columns == MAX) {
                _tile_loadd(7, kernel + GT_AMX_TILE, GT_AMX_STEP);
                MULTIPLY_ADD(is_u8, 1, 4, 7);
                if (n_tiles == MAX) {
                    MULTIPLY_ADD(is_u8, 3, 5, 7);
                }
            }
            for (int k = 0; k < later->pace && later->left > 0; k++) {
                write_next(where, last, is_u8, n_columns, later);
            }
            kernel += n_columns * GT_AMX_TILE;
            upper += run.advance;
            lower += run.advance;
        }
    }
    while (later->left > 0) {
        write_next(where, last, is_u8, n_columns, later);
    }
}

INLINE_AMX void
keep_sums(int n_tiles, int n_columns, const gt_amx_place *places, char *sums, written_later *later)
{
    _tile_stored(0, sums, SUMS_ROW);
    if (n_columns == MAX) {
        _tile_stored(1, sums + GT_AMX_STEP, SUMS_ROW);
    }
    if (n_tiles == MAX) {
        _tile_stored(2, sums + ROWS * SUMS_ROW, SUMS_ROW);
        if (n_columns == MAX) {
            _tile_stored(3, sums + ROWS * SUMS_ROW + GT_AMX_STEP, SUMS_ROW);
        }
    }
    later->sums = sums;
    later->place = places[0];
    later->second = places[n_tiles - 1];
    later->left = n_tiles * ROWS;
}

INLINE_AMX void
multiply(const gt_amx_product *product, bool is_u8, int n_columns)
{
    char sums[MAX * ROWS * SUMS_ROW] __attribute__((aligned(64)));
    const finish last = prepare_finish(product, is_u8, n_columns);
    const gt_amx_layout where = gt_amx_layout_of(product->amx);
    const int count = product->tiles.count;
    const int n_steps = product->amx->n_steps;
    written_later later = {.pace = (int)gt_divide_up(MAX * ROWS, n_steps)};
    gt_amx_place places[MAX];
    int i = 0;
    for (; i + MAX <= count; i += MAX) {
        places[0] = gt_amx_place_of(product, i);
        places[1] = gt_amx_place_of(product, i + 1);
        sum_up(product, &where, &last, is_u8, MAX, n_columns, places, &later);
        keep_sums(MAX, n_columns, places, sums, &later);
    }
    if (i < count) {
        places[0] = gt_amx_place_of(product, i);
        sum_up(product, &where, &last, is_u8, 1, n_columns, places, &later);
        keep_sums(1, n_columns, places, sums, &later);
    }
    while (later.left > 0) {
        write_next(&where, &last, is_u8, n_columns, &later);
    }
}

INLINE_AMX void
multiply_any(const gt_amx_product *product, bool is_u8)
{
    if (product->n_columns == MAX) {
        multiply(product, is_u8, MAX);
    }
    else {
        multiply(product, is_u8, 1);
    }
}

AMX void
gt_amx_multiply(const gt_amx_product *product)
{
    write_memory(product->tiles.from);
    if (product->amx->type == GT_MAP_U8) {
        multiply_any(product, true);
    }
    else {
        multiply_any(product, false);
    }
}

#else

void
gt_amx_begin(gt_amx_registers *before)
{
    (void)before;
}

void
gt_amx_end(const gt_amx_registers *before)
{
    (void)before;
}

void
gt_amx_multiply(const gt_amx_product *product)
{
    (void)product;
}

#endif
