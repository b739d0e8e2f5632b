/* Small networks for the tests of the core, and a plain evaluation of them: one loop for each
 * operation, sums in double, no layouts, no passes. */
#ifndef GT_TEST_TWIN_H
#define GT_TEST_TWIN_H

#include "graph/graph.h"
#include "runtime/executor.h"

/* A network under construction, with the numbers of its arrays.  Everything here ends the program
 * when a step fails that must not fail. */
typedef struct {
    gt_graph graph;
    int height;
    int width;
    uint32_t random; /* state of the generator that fills the arrays */
    void *blocks[512];
    int n_blocks;
} gt_net;

/* Start with an input (node 0, "input") of that shape. */
void gt_net_start(gt_net *net, int height, int width, int channels);

void gt_net_clear(gt_net *net);

/* A number from low to high. */
double gt_net_random(gt_net *net, double low, double high);

/* A whole number from low to high, both included. */
int gt_net_choice(gt_net *net, int low, int high);

/* A random array, kept by the net.  Kernels are scaled such that activations keep their size. */
gt_array gt_net_vector(gt_net *net, int channels, double low, double high);
gt_array gt_net_block(gt_net *net, int height, int width, int channels, double low, double high);
gt_array gt_net_kernel(gt_net *net, int height, int width, int in, int out);
gt_array gt_net_u8_kernel(gt_net *net, int height, int width, int in, int out);
gt_array gt_net_matrix(gt_net *net, int in, int out);

/* Nodes to be changed further and added; the convolution and the batch normalisation fit `from`. */
gt_node gt_net_conv(gt_net *net, int from, int height, int width, int out, int groups);
gt_node gt_net_pool(gt_op op, int size, int stride, gt_pad_mode pad_mode);
gt_node gt_net_batch_norm(gt_net *net, int from);

/* Append a node and infer shapes; returns its index.  A NULL name stands for a fresh one. */
int gt_net_add(gt_net *net, gt_node node, const char *name, int from);
int gt_net_join(gt_net *net, gt_op op, const char *name, const int *from, int n_from);

/* Append a node of several inputs. */
int gt_net_add_many(gt_net *net, gt_node node, const int *from, int n_from);

/* A node that needs nothing but its operation. */
int gt_net_plain(gt_net *net, gt_op op, const char *name, int from);

/* A copy of the net's graph as built, with those outputs; to be cleared or handed on. */
gt_graph gt_net_graph(const gt_net *net, const int *outputs, int n_outputs);

/* The same, where a step may fail; the graph then still has to be cleared. */
gt_status gt_net_copy(const gt_net *net, const int *outputs, int n_outputs, gt_graph *graph,
                      gt_error *error);

/* The values of all nodes for some images. */
typedef struct {
    float **values; /* (n_nodes,) of (images, height, width, channels) */
    int n_nodes;
    int count; /* images */
} gt_twin;

/* Evaluate a graph whose shapes are inferred, before or after any pass. */
gt_twin gt_twin_run(const gt_graph *graph, const uint8_t *images, int count,
                    gt_preprocessing preprocessing);

void gt_twin_clear(gt_twin *twin);

/* max |a - b| / max(1e-3, max |b|); INFINITY where a number of `a` is not finite. */
double gt_distance(const float *a, const float *b, int64_t count);

#endif
