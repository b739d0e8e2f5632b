/* What describes a convolution on matrix units. */
#ifndef GT_AMX_TYPES_H
#define GT_AMX_TYPES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/geometry.h"

enum { GT_AMX_MAX_RUNS = 64 };

/* Taps of a kernel that are multiplied one after the other. */
typedef struct {
    int outer; /* place in the kernel along the copy's outer axis */
    int inner; /* that of the first tap along the inner axis; the next is a stride further */
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
    int before[2];      /* padding above and to the left */
    gt_map_type type;   /* of both maps, with channels last: bfloat16 or bytes */
    float source_scale; /* of the source's bytes */
    float result_scale; /* of the results' bytes */
    float low;          /* bounds of the results, 0 or more for bytes */
    float high;
    int pixel; /* channels of the array that the results are written to, theirs or more */
    int threads;
    bool is_plain;  /* without the matrix units: what they compute, for any processor */
    bool backwards; /* begin with the last results: what was written last is still in the caches */

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
    gt_amx_run runs[GT_AMX_MAX_RUNS];
} gt_amx;

#endif
