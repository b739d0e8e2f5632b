/* How many processors there are for us. */
#ifndef GT_PROCESSORS_H
#define GT_PROCESSORS_H

/* Processors this process may use: its affinity mask, lowered to the limit of its control
 * groups, at least 1. */
int gt_available_threads(void);

#endif
