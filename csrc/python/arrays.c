#include "python/core.h"

static int
check_type(PyArrayObject *array, const char *what, int type, int flags)
{
    PyArray_Descr *own = PyArray_DESCR(array);
    PyArray_Descr *wanted = PyArray_DescrFromType(type);
    int fits =
        wanted != NULL && ((flags & GT_SAME_KIND) != 0
                               ? PyArray_CanCastTypeTo(own, wanted, NPY_SAME_KIND_CASTING)
                               : PyArray_EquivTypes(own, wanted) || PyArray_TYPE(array) == type);
    if (!fits) {
        PyErr_Format(PyExc_TypeError, "%s must be an array of %S, not of %S", what,
                     (PyObject *)wanted, (PyObject *)own);
    }
    Py_XDECREF(wanted);
    return fits ? 0 : -1;
}

static int
check_dimensions(PyArrayObject *array, const char *what, int ndim)
{
    if (PyArray_NDIM(array) == ndim) {
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "%s must have %d dimensions, not %d", what, ndim,
                 PyArray_NDIM(array));
    return -1;
}

/* A view of the base class: no code of a subclass runs, and nobody else knows it. */
static PyArrayObject *
as_view(PyObject *array)
{
    return (PyArrayObject *)PyArray_View((PyArrayObject *)array, NULL, &PyArray_Type);
}

static bool
is_right(PyArrayObject *array, int type, int ndim)
{
    return PyArray_TYPE(array) == type && PyArray_NDIM(array) == ndim && PyArray_ISCARRAY_RO(array);
}

/* A view of what is given as an array of the right type and number of axes, or NULL. */
static PyArrayObject *
checked_view(PyObject *given, const char *what, int type, int ndim, int flags)
{
    PyArrayObject *view = as_view(given);
    if (view != NULL &&
        (check_type(view, what, type, flags) < 0 || check_dimensions(view, what, ndim) < 0)) {
        Py_CLEAR(view);
    }
    return view;
}

/* The view converted where it must be; its reference is taken. */
static PyArrayObject *
convert(PyArrayObject *view, int type, int flags)
{
    int layout = NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_FORCECAST |
                 ((flags & GT_COPY) != 0 ? NPY_ARRAY_ENSURECOPY : 0);
    PyObject *array = PyArray_FromArray(view, PyArray_DescrFromType(type), layout);
    Py_DECREF(view);
    return (PyArrayObject *)array;
}

PyArrayObject *
gt_as_array(PyObject *object, const char *what, int type, int ndim, int flags)
{
    PyObject *given = PyArray_FROM_O(object);
    if (given == NULL ||
        ((flags & GT_ITSELF) != 0 && is_right((PyArrayObject *)given, type, ndim))) {
        return (PyArrayObject *)given;
    }
    PyArrayObject *view = checked_view(given, what, type, ndim, flags);
    Py_DECREF(given);
    return view != NULL ? convert(view, type, flags) : NULL;
}

PyArrayObject *
gt_copy_vector(PyObject *object, const char *what, int type, npy_intp length, int flags)
{
    PyObject *given = PyArray_FROM_O(object);
    if (given == NULL) {
        return NULL;
    }
    PyArrayObject *view = checked_view(given, what, type, 1, flags);
    Py_DECREF(given);
    if (view != NULL && gt_check_axis(view, what, 0, length) < 0) {
        Py_CLEAR(view);
    }
    return view != NULL ? convert(view, type, flags | GT_COPY) : NULL;
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

int
gt_own_keywords(PyObject **keywords)
{
    if (*keywords == NULL) {
        return 0;
    }
    *keywords = PyDict_Copy(*keywords);
    if (*keywords == NULL) {
        return -1;
    }
    PyObject_GC_UnTrack(*keywords); /* for whoever lists all objects */
    return 0;
}

PyObject *
gt_new_hidden_list(void)
{
    PyObject *list = PyList_New(0);
    if (list != NULL) {
        PyObject_GC_UnTrack(list);
    }
    return list;
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
