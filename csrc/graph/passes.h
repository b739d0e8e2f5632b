/* Passes from graph to graph, each leaving the value of every output unchanged up to rounding.
 * All expect shapes to be inferred and keep them right. */
#ifndef GT_PASSES_H
#define GT_PASSES_H

#include "common/onednn.h"
#include "graph/graph.h"

/* All passes below that are useful in that precision, in the order in which they build on each
 * other.  Average pools stay where they are in int8: before its ReLU a convolution's result needs a
 * sign, and half the range. */
gt_status gt_optimize(gt_graph *graph, gt_precision precision, gt_error *error);

/* Remove the nodes on which no output depends. */
gt_status gt_prune(gt_graph *graph, gt_error *error);

/* Fold bias, scale and batch normalisation into the scale and shift of the convolution or dense layer
 * before them; where there is none, turn them into a 1x1 convolution of one channel a group. */
gt_status gt_fold_affine(gt_graph *graph, gt_error *error);

/* Let the layer before an activation apply it, where that can. */
gt_status gt_fuse_activations(gt_graph *graph, gt_error *error);

/* Let a convolution pad its input itself where zeros are laid around it. */
gt_status gt_fold_pads(gt_graph *graph, gt_error *error);

/* Exchange an average pool of stride 1 with a 1x1 convolution after it that has fewer channels
 * out than in.  Both are linear and the weights of a pool add up to one where padding is not
 * counted, so convolution with its shift first, pool next, ReLU last gives the same. */
gt_status gt_commute_average_pools(gt_graph *graph, gt_error *error);

#endif
