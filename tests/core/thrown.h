/* Exceptions without C++.  Include it in one file of a test program. */
#ifndef GT_THROWN_H
#define GT_THROWN_H

#include <oneapi/dnnl/dnnl.h>
#include <unwind.h>

/* An exception as C++ throws it: its own unwinder is asked, and returns if nobody catches it. */
static int exceptions_cleared;

static inline void
clear_exception(_Unwind_Reason_Code reason, struct _Unwind_Exception *exception)
{
    exceptions_cleared += reason == _URC_FOREIGN_EXCEPTION_CAUGHT && exception != NULL;
}

static inline dnnl_status_t
throw_exception(int depth)
{
    static struct _Unwind_Exception exception;
    if (depth > 0) {
        return throw_exception(depth - 1) == dnnl_success ? dnnl_success : dnnl_runtime_error;
    }
    exception.exception_cleanup = clear_exception;
    (void)_Unwind_RaiseException(&exception);
    return dnnl_success;
}

#endif
