#include "runtime/pixel_writer.h"

#include <string.h>

#include "common/bf16.h"
#include "common/multiversion.h"

/* What becomes of the bytes of a channel, or of all. */
typedef struct {
    float scale;
    float offset;
} affine;

/* `count` bytes, each `step` behind the last, as numbers of one type. */
GT_INLINE void
write_numbers(dnnl_data_type_t type, affine pixels, const uint8_t *bytes, size_t step, size_t count,
              void *target)
{
    for (size_t i = 0; i < count; i++) {
        float value = (float)bytes[i * step] * pixels.scale + pixels.offset;
        if (type == dnnl_bf16) {
            ((uint16_t *)target)[i] = gt_to_bf16(value);
        }
        else if (type == dnnl_f32) {
            ((float *)target)[i] = value;
        }
        else {
            ((uint8_t *)target)[i] = bytes[i * step];
        }
    }
}

/* A loop for each type, and for bytes that lie side by side. */
GT_INLINE void
write_any(dnnl_data_type_t type, affine pixels, const uint8_t *bytes, size_t step, size_t count,
          void *target)
{
    if (type == dnnl_bf16 && step == 1) {
        write_numbers(dnnl_bf16, pixels, bytes, 1, count, target);
    }
    else if (type == dnnl_bf16) {
        write_numbers(dnnl_bf16, pixels, bytes, step, count, target);
    }
    else if (type == dnnl_f32 && step == 1) {
        write_numbers(dnnl_f32, pixels, bytes, 1, count, target);
    }
    else if (type == dnnl_f32) {
        write_numbers(dnnl_f32, pixels, bytes, step, count, target);
    }
    else {
        write_numbers(dnnl_u8, pixels, bytes, step, count, target);
    }
}

/* Whole pixels in one period of the numbers that a vector of any width takes at once. */
enum { PERIOD = 16 * GT_PIXEL_CHANNELS };

/* What is multiplied and added to each number of a period. */
typedef struct {
    float scales[PERIOD];
    float offsets[PERIOD];
} period;

/* Up to a period of bytes as numbers. */
GT_INLINE void
write_period(dnnl_data_type_t type, const period *numbers, const uint8_t *bytes, size_t count,
             void *target)
{
    for (size_t i = 0; i < count; i++) {
        float value = (float)bytes[i] * numbers->scales[i] + numbers->offsets[i];
        if (type == dnnl_bf16) {
            ((uint16_t *)target)[i] = gt_to_bf16(value);
        }
        else {
            ((float *)target)[i] = value;
        }
    }
}

/* `pixels` of three channels side by side, the last first. */
GT_INLINE void
reverse_channels(const uint8_t *restrict bytes, size_t pixels, uint8_t *restrict reversed)
{
    for (size_t i = 0; i < pixels; i++) {
        reversed[3 * i] = bytes[3 * i + 2];
        reversed[3 * i + 1] = bytes[3 * i + 1];
        reversed[3 * i + 2] = bytes[3 * i];
    }
}

/* `count` bytes of three channels side by side, period by period; `type` is that of floats. */
GT_INLINE void
write_periods(dnnl_data_type_t type, const period *numbers, const uint8_t *bytes, size_t count,
              char *target)
{
    size_t size = type == dnnl_bf16 ? sizeof(uint16_t) : sizeof(float);
    size_t whole = count / PERIOD * PERIOD;
    for (size_t i = 0; i < whole; i += PERIOD) {
        write_period(type, numbers, bytes + i, PERIOD, target + i * size);
    }
    write_period(type, numbers, bytes + whole, count - whole, target + whole * size);
}

/* Pixels that are turned before they become numbers: few enough for the innermost cache. */
enum { TURNED = 64 * PERIOD };

/* The same of pixels whose last channel the network wants first. */
GT_INLINE void
write_reversed(dnnl_data_type_t type, const period *numbers, const uint8_t *bytes, size_t count,
               char *target)
{
    size_t size = type == dnnl_bf16 ? sizeof(uint16_t) : sizeof(float);
    uint8_t turned[TURNED];
    for (size_t i = 0; i < count; i += TURNED) {
        size_t length = count - i < TURNED ? count - i : TURNED;
        reverse_channels(bytes + i, length / GT_PIXEL_CHANNELS, turned);
        write_periods(type, numbers, turned, length, target + i * size);
    }
}

/* Photographs whose channels differ in anything, with channels last. */
GT_INLINE void
write_channels_last(dnnl_data_type_t type, const gt_preprocessing *preprocessing,
                    const uint8_t *bytes, size_t count, void *target)
{
    period numbers;
    for (int i = 0; i < PERIOD; i++) {
        numbers.scales[i] = gt_pixel_scale(preprocessing, i % GT_PIXEL_CHANNELS);
        numbers.offsets[i] = gt_pixel_offset(preprocessing, i % GT_PIXEL_CHANNELS);
    }
    if (type == dnnl_u8 && preprocessing->reversed) {
        reverse_channels(bytes, count / GT_PIXEL_CHANNELS, target);
    }
    else if (type == dnnl_u8) {
        memcpy(target, bytes, count);
    }
    else if (type == dnnl_bf16 && preprocessing->reversed) {
        write_reversed(dnnl_bf16, &numbers, bytes, count, target);
    }
    else if (type == dnnl_bf16) {
        write_periods(dnnl_bf16, &numbers, bytes, count, target);
    }
    else if (preprocessing->reversed) {
        write_reversed(dnnl_f32, &numbers, bytes, count, target);
    }
    else {
        write_periods(dnnl_f32, &numbers, bytes, count, target);
    }
}

/* Photographs, `size` images of `pixels`, in the type and layout of a plan's input. */
GT_INLINE void
write_images(const gt_plan *plan, dnnl_data_type_t type, const gt_preprocessing *preprocessing,
             const uint8_t *images, char *input)
{
    size_t channels = (size_t)plan->input.channels;
    size_t pixels = (size_t)plan->input.height * (size_t)plan->input.width;
    size_t plane = pixels * dnnl_data_type_size(type);
    bool differ = preprocessing->by_channel || preprocessing->reversed;
    if (plan->input_channels_last && differ) {
        write_channels_last(type, preprocessing, images, (size_t)plan->batch * pixels * channels,
                            input);
        return;
    }
    if (plan->input_channels_last) {
        affine all = {preprocessing->scale, preprocessing->offset};
        write_any(type, all, images, 1, (size_t)plan->batch * pixels * channels, input);
        return;
    }
    for (size_t image = 0; image < (size_t)plan->batch; image++) {
        for (size_t c = 0; c < channels; c++) {
            affine own = {gt_pixel_scale(preprocessing, (int)c),
                          gt_pixel_offset(preprocessing, (int)c)};
            size_t from = preprocessing->reversed ? channels - 1 - c : c;
            write_any(type, own, images + image * pixels * channels + from, channels, pixels,
                      input + (image * channels + c) * plane);
        }
    }
}

static void
write_pixels(const gt_plan *plan, dnnl_data_type_t type, const gt_preprocessing *preprocessing,
             const uint8_t *images, char *input)
{
    write_images(plan, type, preprocessing, images, input);
}

GT_AVX2 static void
write_pixels_avx2(const gt_plan *plan, dnnl_data_type_t type, const gt_preprocessing *preprocessing,
                  const uint8_t *images, char *input)
{
    write_images(plan, type, preprocessing, images, input);
}

void
gt_write_pixels(const gt_plan *plan, const gt_preprocessing *preprocessing, const uint8_t *images,
                char *input)
{
    dnnl_data_type_t type = plan->reads_u8 ? dnnl_u8 : plan->type;
    if (gt_has_avx2()) {
        write_pixels_avx2(plan, type, preprocessing, images, input);
    }
    else {
        write_pixels(plan, type, preprocessing, images, input);
    }
}
