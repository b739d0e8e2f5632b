/* Memory that was freed, given back to the system. */
#ifndef GT_MALLOC_TRIM_H
#define GT_MALLOC_TRIM_H

#include <stddef.h>

/* Give memory that was freed back to the system.  Otherwise the C library keeps it: holes of many
 * sizes, and room for unpacked weights that exceeds all that stays. */
void gt_heap_trim(void);

/* Say that so much was freed: every few megabytes it goes back to the system. */
void gt_heap_freed(size_t size);

#endif
