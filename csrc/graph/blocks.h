/* Inverted residual blocks in a graph: what one kernel may compute at a time. */
#ifndef GT_BLOCKS_H
#define GT_BLOCKS_H

#include "graph/graph.h"

/* Whether a node is part of a block that one kernel computes, which keeps what lies inside to itself, and
 * what its expansion multiplies. */
typedef enum { GT_NOT_FUSED, GT_FUSED_FLOAT, GT_FUSED_U8 } gt_fusion;

/* The nodes of a block; -1 where there is none. */
typedef struct {
    gt_fusion fusion;
    int source;     /* what the block reads, no part of it */
    int expansion;  /* a 1x1 convolution, or a network's first layer, which reads photographs */
    int depthwise;  /* of one channel a group, 3x3 or 5x5, with strides of 1 or 2 */
    int projection; /* a 1x1 convolution */
    int addition;   /* of the source and the projection */
    int last;       /* the projection or the addition */
} gt_block;

/* Whether node `index` is part of a block of an optimised graph, of which all results but the last
 * have one reader, in the block, and no node is fused in blocks[node] already.  The largest one is
 * meant: with its expansion and its addition. */
bool gt_block_find(const gt_graph *graph, int index, const gt_block *blocks, gt_block *block);

/* The node that reads the source. */
int gt_block_first(const gt_block *block);

#endif
