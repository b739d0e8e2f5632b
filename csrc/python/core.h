/* What the files of the binding share.  Nothing here computes: arguments are checked and converted
 * at the door, the GIL is dropped, the core is called, its status becomes an exception. */
#ifndef GT_PYTHON_CORE_H
#define GT_PYTHON_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL gear_transfer_array_api
#ifndef GT_IMPORT_ARRAY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include "common/status.h"
#include "graph/graph.h"

/* State of one module instance. */
typedef struct {
    PyObject *graph_error;  /* gear_transfer.errors.GraphError */
    PyObject *engine_error; /* gear_transfer.errors.EngineError */
    PyObject *mmap_type;    /* mmap.mmap */
    PyObject *backbone_type;
    PyObject *head_type;
} gt_module_state;

gt_module_state *gt_get_state(PyObject *module);

/* --- errors.c --- */

/* Set the exception that belongs to a failed status; one that is pending already stays.  Needs the
 * GIL.  Always returns NULL. */
PyObject *gt_raise(PyObject *module, gt_status status, const gt_error *error);

/* Text of the core as a str; it may have been cut to fit, within a character. */
PyObject *gt_text(const char *text);

/* --- arrays.c --- */

enum {
    GT_AS_IT_IS = 0,  /* the type must be right already; data are copied only where they must be */
    GT_SAME_KIND = 1, /* numbers are converted as by NumPy's casting rule of that name */
    GT_COPY = 2,      /* the data are ours, for what is checked once and trusted from then on */
    GT_ITSELF = 4     /* the array given where it fits, and no view of it: the collector finds no
                       * cycles through views */
};

/* `object` as an aligned C-contiguous array of native numbers of `type` and `ndim` axes, a new
 * reference; without GT_ITSELF to an array that nobody else knows, so that its shape stays.  NULL with
 * TypeError or ValueError, which name `what`. */
PyArrayObject *gt_as_array(PyObject *object, const char *what, int type, int ndim, int flags);

/* A copy of `object`, an array of one axis, whose length is looked at before anything is copied. */
PyArrayObject *gt_copy_vector(PyObject *object, const char *what, int type, npy_intp length,
                              int flags);

/* Check that an axis has the wanted length; -1 with ValueError naming `what`. */
int gt_check_axis(PyArrayObject *array, const char *what, int axis, npy_intp wanted);

/* A whole number, or what stands for one by __index__.  Floats are refused, which PyLong_AsLongLong
 * takes before Python 3.10.  `overflow` becomes nonzero for what is too large; -1 with
 * TypeError. */
long long gt_as_whole_number(PyObject *object, int *overflow);

/* An empty list that whoever lists all objects does not find. */
PyObject *gt_new_hidden_list(void);

/* Replace the keywords of a call, NULL for none, by a copy that is the caller's to release: code that
 * runs while they are read may alter the dictionary given.  -1 with an exception, and NULL. */
int gt_own_keywords(PyObject **keywords);

/* --- attributes.c --- */

/* The attribute of that name, a new reference since reading it may run code that takes it out of the
 * attributes; or NULL, with an exception only if the look-up failed. */
PyObject *gt_get_attribute(PyObject *attributes, const char *name);

/* The items of a sequence, which no code that runs meanwhile can alter; NULL with an exception. */
PyObject *gt_as_tuple(PyObject *object, const char *what);

/* What is no array among the attributes of a node; -1 with an exception that names `layer`. */
int gt_read_settings(PyObject *attributes, const char *layer, gt_node *node);

/* --- network.c --- */

/* Fill `graph` from a sequence of (name, op, inputs, attributes) and a mapping from names to
 * arrays, float32 or (uint8, scale, minimum).  References that keep the arrays' data alive go into
 * the list `keep`.  -1 with an exception; the graph then still has to be cleared. */
int gt_graph_from_python(PyObject *module, PyObject *nodes, PyObject *arrays, PyObject *keep,
                         gt_graph *graph);

/* --- types: specs for PyType_FromSpec, and the functions that make instances --- */

extern PyType_Spec gt_backbone_spec;
extern PyType_Spec gt_head_spec;

PyObject *gt_make_backbone(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *gt_infer_shapes(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *gt_make_head(PyObject *module, PyObject *args, PyObject *kwargs);

/* Since 3.9 an instance of a type made from a spec visits its type. */
#if PY_VERSION_HEX >= 0x03090000
#define GT_VISIT_TYPE(object) Py_VISIT(Py_TYPE(object))
#else
#define GT_VISIT_TYPE(object)
#endif

/* tp_new of types whose instances come from a function of the module. */
PyObject *gt_refuse_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);

#endif
