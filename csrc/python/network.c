/* From a description in Python to a graph of the core. */
#include <limits.h>
#include <string.h>

#include "python/core.h"

/* Whether an operation has a number of the name that is an array's elsewhere. */
static bool
is_number(gt_op op, gt_role role)
{
    bool normalises = op == GT_OP_LOCAL_RESPONSE_NORM;
    return (role == GT_ALPHA && op == GT_OP_ACTIVATION) ||
           (role == GT_BETA && op == GT_OP_ACTIVATION) || (role == GT_VALUE && op == GT_OP_PAD) ||
           (normalises && (role == GT_ALPHA || role == GT_BETA || role == GT_BIAS));
}

/* Whether the data of an array are pages of a file that is mapped read-only.  Of mmap itself only:
 * another class may call itself so, and a subclass may lend out memory of its own. */
static bool
is_mapped(PyObject *module, PyArrayObject *array)
{
    PyObject *base = (PyObject *)array;
    Py_buffer view;
    while (base != NULL && (PyArray_Check(base) || PyMemoryView_Check(base))) {
        base = PyArray_Check(base) ? PyArray_BASE((PyArrayObject *)base)
                                   : PyMemoryView_GET_BUFFER(base)->obj;
    }
    if (base == NULL || (PyObject *)Py_TYPE(base) != gt_get_state(module)->mmap_type) {
        return false;
    }
    if (PyObject_GetBuffer(base, &view, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        return false;
    }
    const char *data = PyArray_DATA(array);
    const char *start = view.buf;
    bool inside = data >= start && data + PyArray_NBYTES(array) <= start + view.len;
    bool read_only = view.readonly;
    PyBuffer_Release(&view);
    return read_only && inside;
}

/* A scale or a minimum of bytes: one number, or a float32 array with one for each channel. */
static int
read_scale(PyObject *object, const char *name, npy_intp channels, PyObject *keep, float *one,
           const float **each)
{
    if (!PyArray_Check(object)) {
        *one = (float)PyFloat_AsDouble(object);
        return *one == -1.0f && PyErr_Occurred() ? -1 : 0;
    }
    PyArrayObject *array = gt_as_array(object, name, NPY_FLOAT32, 1, GT_ITSELF);
    if (array == NULL || gt_check_axis(array, name, 0, channels) < 0) {
        Py_XDECREF(array);
        return -1;
    }
    *each = PyArray_DATA(array);
    int code = PyList_Append(keep, (PyObject *)array);
    Py_DECREF(array);
    return code;
}

static int
read_scales(PyObject *scale, PyObject *minimum, const char *name, PyObject *keep, gt_array *array)
{
    npy_intp channels = (npy_intp)array->shape[array->rank - 1];
    if (read_scale(scale, name, channels, keep, &array->scale, &array->scales) < 0 ||
        read_scale(minimum, name, channels, keep, &array->minimum, &array->minima) < 0) {
        return -1;
    }
    if ((array->scales == NULL) != (array->minima == NULL)) {
        PyErr_Format(PyExc_TypeError,
                     "array %s: scale and minimum must both be numbers or both be arrays", name);
        return -1;
    }
    return 0;
}

/* Describe `object` to the core: a float32 or float16 array, or a tuple (uint8 array, scale,
 * minimum). */
static int
read_array(PyObject *module, PyObject *object, const char *name, PyObject *keep, gt_array *array)
{
    PyObject *values = object;
    PyObject *scale = NULL;
    PyObject *minimum = NULL;
    int type = NPY_FLOAT32;
    array->type = GT_FLOAT32;
    if (PyTuple_Check(object)) {
        if (!PyArg_ParseTuple(object, "OOO", &values, &scale, &minimum)) {
            return -1;
        }
        array->type = GT_UINT8;
        type = NPY_UINT8;
    }
    else if (PyArray_Check(object) && PyArray_TYPE((PyArrayObject *)object) == NPY_HALF) {
        array->type = GT_FLOAT16;
        type = NPY_HALF;
    }
    if (!PyArray_Check(values)) {
        PyErr_Format(PyExc_TypeError, "array %s is not a NumPy array", name);
        return -1;
    }
    int ndim = PyArray_NDIM((PyArrayObject *)values);
    if (ndim < 1 || ndim > 4) {
        PyErr_Format(PyExc_ValueError, "array %s has %d dimensions, 1 to 4 are possible", name,
                     ndim);
        return -1;
    }
    PyArrayObject *converted = gt_as_array(values, name, type, ndim, GT_ITSELF);
    if (converted == NULL) {
        return -1;
    }
    array->data = PyArray_DATA(converted);
    array->rank = ndim; /* and no code runs until the shape has been read */
    array->mapped = is_mapped(module, converted);
    for (int axis = 0; axis < ndim; axis++) {
        array->shape[axis] = PyArray_DIM(converted, axis);
    }
    int code = PyList_Append(keep, (PyObject *)converted);
    Py_DECREF(converted);
    return code < 0 || scale == NULL ? code : read_scales(scale, minimum, name, keep, array);
}

static int
look_up_array(PyObject *module, PyObject *arrays, PyObject *name, PyObject *keep, gt_array *array)
{
    PyObject *object = PyObject_GetItem(arrays, name);
    if (object == NULL) {
        return -1;
    }
    const char *text = PyUnicode_AsUTF8(name);
    int code = text == NULL ? -1 : read_array(module, object, text, keep, array);
    Py_DECREF(object);
    return code;
}

static int
read_arrays(PyObject *module, PyObject *attributes, PyObject *arrays, PyObject *keep, gt_node *node)
{
    for (int role = 0; role < GT_ROLE_COUNT; role++) {
        if (is_number(node->op, (gt_role)role)) {
            continue;
        }
        PyObject *name = gt_get_attribute(attributes, gt_role_name((gt_role)role));
        if (name == NULL) {
            if (PyErr_Occurred()) {
                return -1;
            }
            continue;
        }
        int code = look_up_array(module, arrays, name, keep, &node->arrays[role]);
        Py_DECREF(name);
        if (code < 0) {
            return -1;
        }
    }
    return 0;
}

static int
add_node(PyObject *module, gt_graph *graph, const gt_node *node, const char *name, PyObject *inputs)
{
    Py_ssize_t count = PyTuple_GET_SIZE(inputs);
    gt_error error = {""};
    int index = 0;
    if (count > 4096) {
        PyErr_Format(PyExc_ValueError, "layer '%s' has too many inputs", name);
        return -1;
    }
    int *indices = PyMem_Malloc((size_t)(count + 1) * sizeof(*indices));
    if (indices == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        const char *input = PyUnicode_AsUTF8(PyTuple_GET_ITEM(inputs, i));
        if (input == NULL) {
            PyMem_Free(indices);
            return -1;
        }
        indices[i] = gt_graph_find(graph, input);
    }
    gt_status status = gt_graph_add(graph, node, name, indices, (int)count, &index, &error);
    PyMem_Free(indices);
    if (status != GT_OK) {
        (void)gt_raise(module, status, &error);
        return -1;
    }
    return 0;
}

static int
read_node(PyObject *module, PyObject *item, PyObject *arrays, PyObject *keep, gt_graph *graph)
{
    const char *name = NULL;
    const char *op_name = NULL;
    PyObject *inputs = NULL;
    PyObject *attributes = NULL;
    gt_node node;
    if (!PyTuple_Check(item)) {
        PyErr_SetString(PyExc_TypeError, "a node is a tuple (name, op, inputs, attributes)");
        return -1;
    }
    if (!PyArg_ParseTuple(item, "ssO!O!", &name, &op_name, &PyTuple_Type, &inputs, &PyDict_Type,
                          &attributes)) {
        return -1;
    }
    gt_op op = gt_op_from_name(op_name);
    if (op == GT_OP_COUNT) {
        PyErr_Format(gt_get_state(module)->graph_error, "layer '%s': unknown operation '%s'", name,
                     op_name);
        return -1;
    }
    gt_node_init(&node, op);
    if (gt_read_settings(attributes, name, &node) < 0 ||
        read_arrays(module, attributes, arrays, keep, &node) < 0) {
        return -1;
    }
    return add_node(module, graph, &node, name, inputs);
}

int
gt_graph_from_python(PyObject *module, PyObject *nodes, PyObject *arrays, PyObject *keep,
                     gt_graph *graph)
{
    PyObject *items = gt_as_tuple(nodes, "nodes");
    if (items == NULL) {
        return -1;
    }
    int code = 0;
    for (Py_ssize_t i = 0; code == 0 && i < PyTuple_GET_SIZE(items); i++) {
        code = read_node(module, PyTuple_GET_ITEM(items, i), arrays, keep, graph);
    }
    Py_DECREF(items);
    return code;
}
