/* Every call of a task fails, one after the other. */
#ifndef GT_FRAGILE_H
#define GT_FRAGILE_H

#include <limits.h>
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
 * it costs only speed, a name to read, what the system says of itself, or an object that is gone
 * anyway; from another failure there may be another way to the result, such as a pool without the
 * ReLU that was fused to it. */
static bool
may_go_well(const char *failed, dnnl_status_t code)
{
    static const char *const harmless[] = {"madvise", "fopen", "dnnl_primitive_desc_query",
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

/* Of the calls that others from the same place preceded, one in so many fails. */
enum { SAMPLE = 23 };

/* Choose the calls that fail: the first from each place in the sources, and of the others, which come
 * from loops and from what is done again, a sample or all.  How many calls there are in all. */
static long
choose_calls(const fragile *task, bool chosen[GT_FAULTS_MOST_CALLS + 2])
{
    bool failed = fail_one(task, LONG_MAX, dnnl_success, false);
    long count = gt_faults_calls();
    CHECK(!failed && count > 1 && count <= GT_FAULTS_MOST_CALLS);
    for (long nth = 1; nth <= count && nth <= GT_FAULTS_MOST_CALLS; nth++) {
        chosen[nth] = gt_faults_is_first(nth) || check_runs(nth, SAMPLE);
    }
    return count;
}

/* Calls fail, alone and with all that follow, in the ways that oneDNN knows. */
static void
survive(fragile task)
{
    static const struct {
        dnnl_status_t code;
        bool lasts;
    } ways[] = {
        {dnnl_out_of_memory, false}, {dnnl_runtime_error, false}, {dnnl_unimplemented, true}};
    static bool chosen[GT_FAULTS_MOST_CALLS + 2];
    long count = choose_calls(&task, chosen);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        long failed = 0;
        for (long nth = 1; nth <= count && nth <= GT_FAULTS_MOST_CALLS; nth++) {
            if (chosen[nth]) {
                CHECK(fail_one(&task, nth, ways[i].code, ways[i].lasts));
                failed++;
            }
        }
        CHECK(!fail_one(&task, count + 1, ways[i].code, ways[i].lasts));
        fprintf(stderr, "    %s: %ld of %ld calls failed once%s\n", task.name, failed, count,
                ways[i].lasts ? ", with all that follow" : "");
    }
}

#endif
