#include "graph/graph.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/arithmetic.h"

static const char *const op_names[GT_OP_COUNT] = {
    "input",
    "conv2d",
    "batch_norm",
    "bias",
    "relu",
    "max_pool",
    "average_pool",
    "concat",
    "add",
    "global_average_pool",
    "global_max_pool",
    "flatten",
    "dense",
    "softmax",
    "activation",
    "clip",
    "prelu",
    "scale",
    "multiply",
    "subtract",
    "divide",
    "maximum",
    "minimum",
    "constant",
    "pad",
    "crop",
    "slice",
    "channel_shuffle",
    "local_response_norm",
    "reduce",
    "resize",
    "reshape",
    "transpose",
    "layer_norm",
    "group_norm",
    "position_embedding",
    "attention",
};

static const char *const role_names[GT_ROLE_COUNT] = {
    "kernel", "bias", "gamma", "beta", "mean", "variance", "alpha", "value",
};

static const char *const function_names[GT_FUNCTION_COUNT] = {
    "identity", "leaky_relu", "elu",          "selu",    "gelu", "gelu_tanh",
    "silu",     "hard_swish", "hard_sigmoid", "sigmoid", "tanh", "softplus",
    "softsign", "mish",       "exp",          "abs",     "sqrt", "square",
};

gt_function
gt_function_from_name(const char *name)
{
    int function = 0;
    while (function < GT_FUNCTION_COUNT && strcmp(function_names[function], name) != 0) {
        function++;
    }
    return (gt_function)function;
}

void
gt_activation_start(gt_activation *activation, gt_function function)
{
    bool is_hard = function == GT_HARD_SIGMOID || function == GT_HARD_SWISH;
    activation->function = function;
    activation->alpha = is_hard ? 1.0f / 6.0f : function == GT_LEAKY_RELU ? 0.01f : 1.0f;
    activation->beta = is_hard ? 0.5f : 0.0f;
}

bool
gt_activation_exists(const gt_activation *activation)
{
    return activation->function != GT_IDENTITY || activation->low > -INFINITY ||
           activation->high < INFINITY;
}

bool
gt_activation_is_relu(const gt_activation *activation)
{
    return !gt_activation_exists(activation) ||
           (activation->function == GT_IDENTITY && activation->low == 0.0f);
}

int
gt_slice_place(int place, int length)
{
    int at = place < 0 ? place + length : place;
    return at < 0 ? 0 : at > length ? length : at;
}

bool
gt_op_is_binary(gt_op op)
{
    switch (op) {
    case GT_OP_MULTIPLY:
    case GT_OP_SUBTRACT:
    case GT_OP_DIVIDE:
    case GT_OP_MAXIMUM:
    case GT_OP_MINIMUM:
        return true;
    default:
        return false;
    }
}

const char *
gt_op_name(gt_op op)
{
    return op < GT_OP_COUNT ? op_names[op] : "unknown";
}

gt_op
gt_op_from_name(const char *name)
{
    int op = 0;
    while (op < GT_OP_COUNT && strcmp(op_names[op], name) != 0) {
        op++;
    }
    return (gt_op)op;
}

const char *
gt_role_name(gt_role role)
{
    return role < GT_ROLE_COUNT ? role_names[role] : "unknown";
}

static size_t
element_size(gt_type type)
{
    return type == GT_FLOAT32 ? sizeof(float) : type == GT_FLOAT16 ? sizeof(uint16_t) : 1;
}

/* IEEE 754 binary16, exactly and whatever the processor does with denormal numbers. */
static float
from_float16(uint16_t bits)
{
    uint32_t exponent = bits >> 10 & 31u;
    uint32_t fraction = bits & 1023u;
    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24f;
        return bits >> 15 ? -magnitude : magnitude;
    }
    uint32_t wide = (uint32_t)(bits >> 15) << 31 | fraction << 13;
    wide |= (exponent == 31 ? 255u : exponent + 112u) << 23;
    float value = 0.0f;
    memcpy(&value, &wide, sizeof(value));
    return value;
}

/* Bytes of which each channel, along the last axis, has a scale and a minimum of its own. */
static void
read_channels(const gt_array *array, int64_t first, int64_t count, float *restrict values)
{
    const uint8_t *bytes = (const uint8_t *)array->data + first;
    int64_t channels = array->shape[array->rank - 1];
    int64_t c = first % channels;
    for (int64_t i = 0; i < count; i++) {
        float product = (float)bytes[i] * array->scales[c];
        values[i] = product + array->minima[c];
        c = c + 1 == channels ? 0 : c + 1;
    }
}

void
gt_array_release_pages(const gt_array *array)
{
    if (!array->mapped || array->data == NULL) {
        return;
    }
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t size = element_size(array->type);
    for (int axis = 0; axis < array->rank; axis++) {
        size *= (uintptr_t)array->shape[axis];
    }
    /* Only pages that are the array's alone. */
    uintptr_t first = ((uintptr_t)array->data + page - 1) / page * page;
    uintptr_t last = ((uintptr_t)array->data + size) / page * page;
    if (first < last) {
        (void)madvise((void *)first, last - first, MADV_DONTNEED);
    }
}

void
gt_array_read(const gt_array *array, int64_t first, int64_t count, float *restrict values)
{
    if (array->type == GT_FLOAT32) {
        memcpy(values, (const float *)array->data + first, (size_t)count * sizeof(*values));
        return;
    }
    if (array->type == GT_FLOAT16) {
        const uint16_t *halves = (const uint16_t *)array->data + first;
        for (int64_t i = 0; i < count; i++) {
            values[i] = from_float16(halves[i]);
        }
        return;
    }
    if (array->scales != NULL) {
        read_channels(array, first, count, values);
        return;
    }
    const uint8_t *bytes = (const uint8_t *)array->data + first;
    const float scale = array->scale;
    const float minimum = array->minimum;
    for (int64_t i = 0; i < count; i++) {
        float product = (float)bytes[i] * scale;
        values[i] = product + minimum;
    }
}

float
gt_array_at(const gt_array *array, int64_t i)
{
    float value = 0.0f;
    gt_array_read(array, i, 1, &value);
    return value;
}

void
gt_node_init(gt_node *node, gt_op op)
{
    memset(node, 0, sizeof(*node));
    node->op = op;
    node->groups = 1;
    gt_activation_start(&node->activation, GT_IDENTITY);
    node->activation.low = op == GT_OP_RELU ? 0.0f : -INFINITY;
    node->activation.high = INFINITY;
    node->axis = GT_AXIS_CHANNELS;
    node->stop = INT_MAX;
    node->step = 1;
    for (int axis = 0; axis < 2; axis++) {
        node->window.size[axis] = 1;
        node->window.strides[axis] = 1;
        node->window.dilations[axis] = 1;
    }
}

void
gt_graph_init(gt_graph *graph)
{
    memset(graph, 0, sizeof(*graph));
}

void
gt_graph_clear(gt_graph *graph)
{
    for (int i = 0; i < graph->count; i++) {
        gt_node *node = &graph->nodes[i];
        free(node->name);
        free(node->inputs);
        free(node->scale);
        free(node->shift);
    }
    free(graph->nodes);
    free(graph->outputs);
    gt_graph_init(graph);
}

int
gt_graph_find(const gt_graph *graph, const char *name)
{
    for (int i = 0; i < graph->count; i++) {
        if (strcmp(graph->nodes[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

int
gt_graph_only_reader(const gt_graph *graph, int index)
{
    int reader = -1;
    for (int i = 0; i < graph->n_outputs; i++) {
        if (graph->outputs[i] == index) {
            return -1;
        }
    }
    for (int i = index + 1; i < graph->count; i++) {
        for (int k = 0; k < graph->nodes[i].n_inputs; k++) {
            if (graph->nodes[i].inputs[k] == index && reader >= 0) {
                return -1;
            }
            reader = graph->nodes[i].inputs[k] == index ? i : reader;
        }
    }
    return reader;
}

enum { MAX_INPUTS = 1024 }; /* oneDNN counts the sources of a concatenation so far */

static gt_status
check_inputs(const gt_graph *graph, const gt_node *node, const char *name, const int *inputs,
             int n_inputs, gt_error *error)
{
    bool many = node->op == GT_OP_CONCAT || node->op == GT_OP_ADD;
    bool has_none = node->op == GT_OP_INPUT || node->op == GT_OP_CONSTANT;
    bool is_three = node->op == GT_OP_ATTENTION && n_inputs == 3;
    int wanted = has_none ? 0 : is_three ? 3 : gt_op_is_binary(node->op) ? 2 : 1;
    if (many ? n_inputs < 1 : n_inputs != wanted) {
        return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': %s takes %s, not %d", name,
                       gt_op_name(node->op),
                       many                          ? "one input or more"
                       : node->op == GT_OP_ATTENTION ? "one input or three"
                       : wanted == 2                 ? "two inputs"
                       : wanted == 1                 ? "one input"
                                                     : "no input",
                       n_inputs);
    }
    if (n_inputs > MAX_INPUTS) {
        return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': %d inputs are too many, %d are possible",
                       name, n_inputs, MAX_INPUTS);
    }
    if ((node->op == GT_OP_INPUT) != (graph->count == 0)) {
        return gt_fail(error, GT_ERROR_GRAPH,
                       "layer '%s': a network has one input and it comes first", name);
    }
    for (int i = 0; i < n_inputs; i++) {
        if (inputs[i] < 0 || inputs[i] >= graph->count) {
            return gt_fail(error, GT_ERROR_GRAPH, "layer '%s': input %d is not an earlier layer",
                           name, i);
        }
    }
    return GT_OK;
}

static gt_status
reserve_node(gt_graph *graph, gt_error *error)
{
    if (graph->count < graph->capacity) {
        return GT_OK;
    }
    gt_node *nodes = gt_grow(graph->nodes, &graph->capacity, sizeof(*nodes));
    if (nodes == NULL) {
        return gt_fail_memory(error, "the network's layers");
    }
    graph->nodes = nodes;
    return GT_OK;
}

gt_status
gt_graph_add(gt_graph *graph, const gt_node *node, const char *name, const int *inputs,
             int n_inputs, int *index, gt_error *error)
{
    gt_status status = check_inputs(graph, node, name, inputs, n_inputs, error);
    if (status != GT_OK) {
        return status;
    }
    if (gt_graph_find(graph, name) >= 0) {
        return gt_fail(error, GT_ERROR_GRAPH, "layer '%s' is there twice", name);
    }
    status = reserve_node(graph, error);
    if (status != GT_OK) {
        return status;
    }
    size_t length = strlen(name) + 1;
    char *own_name = malloc(length);
    int *own_inputs = calloc((size_t)n_inputs + 1, sizeof(*own_inputs));
    if (own_name == NULL || own_inputs == NULL) {
        free(own_name);
        free(own_inputs);
        return gt_fail_memory(error, "a layer");
    }
    memcpy(own_name, name, length);
    if (n_inputs > 0) {
        memcpy(own_inputs, inputs, (size_t)n_inputs * sizeof(*inputs));
    }
    gt_node *added = &graph->nodes[graph->count];
    *added = *node;
    added->name = own_name;
    added->inputs = own_inputs;
    added->n_inputs = n_inputs;
    *index = graph->count++;
    return GT_OK;
}

gt_status
gt_graph_set_outputs(gt_graph *graph, const int *outputs, int n_outputs, gt_error *error)
{
    if (n_outputs < 1) {
        return gt_fail(error, GT_ERROR_GRAPH, "no layer is asked for");
    }
    for (int i = 0; i < n_outputs; i++) {
        if (outputs[i] < 0 || outputs[i] >= graph->count) {
            return gt_fail(error, GT_ERROR_GRAPH, "output %d is not a layer of the network", i);
        }
    }
    int *copy = malloc((size_t)n_outputs * sizeof(*copy));
    if (copy == NULL) {
        return gt_fail_memory(error, "the list of outputs");
    }
    memcpy(copy, outputs, (size_t)n_outputs * sizeof(*copy));
    free(graph->outputs);
    graph->outputs = copy;
    graph->n_outputs = n_outputs;
    return GT_OK;
}
