/* Tests as an older processor would run them. */
#ifndef GT_TEST_OLDER_H
#define GT_TEST_OLDER_H

#include <oneapi/dnnl/dnnl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* Run `tests` with no newer instructions than those, each check of which must hold. oneDNN takes
 * its limit once, before anything else is asked of it, so a process of its own sets it. */
static inline void
check_on_older(dnnl_cpu_isa_t isa, void (*tests)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        CHECK(dnnl_set_max_cpu_isa(isa) == dnnl_success);
        tests();
        _exit(check_failed == 0 ? 0 : 1);
    }
    int code = -1;
    CHECK(waitpid(child, &code, 0) == child && WIFEXITED(code) && WEXITSTATUS(code) == 0);
}

#endif
