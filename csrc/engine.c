#include "engine.h"

bool
gt_precision_is_fast(gt_precision precision)
{
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    unsigned bf16 = (unsigned)dnnl_cpu_isa_avx512_core_bf16;
    return precision == GT_PRECISION_FLOAT32 || (isa & bf16) == bf16;
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
