/* A backbone beside the plain evaluation of its network: what the tests of the backbone share.
 * Include it in one file of each test program. */
#ifndef GT_TEST_TRIAL_H
#define GT_TEST_TRIAL_H

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "runtime/backbone.h"
#include "twin.h"

enum { MAX = 16 }; /* images in one call */

static const gt_preprocessing preprocessing = {.scale = 1.0f / 127.5f, .offset = -1.0f};
static gt_error error;

static inline gt_backbone *
make(const gt_net *net, const int *outputs, int n_outputs, int threads, int sub_batch)
{
    gt_graph graph = gt_net_graph(net, outputs, n_outputs);
    gt_backbone_config config = {
        .threads = threads, .sub_batch = sub_batch, .preprocessing = preprocessing};
    gt_backbone *backbone = NULL;
    error.message[0] = '\0';
    gt_status status = gt_backbone_create(&backbone, &graph, config, &error);
    CHECK(status == GT_OK && backbone != NULL && graph.count == 0);
    gt_graph_clear(&graph);
    return backbone;
}

static inline uint8_t *
make_images(gt_net *net, int count)
{
    int64_t size = count * gt_shape_size(net->graph.nodes[0].shape);
    uint8_t *images = malloc((size_t)size);
    for (int64_t i = 0; i < size; i++) {
        images[i] = (uint8_t)gt_net_choice(net, 0, 255);
    }
    return images;
}

/* What a run gives and what it should give. */
typedef struct {
    gt_backbone *backbone;
    uint8_t *images; /* (MAX, ...) */
    gt_twin twin;    /* of MAX images */
    int *outputs;    /* (n,) */
    int n;
    const gt_net *net;
    gt_preprocessing pixels; /* what a test of its own takes them for */
} trial;

/* The largest distance over the outputs of one run; INFINITY when it failed.  Each output has
 * memory of exactly its size, so that the sanitizer sees one number too many. */
static inline double
distance_of_run(const trial *job, int count)
{
    float *results[16] = {NULL};
    double furthest = 0.0;
    for (int k = 0; k < job->n; k++) {
        gt_shape shape = job->net->graph.nodes[job->outputs[k]].shape;
        size_t size = (size_t)(count * gt_shape_size(shape)) * sizeof(float);
        results[k] = malloc(size + (size == 0));
        memset(results[k], 0xff, size); /* not a number */
    }
    gt_error own = {""};
    if (gt_backbone_run(job->backbone, job->images, count, results, &own) != GT_OK) {
        fprintf(stderr, "    %s\n", own.message);
        furthest = INFINITY;
    }
    for (int k = 0; k < job->n; k++) {
        int64_t size = count * gt_shape_size(job->net->graph.nodes[job->outputs[k]].shape);
        double distance = gt_distance(results[k], job->twin.values[job->outputs[k]], size);
        furthest = distance > furthest ? distance : furthest;
        free(results[k]);
    }
    return furthest;
}

static inline void
start_trial(trial *job, gt_net *net, const int *outputs, int n)
{
    job->net = net;
    job->n = n;
    job->outputs = malloc((size_t)n * sizeof(int));
    memcpy(job->outputs, outputs, (size_t)n * sizeof(int));
    job->images = make_images(net, MAX);
    job->twin = gt_twin_run(&net->graph, job->images, MAX, preprocessing);
    job->pixels = preprocessing;
    job->backbone = NULL;
}

static inline void
end_trial(trial *job)
{
    gt_backbone_free(job->backbone);
    gt_twin_clear(&job->twin);
    free(job->images);
    free(job->outputs);
}

#endif
