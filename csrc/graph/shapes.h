/* What the parts of shape inference share.  Each names the layer in what it says. */
#ifndef GT_SHAPES_H
#define GT_SHAPES_H

#include "graph/graph.h"

/* Check every vector of a node that is there; those in `required`, a bit for each role, must be. */
gt_status gt_shapes_check_vectors(const gt_node *node, int channels, unsigned required,
                                  gt_error *error);

gt_status gt_shapes_infer_concat(const gt_graph *graph, gt_node *node, gt_error *error);

/* An axis of length one of one input is repeated along that of the other. */
gt_status gt_shapes_infer_broadcast(const gt_graph *graph, gt_node *node, gt_error *error);

/* Operations that move numbers of one map, or reduce or resize it, and constants. */
gt_status gt_shapes_infer_map(gt_node *node, const gt_shape *input, gt_error *error);

/* The shape of a normalisation, position embedding or attention, whose inputs have theirs. */
gt_status gt_shapes_infer_tokens(const gt_graph *graph, gt_node *node, gt_error *error);

#endif
