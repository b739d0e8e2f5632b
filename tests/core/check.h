/* Checks for the tests of the core: they count and report, and never end the run.
 * Include it in one file of each test program. */
#ifndef GT_CHECK_H
#define GT_CHECK_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_passed;
static int check_failed;

static inline void
check_note(int passed, const char *file, int line, const char *text)
{
    if (passed) {
        check_passed++;
        return;
    }
    check_failed++;
    fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
}

static inline void
check_note_close(double a, double b, double tolerance, const char *file, int line, const char *text)
{
    int passed = fabs(a - b) <= tolerance; /* false for NaN */

    check_note(passed, file, line, text);
    if (!passed) {
        fprintf(stderr, "    %.9g against %.9g, tolerance %.3g\n", a, b, tolerance);
    }
}

#define CHECK(condition) check_note((condition) ? 1 : 0, __FILE__, __LINE__, #condition)
#define CHECK_CLOSE(a, b, tolerance)                                                               \
    check_note_close((a), (b), (tolerance), __FILE__, __LINE__, #a " ~ " #b)
#define RUN(test_function)                                                                         \
    do {                                                                                           \
        fprintf(stderr, "%s\n", #test_function);                                                   \
        test_function();                                                                           \
    } while (0)

/* Whether long sweeps run whole, as ci/thorough.sh has them. */
static inline bool
check_is_thorough(void)
{
    const char *value = getenv("GEAR_TRANSFER_THOROUGH");
    return value != NULL && strcmp(value, "1") == 0;
}

/* Grows with each process for an older processor, so that these run other cases. */
static long check_turn;

/* Whether the case of that number, from 0, runs: one of so many does, or all.  With a number that has
 * no factor in common with the lengths of nested lists, each entry of each list is met. */
static inline bool
check_runs(long number, long one_in)
{
    return (number + check_turn) % one_in == 0 || check_is_thorough();
}

/* What main returns: 0 when every check held. */
static inline int
check_report(void)
{
    printf("%d passed, %d failed\n", check_passed, check_failed);
    return check_failed != 0;
}

#endif
