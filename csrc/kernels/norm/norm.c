#include "kernels/norm/norm.h"

#include <math.h>

#include "kernels/norm/norm_rows.h"

void
gt_layer_norm_run(const gt_norm *norm, const void *source, const float *gamma, const float *beta,
                  void *target)
{
    gt_norm_rows rows = gt_norm_choose(norm);
    int64_t count = (int64_t)norm->batch * norm->shape.height * norm->shape.width;
    size_t size = (size_t)norm->shape.channels * gt_norm_size(norm->type);
#pragma omp parallel for schedule(static) num_threads(norm->threads) if (norm->threads > 1)
    for (int64_t i = 0; i < count; i++) {
        rows.normalise((const char *)source + (size_t)i * size, gamma, beta, norm->shape.channels,
                       norm->epsilon, (char *)target + (size_t)i * size);
    }
}

void
gt_embedding_run(const gt_norm *norm, const void *source, const float *value, void *target)
{
    gt_norm_rows rows = gt_norm_choose(norm);
    int pixels = norm->shape.height * norm->shape.width;
    int64_t count = (int64_t)norm->batch * pixels;
    size_t channels = (size_t)norm->shape.channels;
    size_t size = channels * gt_norm_size(norm->type);
#pragma omp parallel for schedule(static) num_threads(norm->threads) if (norm->threads > 1)
    for (int64_t i = 0; i < count; i++) {
        rows.add((const char *)source + (size_t)i * size, value + (size_t)(i % pixels) * channels,
                 (int)channels, (char *)target + (size_t)i * size);
    }
}

/* Pixels of an image whose sums are made one by one: as many parts for any number of threads, for the
 * order of sums decides their last bits. */
enum { PARTS = 16 };

/* The parts of all images: their sums, and of each image the centres, factors and addends. */
typedef struct {
    const gt_norm *norm;
    gt_norm_rows rows;
    const char *source;
    char *target;
    float *sums;    /* (batch, PARTS, channels) */
    float *centres; /* (batch, channels) */
    float *factors; /* likewise */
    const float *beta;
} group_job;

size_t
gt_group_norm_scratch_size(const gt_norm *norm)
{
    return (size_t)norm->batch * (PARTS + 2) * (size_t)norm->shape.channels * sizeof(float);
}

static group_job
start_groups(const gt_norm *norm, const void *source, void *target, float *scratch)
{
    size_t all = (size_t)norm->batch * (size_t)norm->shape.channels;
    return (group_job){.norm = norm,
                       .rows = gt_norm_choose(norm),
                       .source = source,
                       .target = target,
                       .sums = scratch,
                       .centres = scratch + PARTS * all,
                       .factors = scratch + (PARTS + 1) * all};
}

typedef enum { ADD_UP, ADD_SQUARES, NORMALISE } group_pass;

/* One pass over one part of an image. */
static void
pass_over(const group_job *job, group_pass pass, int64_t index)
{
    int channels = job->norm->shape.channels;
    int64_t pixels = (int64_t)job->norm->shape.height * job->norm->shape.width;
    int64_t image = index / PARTS;
    int64_t part = index % PARTS;
    size_t row = (size_t)channels * gt_norm_size(job->norm->type);
    float *sums = job->sums + index * channels;
    for (int c = 0; c < channels && pass != NORMALISE; c++) {
        sums[c] = 0.0f;
    }
    for (int64_t i = pixels * part / PARTS; i < pixels * (part + 1) / PARTS; i++) {
        size_t place = (size_t)(image * pixels + i) * row;
        if (pass == NORMALISE) {
            job->rows.scale(job->source + place, job->centres + image * channels,
                            job->factors + image * channels, job->beta, channels,
                            job->target + place);
        }
        else {
            job->rows.add_up(job->source + place, job->centres + image * channels, channels,
                             pass == ADD_SQUARES, sums);
        }
    }
}

static void
pass_over_all(const group_job *job, group_pass pass)
{
#pragma omp parallel for schedule(static)                                                          \
    num_threads(job->norm->threads) if (job->norm->threads > 1)
    for (int64_t i = 0; i < (int64_t)job->norm->batch * PARTS; i++) {
        pass_over(job, pass, i);
    }
}

/* The mean of what was summed over a group of an image. */
static float
mean_of_group(const group_job *job, int image, int first, int width)
{
    const gt_norm *norm = job->norm;
    int64_t pixels = (int64_t)norm->shape.height * norm->shape.width;
    double total = 0.0;
    for (int part = 0; part < PARTS; part++) {
        const float *sums = job->sums + ((int64_t)image * PARTS + part) * norm->shape.channels;
        for (int c = first; c < first + width; c++) {
            total += (double)sums[c];
        }
    }
    return (float)(total / (double)(pixels * width));
}

/* Set what each channel of a group becomes, after its squares were summed; else its centre. */
static void
finish_group(const group_job *job, group_pass pass, int image, int group, const float *gamma)
{
    int channels = job->norm->shape.channels;
    int width = channels / job->norm->groups;
    int first = group * width;
    int64_t place = (int64_t)image * channels;
    float mean = mean_of_group(job, image, first, width);
    float ratio = 1.0f / sqrtf(mean + job->norm->epsilon);
    for (int c = first; c < first + width; c++) {
        if (pass == ADD_UP) {
            job->centres[place + c] = mean;
        }
        else {
            job->factors[place + c] = gamma[c] * ratio;
        }
    }
}

void
gt_group_norm_run(const gt_norm *norm, const void *source, const float *gamma, const float *beta,
                  void *target, float *scratch)
{
    group_job job = start_groups(norm, source, target, scratch);
    job.beta = beta;
    for (int64_t i = 0; i < (int64_t)norm->batch * norm->shape.channels; i++) {
        job.centres[i] = 0.0f;
    }
    for (int pass = ADD_UP; pass <= ADD_SQUARES; pass++) {
        pass_over_all(&job, (group_pass)pass);
        for (int64_t i = 0; i < (int64_t)norm->batch * norm->groups; i++) {
            finish_group(&job, (group_pass)pass, (int)(i / norm->groups), (int)(i % norm->groups),
                         gamma);
        }
    }
    pass_over_all(&job, NORMALISE);
}
