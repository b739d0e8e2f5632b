#include "python/core.h"

PyArrayObject *
gt_as_array(PyObject *object, const char *what, int type, int ndim, int same_kind)
{
    PyArrayObject *given = (PyArrayObject *)PyArray_FROM_O(object);
    if (given == NULL) {
        return NULL;
    }
    PyArray_Descr *wanted = PyArray_DescrFromType(type);
    int fits =
        wanted != NULL &&
        (same_kind
             ? PyArray_CanCastTypeTo(PyArray_DESCR(given), wanted, NPY_SAME_KIND_CASTING)
             : PyArray_EquivTypes(PyArray_DESCR(given), wanted) || PyArray_TYPE(given) == type);
    if (!fits) {
        PyErr_Format(PyExc_TypeError, "%s must be an array of %S, not of %S", what,
                     (PyObject *)wanted, (PyObject *)PyArray_DESCR(given));
        Py_XDECREF(wanted);
        Py_DECREF(given);
        return NULL;
    }
    if (PyArray_NDIM(given) != ndim) {
        PyErr_Format(PyExc_ValueError, "%s must have %d dimensions, not %d", what, ndim,
                     PyArray_NDIM(given));
        Py_DECREF(wanted);
        Py_DECREF(given);
        return NULL;
    }
    PyObject *array = PyArray_FromArray(
        given, wanted, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_FORCECAST);
    Py_DECREF(given);
    return (PyArrayObject *)array;
}

int
gt_check_axis(PyArrayObject *array, const char *what, int axis, npy_intp wanted)
{
    if (PyArray_DIM(array, axis) == wanted) {
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "%s must have length %zd along axis %d, not %zd", what,
                 (Py_ssize_t)wanted, axis, (Py_ssize_t)PyArray_DIM(array, axis));
    return -1;
}

long long
gt_as_whole_number(PyObject *object, int *overflow)
{
    *overflow = 0;
    PyObject *whole = PyNumber_Index(object);
    if (whole == NULL) {
        return -1;
    }
    long long number = PyLong_AsLongLongAndOverflow(whole, overflow);
    Py_DECREF(whole);
    return number;
}
