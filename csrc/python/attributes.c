/* The attributes of a node, as Python has them. */
#include <limits.h>
#include <string.h>

#include "python/core.h"

PyObject *
gt_get_attribute(PyObject *attributes, const char *name)
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

PyObject *
gt_as_tuple(PyObject *object, const char *what)
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
    PyObject *object = gt_get_attribute(attributes, name);
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
    PyObject *object = gt_get_attribute(attributes, name);
    if (object == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *items = gt_as_tuple(object, name);
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
    PyObject *object = gt_get_attribute(attributes, name);
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
    PyObject *object = gt_get_attribute(attributes, "padding");
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
    PyObject *object = gt_get_attribute(attributes, name);
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
    PyObject *object = gt_get_attribute(attributes, name);
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
        PyObject *object = gt_get_attribute(attributes, "function");
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

int
gt_read_settings(PyObject *attributes, const char *layer, gt_node *node)
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
