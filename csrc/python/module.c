/* The module gear_transfer._core. */
#define GT_IMPORT_ARRAY
#include "python/core.h"

#include "common/onednn.h"
#include "common/random.h"
#include "kernels/amx/amx.h"
#include "kernels/winograd/winograd.h"
#include "threads/exit_gate.h"
#include "threads/processors.h"

gt_module_state *
gt_get_state(PyObject *module)
{
    return PyModule_GetState(module);
}

PyDoc_STRVAR(available_threads_doc,
             "available_threads($module, /)\n--\n\n"
             "Processors that this process may use: affinity and control group limit.");

static PyObject *
available_threads(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromLong(gt_available_threads());
}

static const char *
isa_name(dnnl_cpu_isa_t isa)
{
    switch (isa) {
    case dnnl_cpu_isa_sse41:
        return "SSE4.1";
    case dnnl_cpu_isa_avx:
        return "AVX";
    case dnnl_cpu_isa_avx2:
        return "AVX2";
    case dnnl_cpu_isa_avx2_vnni:
        return "AVX2 VNNI";
    case dnnl_cpu_isa_avx512_core:
        return "AVX-512";
    case dnnl_cpu_isa_avx512_core_vnni:
        return "AVX-512 VNNI";
    case dnnl_cpu_isa_avx512_core_bf16:
        return "AVX-512 BF16";
    case dnnl_cpu_isa_avx512_core_fp16:
        return "AVX-512 FP16";
    case dnnl_cpu_isa_avx512_core_amx:
        return "AMX";
    default:
        return "other";
    }
}

PyDoc_STRVAR(engine_info_doc, "engine_info($module, /)\n--\n\n"
                              "oneDNN's version and the instruction set it uses, two str.");

static PyObject *
engine_info(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    const dnnl_version_t *version = dnnl_version();
    PyObject *text =
        PyUnicode_FromFormat("%d.%d.%d", version->major, version->minor, version->patch);
    if (text == NULL) {
        return NULL;
    }
    return Py_BuildValue("(Ns)", text, isa_name(dnnl_get_effective_cpu_isa()));
}

PyDoc_STRVAR(has_fast_doc,
             "has_fast($module, precision, /)\n--\n\n"
             "Whether the processor has instructions for 'float32', 'bf16' or 'int8'.");

static PyObject *
has_fast(PyObject *module, PyObject *args)
{
    (void)module;
    const char *name = NULL;
    if (!PyArg_ParseTuple(args, "s:has_fast", &name)) {
        return NULL;
    }
    int precision = gt_precision_from_name(name);
    return PyBool_FromLong(precision >= 0 && gt_precision_is_fast((gt_precision)precision));
}

PyDoc_STRVAR(
    int8_rounding_doc,
    "int8_rounding($module, /)\n--\n\n"
    "How int8 rounds on this processor; where that is the same, features are. First \"VNNI\"\n"
    "where weights have all 8 bits, \"pairs\" where their scales keep two products within 16\n"
    "bits; then \"tiles\" where convolutions run on matrix units, else the numbers of\n"
    "Winograd's kernels.");

static PyObject *
int8_rounding(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyUnicode_FromFormat("%s/%s", gt_adds_products_in_32_bits() ? "VNNI" : "pairs",
                                gt_amx_is_available() ? "tiles" : gt_winograd_u8_weights());
}

PyDoc_STRVAR(shuffle_doc, "shuffle($module, n, seed, epoch, /)\n--\n\n"
                          "The order in which an epoch visits n rows, int64 (n,).");

static PyObject *
shuffle(PyObject *module, PyObject *args)
{
    (void)module;
    Py_ssize_t n = 0;
    unsigned long long seed = 0;
    unsigned long long epoch = 0;
    if (!PyArg_ParseTuple(args, "nKK:shuffle", &n, &seed, &epoch)) {
        return NULL;
    }
    if (n < 0) {
        PyErr_SetString(PyExc_ValueError, "n must not be negative");
        return NULL;
    }
    npy_intp length = n;
    PyObject *order = PyArray_SimpleNew(1, &length, NPY_INT64);
    if (order != NULL) {
        gt_shuffle(PyArray_DATA((PyArrayObject *)order), n, seed, epoch);
    }
    return order;
}

PyDoc_STRVAR(
    backbone_doc,
    "backbone($module, nodes, arrays, height, width, outputs, threads, sub_batch, scale, offset,\n"
    "         precision, reversed=False)\n--\n\n"
    "A Backbone of a network described by nodes (name, op, inputs, attributes) and\n"
    "arrays, float32 or (uint8, scale, minimum) by name, for images of height x width\n"
    "seen as byte * scale + offset, each a number or a tuple of three, one for each\n"
    "channel in the order that the network sees, which `reversed` turns. outputs holds\n"
    "pairs (layer, pool) where pool is None or the name of a global pooling operation.");

PyDoc_STRVAR(infer_shapes_doc, "infer_shapes($module, nodes, arrays, height, width)\n--\n\n"
                               "The (height, width, channels) of each node's result.");

PyDoc_STRVAR(head_doc,
             "head($module, widths, seed)\n--\n\n"
             "A Head with freshly initialised weights; widths are those of the features, of\n"
             "the hidden layers and of the classes.");

static PyMethodDef module_methods[] = {
    {"available_threads", available_threads, METH_NOARGS, available_threads_doc},
    {"engine_info", engine_info, METH_NOARGS, engine_info_doc},
    {"has_fast", has_fast, METH_VARARGS, has_fast_doc},
    {"int8_rounding", int8_rounding, METH_NOARGS, int8_rounding_doc},
    {"shuffle", shuffle, METH_VARARGS, shuffle_doc},
    {"backbone", (PyCFunction)(void (*)(void))gt_make_backbone, METH_VARARGS | METH_KEYWORDS,
     backbone_doc},
    {"infer_shapes", (PyCFunction)(void (*)(void))gt_infer_shapes, METH_VARARGS | METH_KEYWORDS,
     infer_shapes_doc},
    {"head", (PyCFunction)(void (*)(void))gt_make_head, METH_VARARGS | METH_KEYWORDS, head_doc},
    {NULL, NULL, 0, NULL},
};

/* The interpreter leaves its daemon threads running while the process ends.  It remembers few such
 * functions, and the module can be imported many times. */
static void
close_gate_at_exit(void)
{
    static int is_asked;
    if (!is_asked) {
        is_asked = 1;
        if (Py_AtExit(gt_exit_gate_close) < 0) {
            (void)atexit(gt_exit_gate_close);
        }
    }
}

static int
module_exec(PyObject *module)
{
    gt_module_state *state = gt_get_state(module);
    import_array1(-1);
    close_gate_at_exit();
    PyObject *errors = PyImport_ImportModule("gear_transfer.errors");
    if (errors == NULL) {
        return -1;
    }
    state->graph_error = PyObject_GetAttrString(errors, "GraphError");
    state->engine_error = PyObject_GetAttrString(errors, "EngineError");
    Py_DECREF(errors);
    PyObject *mmap = PyImport_ImportModule("mmap");
    if (mmap == NULL) {
        return -1;
    }
    state->mmap_type = PyObject_GetAttrString(mmap, "mmap");
    Py_DECREF(mmap);
    state->backbone_type = PyType_FromSpec(&gt_backbone_spec);
    state->head_type = PyType_FromSpec(&gt_head_spec);
    if (state->graph_error == NULL || state->engine_error == NULL || state->mmap_type == NULL ||
        state->backbone_type == NULL || state->head_type == NULL) {
        return -1;
    }
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    gt_module_state *state = gt_get_state(module);
    if (state != NULL) {
        Py_VISIT(state->graph_error);
        Py_VISIT(state->engine_error);
        Py_VISIT(state->mmap_type);
        Py_VISIT(state->backbone_type);
        Py_VISIT(state->head_type);
    }
    return 0;
}

static int
module_clear(PyObject *module)
{
    gt_module_state *state = gt_get_state(module);
    if (state != NULL) {
        Py_CLEAR(state->graph_error);
        Py_CLEAR(state->engine_error);
        Py_CLEAR(state->mmap_type);
        Py_CLEAR(state->backbone_type);
        Py_CLEAR(state->head_type);
    }
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gear_transfer._core",
    .m_doc = "The compute core of gear_transfer: backbones and heads.",
    .m_size = sizeof(gt_module_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

/* Before 3.9 PyMODINIT_FUNC does not make the symbol visible. */
__attribute__((visibility("default"))) PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
