#include "common/pages.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "common/arithmetic.h"

/* Kernels read up to a cache line beyond a map. */
enum { MARGIN = 64 /* bytes */ };

static const size_t huge_page = (size_t)2 << 20;

void *
gt_pages_allocate(size_t size)
{
    void *pages = NULL;
    size_t rounded = gt_round_up(size + MARGIN, huge_page);
    if (posix_memalign(&pages, huge_page, rounded) != 0) {
        return NULL;
    }
#ifdef MADV_HUGEPAGE
    (void)madvise(pages, rounded, MADV_HUGEPAGE); /* advice: a refusal costs speed only */
#endif
    return pages;
}

void
gt_pages_free(void *pages)
{
    free(pages);
}
