/* What a head is told in Python, as the core wants it. */
#ifndef GT_HEAD_REQUEST_H
#define GT_HEAD_REQUEST_H

#include "head/head.h"
#include "python/core.h"

/* A float32 vector of the given length, copied from an object, or None; *data is NULL for None. */
int gt_read_vector(PyObject *object, const char *what, int64_t length, PyArrayObject **array,
                   const float **data);

/* The rows that a call is about, copied from an int64 array, or None: `data`'s n and rows. */
int gt_read_rows(PyObject *object, npy_intp total, PyArrayObject **array, gt_head_data *data);

/* All that train() and loss_gradient() are told, with what it borrows from. */
typedef struct {
    gt_head_data training;
    gt_head_data validation;
    gt_head_scaling scaling;
    gt_train_config config;
    PyObject *keywords; /* hold what is borrowed below, or NULL */
    PyObject *callback; /* borrowed */
    int has_validation;
    PyArrayObject *arrays[9];
} gt_head_request;

/* Fill a request of zeros; -1 with an exception.  To be released in any case. */
int gt_read_request(const gt_head *head, PyObject *args, PyObject *kwargs, gt_head_request *wanted);
void gt_release_request(gt_head_request *wanted);

#endif
