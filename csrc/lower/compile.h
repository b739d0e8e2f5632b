/* From a network to the plan that runs it. */
#ifndef GT_COMPILE_H
#define GT_COMPILE_H

#include "plan/plan.h"

/* How a plan is to be built. */
typedef struct {
    int batch;
    gt_precision precision;
    gt_preprocessing preprocessing;
    bool low_memory; /* for a few images: prefer weights that take little memory to speed */
    bool reads_maps; /* a float32 plan's input are maps, not photographs */
} gt_compile_config;

/* Build the plan of an optimised graph for `batch` images at a time.  Must run where gt_parallel
 * has set the number of threads that the primitives will run on.  Weights are packed into
 * `weights`, which with `engine` and the arrays of `graph` must outlive the plan.  On failure
 * *plan is NULL. */
gt_status gt_compile(gt_plan **plan, const gt_graph *graph, gt_compile_config config,
                     dnnl_engine_t engine, gt_weight_store *weights, gt_error *error);

#endif
