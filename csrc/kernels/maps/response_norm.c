/* Local response normalisation over neighbouring channels. */
#include <math.h>

#include "kernels/maps/maps.h"
#include "kernels/maps/maps_elements.h"

enum { LANES = 64 };

/* The divisor's inverse for `lanes` sums; roots where they do. */
GT_INLINE void
invert(const gt_response_norm *norm, float *sums, int lanes)
{
    float factor = (float)(norm->alpha / norm->size);
    float bias = (float)norm->bias;
    if (norm->beta == 0.75) {
        for (int k = 0; k < lanes; k++) {
            float root = sqrtf(bias + factor * sums[k]);
            sums[k] = 1.0f / (root * sqrtf(root));
        }
    }
    else {
        for (int k = 0; k < lanes; k++) {
            sums[k] = powf(bias + factor * sums[k], (float)-norm->beta);
        }
    }
}

/* Channels first to first + lanes of one pixel. */
GT_INLINE void
normalise(const gt_response_norm *norm, gt_map_type type, const void *pixel, int first, int lanes,
          void *target)
{
    float sums[LANES] = {0.0f};
    int before = (norm->size - 1) / 2;
    int last = norm->size < before + norm->channels ? norm->size : before + norm->channels;
    for (int j = before < norm->channels ? 0 : before - norm->channels; j < last; j++) {
        int start = j - before; /* from the channel itself */
        int from = first + start < 0 ? -first - start : 0;
        int room = norm->channels - first - start;
        int end = room < lanes ? room : lanes;
        for (int k = from; k < end; k++) {
            float value = load(pixel, first + start + k, type);
            sums[k] += value * value;
        }
    }
    invert(norm, sums, lanes);
    for (int k = 0; k < lanes; k++) {
        store(target, first + k, load(pixel, first + k, type) * sums[k], type);
    }
}

GT_INLINE void
normalise_any(const gt_response_norm *norm, const void *pixel, void *target)
{
    for (int first = 0; first < norm->channels; first += LANES) {
        int lanes = norm->channels - first < LANES ? norm->channels - first : LANES;
        if (norm->type == GT_MAP_BF16) {
            normalise(norm, GT_MAP_BF16, pixel, first, lanes, target);
        }
        else {
            normalise(norm, GT_MAP_FLOAT32, pixel, first, lanes, target);
        }
    }
}

static void
normalise_plain(const gt_response_norm *norm, const void *pixel, void *target)
{
    normalise_any(norm, pixel, target);
}

GT_AVX2 static void
normalise_avx2(const gt_response_norm *norm, const void *pixel, void *target)
{
    normalise_any(norm, pixel, target);
}

void
gt_response_norm_run(const gt_response_norm *norm, const void *source, void *target)
{
    void (*run)(const gt_response_norm *, const void *, void *) =
        gt_has_avx2() ? normalise_avx2 : normalise_plain;
#pragma omp parallel for schedule(static) num_threads(norm->threads) if (norm->threads > 1)
    for (int64_t i = 0; i < norm->pixels; i++) {
        run(norm, element(source, i * norm->channels, norm->type),
            element_to_write(target, i * norm->channels, norm->type));
    }
}
