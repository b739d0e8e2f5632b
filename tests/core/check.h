/* Checks for the tests of the core: they count and report, and never end the run.
 * Include it in one file of each test program. */
#ifndef GT_CHECK_H
#define GT_CHECK_H

#include <math.h>
#include <stdio.h>

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

/* What main returns: 0 when every check held. */
static inline int
check_report(void)
{
    printf("%d passed, %d failed\n", check_passed, check_failed);
    return check_failed != 0;
}

#endif
