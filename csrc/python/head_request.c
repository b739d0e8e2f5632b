/* What a head is told in Python, as the core wants it. */
#include "python/head_request.h"

#include <string.h>

int
gt_read_vector(PyObject *object, const char *what, int64_t length, PyArrayObject **array,
               const float **data)
{
    *array = NULL;
    *data = NULL;
    if (object == Py_None) {
        return 0;
    }
    *array = gt_copy_vector(object, what, NPY_FLOAT32, (npy_intp)length, GT_SAME_KIND);
    if (*array == NULL) {
        return -1;
    }
    *data = PyArray_DATA(*array);
    return 0;
}

int
gt_read_rows(PyObject *object, npy_intp total, PyArrayObject **array, gt_head_data *data)
{
    data->n = total;
    data->rows = NULL;
    if (object == Py_None) {
        return 0;
    }
    *array = gt_as_array(object, "rows", NPY_INT64, 1, GT_COPY);
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
 * the core wants them; the arrays are the caller's to release also after a failure.  Labels and rows
 * are indices, checked once: they are copied, for a callback may alter the caller's. */
static int
read_data(const gt_head *head, PyObject *features, PyObject *labels, PyObject *rows,
          PyArrayObject *arrays[3], gt_head_data *data)
{
    arrays[0] = gt_as_array(features, "features", NPY_FLOAT32, 2, GT_SAME_KIND);
    if (arrays[0] == NULL ||
        gt_check_axis(arrays[0], "features", 1, (npy_intp)head->config.widths[0]) < 0 ||
        gt_read_rows(rows, PyArray_DIM(arrays[0], 0), &arrays[2], data) < 0) {
        return -1;
    }
    data->features = PyArray_DATA(arrays[0]);
    arrays[1] = gt_copy_vector(labels, "labels", NPY_INT32, (npy_intp)data->n, GT_AS_IT_IS);
    if (arrays[1] == NULL) {
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

void
gt_release_request(gt_head_request *wanted)
{
    for (size_t i = 0; i < sizeof(wanted->arrays) / sizeof(*wanted->arrays); i++) {
        Py_XDECREF(wanted->arrays[i]);
    }
    Py_XDECREF(wanted->keywords);
}

int
gt_read_request(const gt_head *head, PyObject *args, PyObject *kwargs, gt_head_request *wanted)
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
    const gt_head_config *shape = &head->config;
    *config = gt_train_defaults();
    wanted->callback = Py_None;
    wanted->keywords = kwargs;
    if (gt_own_keywords(&wanted->keywords) < 0 ||
        !PyArg_ParseTupleAndKeywords(args, wanted->keywords, "OO|$OOOOOLLssddddKiOOp", names,
                                     &features, &labels, &validation_features, &validation_labels,
                                     &mean, &inverse_deviation, &class_weights, &epochs,
                                     &batch_size, &optimiser, &schedule, &config->learning_rate,
                                     &config->momentum, &config->l2, &config->dropout, &seed,
                                     &config->threads, &wanted->callback, &rows, &allow_bf16)) {
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
    if (read_data(head, features, labels, rows, arrays, &wanted->training) < 0 ||
        gt_read_vector(mean, "mean", shape->widths[0], &arrays[3], &wanted->scaling.mean) < 0 ||
        gt_read_vector(inverse_deviation, "inverse_deviation", shape->widths[0], &arrays[4],
                       &wanted->scaling.inverse_deviation) < 0 ||
        gt_read_vector(class_weights, "class_weights", classes, &arrays[5],
                       &config->class_weights) < 0) {
        return -1;
    }
    wanted->has_validation = validation_features != Py_None;
    if (wanted->has_validation && read_data(head, validation_features, validation_labels, Py_None,
                                            arrays + 6, &wanted->validation) < 0) {
        return -1;
    }
    return 0;
}
