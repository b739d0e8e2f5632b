/* Failures on demand.  A program that is linked with faults.c and with wrappers.c, which is made
 * by wrappers.awk, has every allocation, every start of a thread and every call of oneDNN go
 * through a wrapper that counts it and lets the chosen one fail. */
#ifndef GT_TEST_FAULTS_H
#define GT_TEST_FAULTS_H

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>

/* Let the nth call from now on, counted from 1, fail, and if it `lasts` all that follow; one of
 * oneDNN with that code. */
void gt_faults_arm(long nth, dnnl_status_t code, bool lasts);

/* Let no further call fail.  The name of the function that failed first, or NULL if none did. */
const char *gt_faults_disarm(void);

/* Blocks, mappings and oneDNN's objects that were made and not given back. */
long gt_faults_balance(void);

/* From now on files that are opened under that path hold that text; NULL for there are none.  A
 * path of NULL ends it for all. */
void gt_faults_file(const char *path, const char *text);

/* Write where the calls return to that failed so far, an address a line; false if that fails. */
bool gt_faults_write_places(const char *path);

/* --- for the wrappers ---------------------------------------------------------------------- */

/* Whether this call, of the function `name`, is the one to fail; in the wrapper itself, whose
 * caller is noted then. */
#define gt_faults_strike(name) gt_faults_strike_from(name, __builtin_return_address(0))
bool gt_faults_strike_from(const char *name, const void *place);

dnnl_status_t gt_faults_code(void);

/* Add to the balance. */
void gt_faults_count(long change);

#endif
