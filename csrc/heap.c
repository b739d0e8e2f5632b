#include "heap.h"

#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

void
gt_heap_rest(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
