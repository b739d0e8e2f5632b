/* What the heap keeps. */
#ifndef GT_HEAP_H
#define GT_HEAP_H

/* Give memory that was freed back to the system.  The C library keeps it else: holes of many sizes,
 * which nothing to come would fill, and room for unpacked weights larger than all that stays. */
void gt_heap_rest(void);

#endif
