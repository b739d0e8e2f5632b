/* Which rows of bytes run on this processor. */
#ifndef GT_U8_DISPATCH_H
#define GT_U8_DISPATCH_H

#include "kernels/u8/u8_rows.h"

/* The fastest that this processor has, which ONEDNN_MAX_CPU_ISA may deny. */
gt_u8_rows gt_u8_rows_best(void);

#endif
