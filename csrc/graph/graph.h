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
    GT_OP_ACTIVATION,
    GT_OP_CLIP,
    GT_OP_PRELU,
    GT_OP_SCALE,
    GT_OP_MULTIPLY,
    GT_OP_SUBTRACT,
    GT_OP_DIVIDE,
    GT_OP_MAXIMUM,
    GT_OP_MINIMUM,
    GT_OP_CONSTANT,
    GT_OP_PAD,
    GT_OP_CROP,
    GT_OP_SLICE,
    GT_OP_CHANNEL_SHUFFLE,
    GT_OP_LOCAL_RESPONSE_NORM,
    GT_OP_REDUCE,
    GT_OP_RESIZE,
    GT_OP_RESHAPE,
    GT_OP_TRANSPOSE,
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
    GT_ALPHA,    /* (channels,) slope below zero of prelu */
    GT_VALUE, /* constant, position_embedding (height, width, channels); attention (heads, queries, keys) */
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

/* Functions of one number. */
typedef enum {
    GT_IDENTITY,
    GT_LEAKY_RELU, /* alpha x below zero */
    GT_ELU,        /* alpha (exp(x) - 1) below zero */
    GT_SELU,
    GT_GELU, /* x times the normal distribution function */
    GT_GELU_TANH,
    GT_SILU,         /* x / (1 + exp(-x)) */
    GT_HARD_SWISH,   /* x times hard sigmoid */
    GT_HARD_SIGMOID, /* alpha x + beta within 0 and 1 */
    GT_SIGMOID,
    GT_TANH,
    GT_SOFTPLUS, /* log(1 + exp(x)) */
    GT_SOFTSIGN, /* x / (1 + |x|) */
    GT_MISH,     /* x tanh(softplus(x)) */
    GT_EXP,
    GT_ABS,
    GT_SQRT,
    GT_SQUARE,
    GT_FUNCTION_COUNT
} gt_function;

/* What becomes of every number of a result: a function, then the nearest number within bounds.  A
 * ReLU is the identity within 0 and infinity. */
typedef struct {
    gt_function function;
    float alpha;
    float beta;
    float low;  /* -INFINITY for none */
    float high; /* INFINITY for none */
} gt_activation;

typedef enum { GT_AXIS_HEIGHT, GT_AXIS_WIDTH, GT_AXIS_CHANNELS, GT_AXIS_MAP } gt_axis;
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
    int groups;               /* conv2d, channel_shuffle, group_norm */
    double epsilon;           /* batch_norm, layer_norm, group_norm */
    gt_activation activation; /* of relu, clip and activation; of others it is applied after them */
    float *scale;             /* (channels,) factor per output channel, owned; NULL for one */
    float *shift;             /* (channels,) added per output channel, owned; NULL for zero */
    gt_shape shape;           /* of the result; set by shape inference */
    float range;   /* magnitude that nearly all numbers of the result keep to; 0: not known */
    bool negative; /* the result has numbers below zero; goes with range */
    gt_axis axis;  /* concat, slice: along it; reduce: the map or the channels become one number */
    int first;     /* slice: where it begins, ends and how it goes on, as Python has it */
    int stop;      /* INT_MAX where it goes on to the end */
    int step;      /* from 1 on */
    float fill;    /* pad: the number outside the map; pixels are window.before and window.after,
                     * which crop takes away */
    gt_reduction reduction;     /* reduce */
    int factors[2];             /* resize: (height, width) */
    bool bilinear;              /* resize: else the nearest pixel */
    gt_coordinates coordinates; /* resize */
    int extents[3];      /* reshape: height, width, channels; one may be -1, for what is left */
    int order[3];        /* transpose: which axis comes first, second, last */
    bool channels_first; /* flatten: all numbers of one channel, then those of the next */
    int size;     /* local_response_norm: channels; x / (bias + alpha mean of squares)^beta */
    double alpha; /* likewise */
    double beta;
    double offset;          /* likewise: its bias */
    gt_attending attending; /* attention */
} gt_node;

typedef struct {
    gt_node *nodes; /* (count,) in topological order; nodes[0] is the input */
    int count;
    int capacity;
    int *outputs; /* (n_outputs,) nodes whose results are wanted */
    int n_outputs;
} gt_graph;

/* A zeroed node ready to be filled: window of 1 x 1, stride 1, one group, no bounds (those of relu
 * at zero). */
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

/* Whether an activation changes anything. */
bool gt_activation_exists(const gt_activation *activation);

/* Whether it is a ReLU, bounded or not, or nothing. */
bool gt_activation_is_relu(const gt_activation *activation);

/* The function of that name, or GT_FUNCTION_COUNT. */
gt_function gt_function_from_name(const char *name);

/* Give a function the alpha and the beta that count where none are said. */
void gt_activation_start(gt_activation *activation, gt_function function);

/* Where `place` of a slice, from the end where it is negative, is in an axis of that length. */
int gt_slice_place(int place, int length);

/* Whether an operation has two inputs of which one may be repeated along axes of the other. */
bool gt_op_is_binary(gt_op op);

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
