/* oneDNN as the core sees it: how its failures become errors, and what the processor has. */
#ifndef GT_ONEDNN_H
#define GT_ONEDNN_H

#include <stdbool.h>

#include "common/exceptions.h"
#include "common/status.h"

/* The type in which values travel between layers; sums are float32, in int8 32-bit integers. */
typedef enum { GT_PRECISION_FLOAT32, GT_PRECISION_BF16, GT_PRECISION_INT8 } gt_precision;

/* The precision of that name, or -1. */
int gt_precision_from_name(const char *name);

/* Whether the processor has those instructions and ONEDNN_MAX_CPU_ISA does not forbid them. */
bool gt_processor_has(dnnl_cpu_isa_t wanted);

/* Whether it has AVX2, likewise, and FMA, which oneDNN does not tell by itself. */
bool gt_processor_has_fma(void);

/* Whether the processor has instructions for it. */
bool gt_precision_is_fast(gt_precision precision);

/* Whether products of bytes are added in 32 bits at once (VNNI), and not first two by two in 16
 * bits, which saturate. */
bool gt_adds_products_in_32_bits(void);

/* Fail with GT_ERROR_ENGINE, naming what was asked of oneDNN, unless `code` is success. */
gt_status gt_check_engine(dnnl_status_t code, const char *what, const char *layer, gt_error *error);

#endif
