/* Backbones in int8: exactly right where nothing needs rounding, close to the plain evaluation
 * elsewhere, and refusing what they cannot know. */
#include <math.h>

#include "trial.h"

static gt_backbone *
make_int8(const gt_net *net, const int *outputs, int n_outputs, gt_preprocessing scaling,
          int threads)
{
    gt_graph graph = gt_net_graph(net, outputs, n_outputs);
    gt_backbone_config config = {.threads = threads,
                                 .sub_batch = 2,
                                 .preprocessing = scaling,
                                 .precision = GT_PRECISION_INT8};
    gt_backbone *backbone = NULL;
    CHECK(gt_backbone_create(&backbone, &graph, config, &error) == GT_OK && backbone != NULL);
    gt_graph_clear(&graph);
    return backbone;
}

/* A kernel of whole numbers whose largest in each channel out is 127, so that scales are 1.  Where
 * products are added two by two, that is the largest sum of two neighbours. */
static gt_array
whole_kernel(gt_net *net, int size, int in, int out)
{
    gt_array kernel = gt_net_kernel(net, size, size, in, out);
    float *numbers = (float *)(uintptr_t)kernel.data;
    int most = gt_adds_products_in_32_bits() ? 126 : 63;
    for (int64_t i = 0; i < (int64_t)size * size * in * out; i++) {
        numbers[i] = (float)gt_net_choice(net, -most, most);
    }
    for (int c = 0; c < out; c++) {
        int row = gt_net_choice(net, 0, size * size - 1) * in;
        numbers[row * out + c] = 127.0f;
        numbers[(row + 1) * out + c] = -fabsf(numbers[(row + 1) * out + c]);
    }
    return kernel;
}

static int
add_whole(gt_net *net, int from, int size, int out, gt_array kernel)
{
    gt_node node = gt_net_conv(net, from, size, size, out, 1);
    node.arrays[GT_KERNEL] = kernel;
    node.window.pad_mode = GT_PAD_VALID;
    return gt_net_add(net, node, NULL, from);
}

/* One convolution of bytes, its result in floats. */
static void
verify_bytes(gt_preprocessing scaling, gt_pad_mode mode, int stride)
{
    gt_net net;
    trial job;
    gt_net_start(&net, 9, 7, 3);
    gt_node node = gt_net_conv(&net, 0, 3, 3, 20, 1);
    node.arrays[GT_KERNEL] = whole_kernel(&net, 3, 3, 20);
    node.window.pad_mode = mode;
    node.window.strides[0] = node.window.strides[1] = stride;
    int a = gt_net_add(&net, node, NULL, 0);
    start_trial(&job, &net, &a, 1);
    gt_twin_clear(&job.twin);
    job.twin = gt_twin_run(&net.graph, job.images, MAX, scaling);
    job.backbone = make_int8(&net, &a, 1, scaling, 2);
    gt_range unused = {"no such layer", 1.0f, false};
    CHECK(gt_backbone_set_range(job.backbone, unused, &error) == GT_OK);
    CHECK_CLOSE(distance_of_run(&job, 7), 0.0, 1e-6);
    end_trial(&job);
    gt_net_clear(&net);
}

/* With an offset. */
static void
test_bytes_are_read_as_they_are(void)
{
    static const gt_preprocessing scalings[] = {{.scale = 1.0f, .offset = 0.0f},
                                                {.scale = 0.5f, .offset = -64.0f},
                                                {.scale = 2.0f, .offset = 3.0f},
                                                {.by_channel = true,
                                                 .reversed = true,
                                                 .scales = {0.5f, 0.5f, 0.5f},
                                                 .offsets = {-64.0f, 3.0f, 0.0f}}};
    for (size_t i = 0; i < sizeof(scalings) / sizeof(*scalings); i++) {
        verify_bytes(scalings[i], GT_PAD_VALID, 1);
    }
}

/* Where a whole byte stands for 0, padding is as exact as the photograph; where none does, that is
 * half a byte off at most, and where 0 lies outside of all bytes, floats are padded. */
static void
test_padding_is_of_bytes_that_mean_zero(void)
{
    static const gt_preprocessing scalings[] = {
        {.scale = 1.0f, .offset = 0.0f},
        {.scale = 0.5f, .offset = -64.0f},
        {.scale = 2.0f, .offset = 3.0f},
        {.by_channel = true, .scales = {0.5f, 0.5f, 0.5f}, .offsets = {-64.0f, -127.5f, 0.0f}}};
    for (size_t i = 0; i < sizeof(scalings) / sizeof(*scalings); i++) {
        verify_bytes(scalings[i], GT_PAD_SAME, 1);
        verify_bytes(scalings[i], GT_PAD_SAME, 2);
    }
    uint8_t zeros[GT_PIXEL_CHANNELS] = {0};
    gt_preprocessing imagenet = {.by_channel = true,
                                 .scales = {0.0171f, 0.0175f, 0.0174f},
                                 .offsets = {-2.118f, -2.036f, -1.804f}};
    CHECK(gt_zeros_are_bytes(&imagenet, zeros));
    CHECK(zeros[0] == 124 && zeros[1] == 116 && zeros[2] == 104);
    CHECK(!gt_zeros_are_bytes(&scalings[2], zeros));
}

/* The largest weights beside each other on the brightest pixels, of either sign. */
static void
test_sums_do_not_saturate(void)
{
    static const gt_preprocessing plain = {.scale = 1.0f, .offset = 0.0f};
    for (int channels = 3; channels <= 4; channels++) {
        gt_net net;
        trial job;
        gt_net_start(&net, 9, 7, channels);
        gt_array kernel = gt_net_kernel(&net, 3, 3, channels, 24);
        float *numbers = (float *)(uintptr_t)kernel.data;
        for (int i = 0; i < 9 * channels * 24; i++) {
            numbers[i] = i % 2 == 0 ? 1.0f : -1.0f; /* of one sign in a channel out */
        }
        int a = add_whole(&net, 0, 3, 24, kernel);
        start_trial(&job, &net, &a, 1);
        memset(job.images, 255, (size_t)(MAX * 9 * 7 * channels));
        gt_twin_clear(&job.twin);
        job.twin = gt_twin_run(&net.graph, job.images, MAX, plain);
        job.backbone = make_int8(&net, &a, 1, plain, 2);
        gt_range unused = {"no such layer", 1.0f, false};
        CHECK(gt_backbone_set_range(job.backbone, unused, &error) == GT_OK);
        CHECK_CLOSE(distance_of_run(&job, 3), 0.0, 0.01); /* 63.5 become 64 */
        end_trial(&job);
        gt_net_clear(&net);
    }
}

/* On a picture of one byte only the sum of a channel's weights counts, which rounding keeps to half
 * a unit of them; rounded one by one, 27 of them are one and a half off. */
static void
test_flat_pictures_are_closer_than_a_unit(void)
{
    static const gt_preprocessing plain = {.scale = 1.0f, .offset = 0.0f};
    enum { OUT = 40, ROWS = 27, BYTE = 200 };
    gt_net net;
    trial job;
    gt_net_start(&net, 3, 3, 3);
    gt_array kernel = gt_net_kernel(&net, 3, 3, 3, OUT);
    const float *numbers = kernel.data;
    int a = add_whole(&net, 0, 3, OUT, kernel);
    start_trial(&job, &net, &a, 1);
    memset(job.images, BYTE, (size_t)(MAX * ROWS));
    job.backbone = make_int8(&net, &a, 1, plain, 1);
    gt_range unused = {"no such layer", 1.0f, false};
    CHECK(gt_backbone_set_range(job.backbone, unused, &error) == GT_OK);
    static float result[OUT];
    float *place = result;
    CHECK(gt_backbone_run(job.backbone, job.images, 1, &place, &error) == GT_OK);
    for (int c = 0; c < OUT; c++) {
        double sum = 0.0;
        double largest = 0.0;
        for (int i = 0; i < ROWS; i++) {
            double before = i % 3 == 1 ? (double)numbers[(i - 1) * OUT + c] : 0.0;
            double weight = (double)numbers[i * OUT + c];
            sum += weight;
            largest = fmax(largest, fmax(fabs(weight), fabs(weight + before)));
        }
        CHECK_CLOSE((double)result[c], BYTE * sum, 0.51 * BYTE * largest / 127.0);
    }
    end_trial(&job);
    gt_net_clear(&net);
}

/* Between layers a scale of 1 holds whole numbers from 0 to 255 exactly: a kernel that copies
 * channels, pools, a join, then a convolution of them all. */
static void
test_whole_numbers_stay_exact(void)
{
    static const gt_preprocessing plain = {.scale = 1.0f, .offset = 0.0f};
    gt_net net;
    trial job;
    gt_net_start(&net, 12, 11, 3);
    gt_array copy = gt_net_kernel(&net, 1, 1, 3, 16);
    float *numbers = (float *)(uintptr_t)copy.data;
    for (int i = 0; i < 3 * 16; i++) {
        numbers[i] = i % 16 % 3 == i / 16 ? 1.0f : 0.0f;
    }
    int a = gt_net_plain(&net, GT_OP_RELU, "relu", add_whole(&net, 0, 1, 16, copy));
    int b = gt_net_add(&net, gt_net_pool(GT_OP_MAX_POOL, 3, 1, GT_PAD_SAME), NULL, a);
    int c = gt_net_join(&net, GT_OP_CONCAT, NULL, (int[]){a, b}, 2);
    int d = add_whole(&net, c, 3, 24, whole_kernel(&net, 3, 32, 24));
    start_trial(&job, &net, (int[]){d, c}, 2);
    gt_twin_clear(&job.twin);
    job.twin = gt_twin_run(&net.graph, job.images, MAX, plain);
    job.backbone = make_int8(&net, job.outputs, 2, plain, 2);
    for (int i = 0; i < gt_backbone_range_count(job.backbone); i++) {
        gt_range range = {gt_backbone_range(job.backbone, i).layer, 255.0f, false};
        CHECK(gt_backbone_set_range(job.backbone, range, &error) == GT_OK);
    }
    for (int count = 1; count < 8; count++) {
        CHECK_CLOSE(distance_of_run(&job, count), 0.0, 1e-6);
    }
    end_trial(&job);
    gt_net_clear(&net);
}

static void
count_step(void *context, const gt_step *step)
{
    int *counts = context;
    counts[0]++;
    counts[1] += strcmp(step->operation, "convolution") == 0;
}

/* A convolution that takes from each channel the next one, with its result added to what it read:
 * the sum, in 8 bits with a scale of 1, is exact, as is the one after it and what reads that. */
static void
test_sums_in_8_bits_are_exact(void)
{
    static const gt_preprocessing plain = {.scale = 1.0f, .offset = 0.0f};
    enum { CHANNELS = 32 };
    gt_net net;
    trial job;
    gt_net_start(&net, 12, 11, 3);
    gt_array copy = gt_net_kernel(&net, 1, 1, 3, CHANNELS);
    float *numbers = (float *)(uintptr_t)copy.data;
    for (int i = 0; i < 3 * CHANNELS; i++) {
        numbers[i] = i % CHANNELS % 3 == i / CHANNELS ? 1.0f : 0.0f;
    }
    int last = gt_net_plain(&net, GT_OP_RELU, "relu", add_whole(&net, 0, 1, CHANNELS, copy));
    for (int k = 0; k < 2; k++) {
        gt_array next = gt_net_kernel(&net, 1, 1, CHANNELS, CHANNELS);
        float *weights = (float *)(uintptr_t)next.data;
        for (int i = 0; i < CHANNELS * CHANNELS; i++) {
            weights[i] = i / CHANNELS == (i + 1 + k) % CHANNELS ? -1.0f : 0.0f;
        }
        int taken = add_whole(&net, last, 1, CHANNELS, next);
        int sum = gt_net_join(&net, GT_OP_ADD, NULL,
                              k == 0 ? (int[]){last, taken} : (int[]){taken, last}, 2);
        last = gt_net_plain(&net, GT_OP_RELU, NULL, sum);
    }
    int all = add_whole(&net, last, 3, 24, whole_kernel(&net, 3, CHANNELS, 24));
    start_trial(&job, &net, (int[]){all, last}, 2);
    gt_twin_clear(&job.twin);
    job.twin = gt_twin_run(&net.graph, job.images, MAX, plain);
    job.backbone = make_int8(&net, job.outputs, 2, plain, 2);
    for (int i = 0; i < gt_backbone_range_count(job.backbone); i++) {
        gt_range range = {gt_backbone_range(job.backbone, i).layer, 255.0f, false};
        CHECK(gt_backbone_set_range(job.backbone, range, &error) == GT_OK);
    }
    for (int count = 1; count < 8; count += 3) {
        CHECK_CLOSE(distance_of_run(&job, count), 0.0, 1e-6);
    }
    int counts[2] = {0, 0};
    CHECK(gt_backbone_visit_steps(job.backbone, count_step, counts, &error) == GT_OK);
    CHECK(counts[0] == 6 && counts[1] == 4); /* and a reorder of each output */
    end_trial(&job);
    gt_net_clear(&net);
}

static int
conv_relu(gt_net *net, int from, int size, int out, gt_pad_mode mode)
{
    gt_node node = gt_net_conv(net, from, size, size, out, 1);
    node.window.pad_mode = mode;
    return gt_net_plain(net, GT_OP_RELU, NULL, gt_net_add(net, node, NULL, from));
}

/* Every kind of layer, with values below zero, joins of unlike ranges, and layers that are left
 * in floats between ones in 8 bits; returns the layers to look at. */
static void
build_mixture(gt_net *net, gt_pad_mode first, int *outputs)
{
    gt_net_start(net, 24, 23, 3);
    int a = conv_relu(net, 0, 3, 16, first);
    int b = gt_net_add(net, gt_net_conv(net, a, 3, 3, 16, 1), NULL, a); /* signed */
    int c = gt_net_join(net, GT_OP_ADD, NULL, (int[]){a, b}, 2);
    int d = conv_relu(net, c, 1, 12, GT_PAD_SAME);
    int e = gt_net_add(net, gt_net_pool(GT_OP_AVERAGE_POOL, 3, 1, GT_PAD_SAME), NULL, c);
    int f = conv_relu(net, e, 1, 20, GT_PAD_SAME);
    int g = gt_net_join(net, GT_OP_CONCAT, NULL, (int[]){d, f, a}, 3);
    int h = gt_net_add(net, gt_net_conv(net, g, 3, 3, 48, 48), NULL, g); /* a channel a group */
    int i = gt_net_add(net, gt_net_batch_norm(net, h), NULL, h);
    int j = gt_net_add(net, gt_net_pool(GT_OP_MAX_POOL, 2, 2, GT_PAD_VALID), NULL, i);
    int k = conv_relu(net, j, 3, 32, GT_PAD_SAME);
    int l = gt_net_plain(net, GT_OP_GLOBAL_AVERAGE_POOL, NULL, k);
    int m = gt_net_plain(net, GT_OP_FLATTEN, NULL, j);
    memcpy(outputs, (int[]){k, l, g, m, c}, 5 * sizeof(int));
}

/* Root of the mean square of a - b, relative to that of b. */
static double
relative_error(const float *a, const float *b, int64_t count)
{
    double difference = 0.0;
    double size = 0.0;
    for (int64_t i = 0; i < count; i++) {
        difference += pow((double)a[i] - (double)b[i], 2);
        size += pow((double)b[i], 2);
    }
    return sqrt(difference / size);
}

static void
test_mixture_is_close(void)
{
    static const gt_pad_mode modes[] = {GT_PAD_VALID, GT_PAD_SAME};
    for (int i = 0; i < 2; i++) {
        gt_net net;
        trial job;
        int outputs[5];
        build_mixture(&net, modes[i], outputs);
        start_trial(&job, &net, outputs, 5);
        job.backbone = make_int8(&net, outputs, 5, preprocessing, 2);
        float *results[5];
        for (int k = 0; k < 5; k++) {
            results[k] = malloc((size_t)(MAX * gt_shape_size(net.graph.nodes[outputs[k]].shape)) *
                                sizeof(float));
        }
        CHECK(gt_backbone_calibrate(job.backbone, job.images, MAX, results, &error) == GT_OK);
        for (int k = 0; k < 5; k++) { /* a calibration computes in float32 */
            int64_t size = MAX * gt_shape_size(net.graph.nodes[outputs[k]].shape);
            CHECK_CLOSE(gt_distance(results[k], job.twin.values[outputs[k]], size), 0.0, 2e-5);
        }
        for (int count = 1; count <= MAX; count += 5) {
            CHECK(gt_backbone_run(job.backbone, job.images, count, results, &error) == GT_OK);
            for (int k = 0; k < 5; k++) {
                int64_t size = count * gt_shape_size(net.graph.nodes[outputs[k]].shape);
                double found = relative_error(results[k], job.twin.values[outputs[k]], size);
                CHECK_CLOSE(found, 0.0, 0.04);
                CHECK(found > 1e-4); /* 8 bits cannot be closer */
            }
        }
        for (int k = 0; k < 5; k++) {
            free(results[k]);
        }
        end_trial(&job);
        gt_net_clear(&net);
    }
}

static void
test_ranges_are_those_of_the_numbers(void)
{
    gt_net net;
    trial job;
    gt_net_start(&net, 8, 8, 2);
    int a = gt_net_add(&net, gt_net_conv(&net, 0, 1, 1, 4, 1), "signed", 0);
    int b = gt_net_plain(&net, GT_OP_RELU, "relu", a);
    start_trial(&job, &net, (int[]){a, b}, 2);
    job.backbone = make_int8(&net, job.outputs, 2, preprocessing, 1);
    static float results[2][MAX * 8 * 8 * 4];
    float *places[2] = {results[0], results[1]};
    CHECK(gt_backbone_calibrate(job.backbone, job.images, MAX, places, &error) == GT_OK);
    for (int k = 0; k < 2; k++) {
        gt_range range = gt_backbone_range(job.backbone, k + 1);
        float largest = 0.0f;
        bool negative = false;
        for (size_t i = 0; i < sizeof(results[k]) / sizeof(float); i++) {
            largest = fabsf(results[k][i]) > largest ? fabsf(results[k][i]) : largest;
            negative = negative || results[k][i] < 0.0f;
        }
        CHECK(strcmp(range.layer, k == 0 ? "signed" : "relu") == 0);
        CHECK(range.range >= largest && range.range <= largest * 1.04f); /* 1/32 of an octave */
        CHECK(range.negative == negative && negative == (k == 0));
    }
    end_trial(&job);
    gt_net_clear(&net);
}

static bool
says(const char *word)
{
    return strstr(error.message, word) != NULL;
}

static void
test_what_is_refused(void)
{
    gt_net net;
    trial job;
    gt_net_start(&net, 8, 8, 2);
    int a = gt_net_add(&net, gt_net_conv(&net, 0, 1, 1, 4, 1), "one", 0);
    start_trial(&job, &net, &a, 1);
    job.backbone = make_int8(&net, &a, 1, preprocessing, 1);
    static float result[MAX * 8 * 8 * 4];
    float *place = result;
    CHECK(gt_backbone_run(job.backbone, job.images, 1, &place, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("calibrated before"));
    CHECK(gt_backbone_calibrate(job.backbone, job.images, 0, &place, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("needs an image"));
    static const float bad[] = {-1.0f, INFINITY, NAN};
    for (int i = 0; i < 3; i++) {
        gt_range range = {"one", bad[i], false};
        CHECK(gt_backbone_set_range(job.backbone, range, &error) == GT_ERROR_ARGUMENT);
        CHECK(says("'one'") && says("finite"));
    }
    CHECK(gt_backbone_calibrate(job.backbone, job.images, 2, &place, &error) == GT_OK);
    CHECK(gt_backbone_run(job.backbone, job.images, 1, &place, &error) == GT_OK);
    CHECK(gt_backbone_calibrate(job.backbone, job.images, 2, &place, &error) == GT_ERROR_ARGUMENT);
    CHECK(says("has run"));
    gt_range late = {"one", 1.0f, false};
    CHECK(gt_backbone_set_range(job.backbone, late, &error) == GT_ERROR_ARGUMENT);
    end_trial(&job);
    gt_net_clear(&net);
}

int
main(void)
{
    CHECK(gt_precision_from_name("int8") == GT_PRECISION_INT8);
    CHECK(gt_precision_from_name("bf16") == GT_PRECISION_BF16);
    CHECK(gt_precision_from_name("float64") == -1);
    CHECK(gt_precision_is_fast(GT_PRECISION_FLOAT32));
    RUN(test_what_is_refused);
    RUN(test_ranges_are_those_of_the_numbers);
    if (gt_precision_is_fast(GT_PRECISION_INT8)) {
        RUN(test_bytes_are_read_as_they_are);
        RUN(test_padding_is_of_bytes_that_mean_zero);
        RUN(test_sums_in_8_bits_are_exact);
        RUN(test_sums_do_not_saturate);
        RUN(test_flat_pictures_are_closer_than_a_unit);
        RUN(test_whole_numbers_stay_exact);
        RUN(test_mixture_is_close);
    }
    return check_report();
}
