/* A network cut at its waists, the nodes that alone the rest is made of, so that only the weights of
 * one stretch need be in memory at a time. */
#ifndef GT_STRETCH_H
#define GT_STRETCH_H

#include "graph/graph.h"

/* The nodes from one waist to the next.  All but the lists themselves is borrowed from the whole
 * network, which must outlive it. */
typedef struct {
    gt_graph graph; /* its input is the waist before, or the network's own */
    int first;      /* node i of the stretch is node first + i of the network */
    int *inputs;    /* of all nodes */
    int *wanted;    /* (graph.n_outputs,) which of the network's outputs each is; -1: the waist */
} gt_stretch;

/* The stretch that begins with node `first`, 0 or a waist, and ends with a waist, or the network.
 * It has about 16 MB of float32 weights, more where there is no waist, and no waist of whose maps
 * `images` take more than that.  On failure there is nothing to clear. */
gt_status gt_stretch_cut(gt_stretch *stretch, const gt_graph *network, int first, int64_t images,
                         gt_error *error);

/* The waist in which it ends; the network's last node for the last stretch. */
int gt_stretch_end(const gt_stretch *stretch);

/* Accepts a zeroed stretch. */
void gt_stretch_clear(gt_stretch *stretch);

#endif
