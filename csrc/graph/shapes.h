/* What the parts of shape inference share.  Each names the layer in what it says. */
#ifndef GT_SHAPES_H
#define GT_SHAPES_H

#include "graph/graph.h"

/* Check that every vector that the node has is of that length, and that those of the roles whose
 * bits are in `required` are there. */
gt_status gt_shapes_check_vectors(const gt_node *node, int channels, unsigned required,
                                  gt_error *error);

/* The shape of a normalisation, position embedding or attention, whose inputs have theirs. */
gt_status gt_shapes_infer_tokens(const gt_graph *graph, gt_node *node, gt_error *error);

#endif
