/* Memory on huge pages. */
#ifndef GT_PAGES_H
#define GT_PAGES_H

#include <stddef.h>

/* Memory of at least `size` bytes on huge pages where the system gives them; NULL when memory is
 * out.  To be released with gt_pages_free. */
void *gt_pages_allocate(size_t size);

/* Accepts NULL. */
void gt_pages_free(void *arena);

#endif
