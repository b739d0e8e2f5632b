/* From a description in Python to a graph of the core. */
#include <limits.h>
#include <string.h>

#include "python/core.h"

/* The attribute of that name, a new reference since reading it may run code that takes it out of the
 * attributes; or NULL, with an exception only if the look-up failed. */
static PyObject *
get_attribute(PyObject *attributes, const char *name)
{
    PyObject *key = PyUnicode_FromString(name);
    if (key == NULL) {
        return NULL;
    }
    PyObject *value = PyDict_GetItemWithError(attributes, key);
    Py_DECREF(key);
    Py_XINCREF(value);
    return value;
}

/* The items of a sequence, which no code that runs meanwhile can alter; NULL with an exception. */
static PyObject *
as_tuple(PyObject *object, const char *what)
{
    PyObject *items = PySequence_Tuple(object);
    if (items == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Format(PyExc_TypeError, "%s must be a sequence", what);
    }
    return items;
}

/* A whole number that fits an int; -1 with an exception. */
static int
read_int(PyObject *object, const char *layer, const char *name, int *value)
{
    int overflow = 0;
    long long number = gt_as_whole_number(object, &overflow);
    if (number == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (overflow != 0 || number > INT_MAX || number < INT_MIN) {
        PyErr_Format(PyExc_ValueError, "layer '%s': %s is too large", layer, name);
        return -1;
    }
    *value = (int)number;
    return 0;
}

static int
read_count(PyObject *attributes, const char *layer, const char *name, int *value)
{
    PyObject *object = get_attribute(attributes, name);
    if (object == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int code = read_int(object, layer, name, value);
    Py_DECREF(object);
    return code;
}

/* `count` whole numbers from a sequence; 0 where the attribute is missing, 1 where it was read, -1
 * with an exception. */
static int
read_ints(PyObject *attributes, const char *layer, const char *name, int count, int *values)
{
    PyObject *object = get_attribute(attributes, name);
    if (object == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *items = as_tuple(object, name);
    Py_DECREF(object);
    if (items == NULL) {
        return -1;
    }
    if (PyTuple_GET_SIZE(items) != count) {
        PyErr_Format(PyExc_ValueError, "layer '%s': %s must hold %d numbers", layer, name, count);
        Py_DECREF(items);
        return -1;
    }
    int result = 1;
    for (int i = 0; result > 0 && i < count; i++) {
        if (read_int(PyTuple_GET_ITEM(items, i), layer, name, &values[i]) < 0) {
            result = -1;
        }
    }
    Py_DECREF(items);
    return result;
}

static int
read_double(PyObject *attributes, const char *name, double *value)
{
    PyObject *object = get_attribute(attributes, name);
    if (object == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    *value = PyFloat_AsDouble(object);
    Py_DECREF(object);
    return *value == -1.0 && PyErr_Occurred() ? -1 : 1;
}

static int
read_padding_mode(PyObject *name, const char *layer, gt_window *window)
{
    if (PyUnicode_CompareWithASCIIString(name, "same") == 0) {
        window->pad_mode = GT_PAD_SAME;
    }
    else if (PyUnicode_CompareWithASCIIString(name, "valid") != 0) {
        PyErr_Format(PyExc_ValueError, "layer '%s': padding %R is not 'same' or 'valid'", layer,
                     name);
        return -1;
    }
    return 0;
}

static int
read_padding(PyObject *attributes, const char *layer, gt_window *window)
{
    PyObject *object = get_attribute(attributes, "padding");
    if (object == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    if (PyUnicode_Check(object)) {
        int code = read_padding_mode(object, layer, window);
        Py_DECREF(object);
        return code;
    }
    Py_DECREF(object);
    int sides[4] = {0, 0, 0, 0}; /* top, left, bottom, right */
    if (read_ints(attributes, layer, "padding", 4, sides) < 0) {
        return -1;
    }
    window->pad_mode = GT_PAD_EXPLICIT;
    memcpy(window->before, sides, sizeof(window->before));
    memcpy(window->after, sides + 2, sizeof(window->after));
    return 0;
}

static int
read_truth(PyObject *attributes, const char *name, bool *value)
{
    PyObject *object = get_attribute(attributes, name);
    if (object == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int truth = PyObject_IsTrue(object);
    Py_DECREF(object);
    if (truth < 0) {
        return -1;
    }
    *value = truth;
    return 1;
}

/* The place of an attribute among the names that it may have; as read_ints returns. */
static int
read_choice(PyObject *attributes, const char *layer, const char *name, const char *const *choices,
            int count, int *value)
{
    PyObject *object = get_attribute(attributes, name);
    if (object == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int place = 0;
    if (PyUnicode_Check(object)) {
        while (place < count && PyUnicode_CompareWithASCIIString(object, choices[place]) != 0) {
            place++;
        }
    }
    if (!PyUnicode_Check(object) || place == count) {
        PyErr_Format(PyExc_ValueError, "layer '%s': %s %R is not known", layer, name, object);
        Py_DECREF(object);
        return -1;
    }
    Py_DECREF(object);
    *value = place;
    return 1;
}

static int
read_float(PyObject *attributes, const char *name, float *value)
{
    double number = 0.0;
    int code = read_double(attributes, name, &number);
    if (code > 0) {
        *value = (float)number;
    }
    return code;
}

/* The function of an activation, and what it and a limit have for numbers. */
static int
read_activation(PyObject *attributes, const char *layer, gt_node *node)
{
    gt_activation *activation = &node->activation;
    if (node->op == GT_OP_ACTIVATION) {
        PyObject *object = get_attribute(attributes, "function");
        const char *name = object != NULL ? PyUnicode_AsUTF8(object) : NULL;
        gt_function function = name != NULL ? gt_function_from_name(name) : GT_FUNCTION_COUNT;
        Py_XDECREF(object);
        if (function == GT_FUNCTION_COUNT) {
            if (!PyErr_Occurred()) {
                PyErr_Format(PyExc_ValueError, "layer '%s': its function is not known", layer);
            }
            return -1;
        }
        gt_activation_start(activation, function);
        if (read_float(attributes, "alpha", &activation->alpha) < 0 ||
            read_float(attributes, "beta", &activation->beta) < 0) {
            return -1;
        }
    }
    return read_float(attributes, "min_value", &activation->low) < 0 ||
                   read_float(attributes, "max_value", &activation->high) < 0
               ? -1
               : 0;
}

/* What of a map is read, in which order. */
static int
read_places(PyObject *attributes, const char *layer, gt_node *node)
{
    static const char *const axes[] = {"height", "width", "channels", "map"};
    int sides[4] = {0, 0, 0, 0};
    int axis = (int)node->axis;
    int has_sides = read_ints(attributes, layer, "cropping", 4, sides);
    if (has_sides < 0 || read_choice(attributes, layer, "axis", axes, 4, &axis) < 0 ||
        read_count(attributes, layer, "start", &node->first) < 0 ||
        read_count(attributes, layer, "stop", &node->stop) < 0 ||
        read_count(attributes, layer, "step", &node->step) < 0 ||
        read_ints(attributes, layer, "shape", 3, node->extents) < 0 ||
        read_ints(attributes, layer, "axes", 3, node->order) < 0 ||
        read_truth(attributes, "channels_first", &node->channels_first) < 0) {
        return -1;
    }
    node->axis = (gt_axis)axis;
    if (has_sides > 0) {
        memcpy(node->window.before, sides, sizeof(node->window.before));
        memcpy(node->window.after, sides + 2, sizeof(node->window.after));
    }
    return node->op == GT_OP_PAD ? read_float(attributes, "value", &node->fill) : 0;
}

static int
read_resize(PyObject *attributes, const char *layer, gt_node *node)
{
    static const char *const modes[] = {"nearest", "bilinear"};
    static const char *const coordinates[] = {"half_pixel", "align_corners", "asymmetric"};
    int mode = 0;
    int chosen = 0;
    if (read_ints(attributes, layer, "factors", 2, node->factors) < 0 ||
        read_choice(attributes, layer, "mode", modes, 2, &mode) < 0 ||
        read_choice(attributes, layer, "coordinates", coordinates, GT_COORDINATES_COUNT, &chosen) <
            0) {
        return -1;
    }
    node->bilinear = mode == 1;
    node->coordinates = (gt_coordinates)chosen;
    return 0;
}

static int
read_reduction(PyObject *attributes, const char *layer, gt_node *node)
{
    static const char *const functions[] = {"mean", "sum", "max", "min", "l2"};
    int function = 0;
    if (read_choice(attributes, layer, "function", functions, GT_REDUCTION_COUNT, &function) < 0) {
        return -1;
    }
    node->reduction = (gt_reduction)function;
    return 0;
}

static int
read_response_norm(PyObject *attributes, const char *layer, gt_node *node)
{
    return read_count(attributes, layer, "size", &node->size) < 0 ||
                   read_double(attributes, "alpha", &node->alpha) < 0 ||
                   read_double(attributes, "beta", &node->beta) < 0 ||
                   read_double(attributes, "bias", &node->offset) < 0
               ? -1
               : 0;
}

/* What only one operation has. */
static int
read_own(PyObject *attributes, const char *layer, gt_node *node)
{
    switch (node->op) {
    case GT_OP_INPUT:
        return read_count(attributes, layer, "channels", &node->shape.channels);
    case GT_OP_RELU:
    case GT_OP_CLIP:
    case GT_OP_ACTIVATION:
        return read_activation(attributes, layer, node);
    case GT_OP_RESIZE:
        return read_resize(attributes, layer, node);
    case GT_OP_REDUCE:
        return read_reduction(attributes, layer, node);
    case GT_OP_LOCAL_RESPONSE_NORM:
        return read_response_norm(attributes, layer, node);
    default:
        return 0;
    }
}

/* Whether an operation has a number of the name that is an array's elsewhere. */
static bool
is_number(gt_op op, gt_role role)
{
    bool normalises = op == GT_OP_LOCAL_RESPONSE_NORM;
    return (role == GT_ALPHA && op == GT_OP_ACTIVATION) ||
           (role == GT_BETA && op == GT_OP_ACTIVATION) || (role == GT_VALUE && op == GT_OP_PAD) ||
           (normalises && (role == GT_ALPHA || role == GT_BETA || role == GT_BIAS));
}

static int
read_attending(PyObject *attributes, const char *layer, gt_attending *attending)
{
    double scale = 1.0;
    if (read_count(attributes, layer, "heads", &attending->heads) < 0 ||
        read_double(attributes, "scale", &scale) < 0 ||
        read_ints(attributes, layer, "window", 2, attending->window) < 0 ||
        read_ints(attributes, layer, "shift", 2, attending->shift) < 0) {
        return -1;
    }
    attending->scale = (float)scale;
    return 0;
}

static int
read_settings(PyObject *attributes, const char *layer, gt_node *node)
{
    gt_window *window = &node->window;
    if (read_truth(attributes, "count_include_padding", &window->count_padding) < 0 ||
        read_truth(attributes, "ceil_mode", &window->ceil_mode) < 0 ||
        read_ints(attributes, layer, "strides", 2, window->strides) < 0 ||
        read_ints(attributes, layer, "dilations", 2, window->dilations) < 0 ||
        read_ints(attributes, layer, "pool_size", 2, window->size) < 0 ||
        read_padding(attributes, layer, window) < 0 ||
        read_attending(attributes, layer, &node->attending) < 0 ||
        read_double(attributes, "epsilon", &node->epsilon) < 0 ||
        read_count(attributes, layer, "groups", &node->groups) < 0 ||
        read_places(attributes, layer, node) < 0) {
        return -1;
    }
    return read_own(attributes, layer, node) < 0 ? -1 : 0;
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
        PyObject *name = get_attribute(attributes, gt_role_name((gt_role)role));
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
    if (read_settings(attributes, name, &node) < 0 ||
        read_arrays(module, attributes, arrays, keep, &node) < 0) {
        return -1;
    }
    return add_node(module, graph, &node, name, inputs);
}

int
gt_graph_from_python(PyObject *module, PyObject *nodes, PyObject *arrays, PyObject *keep,
                     gt_graph *graph)
{
    PyObject *items = as_tuple(nodes, "nodes");
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
