/* A network cut into segments, so that only the weights of one segment need be in memory at a time.
 * It is cut at a node whose result is all that the later nodes read. */
#ifndef GT_SEGMENTS_H
#define GT_SEGMENTS_H

#include "graph/graph.h"

/* The nodes from one cut node to the next.  Only the lists are its own; what they name belongs to
 * the network, which must outlive the segment. */
typedef struct {
    gt_graph graph; /* its input is the cut node before, or the network's own */
    int first;      /* node i of the segment is node first + i of the network */
    int *inputs;    /* of all nodes */
    int *wanted; /* (graph.n_outputs,) which of the network's outputs each is; -1: the cut node */
} gt_segment;

/* Cut out the segment that begins with node `first`, which is 0 or a cut node, and ends with a cut
 * node or the network's last node.  It has about 16 MB of float32 weights, or more where no node
 * can be cut at; the maps of `images` images at its end take no more than 16 MB.  On failure there
 * is nothing to clear. */
gt_status gt_segment_cut(gt_segment *segment, const gt_graph *network, int first, int64_t images,
                         gt_error *error);

/* The node in which it ends. */
int gt_segment_end(const gt_segment *segment);

/* Accepts a zeroed segment. */
void gt_segment_clear(gt_segment *segment);

#endif
