/* Convolutions on the matrix units of a processor with AMX (Intel, "Architecture Instruction Set
 * Extensions Programming Reference", chapter 3), between maps of bfloat16 or of bytes.
 *
 * Sixteen results of sixteen channels out are a tile of registers.  What they read lies in a copy of
 * the map with its padding, or in the map itself, such that from one result to the next it always is
 * the same number of bytes, also from the end of a row to the next row: the few results between that
 * have no place in the map are computed and dropped.  For a stride of s the copy is of s x s maps,
 * each of the pixels that some taps of the kernel meet. */
#ifndef GT_AMX_H
#define GT_AMX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "graph.h"

enum { GT_AMX_MOST_RUNS = 64 };

/* Taps of a kernel that are multiplied one after the other. */
typedef struct {
    int outer; /* place in the kernel along the copy's outer axis */
    int inner; /* that of the first tap along the inner axis, from where it is a stride to the next */
    int taps;
    int steps;      /* of 64 bytes; what lies beyond the taps meets weights of 0 */
    size_t offset;  /* bytes from where a result reads to its first step */
    size_t advance; /* bytes from a step to the next */
} gt_amx_run;

typedef struct {
    int batch;
    gt_shape from;
    gt_shape to;
    int size[2]; /* of the kernel */
    int strides[2];
    int before[2];    /* padding above and to the left */
    gt_map_type type; /* of both maps, with channels last: bfloat16 or bytes */
    float source_step; /* of the source's bytes */
    float step;        /* of the results' bytes */
    float low;         /* bounds of the results, 0 or more for bytes */
    float high;
    int pixel; /* channels of the array that the results are written to, theirs or more */
    int threads;
    bool is_plain;  /* without the matrix units: what they compute, for any processor */
    bool backwards; /* begin with the last results, what was written last being in the caches still */

    /* What follows is set by gt_amx_prepare. */
    int axis;         /* of the map that is the copy's outer one */
    bool is_in_place; /* the map itself is read */
    bool is_grouped;  /* the copy has 64 bytes of all pixels, then the next 64 */
    int images;       /* at a time */
    int band;         /* rows of results at a time, all but where images is 1 */
    int parts;        /* into which the channels out are shared out to the threads */
    int columns;      /* results of a row, with those that have no place in the map */
    int width;        /* those that have one */
    size_t stride;    /* bytes from what a result reads to what the next one reads */
    size_t to_row;    /* bytes from a row of results to the next */
    size_t to_column;
    int n_steps; /* of all runs */
    int n_runs;
    gt_amx_run runs[GT_AMX_MOST_RUNS];
} gt_amx;

/* Whether this processor can run such convolutions, which ONEDNN_MAX_CPU_ISA may deny.  To be asked
 * before the first one runs: only then does the system let the process use the registers. */
bool gt_amx_is_offered(void);

/* Whether it can run this one, and whether one like this can be run at all.  Neither depends on the
 * batch or the threads, on which features must not depend. */
bool gt_amx_suits(const gt_amx *amx);
bool gt_amx_fits(const gt_amx *amx);

/* Choose how it runs. */
void gt_amx_prepare(gt_amx *amx);

/* Bytes that a run writes besides its results. */
size_t gt_amx_scratch_size(const gt_amx *amx);

/* Bytes of the packed kernel, a multiple of 64. */
size_t gt_amx_kernel_size(const gt_amx *amx);

/* Lay out a kernel (height, width, channels_in, channels_out): float32, which becomes bfloat16, or for
 * maps of bytes int8. */
void gt_amx_pack(const gt_amx *amx, const void *kernel, void *packed);

/* Convolve: `shift` (channels_out,) is added to the results; `steps` (channels_out,) are those of an
 * int8 kernel, else NULL.  `scratch` and `packed` are aligned to 64 bytes; behind a source of bytes 63
 * more must be readable.  A NaN in the source may also spoil a result beside those that read it. */
void gt_amx_convolve(const gt_amx *amx, const void *source, const void *packed, const float *shift,
                     const float *steps, void *target, void *scratch);

#endif
