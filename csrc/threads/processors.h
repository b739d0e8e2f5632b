/* How many processors there are for us. */
#ifndef GT_PROCESSORS_H
#define GT_PROCESSORS_H

#include <stdbool.h>

/* Processors this process may use: its affinity mask, lowered to the limit of its control
 * groups, at least 1. */
int gt_available_threads(void);

/* Whether so many processors have nothing else to do at this moment, by the number of running tasks
 * that the system tells; true where it does not.  Threads that wait for each other many times an
 * image must run at once: on a busy machine one alone is faster. */
bool gt_processors_are_free(int count);

#endif
