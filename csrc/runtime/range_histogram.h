/* How large the numbers between layers become, measured on photographs. */
#ifndef GT_RANGE_HISTOGRAM_H
#define GT_RANGE_HISTOGRAM_H

#include "runtime/executor.h"

/* Counts of the magnitudes of one value's numbers. */
typedef struct gt_range_histogram gt_range_histogram;

/* One for each node of the graph that a float32 plan was built of; NULL when memory is out. */
gt_range_histogram *gt_range_histogram_create(int n_nodes);

/* Accepts NULL. */
void gt_range_histogram_free(gt_range_histogram *histogram);

/* Count the numbers of a node's result. */
void gt_range_histogram_add(gt_range_histogram *histogram, int node, const float *numbers,
                            size_t count);

/* Set range and sign of every node that was counted: the magnitude that all but one in a
 * hundred thousand of its numbers keep to (calibration by percentile, Wu et al. 2020,
 * arXiv:2004.09602). */
void gt_range_histogram_set_ranges(const gt_range_histogram *histogram, gt_graph *graph);

#endif
