#include "head/head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/arithmetic.h"
#include "common/multiversion.h"
#include "threads/parallel.h"

#define BLOCK_ROWS 64 /* few enough to stay in the second-level cache */

/* Of the rows that one worker has seen. */
typedef struct {
    double count;
    double *mean;    /* (d,) */
    double *squares; /* (d,) sums of squared deviations from the mean */
} moments;

typedef struct {
    const gt_head_data *data;
    int64_t d;
    int workers;
    moments *found;  /* (workers,) */
    double *scratch; /* (workers, 2, d) */
} pass;

/* Add `count` rows of which mean and squares are known. */
GT_INLINE void
merge(moments *all, double count, const double *mean, const double *squares, int64_t d)
{
    const double whole = all->count + count;
    const double share = count / whole, weight = all->count * share;

    for (int64_t j = 0; j < d; j++) {
        const double distance = mean[j] - all->mean[j];

        all->mean[j] += distance * share;
        all->squares[j] += squares[j] + distance * distance * weight;
    }
    all->count = whole;
}

/* Add `count` rows from `start` on: deviations from the first of them give their mean, so that
 * those of equal numbers are exactly 0, and deviations from that their squares. */
GT_INLINE void
add_block(const pass *job, moments *all, double *scratch, int64_t start, int64_t count)
{
    const int64_t d = job->d;
    const float *first = gt_head_row(job->data, start, d);
    double *restrict mean = scratch;        /* (d,) */
    double *restrict squares = scratch + d; /* (d,) */

    memset(scratch, 0, (size_t)(2 * d) * sizeof(*scratch));
    for (int64_t i = 1; i < count; i++) {
        const float *row = gt_head_row(job->data, start + i, d);

        for (int64_t j = 0; j < d; j++) {
            mean[j] += (double)row[j] - (double)first[j];
        }
    }
    for (int64_t j = 0; j < d; j++) {
        mean[j] = (double)first[j] + mean[j] / (double)count;
    }
    for (int64_t i = 0; i < count; i++) {
        const float *row = gt_head_row(job->data, start + i, d);

        for (int64_t j = 0; j < d; j++) {
            const double distance = (double)row[j] - mean[j];

            squares[j] += distance * distance;
        }
    }
    merge(all, (double)count, mean, squares, d);
}

static void
add_block_plainly(const pass *job, moments *all, double *scratch, int64_t start, int64_t count)
{
    add_block(job, all, scratch, start, count);
}

GT_AVX2 static void
add_block_avx2(const pass *job, moments *all, double *scratch, int64_t start, int64_t count)
{
    add_block(job, all, scratch, start, count);
}

/* Blocks worker, worker + workers, ... of BLOCK_ROWS rows. */
static gt_status
pass_task(void *context, int worker, gt_error *error)
{
    const pass *job = context;
    const int64_t n = job->data->n;
    void (*add)(const pass *, moments *, double *, int64_t, int64_t) =
        gt_has_avx2() ? add_block_avx2 : add_block_plainly;

    (void)error;
    for (int64_t start = (int64_t)worker * BLOCK_ROWS; start < n;
         start += (int64_t)job->workers * BLOCK_ROWS) {
        add(job, &job->found[worker], job->scratch + worker * 2 * job->d, start,
            n - start < BLOCK_ROWS ? n - start : BLOCK_ROWS);
    }
    return GT_OK;
}

/* The memory of all workers in one block, which found[0].mean begins; NULL when memory is out. */
static gt_status
allocate(pass *job, gt_error *error)
{
    const size_t workers = (size_t)job->workers, d = (size_t)job->d;
    double *block = calloc(2 * workers * d, sizeof(*block));

    job->found = calloc(workers, sizeof(*job->found));
    job->scratch = calloc(2 * workers * d, sizeof(*job->scratch));
    if (block == NULL || job->found == NULL || job->scratch == NULL) {
        free(block);
        return gt_fail_memory(error, "the moments of the features");
    }
    for (size_t i = 0; i < workers; i++) {
        job->found[i].mean = block + 2 * i * d;
        job->found[i].squares = block + (2 * i + 1) * d;
    }
    return GT_OK;
}

gt_status
gt_head_standardise(const gt_head_data *data, int64_t d, int threads, float *mean,
                    float *inverse_deviation, gt_error *error)
{
    const int64_t blocks = gt_divide_up(data->n, BLOCK_ROWS);
    pass job = {.data = data, .d = d, .workers = blocks < threads ? (int)blocks : threads};
    gt_status status;

    if (data->n < 1 || d < 1 || threads < 1) {
        return gt_fail(error, GT_ERROR_ARGUMENT,
                       "there are %lld x %lld features and %d threads; give at least 1 of each",
                       (long long)data->n, (long long)d, threads);
    }
    status = allocate(&job, error);
    if (status == GT_OK) {
        status = gt_parallel(job.workers, 1, pass_task, &job, error);
    }
    for (int i = 1; status == GT_OK && i < job.workers; i++) {
        merge(&job.found[0], job.found[i].count, job.found[i].mean, job.found[i].squares, d);
    }
    for (int64_t j = 0; status == GT_OK && j < d; j++) {
        const double variance = job.found[0].squares[j] / (double)data->n;

        mean[j] = (float)job.found[0].mean[j];
        inverse_deviation[j] = variance > 0.0 ? (float)(1.0 / sqrt(variance)) : 1.0f;
    }
    if (job.found != NULL) {
        free(job.found[0].mean);
    }
    free(job.found);
    free(job.scratch);
    return status;
}
