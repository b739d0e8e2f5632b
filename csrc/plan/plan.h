/* A network made ready to run: oneDNN primitives with chosen layouts, packed weights, and the
 * place of every intermediate value in one arena. */
#ifndef GT_PLAN_H
#define GT_PLAN_H

#include <oneapi/dnnl/dnnl.h>
#include <stddef.h>

#include "common/onednn.h"
#include "graph/graph.h"
#include "graph/quantize.h"
#include "plan/weights.h"

/* A block of the arena. */
typedef struct {
    dnnl_memory_desc_t desc; /* owned; its layout was chosen by oneDNN */
    gt_format format;        /* of its numbers */
    size_t size;             /* bytes */
    size_t offset;           /* bytes from the start of the arena */
    int first;               /* step that writes it; -1 for the input */
    int last;                /* last step that reads it */
    int alias_of;            /* the value whose bytes these are; -1 for its own */
} gt_value;

typedef enum { GT_ARG_VALUE, GT_ARG_WEIGHT, GT_ARG_OUTPUT } gt_arg_kind;

/* One argument of a primitive: `index` counts values, items of the weight store or outputs. */
typedef struct {
    int role; /* DNNL_ARG_... */
    gt_arg_kind kind;
    int index;
} gt_arg;

/* One of the project's own kernels: reads and writes the memory of its arguments, in their
 * order. */
typedef void (*gt_kernel_fn)(const void *context, void *const *memory);

enum { GT_KERNEL_MAX_ARGS = 9 };

typedef struct {
    dnnl_primitive_t primitive; /* owned; NULL where `kernel_fn` runs in its place */
    gt_kernel_fn kernel_fn;
    void *context; /* of kernel_fn; owned, a single block */
    gt_arg *args;  /* (n_args,) owned */
    int n_args;
    bool is_reorder;         /* of one value to another */
    char layer[64];          /* name of the layer it belongs to, cut to fit */
    char operation[16];      /* oneDNN's kind of primitive */
    char implementation[48]; /* what oneDNN chose, or the kernel's name */
} gt_step;

typedef struct {
    int batch;
    dnnl_data_type_t type;    /* of values that are not 8-bit */
    dnnl_engine_t engine;     /* borrowed */
    gt_weight_store *weights; /* borrowed */
    gt_shape input;           /* of one image */
    int input_value;
    bool input_channels_last; /* else channels come first */
    bool reads_u8;            /* the input are the photographs' bytes as they are */
    bool reads_maps;          /* the input are float32 maps with channels last, not photographs */
    gt_value *values;         /* (n_values,) */
    int n_values;
    int value_capacity;
    int *value_of; /* (graph's count,) the value of each node's result; -1 before it is lowered, and
                    * where a kernel writes it into the value of a concatenation */
    gt_step *steps; /* (n_steps,) */
    int n_steps;
    int step_capacity;
    dnnl_memory_desc_t *outputs; /* (n_outputs,) float32, channels last; owned */
    int n_outputs;
    size_t arena_size; /* bytes */
} gt_plan;

/* Accepts NULL. */
void gt_plan_free(gt_plan *plan);

#endif
