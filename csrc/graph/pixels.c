#include "graph/pixels.h"

#include <math.h>
#include <stdlib.h>

float
gt_pixel_scale(const gt_preprocessing *preprocessing, int c)
{
    return preprocessing->by_channel ? preprocessing->scales[c] : preprocessing->scale;
}

float
gt_pixel_offset(const gt_preprocessing *preprocessing, int c)
{
    return preprocessing->by_channel ? preprocessing->offsets[c] : preprocessing->offset;
}

/* Channels that may differ. */
static int
different_channels(const gt_preprocessing *preprocessing)
{
    return preprocessing->by_channel ? GT_PIXEL_CHANNELS : 1;
}

float
gt_pixel_range(const gt_preprocessing *preprocessing)
{
    float range = 0.0f;
    for (int c = 0; c < different_channels(preprocessing); c++) {
        float first = gt_pixel_offset(preprocessing, c);
        float last = 255.0f * gt_pixel_scale(preprocessing, c) + first;
        range = fmaxf(range, fmaxf(fabsf(first), fabsf(last)));
    }
    return range;
}

bool
gt_pixels_lack_offset(const gt_preprocessing *preprocessing)
{
    for (int c = 0; c < different_channels(preprocessing); c++) {
        if (gt_pixel_offset(preprocessing, c) != 0.0f) {
            return false;
        }
    }
    return true;
}

float
gt_pixel_common_scale(const gt_preprocessing *preprocessing)
{
    float largest = 0.0f;
    for (int c = 0; c < different_channels(preprocessing); c++) {
        float scale = gt_pixel_scale(preprocessing, c);
        if (!(scale > 0.0f)) {
            return 0.0f;
        }
        largest = fmaxf(largest, scale);
    }
    return largest;
}

bool
gt_zero_is_byte(gt_preprocessing preprocessing, int *zero)
{
    float place = preprocessing.scale > 0.0f ? -preprocessing.offset / preprocessing.scale : -1.0f;
    if (preprocessing.by_channel || !(place >= 0.0f && place <= 255.0f) ||
        fabsf(place - rintf(place)) > 1e-3f) {
        return false;
    }
    *zero = (int)lrintf(place);
    return true;
}

bool
gt_zeros_are_bytes(const gt_preprocessing *preprocessing, uint8_t zeros[GT_PIXEL_CHANNELS])
{
    for (int c = 0; c < GT_PIXEL_CHANNELS; c++) {
        float scale = gt_pixel_scale(preprocessing, c);
        float place = scale > 0.0f ? -gt_pixel_offset(preprocessing, c) / scale : -1.0f;
        if (!(place >= 0.0f && place <= 255.0f)) {
            return false;
        }
        zeros[c] = (uint8_t)lrintf(place);
    }
    return true;
}

/* Scale the rows of the kernel by channel in, and add to the shifts what the offsets make of them. */
static void
fold_rows(const gt_preprocessing *preprocessing, const gt_node *node, int64_t rows, float *kernel,
          float *shift)
{
    float common = gt_pixel_common_scale(preprocessing);
    int64_t channels = node->shape.channels;
    for (int64_t c = 0; c < channels; c++) {
        double factor = node->scale != NULL ? node->scale[c] : 1.0f;
        double sum = node->shift != NULL ? node->shift[c] : 0.0f;
        for (int64_t row = 0; row < rows; row++) {
            int in = (int)(row % GT_PIXEL_CHANNELS);
            float *weight = &kernel[row * channels + c];
            sum += factor * (double)*weight * (double)gt_pixel_offset(preprocessing, in);
            *weight *= gt_pixel_scale(preprocessing, in) / common;
        }
        shift[c] = (float)sum;
    }
}

gt_status
gt_pixels_fold(const gt_preprocessing *preprocessing, const gt_node *node, gt_node *folded,
               gt_error *error)
{
    const gt_array *own = &node->arrays[GT_KERNEL];
    int64_t channels = node->shape.channels;
    int64_t rows = own->shape[0] * own->shape[1] * own->shape[2];
    float *kernel = malloc((size_t)(rows * channels) * sizeof(*kernel));
    float *shift = malloc((size_t)channels * sizeof(*shift));
    *folded = *node;
    folded->arrays[GT_KERNEL] =
        (gt_array){.data = kernel,
                   .type = GT_FLOAT32,
                   .rank = own->rank,
                   .shape = {own->shape[0], own->shape[1], own->shape[2], own->shape[3]}};
    folded->shift = shift;
    if (kernel == NULL || shift == NULL) {
        gt_pixels_clear_folded(folded);
        return gt_fail_memory(error, "a kernel for photographs");
    }
    gt_array_read(own, 0, rows * channels, kernel);
    gt_array_release_pages(own);
    fold_rows(preprocessing, node, rows, kernel, shift);
    return GT_OK;
}

void
gt_pixels_clear_folded(gt_node *folded)
{
    free((void *)folded->arrays[GT_KERNEL].data);
    free(folded->shift);
    *folded = (gt_node){0};
}
