/* The type Backbone: a network that runs. */
#include <string.h>

#include "python/core.h"

#include "runtime/backbone.h"

typedef struct {
    PyObject_HEAD
    PyObject *module; /* for the exceptions */
    PyObject *arrays; /* tuple that keeps the weights' data alive */
    gt_backbone *backbone;
    gt_shape input; /* of one image */
    int sub_batch;
} backbone_object;

static void
backbone_dealloc(backbone_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    gt_backbone_free(self->backbone);
    Py_XDECREF(self->arrays);
    Py_XDECREF(self->module);
    type->tp_free(self);
    Py_DECREF(type);
}

/* No tp_clear, for the network needs its arrays as long as it can be reached: every cycle runs
 * through an object that has one, such as the module or the dictionary of an array's subclass. */
static int
backbone_traverse(backbone_object *self, visitproc visit, void *arg)
{
    GT_VISIT_TYPE(self);
    Py_VISIT(self->module);
    Py_VISIT(self->arrays);
    return 0;
}

/* Append the pools that the outputs ask for and choose them; -1 with an exception. */
static int
choose_outputs(PyObject *module, gt_graph *graph, PyObject *outputs)
{
    int chosen[64];
    gt_error error = {""};
    Py_ssize_t count = PyTuple_GET_SIZE(outputs);
    if (count < 1 || count > (Py_ssize_t)(sizeof(chosen) / sizeof(*chosen))) {
        PyErr_Format(PyExc_ValueError, "from 1 to 64 outputs can be asked for, not %zd", count);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        const char *layer = NULL;
        const char *pooling = NULL;
        char name[32];
        gt_node pool;
        gt_status status = GT_OK;
        PyObject *pair = PyTuple_GET_ITEM(outputs, i);
        if (!PyTuple_Check(pair)) {
            PyErr_SetString(PyExc_TypeError, "an output is a tuple (layer, pooling)");
            return -1;
        }
        if (!PyArg_ParseTuple(pair, "sz", &layer, &pooling)) {
            return -1;
        }
        int index = gt_graph_find(graph, layer);
        if (index < 0) {
            PyErr_Format(gt_get_state(module)->graph_error, "the network has no layer '%s'", layer);
            return -1;
        }
        chosen[i] = index;
        if (pooling != NULL) {
            gt_node_init(&pool, gt_op_from_name(pooling));
            (void)PyOS_snprintf(name, sizeof(name), "(output %d)", (int)i);
            status = gt_graph_add(graph, &pool, name, &index, 1, &chosen[i], &error);
        }
        if (status != GT_OK) {
            (void)gt_raise(module, status, &error);
            return -1;
        }
    }
    gt_status status = gt_graph_set_outputs(graph, chosen, (int)count, &error);
    if (status != GT_OK) {
        (void)gt_raise(module, status, &error);
        return -1;
    }
    return 0;
}

/* A number, or a tuple with one for each channel; -1 with an exception. */
static int
read_channels(PyObject *given, const char *what, float *values)
{
    for (int c = 0; c < GT_PIXEL_CHANNELS; c++) {
        if (PyTuple_Check(given) && PyTuple_GET_SIZE(given) != GT_PIXEL_CHANNELS) {
            PyErr_Format(PyExc_ValueError, "%s must be a number or a tuple of %d", what,
                         GT_PIXEL_CHANNELS);
            return -1;
        }
        double value = PyFloat_AsDouble(PyTuple_Check(given) ? PyTuple_GET_ITEM(given, c) : given);
        if (value == -1.0 && PyErr_Occurred() != NULL) {
            return -1;
        }
        values[c] = (float)value;
    }
    return 0;
}

static int
read_preprocessing(PyObject *scale, PyObject *offset, gt_preprocessing *preprocessing)
{
    if (read_channels(scale, "scale", preprocessing->scales) < 0 ||
        read_channels(offset, "offset", preprocessing->offsets) < 0) {
        return -1;
    }
    preprocessing->scale = preprocessing->scales[0];
    preprocessing->offset = preprocessing->offsets[0];
    preprocessing->by_channel = PyTuple_Check(scale) || PyTuple_Check(offset);
    return 0;
}

PyObject *
gt_make_backbone(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"nodes",     "arrays", "height", "width",     "outputs",  "threads",
                            "sub_batch", "scale",  "offset", "precision", "reversed", NULL};
    PyObject *nodes = NULL;
    PyObject *arrays = NULL;
    PyObject *outputs = NULL;
    PyObject *keep = NULL;
    PyObject *scale = NULL;
    PyObject *offset = NULL;
    const char *precision = NULL;
    PyObject *made = NULL;
    int reversed = 0;
    int height = 0;
    int width = 0;
    gt_backbone_config config = {0};
    gt_graph graph;
    gt_error error = {""};
    gt_status status = GT_OK;
    backbone_object *self = NULL;
    PyTypeObject *type = (PyTypeObject *)gt_get_state(module)->backbone_type;
    gt_graph_init(&graph);
    if (gt_own_keywords(&kwargs) < 0 ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "OOiiO!iiOOs|p:backbone", names, &nodes, &arrays,
                                     &height, &width, &PyTuple_Type, &outputs, &config.threads,
                                     &config.sub_batch, &scale, &offset, &precision, &reversed) ||
        read_preprocessing(scale, offset, &config.preprocessing) < 0) {
        goto done;
    }
    config.preprocessing.reversed = reversed != 0;
    if (gt_precision_from_name(precision) < 0) {
        PyErr_Format(PyExc_ValueError, "precision cannot be '%s'", precision);
        goto done;
    }
    config.precision = (gt_precision)gt_precision_from_name(precision);
    self = (backbone_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        goto done;
    }
    PyObject_GC_UnTrack(self); /* until it is whole, for whoever lists all objects */
    Py_INCREF(module);
    self->module = module;
    self->sub_batch = config.sub_batch;
    keep = gt_new_hidden_list();
    if (keep == NULL || gt_graph_from_python(module, nodes, arrays, keep, &graph) < 0 ||
        choose_outputs(module, &graph, outputs) < 0) {
        goto done;
    }
    self->arrays = PyList_AsTuple(keep);
    if (self->arrays == NULL) {
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    status = gt_graph_infer_shapes(&graph, height, width, &error);
    if (status == GT_OK) {
        self->input = graph.nodes[0].shape;
        status = gt_backbone_create(&self->backbone, &graph, config, &error);
    }
    Py_END_ALLOW_THREADS
    if (status != GT_OK) {
        (void)gt_raise(module, status, &error);
        goto done;
    }
    PyObject_GC_Track(self);
    made = (PyObject *)self;
    self = NULL;
done:
    gt_graph_clear(&graph);
    Py_XDECREF(keep);
    Py_XDECREF(self);
    Py_XDECREF(kwargs);
    return made;
}

PyObject *
gt_infer_shapes(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"nodes", "arrays", "height", "width", NULL};
    PyObject *nodes = NULL;
    PyObject *arrays = NULL;
    PyObject *keep = gt_new_hidden_list();
    PyObject *shapes = NULL;
    int height = 0;
    int width = 0;
    gt_graph graph;
    gt_error error = {""};
    gt_graph_init(&graph);
    if (gt_own_keywords(&kwargs) < 0 || keep == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "OOii:infer_shapes", names, &nodes, &arrays,
                                     &height, &width) ||
        gt_graph_from_python(module, nodes, arrays, keep, &graph) < 0) {
        goto done;
    }
    gt_status status = gt_graph_infer_shapes(&graph, height, width, &error);
    if (status != GT_OK) {
        (void)gt_raise(module, status, &error);
        goto done;
    }
    shapes = PyList_New(graph.count);
    for (int i = 0; shapes != NULL && i < graph.count; i++) {
        gt_shape shape = graph.nodes[i].shape;
        PyObject *item = Py_BuildValue("(iii)", shape.height, shape.width, shape.channels);
        if (item == NULL) {
            Py_CLEAR(shapes);
            break;
        }
        PyList_SET_ITEM(shapes, i, item);
    }
done:
    gt_graph_clear(&graph);
    Py_XDECREF(keep);
    Py_XDECREF(kwargs);
    return shapes;
}

/* Empty float32 arrays for `count` images, as a hidden list; their data go into `data`. */
static PyObject *
make_results(backbone_object *self, npy_intp count, float **data)
{
    int n_outputs = gt_backbone_output_count(self->backbone);
    PyObject *results = gt_new_hidden_list();
    for (int k = 0; results != NULL && k < n_outputs; k++) {
        gt_shape shape = gt_backbone_output_shape(self->backbone, k);
        npy_intp dims[4] = {count, shape.height, shape.width, shape.channels};
        PyObject *array = PyArray_SimpleNew(4, dims, NPY_FLOAT32);
        if (array == NULL || PyList_Append(results, array) < 0) {
            Py_XDECREF(array);
            Py_CLEAR(results);
            break;
        }
        data[k] = PyArray_DATA((PyArrayObject *)array);
        Py_DECREF(array); /* the list has it */
    }
    return results;
}

/* gt_backbone_run, gt_backbone_calibrate or, with seconds, gt_backbone_profile. */
typedef gt_status (*runner)(gt_backbone *backbone, const uint8_t *images, int64_t count,
                            float *const *outputs, gt_error *error);

/* The results of a runner for `object`, as a list of arrays; or of a profile, NULL for the runner,
 * with the time of each step into `seconds`; there must be sub_batch images then. */
static PyObject *
run_with(backbone_object *self, PyObject *object, runner run, double *seconds)
{
    PyArrayObject *images = gt_as_array(object, "images", NPY_UINT8, 4, GT_AS_IT_IS);
    PyObject *results = NULL;
    float **data = NULL;
    gt_error error = {""};
    gt_status status = GT_OK;
    if (images == NULL || gt_check_axis(images, "images", 1, self->input.height) < 0 ||
        gt_check_axis(images, "images", 2, self->input.width) < 0 ||
        gt_check_axis(images, "images", 3, self->input.channels) < 0 ||
        (seconds != NULL && gt_check_axis(images, "images", 0, self->sub_batch) < 0)) {
        goto done;
    }
    data = PyMem_Malloc((size_t)gt_backbone_output_count(self->backbone) * sizeof(*data));
    if (data == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    results = make_results(self, PyArray_DIM(images, 0), data);
    if (results == NULL) {
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    status = run == NULL
                 ? gt_backbone_profile(self->backbone, PyArray_DATA(images), data, seconds, &error)
                 : run(self->backbone, PyArray_DATA(images), PyArray_DIM(images, 0), data, &error);
    Py_END_ALLOW_THREADS
    if (status != GT_OK) {
        Py_CLEAR(results);
        (void)gt_raise(self->module, status, &error);
        goto done;
    }
    PyObject_GC_Track(results);
done:
    PyMem_Free(data);
    Py_XDECREF(images);
    return results;
}

PyDoc_STRVAR(run_doc, "run($self, images, /)\n--\n\n"
                      "Run uint8 images (n, height, width, channels); a list of float32 arrays\n"
                      "(n, height_k, width_k, channels_k), one an output.");

static PyObject *
backbone_run(backbone_object *self, PyObject *object)
{
    return run_with(self, object, gt_backbone_run, NULL);
}

PyDoc_STRVAR(calibrate_doc,
             "calibrate($self, images, /)\n--\n\n"
             "Run images in float32, as run does, and learn the ranges of all layers from them.\n"
             "Before the first run in int8, never after it.");

static PyObject *
backbone_calibrate(backbone_object *self, PyObject *object)
{
    return run_with(self, object, gt_backbone_calibrate, NULL);
}

PyDoc_STRVAR(ranges_doc,
             "ranges($self, /)\n--\n\n"
             "What is known of the layers' numbers: a list of (layer, range, negative).");

static PyObject *
backbone_ranges(backbone_object *self, PyObject *unused)
{
    (void)unused;
    int count = gt_backbone_range_count(self->backbone);
    PyObject *ranges = PyList_New(count);
    for (int i = 0; ranges != NULL && i < count; i++) {
        gt_range range = gt_backbone_range(self->backbone, i);
        PyObject *item = Py_BuildValue("(sdO)", range.layer, (double)range.range,
                                       range.negative ? Py_True : Py_False);
        if (item == NULL) {
            Py_CLEAR(ranges);
            break;
        }
        PyList_SET_ITEM(ranges, i, item);
    }
    return ranges;
}

PyDoc_STRVAR(
    set_ranges_doc,
    "set_ranges($self, ranges, /)\n--\n\n"
    "Set what ranges() of a calibrated backbone gave, a list of (layer, range, negative).");

/* One (layer, range, negative); -1 with an exception. */
static int
set_range(backbone_object *self, PyObject *item)
{
    gt_error error = {""};
    gt_range range = {0};
    int negative = 0;
    if (!PyTuple_Check(item)) {
        PyErr_SetString(PyExc_TypeError, "ranges must be tuples");
        return -1;
    }
    if (!PyArg_ParseTuple(item, "sfp", &range.layer, &range.range, &negative)) {
        return -1;
    }
    range.negative = negative != 0;
    gt_status status = GT_OK;
    Py_BEGIN_ALLOW_THREADS
    status = gt_backbone_set_range(self->backbone, range, &error);
    Py_END_ALLOW_THREADS
    if (status != GT_OK) {
        (void)gt_raise(self->module, status, &error);
        return -1;
    }
    return 0;
}

static PyObject *
backbone_set_ranges(backbone_object *self, PyObject *ranges)
{
    if (!PyList_Check(ranges)) {
        PyErr_SetString(PyExc_TypeError, "ranges must be a list");
        return NULL;
    }
    PyObject *items = PyList_AsTuple(ranges); /* for reading numbers may run code that alters it */
    int good = items != NULL;
    for (Py_ssize_t i = 0; good && i < PyTuple_GET_SIZE(items); i++) {
        good = set_range(self, PyTuple_GET_ITEM(items, i)) == 0;
    }
    Py_XDECREF(items);
    if (!good) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Steps as they were visited, copied; no Python object is made while the backbone is locked, for
 * that could run code that wants the same lock. */
typedef struct {
    gt_step *steps; /* (count,), of PyMem_RawRealloc; primitives and arguments are not ours */
    Py_ssize_t count;
    int failed; /* memory is out */
} listing;

static void
note_step(void *context, const gt_step *step)
{
    listing *list = context;
    size_t size = (size_t)(list->count + 1) * sizeof(*list->steps);
    gt_step *steps = list->failed ? NULL : PyMem_RawRealloc(list->steps, size);
    if (steps == NULL) {
        list->failed = 1;
        return;
    }
    steps[list->count++] = *step;
    list->steps = steps;
}

static PyObject *
steps_to_python(const listing *list)
{
    PyObject *result = PyList_New(list->count);
    for (Py_ssize_t i = 0; result != NULL && i < list->count; i++) {
        const gt_step *step = &list->steps[i];
        PyObject *item = Py_BuildValue("(NNN)", gt_text(step->layer), gt_text(step->operation),
                                       gt_text(step->implementation));
        if (item == NULL) {
            Py_CLEAR(result);
            break;
        }
        PyList_SET_ITEM(result, i, item);
    }
    return result;
}

PyDoc_STRVAR(steps_doc, "steps($self, /)\n--\n\n"
                        "The primitives that run, in order: a list of (layer, operation,\n"
                        "implementation).");

static PyObject *
backbone_steps(backbone_object *self, PyObject *unused)
{
    (void)unused;
    gt_error error = {""};
    listing list = {NULL, 0, 0};
    gt_status status = GT_OK;
    PyObject *result = NULL;
    Py_BEGIN_ALLOW_THREADS
    status = gt_backbone_visit_steps(self->backbone, note_step, &list, &error);
    Py_END_ALLOW_THREADS
    if (status != GT_OK) {
        (void)gt_raise(self->module, status, &error);
    }
    else if (list.failed) {
        PyErr_NoMemory();
    }
    else {
        result = steps_to_python(&list);
    }
    PyMem_RawFree(list.steps);
    return result;
}

static void
count_step(void *context, const gt_step *step)
{
    (void)step;
    ++*(npy_intp *)context;
}

PyDoc_STRVAR(profile_doc,
             "profile($self, images, /)\n--\n\n"
             "Run uint8 images (sub_batch, height, width, channels) on one thread; the\n"
             "seconds of writing the input and of each of steps(), float64.");

static PyObject *
backbone_profile(backbone_object *self, PyObject *images)
{
    gt_error error = {""};
    npy_intp count = 1;
    gt_status status = GT_OK;
    Py_BEGIN_ALLOW_THREADS
    status = gt_backbone_visit_steps(self->backbone, count_step, &count, &error);
    Py_END_ALLOW_THREADS
    if (status != GT_OK) {
        return gt_raise(self->module, status, &error);
    }
    PyObject *seconds = PyArray_SimpleNew(1, &count, NPY_FLOAT64);
    if (seconds == NULL) {
        return NULL;
    }
    PyObject *results = run_with(self, images, NULL, PyArray_DATA((PyArrayObject *)seconds));
    if (results == NULL) {
        Py_CLEAR(seconds);
    }
    Py_XDECREF(results);
    return seconds;
}

static PyMethodDef backbone_methods[] = {
    {"run", (PyCFunction)backbone_run, METH_O, run_doc},
    {"profile", (PyCFunction)backbone_profile, METH_O, profile_doc},
    {"calibrate", (PyCFunction)backbone_calibrate, METH_O, calibrate_doc},
    {"ranges", (PyCFunction)backbone_ranges, METH_NOARGS, ranges_doc},
    {"set_ranges", (PyCFunction)backbone_set_ranges, METH_O, set_ranges_doc},
    {"steps", (PyCFunction)backbone_steps, METH_NOARGS, steps_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot backbone_slots[] = {
    {Py_tp_dealloc, backbone_dealloc},
    {Py_tp_traverse, backbone_traverse},
    {Py_tp_new, gt_refuse_new},
    {Py_tp_methods, backbone_methods},
    {Py_tp_doc, "A network that runs; made by backbone()."},
    {0, NULL},
};

PyType_Spec gt_backbone_spec = {
    .name = "gear_transfer._core.Backbone",
    .basicsize = sizeof(backbone_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = backbone_slots,
};
