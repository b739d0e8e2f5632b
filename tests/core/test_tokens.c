/* Normalisations, position embeddings, softmax over maps and attention, in plans of every precision
 * and on older processors. */
#include <math.h>

#include "common/bf16.h"
#include "kernels/attention/attention.h"
#include "older.h"
#include "trial.h"

/* A network of tokens or maps, and how far from the plain evaluation each precision may be. */
typedef struct {
    gt_net net;
    trial job;
    double bounds[3]; /* float32, bf16, int8 */
} example;

enum { MAX_EXAMPLES = 24 };
static example examples[MAX_EXAMPLES];
static int n_examples;

static gt_net *
start_example(int height, int width)
{
    example *own = &examples[n_examples];
    own->bounds[0] = 2e-5;
    own->bounds[1] = 0.03;
    own->bounds[2] = 0.06;
    gt_net_start(&own->net, height, width, 3);
    return &own->net;
}

static void
end_example(const int *outputs, int n)
{
    example *own = &examples[n_examples++];
    start_trial(&own->job, &own->net, outputs, n);
}

static int
project(gt_net *net, int from, int channels)
{
    gt_node conv = gt_net_conv(net, from, 1, 1, channels, 1);
    conv.arrays[GT_BIAS] = gt_net_vector(net, channels, -0.5, 0.5);
    return gt_net_add(net, conv, NULL, from);
}

static int
add_norm(gt_net *net, gt_op op, int from, int groups)
{
    gt_node node;
    int channels = net->graph.nodes[from].shape.channels;
    gt_node_init(&node, op);
    node.epsilon = 1e-5;
    node.groups = groups;
    if (channels % 2 == 1) {
        node.arrays[GT_GAMMA] = gt_net_vector(net, channels, 0.5, 1.5);
        node.arrays[GT_BETA] = gt_net_vector(net, channels, -0.5, 0.5);
    }
    return gt_net_add(net, node, NULL, from);
}

static gt_node
attention_of(int heads, int width)
{
    gt_node node;
    gt_node_init(&node, GT_OP_ATTENTION);
    node.attending.heads = heads;
    node.attending.scale = 2.0f / sqrtf((float)width);
    return node;
}

/* A transformer's block without its multilayer perceptron. */
static void
start_block(int tokens, int heads, int width, bool has_value)
{
    gt_net *net = start_example(tokens, 1);
    int channels = heads * width;
    int a = project(net, 0, channels);
    int b = add_norm(net, GT_OP_LAYER_NORM, a, 1);
    int c = project(net, b, 3 * channels);
    gt_node node = attention_of(heads, width);
    if (has_value) {
        node.arrays[GT_VALUE] = gt_net_block(net, heads, tokens, tokens, -2.0, 2.0);
    }
    int d = gt_net_add(net, node, NULL, c);
    int e = project(net, d, channels);
    int f = gt_net_join(net, GT_OP_ADD, NULL, (int[]){a, e}, 2);
    end_example((int[]){b, d, f}, 3);
}

/* Fewer queries than keys, each from a layer of its own. */
static void
start_crossed(int heads, int width)
{
    gt_net *net = start_example(9, 5);
    int channels = heads * width;
    gt_node pool = gt_net_pool(GT_OP_AVERAGE_POOL, 4, 4, GT_PAD_VALID);
    int a = project(net, 0, channels);
    int q = project(net, gt_net_add(net, pool, NULL, a), channels);
    int k = project(net, a, channels);
    int v = project(net, a, channels);
    gt_node node = attention_of(heads, width);
    node.arrays[GT_VALUE] = gt_net_block(net, heads, 2, 45, -2.0, 2.0);
    int d = gt_net_add_many(net, node, (int[]){q, k, v}, 3);
    end_example(&d, 1);
}

static void
start_windows(int height, int width, int window, int shift, bool has_value)
{
    gt_net *net = start_example(height, width);
    gt_node node = attention_of(2, 12);
    int a = project(net, 0, 72);
    int tokens = window * (window + 1);
    node.attending.window[0] = window;
    node.attending.window[1] = window + 1;
    node.attending.shift[0] = shift;
    node.attending.shift[1] = shift;
    node.arrays[GT_BIAS] = gt_net_vector(net, 72, -1.0, 1.0);
    if (has_value) {
        node.arrays[GT_VALUE] = gt_net_block(net, 2, tokens, tokens, -2.0, 2.0);
    }
    int b = gt_net_add(net, node, NULL, a);
    end_example(&b, 1);
}

static void
start_norms(int height, int width, int channels)
{
    gt_net *net = start_example(height, width);
    int a = project(net, 0, channels);
    int b = add_norm(net, GT_OP_LAYER_NORM, a, 1);
    int c = add_norm(net, GT_OP_GROUP_NORM, a, channels % 3 == 0 ? 3 : 1);
    int d = add_norm(net, GT_OP_GROUP_NORM, a, channels);
    int e = gt_net_plain(net, GT_OP_SOFTMAX, NULL, a);
    int f = project(net, b, 5);
    /* 8 bits of what is normalised again are coarse where a map has few numbers. */
    examples[n_examples].bounds[1] = height * width == 1 ? 0.2 : 0.04;
    examples[n_examples].bounds[2] = height * width == 1 ? 0.5 : 0.1;
    end_example((int[]){b, c, height * width == 1 ? c : d, e, f}, 5);
}

static void
start_embedding(int height, int width, int grid_height, int grid_width)
{
    gt_net *net = start_example(height, width);
    gt_node node;
    int a = project(net, 0, 19);
    gt_node_init(&node, GT_OP_POSITION_EMBEDDING);
    node.arrays[GT_VALUE] = gt_net_block(net, grid_height, grid_width, 19, -1.0, 1.0);
    int b = gt_net_add(net, node, NULL, a);
    end_example(&b, 1);
}

static gt_status
create(const example *own, int threads, int sub_batch, gt_precision precision,
       gt_backbone **backbone)
{
    gt_graph graph = gt_net_graph(own->job.net, own->job.outputs, own->job.n);
    gt_backbone_config config = {.threads = threads,
                                 .sub_batch = sub_batch,
                                 .precision = precision,
                                 .preprocessing = preprocessing};
    gt_status status = gt_backbone_create(backbone, &graph, config, &error);
    gt_graph_clear(&graph);
    return status;
}

static void
allocate(const example *own, int count, float **results)
{
    for (int k = 0; k < own->job.n; k++) {
        gt_shape shape = own->net.graph.nodes[own->job.outputs[k]].shape;
        results[k] = malloc((size_t)(count * gt_shape_size(shape)) * sizeof(float));
    }
}

static void
release(const example *own, float **results)
{
    for (int k = 0; k < own->job.n; k++) {
        free(results[k]);
    }
}

static void
verify_plan(const example *own, gt_precision precision)
{
    float *results[8] = {NULL};
    for (int threads = 1; threads <= 3; threads += 2) {
        trial job = own->job;
        CHECK(create(own, threads, 2, precision, &job.backbone) == GT_OK);
        if (precision == GT_PRECISION_INT8) {
            allocate(own, MAX, results);
            CHECK(gt_backbone_calibrate(job.backbone, job.images, MAX, results, &error) == GT_OK);
            release(own, results);
        }
        for (int count = 1; count <= 5; count += 2) {
            CHECK_CLOSE(distance_of_run(&job, count), 0.0, own->bounds[precision]);
        }
        gt_backbone_free(job.backbone);
    }
}

static void
test_plans(void)
{
    for (int i = 0; i < n_examples; i++) {
        verify_plan(&examples[i], GT_PRECISION_FLOAT32);
        if (gt_precision_is_fast(GT_PRECISION_BF16)) {
            verify_plan(&examples[i], GT_PRECISION_BF16);
        }
        if (gt_precision_is_fast(GT_PRECISION_INT8)) {
            verify_plan(&examples[i], GT_PRECISION_INT8);
        }
    }
}

/* Whether a kernel of attention on its own gives what its plain twin gives, and the same bits for any
 * number of threads and any image of a batch. */
static double
distance_of_kernels(gt_attention attention, const void *source, gt_map_type type)
{
    int64_t size = attention.batch * gt_shape_size(attention.queries);
    size_t number = type == GT_MAP_BF16 ? 2 : 4;
    size_t part = (size_t)attention.queries.channels * number;
    uint16_t *results[4] = {NULL};
    float *numbers[2] = {NULL};
    for (int k = 0; k < 4; k++) {
        attention.is_plain = k == 0;
        attention.threads = k == 0 ? 1 : k;
        results[k] = malloc((size_t)size * number);
        void *scratch = NULL;
        CHECK(posix_memalign(&scratch, 64, gt_attention_scratch_size(&attention)) == 0);
        gt_attention_maps maps = {.queries = source,
                                  .keys = (const char *)source + part,
                                  .values = (const char *)source + 2 * part,
                                  .target = results[k],
                                  .scratch = scratch};
        gt_attention_run(&attention, &maps);
        free(scratch);
    }
    CHECK(memcmp(results[1], results[2], (size_t)size * number) == 0);
    CHECK(memcmp(results[1], results[3], (size_t)size * number) == 0);
    for (int k = 0; k < 2; k++) {
        numbers[k] = malloc((size_t)size * sizeof(float));
        for (int64_t i = 0; i < size; i++) {
            numbers[k][i] = type == GT_MAP_BF16 ? gt_from_bf16(results[k][i])
                                                : ((float *)(void *)results[k])[i];
        }
    }
    double distance = gt_distance(numbers[1], numbers[0], size);
    for (int k = 0; k < 4; k++) {
        free(results[k]);
        free(numbers[k % 2]);
        numbers[k % 2] = NULL;
    }
    return distance;
}

static void
test_kernels(void)
{
    static const int sizes[][3] = {/* tokens, heads, width */
                                   {1, 1, 1},   {2, 3, 3},   {5, 1, 16},   {17, 2, 33}, {25, 1, 80},
                                   {49, 2, 32}, {96, 1, 64}, {197, 1, 64}, {261, 2, 8}};
    for (int i = 0; i < (int)(sizeof(sizes) / sizeof(*sizes)); i++) {
        for (int type = GT_MAP_FLOAT32; type <= GT_MAP_BF16; type++) {
            int channels = sizes[i][1] * sizes[i][2];
            int64_t count = (int64_t)2 * sizes[i][0] * 3 * channels;
            gt_attention attention = {.batch = 2,
                                      .queries = {sizes[i][0], 1, channels},
                                      .keys = {sizes[i][0], 1, channels},
                                      .heads = sizes[i][1],
                                      .scale = 0.5f,
                                      .type = (gt_map_type)type,
                                      .strides = {3 * channels, 3 * channels, 3 * channels},
                                      .window = {sizes[i][0], 1}};
            uint16_t *halves = malloc((size_t)count * sizeof(*halves));
            float *numbers = malloc((size_t)count * sizeof(*numbers));
            for (int64_t k = 0; k < count; k++) {
                numbers[k] = (float)gt_net_random(&examples[0].net, -2.0, 2.0);
                halves[k] = gt_to_bf16(numbers[k]);
            }
            bool is_bf16 = type == GT_MAP_BF16;
            const void *source = is_bf16 ? (const void *)halves : numbers;
            CHECK_CLOSE(distance_of_kernels(attention, source, attention.type), 0.0,
                        is_bf16 ? 0.01 : 5e-6);
            free(halves);
            free(numbers);
        }
    }
}

/* A result is the same in a batch of any size, on any number of threads. */
static void
test_batches_and_threads(void)
{
    const example *own = &examples[0];
    float *one[8] = {NULL};
    float *other[8] = {NULL};
    for (int precision = 0; precision < 2; precision++) {
        if (!gt_precision_is_fast((gt_precision)precision)) {
            continue;
        }
        allocate(own, 7, one);
        allocate(own, 7, other);
        for (int way = 0; way < 4; way++) {
            gt_backbone *backbone = NULL;
            CHECK(create(own, 1 + way, way == 0 ? 1 : 7, (gt_precision)precision, &backbone) ==
                  GT_OK);
            CHECK(gt_backbone_run(backbone, own->job.images, 7, way == 0 ? one : other, &error) ==
                  GT_OK);
            for (int k = 0; way > 0 && k < own->job.n; k++) {
                gt_shape shape = own->net.graph.nodes[own->job.outputs[k]].shape;
                CHECK(memcmp(one[k], other[k], 7 * (size_t)gt_shape_size(shape) * sizeof(float)) ==
                      0);
            }
            gt_backbone_free(backbone);
        }
        release(own, one);
        release(own, other);
    }
}

/* Whether shape inference refuses a node on `n` equal inputs, with a message that names it and has
 * those words. */
static void
check_refused(gt_node node, int channels, int n, const char *words)
{
    gt_net net;
    int index = -1;
    int inputs[3] = {0};
    gt_error own = {""};
    gt_net_start(&net, 4, 4, 3);
    for (int k = 0; k < 3; k++) {
        inputs[k] = project(&net, 0, channels);
    }
    gt_status status = gt_graph_add(&net.graph, &node, "wrong", inputs, n, &index, &own);
    if (status == GT_OK) {
        status = gt_graph_infer_shapes(&net.graph, 4, 4, &own);
    }
    CHECK(status == GT_ERROR_GRAPH);
    CHECK(strstr(own.message, "'wrong'") != NULL && strstr(own.message, words) != NULL);
    gt_net_clear(&net);
}

static void
test_refusals(void)
{
    static const float numbers[64] = {0};
    gt_node good = attention_of(2, 4);
    gt_node node = good;
    check_refused(good, 24, 2, "one input or three");
    check_refused(good, 25, 1, "cannot be divided into 2 heads");
    node.attending.scale = 0.0f;
    check_refused(node, 24, 1, "scale 0");
    node.attending.scale = NAN;
    check_refused(node, 24, 1, "not a positive number");
    node = good;
    node.attending.heads = 0;
    check_refused(node, 24, 1, "heads");
    node.attending.heads = 5;
    check_refused(node, 24, 3, "24 channels in 3 inputs");
    node = good;
    node.attending.window[0] = 2;
    check_refused(node, 24, 1, "windows of 2 x 0");
    node.attending.window[1] = 2;
    check_refused(node, 24, 3, "in 3 inputs are not possible");
    node.attending.shift[1] = 2;
    check_refused(node, 24, 1, "shifted by 0 x 2");
    node = good;
    node.arrays[GT_VALUE] = (gt_array){.data = numbers, .rank = 3, .shape = {2, 4, 4}};
    check_refused(node, 24, 1, "(2, 16, 16)");
    node = good;
    node.arrays[GT_BIAS] = (gt_array){.data = numbers, .rank = 1, .shape = {8}};
    check_refused(node, 24, 1, "(24,)");
    gt_node_init(&node, GT_OP_GROUP_NORM);
    node.groups = 5;
    check_refused(node, 24, 1, "5 groups");
    node.groups = 0;
    check_refused(node, 24, 1, "0 groups");
    gt_node_init(&node, GT_OP_LAYER_NORM);
    node.arrays[GT_GAMMA] = (gt_array){.data = numbers, .rank = 1, .shape = {8}};
    check_refused(node, 24, 1, "(24,)");
    gt_node_init(&node, GT_OP_POSITION_EMBEDDING);
    check_refused(node, 24, 1, "(height, width, 24)");
    node.arrays[GT_VALUE] = (gt_array){.data = numbers, .rank = 3, .shape = {2, 4, 8}};
    check_refused(node, 24, 1, "(height, width, 24)");
}

static void
test_all(void)
{
    RUN(test_kernels);
    RUN(test_plans);
    RUN(test_batches_and_threads);
}

int
main(void)
{
    start_block(50, 3, 16, false);
    start_block(1, 1, 64, false);
    start_block(197, 1, 64, false);
    start_block(257 + 4, 1, 32, true);
    start_block(17, 2, 80, true);
    start_block(13, 3, 7, false);
    start_crossed(2, 20);
    start_windows(8, 10, 4, 0, true);
    start_windows(8, 10, 4, 2, true);
    start_windows(7, 11, 3, 1, false);
    start_windows(3, 9, 3, 2, true); /* one window high */
    start_windows(2, 2, 3, 1, true); /* one, which the map does not fill */
    start_norms(7, 5, 33);
    start_norms(1, 1, 18);
    start_norms(5, 3, 1);
    start_norms(3, 9, 128);
    start_embedding(7, 5, 7, 5);
    start_embedding(7, 5, 3, 9);
    start_embedding(1, 1, 4, 4);
    check_on_older(dnnl_cpu_isa_avx512_core, test_all); /* first: oneDNN is not asked yet */
    check_on_older(dnnl_cpu_isa_avx2, test_all);
    check_on_older(dnnl_cpu_isa_sse41, test_all);
    test_all();
    RUN(test_refusals);
    for (int i = 0; i < n_examples; i++) {
        end_trial(&examples[i].job);
        gt_net_clear(&examples[i].net);
    }
    return check_report();
}
