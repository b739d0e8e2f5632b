/* The description of a network: nodes, their arrays, and the shape of what each produces. */
#ifndef GT_GRAPH_H
#define GT_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/geometry.h"
#include "common/status.h"

typedef enum {
    GT_OP_INPUT,
    GT_OP_CONV2D,
    GT_OP_BATCH_NORM,
    GT_OP_BIAS,
    GT_OP_RELU,
    GT_OP_MAX_POOL,
    GT_OP_AVERAGE_POOL,
    GT_OP_CONCAT,
    GT_OP_ADD,
    GT_OP_GLOBAL_AVERAGE_POOL,
    GT_OP_GLOBAL_MAX_POOL,
    GT_OP_FLATTEN,
    GT_OP_DENSE,
    GT_OP_SOFTMAX,
    GT_OP_LAYER_NORM,
    GT_OP_GROUP_NORM,
    GT_OP_POSITION_EMBEDDING,
    GT_OP_ATTENTION,
    GT_OP_COUNT
} gt_op;

/* The arrays that a node may have. */
typedef enum {
    GT_KERNEL,   /* conv2d (height, width, channels_in / groups, channels_out); dense (in, out) */
    GT_BIAS,     /* (channels,); attention (3 * channels,) */
    GT_GAMMA,    /* (channels,) */
    GT_BETA,     /* (channels,) */
    GT_MEAN,     /* (channels,) */
    GT_VARIANCE, /* (channels,) */
    GT_VALUE, /* position_embedding (height, width, channels); attention (heads, queries, keys) */
    GT_ROLE_COUNT
} gt_role;

typedef enum { GT_FLOAT32, GT_FLOAT16, GT_UINT8 } gt_type;

/* Numbers that the caller keeps alive as long as the graph; data is NULL where there is none.
 * An element of type GT_UINT8 means byte * scale + minimum, each step rounded to float, as
 * TensorFlow.js and the importers compute it (no fused multiply-add: -std=c11 forbids it). */
typedef struct {
    const void *data;
    gt_type type;
    float scale;
    float minimum;
    const float
        *scales; /* (last of shape,) each channel's in place of scale and minimum, or NULL */
    const float *minima;
    int rank;
    int64_t shape[4];
    bool mapped; /* the data are pages of a file, mapped read-only */
} gt_array;

/* How tokens attend to each other. */
typedef struct {
    int heads;
    float scale;   /* of the scores */
    int window[2]; /* (height, width) of windows, each of which attends to itself; 0 for none */
    int shift[2];  /* by which the map is rolled up and to the left before it is cut into windows */
} gt_attending;

typedef struct {
    char *name;
    gt_op op;
    int n_inputs;
    int *inputs; /* (n_inputs,) indices of earlier nodes */
    gt_array arrays[GT_ROLE_COUNT];
    gt_window window;
    int groups;             /* conv2d, group_norm */
    double epsilon;         /* batch_norm, layer_norm, group_norm */
    gt_attending attending; /* attention */
    bool relu;              /* a ReLU is applied to the result */
    float relu_max;         /* its upper limit, INFINITY for none */
    float *scale;           /* (channels,) factor per output channel, owned; NULL for one */
    float *shift;           /* (channels,) added per output channel, owned; NULL for zero */
    gt_shape shape;         /* of the result; set by shape inference */
    float range;   /* magnitude that nearly all numbers of the result keep to; 0: not known */
    bool negative; /* the result has numbers below zero; goes with range */
} gt_node;

typedef struct {
    gt_node *nodes; /* (count,) in topological order; nodes[0] is the input */
    int count;
    int capacity;
    int *outputs; /* (n_outputs,) nodes whose results are wanted */
    int n_outputs;
} gt_graph;

/* A zeroed node ready to be filled: window of 1 x 1, stride 1, one group, no upper limit. */
void gt_node_init(gt_node *node, gt_op op);

void gt_graph_init(gt_graph *graph);

/* Releases all that the graph owns, not the arrays' data; accepts a zeroed graph. */
void gt_graph_clear(gt_graph *graph);

/* Append a copy of `node` with its own copy of `name` and of `inputs`; scale and shift must be
 * NULL.  Fails with GT_ERROR_GRAPH for a repeated name or an input that is not an earlier node.
 * On success *index is the new node's place. */
gt_status gt_graph_add(gt_graph *graph, const gt_node *node, const char *name, const int *inputs,
                       int n_inputs, int *index, gt_error *error);

/* Index of the node of that name, or -1. */
int gt_graph_find(const gt_graph *graph, const char *name);

/* Index of the node that alone reads a node's result, once; -1 where there are none or several, or
 * the result is an output. */
int gt_graph_only_reader(const gt_graph *graph, int index);

/* Choose the nodes whose results are wanted; copies the list. */
gt_status gt_graph_set_outputs(gt_graph *graph, const int *outputs, int n_outputs, gt_error *error);

/* Set the shape of every node for an input of height x width, and the padding of every window.
 * Fails with GT_ERROR_GRAPH, naming the node, where shapes do not fit each other or the arrays. */
gt_status gt_graph_infer_shapes(gt_graph *graph, int height, int width, gt_error *error);

const char *gt_op_name(gt_op op);

/* The operation of that name, or GT_OP_COUNT. */
gt_op gt_op_from_name(const char *name);

const char *gt_role_name(gt_role role);

/* Element i of an array. */
float gt_array_at(const gt_array *array, int64_t i);

/* So many elements from the first on, as float32. */
void gt_array_read(const gt_array *array, int64_t first, int64_t count, float *values);

/* Give the memory of a mapped array back after it was read; a later read brings its pages from the
 * file again.  Does nothing for an array that is not mapped. */
void gt_array_release_pages(const gt_array *array);

#endif
