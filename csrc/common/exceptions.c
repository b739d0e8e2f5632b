#include "common/exceptions.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unwind.h>

/* oneDNN's calls do not nest, so that one place a thread is enough. */
static _Thread_local jmp_buf place;

jmp_buf *
gt_exceptions_place(void)
{
    return &place;
}

/* Some primitives have a hundred kernels, each with a quarter of a megabyte for its code. */
static const size_t enough = (size_t)64 << 20;

/* Pages that nobody writes to cost nothing, and no sanitizer fills them. */
bool
gt_memory_is_left(size_t more)
{
    size_t size = enough + more;
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return false;
    }
    (void)munmap(pages, size);
    return true;
}

/* A thread that threw broke its promise of a primitive, which the cache would keep for ever. */
dnnl_status_t
gt_exceptions_caught(void)
{
    int capacity = 0;
    if (dnnl_get_primitive_cache_capacity(&capacity) == dnnl_success) {
        (void)dnnl_set_primitive_cache_capacity(0);
        (void)dnnl_set_primitive_cache_capacity(capacity);
    }
    return dnnl_out_of_memory;
}

/* Exceptions unwind by tables of DWARF but for 32-bit ARM. */
#if defined(__GNUC__) && !defined(__ARM_EABI__)

/* What the unwinder asks of the frame of gt_catch_exceptions, as C++ would have it answered: first
 * whether an exception is caught there, then, when all frames of oneDNN have been cleared up, to go on
 * there.  Frames of C lie between and have nothing to clear up, so that the one of the call, further
 * in, is still whole.  A thread that is cancelled or ends unwinds with force, and is let through. */
static _Unwind_Reason_Code
catch_exception(int version, _Unwind_Action actions, _Unwind_Exception_Class kind,
                struct _Unwind_Exception *exception, struct _Unwind_Context *context)
{
    (void)version;
    (void)kind;
    (void)context;
    if ((actions & _UA_FORCE_UNWIND) != 0) {
        return _URC_CONTINUE_UNWIND;
    }
    if ((actions & _UA_SEARCH_PHASE) != 0) {
        return _URC_HANDLER_FOUND;
    }
    if (exception->exception_cleanup != NULL) {
        exception->exception_cleanup(_URC_FOREIGN_EXCEPTION_CAUGHT, exception);
    }
    longjmp(place, 1);
}

/* Named in the tables of the frame, which reach it relative to themselves. */
extern _Unwind_Reason_Code (*const gt_exceptions_catcher)(int, _Unwind_Action,
                                                          _Unwind_Exception_Class,
                                                          struct _Unwind_Exception *,
                                                          struct _Unwind_Context *);
__attribute__((used, visibility("hidden"))) _Unwind_Reason_Code (*const gt_exceptions_catcher)(
    int, _Unwind_Action, _Unwind_Exception_Class, struct _Unwind_Exception *,
    struct _Unwind_Context *) = catch_exception;

__attribute__((noinline)) void
gt_catch_exceptions(void (*work)(void *context), void *context)
{
    /* indirect, relative to the place, 32 bits with a sign */
    __asm__ volatile(".cfi_personality 0x9b, gt_exceptions_catcher");
    work(context);
    __asm__ volatile("" ::: "memory"); /* or the call would be a jump, without a frame */
}

#else

void
gt_catch_exceptions(void (*work)(void *context), void *context)
{
    work(context);
}

#endif
