#include "common/status.h"

#include <stdarg.h>
#include <stdio.h>

gt_status
gt_fail(gt_error *error, gt_status status, const char *format, ...)
{
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(error->message, sizeof(error->message), format, arguments);
        va_end(arguments);
    }
    return status;
}

gt_status
gt_fail_memory(gt_error *error, const char *what)
{
    return gt_fail(error, GT_ERROR_MEMORY, "out of memory for %s", what);
}
