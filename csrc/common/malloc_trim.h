/* What the heap keeps. */
#ifndef GT_HEAP_H
#define GT_HEAP_H

#include <stddef.h>

/* Give memory that was freed back to the system.  The C library keeps it else: holes of many sizes,
 * which nothing to come would fill, and room for unpacked weights larger than all that stays. */
void gt_heap_rest(void);

/* Say that so much was freed: every few megabytes it goes back to the system. */
void gt_heap_freed(size_t size);

#endif
