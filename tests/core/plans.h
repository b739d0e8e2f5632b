/* A network in every precision, at several batches and numbers of threads, beside the plain
 * evaluation: what the tests of single operations share. */
#ifndef GT_TEST_PLANS_H
#define GT_TEST_PLANS_H

#include "trial.h"

/* Greatest distances in float32, bfloat16 and, after a calibration, int8. */
typedef struct {
    double float32;
    double bf16;
    double int8;
} plan_bounds;

static inline gt_backbone *
make_plan(const trial *job, gt_precision precision, int threads)
{
    gt_graph graph = gt_net_graph(job->net, job->outputs, job->n);
    gt_backbone_config config = {
        .threads = threads, .sub_batch = 2, .precision = precision, .preprocessing = preprocessing};
    gt_backbone *backbone = NULL;
    CHECK(gt_backbone_create(&backbone, &graph, config, &error) == GT_OK);
    gt_graph_clear(&graph);
    return backbone;
}

static inline int64_t
output_size(const trial *job, int k, int count)
{
    return count * gt_shape_size(job->net->graph.nodes[job->outputs[k]].shape);
}

static inline void
calibrate(const trial *job)
{
    float *results[16] = {NULL};
    for (int k = 0; k < job->n; k++) {
        results[k] = malloc((size_t)output_size(job, k, MAX) * sizeof(float));
    }
    CHECK(gt_backbone_calibrate(job->backbone, job->images, MAX, results, &error) == GT_OK);
    for (int k = 0; k < job->n; k++) {
        free(results[k]);
    }
}

/* Whether the last output of the first image has the same bits in another plan and batch. */
static inline bool
has_same_bits(const trial *job, gt_precision precision)
{
    int last = job->n - 1;
    int64_t size = output_size(job, last, 1);
    float *results[2][16] = {{NULL}, {NULL}};
    trial other = *job;
    other.backbone = make_plan(job, precision, 4);
    const int counts[2] = {9, 1};
    const trial *jobs[2] = {job, &other};
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < job->n; k++) {
            results[i][k] = malloc((size_t)output_size(job, k, counts[i]) * sizeof(float));
        }
        CHECK(gt_backbone_run(jobs[i]->backbone, job->images, counts[i], results[i], &error) ==
              GT_OK);
    }
    bool same = memcmp(results[0][last], results[1][last], (size_t)size * sizeof(float)) == 0;
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < job->n; k++) {
            free(results[i][k]);
        }
    }
    gt_backbone_free(other.backbone);
    return same;
}

static inline void
verify_precision(trial *job, gt_precision precision, double bound, const char *what)
{
    static const int counts[] = {1, 5, 9};
    if (!gt_precision_is_fast(precision)) {
        return;
    }
    job->backbone = make_plan(job, precision, 2);
    if (precision == GT_PRECISION_INT8) {
        calibrate(job);
    }
    for (int i = 0; i < 3; i++) {
        double distance = distance_of_run(job, counts[i]);
        CHECK_CLOSE(distance, 0.0, bound);
        if (!(distance <= bound)) {
            fprintf(stderr, "    %s, precision %d, %d images\n", what, (int)precision, counts[i]);
        }
    }
    CHECK(precision == GT_PRECISION_INT8 || has_same_bits(job, precision));
    gt_backbone_free(job->backbone);
    job->backbone = NULL;
}

/* Verify those outputs of a network in every precision; the bound of int8 may be 0: not at all. */
static inline void
verify_plans(gt_net *net, const int *outputs, int n, plan_bounds bounds, const char *what)
{
    trial job;
    start_trial(&job, net, outputs, n);
    verify_precision(&job, GT_PRECISION_FLOAT32, bounds.float32, what);
    verify_precision(&job, GT_PRECISION_BF16, bounds.bf16, what);
    if (bounds.int8 > 0.0) {
        verify_precision(&job, GT_PRECISION_INT8, bounds.int8, what);
    }
    end_trial(&job);
}

#endif
