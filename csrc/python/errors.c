#include "python/core.h"

#include <string.h>

PyObject *
gt_text(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "ignore");
}

static void
set_error(PyObject *type, const gt_error *error)
{
    PyObject *text = gt_text(error->message);
    if (text != NULL) {
        PyErr_SetObject(type, text);
        Py_DECREF(text);
    }
}

PyObject *
gt_raise(PyObject *module, gt_status status, const gt_error *error)
{
    gt_module_state *state = gt_get_state(module);
    if (PyErr_Occurred()) {
        return NULL;
    }
    switch (status) {
    case GT_ERROR_MEMORY:
        set_error(PyExc_MemoryError, error);
        break;
    case GT_ERROR_ARGUMENT:
        set_error(PyExc_ValueError, error);
        break;
    case GT_ERROR_GRAPH:
        set_error(state->graph_error, error);
        break;
    case GT_ERROR_STOPPED:
    case GT_ERROR_ENGINE:
        set_error(state->engine_error, error);
        break;
    case GT_OK:
        PyErr_SetString(PyExc_SystemError, "a success was raised");
        break;
    }
    return NULL;
}

PyObject *
gt_refuse_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    PyErr_Format(PyExc_TypeError, "%s is made by a function of its module", type->tp_name);
    return NULL;
}
