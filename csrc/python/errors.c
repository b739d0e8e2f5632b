#include "python/core.h"

PyObject *
gt_raise(PyObject *module, gt_status status, const gt_error *error)
{
    gt_module_state *state = gt_get_state(module);
    if (PyErr_Occurred()) {
        return NULL;
    }
    switch (status) {
    case GT_ERROR_MEMORY:
        PyErr_SetString(PyExc_MemoryError, error->message);
        break;
    case GT_ERROR_ARGUMENT:
        PyErr_SetString(PyExc_ValueError, error->message);
        break;
    case GT_ERROR_GRAPH:
        PyErr_SetString(state->graph_error, error->message);
        break;
    case GT_ERROR_STOPPED:
    case GT_ERROR_ENGINE:
        PyErr_SetString(state->engine_error, error->message);
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
