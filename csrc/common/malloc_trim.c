#include "common/malloc_trim.h"

#include <stdatomic.h>
#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Each time costs more the more holes the heap of the program has. */
static const size_t enough = (size_t)8 << 20;

static atomic_size_t freed;

void
gt_heap_trim(void)
{
    atomic_store(&freed, 0);
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

void
gt_heap_freed(size_t size)
{
    if (atomic_fetch_add(&freed, size) + size >= enough) {
        gt_heap_trim();
    }
}
