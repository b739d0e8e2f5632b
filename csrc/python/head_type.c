/* The type Head: dense layers, trained and applied. */
#include <string.h>

#include "python/core.h"

#include "head/head.h"
#include "python/head_request.h"

typedef struct {
    PyObject_HEAD
    PyObject *module; /* for the exceptions */
    gt_head *head;
    int training;  /* train() is under way */
    int computing; /* calls that use the weights with the GIL dropped */
} head_object;

static void
head_dealloc(head_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    gt_head_free(self->head);
    Py_XDECREF(self->module);
    type->tp_free(self);
    Py_DECREF(type);
}

/* No tp_clear: every cycle runs through an object that has one, such as the module. */
static int
head_traverse(head_object *self, visitproc visit, void *arg)
{
    GT_VISIT_TYPE(self);
    Py_VISIT(self->module);
    return 0;
}

static int
read_widths(PyObject *widths, gt_head_config *config)
{
    Py_ssize_t count = PyTuple_GET_SIZE(widths);
    if (count < 2 || count > GT_HEAD_MAX_LAYERS + 1) {
        PyErr_Format(PyExc_ValueError, "a head has 1 to %d layers, not %zd", GT_HEAD_MAX_LAYERS,
                     count - 1);
        return -1;
    }
    config->layers = (int)count - 1;
    for (Py_ssize_t i = 0; i < count; i++) {
        int overflow = 0;
        config->widths[i] = gt_as_whole_number(PyTuple_GET_ITEM(widths, i), &overflow);
        if (overflow != 0) {
            PyErr_SetString(PyExc_ValueError, "a width is too large");
        }
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    return 0;
}

PyObject *
gt_make_head(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"widths", "seed", NULL};
    PyObject *widths = NULL;
    unsigned long long seed = 0;
    gt_head_config config = {0};
    gt_error error = {""};
    int good = gt_own_keywords(&kwargs) == 0 &&
               PyArg_ParseTupleAndKeywords(args, kwargs, "O!K:head", names, &PyTuple_Type, &widths,
                                           &seed) &&
               read_widths(widths, &config) == 0;
    Py_XDECREF(kwargs);
    if (!good) {
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)gt_get_state(module)->head_type;
    head_object *self = (head_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    PyObject_GC_UnTrack(self); /* until it is whole, for whoever lists all objects */
    Py_INCREF(module);
    self->module = module;
    gt_status status = gt_head_create(&config, seed, &self->head, &error);
    if (status != GT_OK) {
        (void)gt_raise(module, status, &error);
        Py_DECREF(self);
        return NULL;
    }
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

/* To be asked when nothing is left but to begin: reading the arguments may run code and drop the
 * GIL, so that what was so before need not be so after it. */
static int
refuse_while(int condition)
{
    if (condition) {
        PyErr_SetString(PyExc_RuntimeError, "the head is in use by another thread");
        return -1;
    }
    return 0;
}

/* What the epoch callback needs to get back into Python. */
typedef struct {
    head_object *self;
    PyObject *callback;
    PyThreadState *thread;
} visit;

static int
call_back(void *context, const gt_epoch *epoch)
{
    visit *caller = context;
    int answer = 0;
    PyEval_RestoreThread(caller->thread);
    caller->self->computing--;
    PyObject *result = NULL;
    if (PyErr_CheckSignals() == 0) {
        result = caller->callback == Py_None
                     ? Py_BuildValue("O", Py_None)
                     : PyObject_CallFunction(caller->callback, "Ldddd", (long long)epoch->epoch,
                                             epoch->loss, epoch->accuracy, epoch->validation_loss,
                                             epoch->validation_accuracy);
    }
    answer = result == NULL ? -1 : PyObject_IsTrue(result);
    Py_XDECREF(result);
    caller->self->computing++;
    caller->thread = PyEval_SaveThread();
    return answer;
}

/* The names of gt_read_request, with their defaults. */
#define SETTINGS                                                                                   \
    "*, validation_features=None, validation_labels=None, mean=None, inverse_deviation=None, "     \
    "class_weights=None, epochs=1, batch_size=32, optimizer='adam', schedule='constant', "         \
    "learning_rate=0.001, momentum=0.0, l2=0.0, dropout=0.0, seed=0, threads=1, callback=None, "   \
    "rows=None, allow_bf16=False"

PyDoc_STRVAR(train_doc, "train($self, features, labels, " SETTINGS ")\n--\n\n"
                        "Train from the present weights. After each epoch\n"
                        "callback(epoch, loss, accuracy, validation_loss, validation_accuracy) is\n"
                        "called; training ends early when it returns something true.");

static PyObject *
head_train(head_object *self, PyObject *args, PyObject *kwargs)
{
    gt_head_request wanted;
    gt_error error = {""};
    memset(&wanted, 0, sizeof(wanted));
    if (gt_read_request(self->head, args, kwargs, &wanted) < 0 ||
        refuse_while(self->training || self->computing) < 0) {
        gt_release_request(&wanted);
        return NULL;
    }
    visit caller = {.self = self, .callback = wanted.callback};
    self->training = 1;
    self->computing++;
    caller.thread = PyEval_SaveThread();
    gt_status status = gt_head_train(self->head, &wanted.training,
                                     wanted.has_validation ? &wanted.validation : NULL,
                                     &wanted.scaling, &wanted.config, call_back, &caller, &error);
    PyEval_RestoreThread(caller.thread);
    self->computing--;
    self->training = 0;
    gt_release_request(&wanted);
    if (status != GT_OK) {
        return gt_raise(self->module, status, &error);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(loss_gradient_doc,
             "loss_gradient($self, features, labels, " SETTINGS ")\n--\n\n"
             "Loss of all rows as one minibatch and its gradient by the weights, flat.");

static PyObject *
head_loss_gradient(head_object *self, PyObject *args, PyObject *kwargs)
{
    gt_head_request wanted;
    gt_error error = {""};
    gt_status status = GT_OK;
    double loss = 0.0;
    npy_intp count = (npy_intp)self->head->weights.count;
    memset(&wanted, 0, sizeof(wanted));
    PyObject *gradient = PyArray_SimpleNew(1, &count, NPY_FLOAT32);
    if (gradient == NULL || gt_read_request(self->head, args, kwargs, &wanted) < 0 ||
        refuse_while(self->training) < 0) {
        Py_XDECREF(gradient);
        gt_release_request(&wanted);
        return NULL;
    }
    self->computing++;
    Py_BEGIN_ALLOW_THREADS
    status = gt_head_loss_gradient(self->head, &wanted.training, &wanted.scaling, &wanted.config,
                                   &loss, PyArray_DATA((PyArrayObject *)gradient), &error);
    Py_END_ALLOW_THREADS
    self->computing--;
    gt_release_request(&wanted);
    if (status != GT_OK) {
        Py_DECREF(gradient);
        return gt_raise(self->module, status, &error);
    }
    return Py_BuildValue("(dN)", loss, gradient);
}

PyDoc_STRVAR(predict_doc, "predict($self, features, threads, logits=False)\n--\n\n"
                          "Probabilities, or logits, float32 (n, classes), of features (n, d).");

static PyObject *
head_predict(head_object *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"features", "threads", "logits", NULL};
    PyObject *object = NULL;
    int threads = 1;
    int logits = 0;
    gt_error error = {""};
    gt_status status = GT_OK;
    const gt_head_config *config = &self->head->config;
    PyArrayObject *features = NULL;
    if (gt_own_keywords(&kwargs) == 0 &&
        PyArg_ParseTupleAndKeywords(args, kwargs, "Oi|p:predict", names, &object, &threads,
                                    &logits)) {
        features = gt_as_array(object, "features", NPY_FLOAT32, 2, GT_SAME_KIND);
    }
    Py_XDECREF(kwargs);
    if (features == NULL ||
        gt_check_axis(features, "features", 1, (npy_intp)config->widths[0]) < 0) {
        Py_XDECREF(features);
        return NULL;
    }
    npy_intp dims[2] = {PyArray_DIM(features, 0), (npy_intp)config->widths[config->layers]};
    PyObject *output = PyArray_SimpleNew(2, dims, NPY_FLOAT32);
    if (output == NULL || refuse_while(self->training) < 0) {
        Py_XDECREF(output);
        Py_DECREF(features);
        return NULL;
    }
    self->computing++;
    Py_BEGIN_ALLOW_THREADS
    status = gt_head_predict(self->head, PyArray_DATA(features), dims[0], logits, threads,
                             PyArray_DATA((PyArrayObject *)output), &error);
    Py_END_ALLOW_THREADS
    self->computing--;
    Py_DECREF(features);
    if (status != GT_OK) {
        Py_DECREF(output);
        return gt_raise(self->module, status, &error);
    }
    return output;
}

PyDoc_STRVAR(standardisation_doc,
             "standardisation($self, features, threads, rows=None)\n--\n\n"
             "Mean and inverse deviation, float32 (d,), of features (n, d), or of those rows.");

static PyObject *
head_standardisation(head_object *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"features", "threads", "rows", NULL};
    PyObject *object = NULL;
    PyObject *rows = Py_None;
    int threads = 1;
    npy_intp width = (npy_intp)self->head->config.widths[0];
    gt_head_data data = {0};
    gt_error error = {""};
    gt_status status = GT_OK;
    PyArrayObject *places = NULL;
    PyArrayObject *features = NULL;
    PyObject *pair = NULL;
    PyObject *mean = PyArray_SimpleNew(1, &width, NPY_FLOAT32);
    PyObject *inverse = PyArray_SimpleNew(1, &width, NPY_FLOAT32);
    if (gt_own_keywords(&kwargs) == 0 &&
        PyArg_ParseTupleAndKeywords(args, kwargs, "Oi|O:standardisation", names, &object, &threads,
                                    &rows)) {
        features = gt_as_array(object, "features", NPY_FLOAT32, 2, GT_SAME_KIND);
    }
    if (mean == NULL || inverse == NULL || features == NULL ||
        gt_check_axis(features, "features", 1, width) < 0 ||
        gt_read_rows(rows, PyArray_DIM(features, 0), &places, &data) < 0) {
        goto done;
    }
    data.features = PyArray_DATA(features);
    Py_BEGIN_ALLOW_THREADS
    status = gt_head_standardise(&data, width, threads, PyArray_DATA((PyArrayObject *)mean),
                                 PyArray_DATA((PyArrayObject *)inverse), &error);
    Py_END_ALLOW_THREADS
    pair =
        status == GT_OK ? PyTuple_Pack(2, mean, inverse) : gt_raise(self->module, status, &error);
done:
    Py_XDECREF(kwargs);
    Py_XDECREF(places);
    Py_XDECREF(features);
    Py_XDECREF(inverse);
    Py_XDECREF(mean);
    return pair;
}

PyDoc_STRVAR(fold_scaling_doc, "fold_scaling($self, mean, inverse_deviation, /)\n--\n\n"
                               "Fold the scaling used in training into the first layer.");

static PyObject *
head_fold_scaling(head_object *self, PyObject *args)
{
    PyObject *mean = NULL;
    PyObject *inverse_deviation = NULL;
    PyArrayObject *arrays[2] = {NULL, NULL};
    gt_head_scaling scaling = {NULL, NULL};
    gt_error error = {""};
    gt_status status = GT_ERROR_ARGUMENT;
    int64_t width = self->head->config.widths[0];
    if (!PyArg_ParseTuple(args, "OO:fold_scaling", &mean, &inverse_deviation)) {
        return NULL;
    }
    if (gt_read_vector(mean, "mean", width, &arrays[0], &scaling.mean) == 0 &&
        gt_read_vector(inverse_deviation, "inverse_deviation", width, &arrays[1],
                       &scaling.inverse_deviation) == 0 &&
        refuse_while(self->training || self->computing) == 0) {
        status = gt_head_fold_scaling(self->head, &scaling, &error);
    }
    Py_XDECREF(arrays[0]);
    Py_XDECREF(arrays[1]);
    if (status != GT_OK) {
        return gt_raise(self->module, status, &error);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(get_layers_doc,
             "get_layers($self, /)\n--\n\n"
             "A copy of the weights: a list of (kernel (in, out), bias (out,)), float32.");

/* Empty (kernel, bias) of a layer. */
static PyObject *
make_layer(const gt_head_config *config, int k)
{
    npy_intp dims[2] = {(npy_intp)config->widths[k], (npy_intp)config->widths[k + 1]};
    PyObject *kernel = PyArray_SimpleNew(2, dims, NPY_FLOAT32);
    PyObject *bias = PyArray_SimpleNew(1, dims + 1, NPY_FLOAT32);
    PyObject *layer = kernel == NULL || bias == NULL ? NULL : PyTuple_Pack(2, kernel, bias);
    Py_XDECREF(kernel);
    Py_XDECREF(bias);
    return layer;
}

static void
copy_floats(const float *from, PyObject *to)
{
    memcpy(PyArray_DATA((PyArrayObject *)to), from, (size_t)PyArray_NBYTES((PyArrayObject *)to));
}

/* All is made first, which may run code by way of the garbage collector, and copied at once. */
static PyObject *
head_get_layers(head_object *self, PyObject *unused)
{
    (void)unused;
    const gt_head *head = self->head;
    PyObject *layers = gt_new_hidden_list();
    for (int k = 0; layers != NULL && k < head->config.layers; k++) {
        PyObject *layer = make_layer(&head->config, k);
        if (layer == NULL || PyList_Append(layers, layer) < 0) {
            Py_CLEAR(layers);
        }
        Py_XDECREF(layer);
    }
    if (layers == NULL || refuse_while(self->training && self->computing) < 0) {
        Py_XDECREF(layers);
        return NULL;
    }
    for (int k = 0; k < head->config.layers; k++) {
        PyObject *layer = PyList_GET_ITEM(layers, k);
        copy_floats(head->weights.kernel[k], PyTuple_GET_ITEM(layer, 0));
        copy_floats(head->weights.bias[k], PyTuple_GET_ITEM(layer, 1));
    }
    PyObject_GC_Track(layers);
    return layers;
}

PyDoc_STRVAR(set_layer_doc, "set_layer($self, index, kernel, bias, /)\n--\n\n"
                            "Replace the weights of one layer: kernel (in, out), bias (out,).");

static PyObject *
head_set_layer(head_object *self, PyObject *args)
{
    int layer = 0;
    PyObject *objects[2] = {NULL, NULL};
    PyArrayObject *kernel = NULL;
    PyArrayObject *bias = NULL;
    const float *shift = NULL;
    gt_error error = {""};
    gt_status status = GT_ERROR_ARGUMENT;
    const gt_head_config *config = &self->head->config;
    if (!PyArg_ParseTuple(args, "iOO:set_layer", &layer, &objects[0], &objects[1])) {
        return NULL;
    }
    if (layer < 0 || layer >= config->layers) {
        PyErr_Format(PyExc_ValueError, "the head has %d layers, no layer %d", config->layers,
                     layer);
        return NULL;
    }
    kernel = gt_as_array(objects[0], "kernel", NPY_FLOAT32, 2, GT_SAME_KIND);
    if (kernel != NULL && gt_check_axis(kernel, "kernel", 0, config->widths[layer]) == 0 &&
        gt_check_axis(kernel, "kernel", 1, config->widths[layer + 1]) == 0 &&
        gt_read_vector(objects[1], "bias", config->widths[layer + 1], &bias, &shift) == 0 &&
        refuse_while(self->computing) == 0) {
        status = gt_head_set_layer(self->head, layer, PyArray_DATA(kernel), shift, &error);
    }
    Py_XDECREF(kernel);
    Py_XDECREF(bias);
    if (status != GT_OK) {
        return gt_raise(self->module, status, &error);
    }
    Py_RETURN_NONE;
}

static PyMethodDef head_methods[] = {
    {"train", (PyCFunction)(void (*)(void))head_train, METH_VARARGS | METH_KEYWORDS, train_doc},
    {"loss_gradient", (PyCFunction)(void (*)(void))head_loss_gradient, METH_VARARGS | METH_KEYWORDS,
     loss_gradient_doc},
    {"predict", (PyCFunction)(void (*)(void))head_predict, METH_VARARGS | METH_KEYWORDS,
     predict_doc},
    {"standardisation", (PyCFunction)(void (*)(void))head_standardisation,
     METH_VARARGS | METH_KEYWORDS, standardisation_doc},
    {"fold_scaling", (PyCFunction)head_fold_scaling, METH_VARARGS, fold_scaling_doc},
    {"get_layers", (PyCFunction)head_get_layers, METH_NOARGS, get_layers_doc},
    {"set_layer", (PyCFunction)head_set_layer, METH_VARARGS, set_layer_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot head_slots[] = {
    {Py_tp_dealloc, head_dealloc},
    {Py_tp_traverse, head_traverse},
    {Py_tp_new, gt_refuse_new},
    {Py_tp_methods, head_methods},
    {Py_tp_doc, "Dense layers, trained and applied; made by head()."},
    {0, NULL},
};

PyType_Spec gt_head_spec = {
    .name = "gear_transfer._core.Head",
    .basicsize = sizeof(head_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = head_slots,
};
