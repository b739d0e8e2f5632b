#include "kernels/winograd/winograd_dispatch.h"

#include <stdatomic.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

#include "common/onednn.h"

/* Of compilers, only recent ones know F16C by name; to ask the processor takes long in a virtual
 * machine. */
static bool
has_fma_and_f16c(void)
{
#ifdef __x86_64__
    static atomic_int known; /* 1 for no, 2 for yes */
    int answer = atomic_load(&known);
    if (answer == 0) {
        unsigned int eax = 0;
        unsigned int ebx = 0;
        unsigned int ecx = 0;
        unsigned int edx = 0;
        bool has_f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C) != 0;
        answer = has_f16c && __builtin_cpu_supports("fma") ? 2 : 1;
        atomic_store(&known, answer);
    }
    return answer == 2;
#else
    return false;
#endif
}

/* Numbers of channels in for which int16 is as exact as uint8.  The rounding of tiles costs more
 * with fewer: in the third layer of Inception V3, which has 32, it took the least cosine to float32
 * of 29 photographs from 0.995 to 0.989.  With more, weights have fewer bits, for sums must fit
 * 32. */
enum { MIN_CHANNELS_INT16 = 48, MAX_CHANNELS_INT16 = 128 };

bool
gt_winograd_int16_is_exact(const gt_winograd *winograd)
{
    return winograd->from.channels >= MIN_CHANNELS_INT16 &&
           winograd->from.channels <= MAX_CHANNELS_INT16;
}

/* With AMX direct convolutions of bfloat16 or uint8 are faster (amx.c, oneDNN), with VNNI of AVX2
 * oneDNN's of uint8 than one with fp16; int16 was not tried there. */
gt_winograd_stages
gt_winograd_choose(const gt_winograd *winograd)
{
    gt_map_type type = winograd->type;
    bool bytes = type == GT_MAP_U8;
    if (gt_processor_has(dnnl_cpu_isa_avx512_core_amx) && type != GT_MAP_FLOAT32) {
        return (gt_winograd_stages){0};
    }
    if (gt_processor_has(bytes ? dnnl_cpu_isa_avx512_core_vnni : dnnl_cpu_isa_avx512_core)) {
        return gt_winograd_avx512(winograd->size, type);
    }
    if (!gt_processor_has(dnnl_cpu_isa_avx2) || !has_fma_and_f16c() ||
        (bytes && gt_adds_products_in_32_bits())) {
        return (gt_winograd_stages){0};
    }
    return gt_winograd_avx2(winograd->size, type, gt_winograd_int16_is_exact(winograd));
}

int
gt_winograd_lanes(gt_map_type type)
{
    gt_winograd any = {.size = 3, .type = type};
    return gt_winograd_choose(&any).lanes;
}

const char *
gt_winograd_u8_weights(void)
{
    gt_winograd few = {.size = 3, .type = GT_MAP_U8, .from = {.channels = MIN_CHANNELS_INT16 - 1}};
    gt_winograd_stages stages = gt_winograd_choose(&few);
    return stages.lanes == 0 ? "none" : stages.weights == GT_WINOGRAD_FP16 ? "int16+fp16" : "int16";
}
