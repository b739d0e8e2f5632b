/* Every call of a task fails, one after the other. */
#ifndef GT_FRAGILE_H
#define GT_FRAGILE_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "common/status.h"
#include "faults.h"

/* A task whose calls fail one after the other, and the state that it works on. */
typedef struct {
    const char *name;
    void (*prepare)(void *context);                     /* NULL for nothing */
    gt_status (*run)(void *context, gt_error *problem); /* checks its result in success */
    void (*finish)(void *context);                      /* NULL for nothing */
    void *context;
} fragile;

/* Whether a success with the right result may follow.  Memory that is out must be told, but where
 * it costs only speed, a name to read, or an object that is gone anyway; from another failure there
 * may be another way to the result, such as a pool without the ReLU that was fused to it. */
static bool
may_go_well(const char *failed, dnnl_status_t code)
{
    static const char *const harmless[] = {"madvise", "dnnl_primitive_desc_query",
                                           "dnnl_primitive_desc_query_md",
                                           "dnnl_memory_get_memory_desc"};
    size_t length = strlen(failed);
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
        if (strcmp(failed, harmless[i]) == 0) {
            return true;
        }
    }
    return strcmp(failed + (length > 8 ? length - 8 : 0), "_destroy") == 0 ||
           (code != dnnl_out_of_memory && strncmp(failed, "dnnl_", 5) == 0);
}

static bool
is_told(gt_status status, const gt_error *problem)
{
    return (status == GT_ERROR_MEMORY || status == GT_ERROR_ENGINE) && problem->message[0] != '\0';
}

/* The nth call fails, or all from the nth on; false when there are fewer. */
static bool
fail_one(const fragile *task, long nth, dnnl_status_t code, bool lasts)
{
    gt_error problem = {""};
    long before = gt_faults_balance();
    int wrong = check_failed;
    if (task->prepare != NULL) {
        task->prepare(task->context);
    }
    gt_faults_arm(nth, code, lasts);
    gt_status status = task->run(task->context, &problem);
    const char *failed = gt_faults_disarm();
    if (task->finish != NULL) {
        task->finish(task->context);
    }
    CHECK(status == GT_OK ? failed == NULL || may_go_well(failed, code)
                          : is_told(status, &problem));
    CHECK(gt_faults_balance() == before);
    if (check_failed > wrong) {
        fprintf(stderr, "    call %ld, %s: status %d, %ld left behind: %s\n", nth,
                failed != NULL ? failed : "none", (int)status, gt_faults_balance() - before,
                problem.message);
    }
    return failed != NULL;
}

/* Every call fails, alone and with all that follow, in the ways that oneDNN knows. */
static void
survive(fragile task)
{
    static const struct {
        dnnl_status_t code;
        bool lasts;
    } ways[] = {
        {dnnl_out_of_memory, false}, {dnnl_runtime_error, false}, {dnnl_unimplemented, true}};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        long nth = 1;
        while (fail_one(&task, nth, ways[i].code, ways[i].lasts)) {
            nth++;
        }
        CHECK(nth > 2);
        fprintf(stderr, "    %s: each of %ld calls failed once%s\n", task.name, nth - 1,
                ways[i].lasts ? ", with all that follow" : "");
    }
}

#endif
