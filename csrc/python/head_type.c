/* The type Head: dense layers, trained and applied. */
#include <math.h>
#include <string.h>

#include "python/core.h"

#include "head/head.h"

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
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!K:head", names, &PyTuple_Type, &widths,
                                     &seed) ||
        read_widths(widths, &config) < 0) {
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

static int
refuse_while(int condition)
{
    if (condition) {
        PyErr_SetString(PyExc_RuntimeError, "the head is in use by another thread");
        return -1;
    }
    return 0;
}

/* A float32 vector of the given length from an object or None; *data is NULL for None. */
static int
read_vector(PyObject *object, const char *what, int64_t length, PyArrayObject **array,
            const float **data)
{
    *array = NULL;
    *data = NULL;
    if (object == Py_None) {
        return 0;
    }
    *array = gt_as_array(object, what, NPY_FLOAT32, 1, 1);
    if (*array == NULL || gt_check_axis(*array, what, 0, (npy_intp)length) < 0) {
        return -1;
    }
    *data = PyArray_DATA(*array);
    return 0;
}

/* The rows that a call is about, from an int64 array or None: `data`'s n and rows. */
static int
read_rows(PyObject *object, npy_intp total, PyArrayObject **array, gt_head_data *data)
{
    data->n = total;
    data->rows = NULL;
    if (object == Py_None) {
        return 0;
    }
    *array = gt_as_array(object, "rows", NPY_INT64, 1, 0);
    if (*array == NULL) {
        return -1;
    }
    data->n = PyArray_DIM(*array, 0);
    data->rows = PyArray_DATA(*array);
    for (int64_t i = 0; i < data->n; i++) {
        if (data->rows[i] < 0 || data->rows[i] >= total) {
            PyErr_Format(PyExc_ValueError, "rows[%lld] is %lld, there are %zd rows of features",
                         (long long)i, (long long)data->rows[i], (Py_ssize_t)total);
            return -1;
        }
    }
    return 0;
}

/* Features (n, d), labels (n,) and which rows of the features those belong to, or None for all, as
 * the core wants them; the arrays are the caller's to release also after a failure. */
static int
read_data(const head_object *self, PyObject *features, PyObject *labels, PyObject *rows,
          PyArrayObject *arrays[3], gt_head_data *data)
{
    arrays[0] = gt_as_array(features, "features", NPY_FLOAT32, 2, 1);
    if (arrays[0] == NULL ||
        gt_check_axis(arrays[0], "features", 1, (npy_intp)self->head->config.widths[0]) < 0 ||
        read_rows(rows, PyArray_DIM(arrays[0], 0), &arrays[2], data) < 0) {
        return -1;
    }
    data->features = PyArray_DATA(arrays[0]);
    arrays[1] = gt_as_array(labels, "labels", NPY_INT32, 1, 0);
    if (arrays[1] == NULL || gt_check_axis(arrays[1], "labels", 0, (npy_intp)data->n) < 0) {
        return -1;
    }
    data->labels = PyArray_DATA(arrays[1]);
    return 0;
}

static int
read_choice(const char *text, const char *what, const char *const *choices, int *choice)
{
    for (int i = 0; choices[i] != NULL; i++) {
        if (strcmp(text, choices[i]) == 0) {
            *choice = i;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError, "%s cannot be '%s'", what, text);
    return -1;
}

/* All that train() and loss_gradient() are told, with the arrays that it borrows from. */
typedef struct {
    gt_head_data training;
    gt_head_data validation;
    gt_head_scaling scaling;
    gt_train_config config;
    PyObject *callback; /* borrowed */
    int has_validation;
    PyArrayObject *arrays[9];
} request;

static void
release_request(request *wanted)
{
    for (size_t i = 0; i < sizeof(wanted->arrays) / sizeof(*wanted->arrays); i++) {
        Py_XDECREF(wanted->arrays[i]);
    }
}

static int
read_request(const head_object *self, PyObject *args, PyObject *kwargs, request *wanted)
{
    static char *names[] = {"features",
                            "labels",
                            "validation_features",
                            "validation_labels",
                            "mean",
                            "inverse_deviation",
                            "class_weights",
                            "epochs",
                            "batch_size",
                            "optimizer",
                            "schedule",
                            "learning_rate",
                            "momentum",
                            "l2",
                            "dropout",
                            "seed",
                            "threads",
                            "callback",
                            "rows",
                            "allow_bf16",
                            NULL};
    static const char *const optimisers[] = {"adam", "sgd", NULL};
    static const char *const schedules[] = {"constant", "cosine", NULL};
    PyObject *features = NULL;
    PyObject *labels = NULL;
    PyObject *validation_features = Py_None;
    PyObject *validation_labels = Py_None;
    PyObject *mean = Py_None;
    PyObject *inverse_deviation = Py_None;
    PyObject *class_weights = Py_None;
    PyObject *rows = Py_None;
    const char *optimiser = "adam";
    const char *schedule = "constant";
    long long epochs = 1;
    long long batch_size = 32;
    unsigned long long seed = 0;
    int choice = 0;
    int allow_bf16 = 0;
    gt_train_config *config = &wanted->config;
    const gt_head_config *shape = &self->head->config;
    *config = gt_train_defaults();
    wanted->callback = Py_None;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "OO|$OOOOOLLssddddKiOOp", names, &features, &labels, &validation_features,
            &validation_labels, &mean, &inverse_deviation, &class_weights, &epochs, &batch_size,
            &optimiser, &schedule, &config->learning_rate, &config->momentum, &config->l2,
            &config->dropout, &seed, &config->threads, &wanted->callback, &rows, &allow_bf16)) {
        return -1;
    }
    config->epochs = epochs;
    config->batch_size = batch_size;
    config->seed = seed;
    config->allow_bf16 = allow_bf16 != 0;
    if (read_choice(optimiser, "optimizer", optimisers, &choice) < 0) {
        return -1;
    }
    config->optimiser = (gt_optimiser)choice;
    if (read_choice(schedule, "schedule", schedules, &choice) < 0) {
        return -1;
    }
    config->schedule = (gt_schedule)choice;
    PyArrayObject **arrays = wanted->arrays;
    int64_t classes = shape->widths[shape->layers];
    if (read_data(self, features, labels, rows, arrays, &wanted->training) < 0 ||
        read_vector(mean, "mean", shape->widths[0], &arrays[3], &wanted->scaling.mean) < 0 ||
        read_vector(inverse_deviation, "inverse_deviation", shape->widths[0], &arrays[4],
                    &wanted->scaling.inverse_deviation) < 0 ||
        read_vector(class_weights, "class_weights", classes, &arrays[5], &config->class_weights) <
            0) {
        return -1;
    }
    wanted->has_validation = validation_features != Py_None;
    if (wanted->has_validation && read_data(self, validation_features, validation_labels, Py_None,
                                            arrays + 6, &wanted->validation) < 0) {
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

PyDoc_STRVAR(train_doc, "train(features, labels, **settings)\n--\n\n"
                        "Train from the present weights. After each epoch\n"
                        "callback(epoch, loss, accuracy, validation_loss, validation_accuracy) is\n"
                        "called; training ends early when it returns something true.");

static PyObject *
head_train(head_object *self, PyObject *args, PyObject *kwargs)
{
    request wanted;
    gt_error error = {""};
    memset(&wanted, 0, sizeof(wanted));
    if (refuse_while(self->training || self->computing) < 0) {
        return NULL;
    }
    if (read_request(self, args, kwargs, &wanted) < 0) {
        release_request(&wanted);
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
    release_request(&wanted);
    if (status != GT_OK) {
        return gt_raise(self->module, status, &error);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(loss_gradient_doc,
             "loss_gradient(features, labels, **settings)\n--\n\n"
             "Loss of all rows as one minibatch and its gradient by the weights, flat.");

static PyObject *
head_loss_gradient(head_object *self, PyObject *args, PyObject *kwargs)
{
    request wanted;
    gt_error error = {""};
    gt_status status = GT_OK;
    double loss = 0.0;
    npy_intp count = (npy_intp)self->head->weights.count;
    memset(&wanted, 0, sizeof(wanted));
    if (refuse_while(self->training) < 0) {
        return NULL;
    }
    PyObject *gradient = PyArray_SimpleNew(1, &count, NPY_FLOAT32);
    if (gradient == NULL || read_request(self, args, kwargs, &wanted) < 0) {
        Py_XDECREF(gradient);
        release_request(&wanted);
        return NULL;
    }
    self->computing++;
    Py_BEGIN_ALLOW_THREADS
    status = gt_head_loss_gradient(self->head, &wanted.training, &wanted.scaling, &wanted.config,
                                   &loss, PyArray_DATA((PyArrayObject *)gradient), &error);
    Py_END_ALLOW_THREADS
    self->computing--;
    release_request(&wanted);
    if (status != GT_OK) {
        Py_DECREF(gradient);
        return gt_raise(self->module, status, &error);
    }
    return Py_BuildValue("(dN)", loss, gradient);
}

PyDoc_STRVAR(predict_doc, "predict(features, threads, logits=False)\n--\n\n"
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
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Oi|p:predict", names, &object, &threads,
                                     &logits) ||
        refuse_while(self->training) < 0) {
        return NULL;
    }
    PyArrayObject *features = gt_as_array(object, "features", NPY_FLOAT32, 2, 1);
    if (features == NULL ||
        gt_check_axis(features, "features", 1, (npy_intp)config->widths[0]) < 0) {
        Py_XDECREF(features);
        return NULL;
    }
    npy_intp dims[2] = {PyArray_DIM(features, 0), (npy_intp)config->widths[config->layers]};
    PyObject *output = PyArray_SimpleNew(2, dims, NPY_FLOAT32);
    if (output == NULL) {
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
             "standardisation(features, threads, rows=None)\n--\n\n"
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
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Oi|O:standardisation", names, &object, &threads,
                                     &rows)) {
        return NULL;
    }
    PyArrayObject *places = NULL;
    PyObject *pair = NULL;
    PyObject *mean = PyArray_SimpleNew(1, &width, NPY_FLOAT32);
    PyObject *inverse = PyArray_SimpleNew(1, &width, NPY_FLOAT32);
    PyArrayObject *features = gt_as_array(object, "features", NPY_FLOAT32, 2, 1);
    if (mean == NULL || inverse == NULL || features == NULL ||
        gt_check_axis(features, "features", 1, width) < 0 ||
        read_rows(rows, PyArray_DIM(features, 0), &places, &data) < 0) {
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
    Py_XDECREF(places);
    Py_XDECREF(features);
    Py_XDECREF(inverse);
    Py_XDECREF(mean);
    return pair;
}

PyDoc_STRVAR(fold_scaling_doc, "fold_scaling(mean, inverse_deviation)\n--\n\n"
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
    if (!PyArg_ParseTuple(args, "OO:fold_scaling", &mean, &inverse_deviation) ||
        refuse_while(self->training || self->computing) < 0) {
        return NULL;
    }
    if (read_vector(mean, "mean", width, &arrays[0], &scaling.mean) == 0 &&
        read_vector(inverse_deviation, "inverse_deviation", width, &arrays[1],
                    &scaling.inverse_deviation) == 0) {
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
             "get_layers()\n--\n\n"
             "A copy of the weights: a list of (kernel (in, out), bias (out,)), float32.");

static PyObject *
copy_floats(const float *data, int ndim, npy_intp *dims)
{
    PyObject *array = PyArray_SimpleNew(ndim, dims, NPY_FLOAT32);
    if (array != NULL) {
        memcpy(PyArray_DATA((PyArrayObject *)array), data,
               (size_t)PyArray_NBYTES((PyArrayObject *)array));
    }
    return array;
}

static PyObject *
head_get_layers(head_object *self, PyObject *unused)
{
    (void)unused;
    const gt_head *head = self->head;
    if (refuse_while(self->training && self->computing) < 0) {
        return NULL;
    }
    PyObject *layers = PyList_New(head->config.layers);
    for (int k = 0; layers != NULL && k < head->config.layers; k++) {
        npy_intp dims[2] = {(npy_intp)head->config.widths[k], (npy_intp)head->config.widths[k + 1]};
        PyObject *kernel = copy_floats(head->weights.kernel[k], 2, dims);
        PyObject *bias = copy_floats(head->weights.bias[k], 1, dims + 1);
        PyObject *layer = kernel == NULL || bias == NULL ? NULL : PyTuple_Pack(2, kernel, bias);
        Py_XDECREF(kernel);
        Py_XDECREF(bias);
        if (layer == NULL) {
            Py_CLEAR(layers);
            break;
        }
        PyList_SET_ITEM(layers, k, layer);
    }
    return layers;
}

PyDoc_STRVAR(set_layer_doc, "set_layer(index, kernel, bias)\n--\n\n"
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
    if (!PyArg_ParseTuple(args, "iOO:set_layer", &layer, &objects[0], &objects[1]) ||
        refuse_while(self->computing) < 0) {
        return NULL;
    }
    if (layer < 0 || layer >= config->layers) {
        PyErr_Format(PyExc_ValueError, "the head has %d layers, no layer %d", config->layers,
                     layer);
        return NULL;
    }
    kernel = gt_as_array(objects[0], "kernel", NPY_FLOAT32, 2, 1);
    if (kernel != NULL && gt_check_axis(kernel, "kernel", 0, config->widths[layer]) == 0 &&
        gt_check_axis(kernel, "kernel", 1, config->widths[layer + 1]) == 0 &&
        read_vector(objects[1], "bias", config->widths[layer + 1], &bias, &shift) == 0) {
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
