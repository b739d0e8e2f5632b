/* Status codes and the error message that goes with them. */
#ifndef GT_STATUS_H
#define GT_STATUS_H

typedef enum {
    GT_OK = 0,
    GT_ERROR_MEMORY,   /* an allocation failed */
    GT_ERROR_ARGUMENT, /* a value or a shape given by the caller is wrong */
    GT_ERROR_GRAPH,    /* the description of the network is wrong */
    GT_ERROR_ENGINE,   /* oneDNN or the operating system refused */
    GT_ERROR_STOPPED   /* a callback asked to stop */
} gt_status;

/* Owned by the caller; holds an empty string until a function fails. */
typedef struct {
    char message[512];
} gt_error;

/* Write the message (cut to fit) into `error`, which may be NULL, and return `status`. */
gt_status gt_fail(gt_error *error, gt_status status, const char *format, ...)
#ifdef __GNUC__
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* GT_ERROR_MEMORY with a message that says what the memory was for. */
gt_status gt_fail_memory(gt_error *error, const char *what);

#endif
