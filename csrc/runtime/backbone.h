/* A network that runs: any number of images through plans for batches and for single images. */
#ifndef GT_BACKBONE_H
#define GT_BACKBONE_H

#include "graph/graph.h"
#include "runtime/executor.h"

typedef struct {
    int threads;   /* 1 to 4096 */
    int sub_batch; /* images that one thread takes at a time, 1 to 65536 */
    gt_precision precision;
    gt_preprocessing preprocessing;
} gt_backbone_config;

typedef struct gt_backbone gt_backbone;

/* Take over `graph` (emptied on success), whose shapes are inferred and outputs set, and optimise
 * it.  The data of its arrays must outlive the backbone.  On failure *backbone is NULL and the
 * graph, which may have been optimised in part, is still the caller's to clear. */
gt_status gt_backbone_create(gt_backbone **backbone, gt_graph *graph, gt_backbone_config config,
                             gt_error *error);

/* Accepts NULL. */
void gt_backbone_free(gt_backbone *backbone);

/* Shape of one image's output k, as asked for in gt_graph_set_outputs. */
gt_shape gt_backbone_output_shape(const gt_backbone *backbone, int k);

int gt_backbone_output_count(const gt_backbone *backbone);

/* Run `count` images, uint8 (count, height, width, channels), and write output k as float32
 * (count, height_k, width_k, channels_k) to outputs[k].  May be called from several threads, one
 * of which runs at a time, and before and after a fork.  Needs no GIL. */
gt_status gt_backbone_run(gt_backbone *backbone, const uint8_t *images, int64_t count,
                          float *const *outputs, gt_error *error);

/* Run `count` images in float32, whatever the precision, and learn from them the range of every
 * layer's numbers, which a backbone in int8 must know before its first run.  Writes features as
 * gt_backbone_run does.  Fails with GT_ERROR_ARGUMENT after that first run. */
gt_status gt_backbone_calibrate(gt_backbone *backbone, const uint8_t *images, int64_t count,
                                float *const *outputs, gt_error *error);

/* The range of one layer's numbers. */
typedef struct {
    const char *layer; /* owned by the backbone */
    float range;       /* magnitude; 0 where nothing is known or there are but zeros */
    bool negative;
} gt_range;

/* Layers that have ranges are those left after optimisation: how many, and range i of them. */
int gt_backbone_range_count(const gt_backbone *backbone);
gt_range gt_backbone_range(const gt_backbone *backbone, int i);

/* Set the range of one layer as a calibration learned it; one that has no such layer is unchanged.
 * Fails with GT_ERROR_ARGUMENT for a range that is no finite number from 0 on, and after the first
 * run. */
gt_status gt_backbone_set_range(gt_backbone *backbone, gt_range range, gt_error *error);

/* One step of a plan, for a person to read. */
typedef void (*gt_step_visitor)(void *context, const gt_step *step);

/* Build the plan for batches where there is none yet and visit its steps in order. */
gt_status gt_backbone_visit_steps(gt_backbone *backbone, gt_step_visitor visitor, void *context,
                                  gt_error *error);

/* As gt_backbone_run for sub_batch images, on one thread; `seconds` receives the time of writing
 * the input and of each step, (1 + number of steps visited,). */
gt_status gt_backbone_profile(gt_backbone *backbone, const uint8_t *images, float *const *outputs,
                              double *seconds, gt_error *error);

#endif
