#include "common/onednn.h"

#include <string.h>

static const char *const precision_names[] = {"float32", "bf16", "int8"};

int
gt_precision_from_name(const char *name)
{
    for (int i = 0; i < (int)(sizeof(precision_names) / sizeof(*precision_names)); i++) {
        if (strcmp(name, precision_names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

bool
gt_processor_has(dnnl_cpu_isa_t wanted)
{
    return ((unsigned)dnnl_get_effective_cpu_isa() & (unsigned)wanted) == (unsigned)wanted;
}

bool
gt_processor_has_fma(void)
{
#ifdef __x86_64__
    return gt_processor_has(dnnl_cpu_isa_avx2) && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

bool
gt_precision_is_fast(gt_precision precision)
{
    switch (precision) {
    case GT_PRECISION_BF16:
        return gt_processor_has(dnnl_cpu_isa_avx512_core_bf16);
    case GT_PRECISION_INT8:
        return gt_processor_has(dnnl_cpu_isa_avx2);
    case GT_PRECISION_FLOAT32:
        break;
    }
    return true;
}

bool
gt_adds_products_in_32_bits(void)
{
    return gt_processor_has(dnnl_cpu_isa_avx512_core_vnni) ||
           gt_processor_has(dnnl_cpu_isa_avx2_vnni);
}

static const char *
code_name(dnnl_status_t code)
{
    switch (code) {
    case dnnl_out_of_memory:
        return "out of memory";
    case dnnl_invalid_arguments:
        return "invalid arguments";
    case dnnl_unimplemented:
        return "not supported";
    default:
        return "run-time error";
    }
}

gt_status
gt_check_engine(dnnl_status_t code, const char *what, const char *layer, gt_error *error)
{
    if (code == dnnl_success) {
        return GT_OK;
    }
    return gt_fail(error, code == dnnl_out_of_memory ? GT_ERROR_MEMORY : GT_ERROR_ENGINE,
                   "layer '%s': oneDNN failed at %s: %s (code %d)", layer, what, code_name(code),
                   (int)code);
}
