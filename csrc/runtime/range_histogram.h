/* How large the numbers between layers become, measured on photographs. */
#ifndef GT_CALIBRATE_H
#define GT_CALIBRATE_H

#include "runtime/executor.h"

/* Counts of the magnitudes of one value's numbers. */
typedef struct gt_census gt_census;

/* One for each node of the graph that a float32 plan was built of; NULL when memory is out. */
gt_census *gt_census_create(int n_nodes);

/* Accepts NULL. */
void gt_census_free(gt_census *census);

/* Count the numbers of a node's result. */
void gt_census_add(gt_census *census, int node, const float *numbers, size_t count);

/* Set range and sign of every node that was counted: the magnitude that all but one in a
 * hundred thousand of its numbers keep to (calibration by percentile, Wu et al. 2020,
 * arXiv:2004.09602). */
void gt_census_set_ranges(const gt_census *census, gt_graph *graph);

#endif
