/* The Nth allocation, start of a thread or call of oneDNN fails, for every N that there is or a sample
 * of them: each time an error comes out or the right result, nothing is left behind, and what was there before
 * still works. */
#include <sys/mman.h>
#include <unistd.h>

#include "fragile.h"
#include "fragile_maps.h"
#include "head/head.h"
#include "threads/parallel.h"
#include "threads/processors.h"
#include "thrown.h"
#include "trial.h"

enum { IMAGES = 5, THREADS = 2 };

/* --- backbones ----------------------------------------------------------------------------- */

/* Of the network below: numbers of its largest output, bytes of the kernel that is mapped. */
enum { MAP = 6 * 6 * 56, KERNEL_SIZE = 3 * 3 * 16 * 32 * sizeof(float) };

/* The array as pages of a file that are mapped read-only, as those of a model file are. */
static gt_array
map_array(gt_array array, size_t size)
{
    FILE *file = tmpfile();
    CHECK(file != NULL && fwrite(array.data, size, 1, file) == 1 && fflush(file) == 0);
    array.data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fileno(file), 0);
    array.mapped = true;
    CHECK(array.data != MAP_FAILED);
    (void)fclose(file);
    return array;
}

/* An inverted residual block of eight channels. */
static int
add_block(gt_net *net, int from)
{
    int a = gt_net_add(net, gt_net_conv(net, from, 1, 1, 24, 1), NULL, from);
    int b = gt_net_plain(net, GT_OP_RELU, NULL, a);
    gt_node depthwise = gt_net_conv(net, b, 3, 3, 24, 24);
    depthwise.window.pad_mode = GT_PAD_SAME;
    int c = gt_net_plain(net, GT_OP_RELU, NULL, gt_net_add(net, depthwise, NULL, b));
    int d = gt_net_add(net, gt_net_conv(net, c, 1, 1, 8, 1), NULL, c);
    return gt_net_join(net, GT_OP_ADD, NULL, (int[]){from, d}, 2);
}

/* Attention with a bias after an embedding that is resampled, and both norms. */
static int
add_tokens(gt_net *net, int from)
{
    gt_shape shape = net->graph.nodes[from].shape;
    int tokens = shape.height * shape.width;
    gt_node node;
    gt_node_init(&node, GT_OP_POSITION_EMBEDDING);
    node.arrays[GT_VALUE] = gt_net_block(net, 2, 3, shape.channels, -1.0, 1.0);
    int a = gt_net_add(net, node, NULL, from);
    gt_node_init(&node, GT_OP_LAYER_NORM);
    node.epsilon = 1e-5;
    int b = gt_net_add(net, node, NULL, a);
    node.op = GT_OP_GROUP_NORM;
    int c = gt_net_add(net, node, NULL, gt_net_add(net, gt_net_conv(net, b, 1, 1, 24, 1), NULL, b));
    gt_node_init(&node, GT_OP_ATTENTION);
    node.attending.heads = 2;
    node.attending.scale = 0.5f;
    node.arrays[GT_VALUE] = gt_net_block(net, 2, tokens, tokens, -1.0, 1.0);
    return gt_net_add(net, node, "attention", c);
}

/* Most kinds of layers: fused, folded, commuted and alone; Winograd's pays with AVX2 as well. */
static void
start_network(gt_net *net, trial *job)
{
    gt_net_start(net, 11, 12, 3);
    gt_node first = gt_net_conv(net, 0, 3, 3, 16, 1);
    first.window.strides[0] = first.window.strides[1] = 2;
    int a = gt_net_add(net, first, "first", 0);
    int b = gt_net_add(net, gt_net_batch_norm(net, a), "norm", a);
    int c = gt_net_plain(net, GT_OP_RELU, "relu", b);
    int d = gt_net_add(net, gt_net_batch_norm(net, c), "norm_alone", c);
    int e = gt_net_join(net, GT_OP_ADD, "add", (int[]){c, d}, 2);
    int f = gt_net_add(net, gt_net_pool(GT_OP_AVERAGE_POOL, 3, 1, GT_PAD_SAME), "pool", e);
    gt_node second = gt_net_conv(net, e, 3, 3, 32, 1);
    second.arrays[GT_KERNEL] = map_array(second.arrays[GT_KERNEL], KERNEL_SIZE);
    int winograd = gt_net_add(net, second, "winograd", e);
    int g = gt_net_add(net, gt_net_conv(net, f, 1, 1, 8, 1), "one", f);
    int h = gt_net_plain(net, GT_OP_RELU, "relu_after_pool", g);
    int i =
        gt_net_add(net, gt_net_pool(GT_OP_MAX_POOL, 2, 2, GT_PAD_VALID), "max", add_block(net, h));
    int j = gt_net_join(net, GT_OP_CONCAT, "concat", (int[]){e, h, winograd}, 3);
    int own = gt_net_plain(net, GT_OP_RELU, "relu_alone", j);
    int k = gt_net_plain(net, GT_OP_GLOBAL_AVERAGE_POOL, "features", own);
    int l = gt_net_plain(net, GT_OP_FLATTEN, "flat", i);
    gt_node dense;
    gt_node_init(&dense, GT_OP_DENSE);
    dense.arrays[GT_KERNEL] = gt_net_matrix(net, net->graph.nodes[l].shape.channels, 4);
    int m = gt_net_add(net, dense, "dense", l);
    int n = gt_net_plain(net, GT_OP_SOFTMAX, "scores", m);
    start_trial(job, net, (int[]){k, n, j, add_tokens(net, h)}, 4);
}

static void
end_network(gt_net *net, trial *job)
{
    int mapped = gt_graph_find(&net->graph, "winograd");
    (void)munmap((void *)(uintptr_t)net->graph.nodes[mapped].arrays[GT_KERNEL].data, KERNEL_SIZE);
    end_trial(job);
    gt_net_clear(net);
}

/* Run images through the backbone and check the features. */
static gt_status
run_images(const trial *job, gt_backbone *backbone, int count, gt_error *problem)
{
    static float results[4][MAX * MAP];
    gt_status status =
        gt_backbone_run(backbone, job->images, count,
                        (float *[]){results[0], results[1], results[2], results[3]}, problem);
    for (int k = 0; status == GT_OK && k < job->n; k++) {
        int64_t size = count * gt_shape_size(job->net->graph.nodes[job->outputs[k]].shape);
        CHECK_CLOSE(gt_distance(results[k], job->twin.values[job->outputs[k]], size), 0.0, 2e-5);
    }
    return status;
}

static void
count_step(void *context, const gt_step *step)
{
    *(int *)context += step->layer[0] != '\0' && step->implementation[0] != '\0';
}

static gt_status
visit_steps(gt_backbone *backbone, gt_error *problem)
{
    int count = 0;
    gt_status status = gt_backbone_visit_steps(backbone, count_step, &count, problem);
    CHECK(status != GT_OK || count > 8);
    return status;
}

static gt_status
profile(const trial *job, gt_backbone *backbone, gt_error *problem)
{
    static float results[4][2 * MAP];
    static double seconds[256];
    return gt_backbone_profile(backbone, job->images,
                               (float *[]){results[0], results[1], results[2], results[3]}, seconds,
                               problem);
}

/* Everything that a backbone can do. */
static gt_status
use_all(const trial *job, gt_backbone *backbone, gt_error *problem)
{
    gt_status status = run_images(job, backbone, IMAGES, problem);
    if (status == GT_OK) {
        status = visit_steps(backbone, problem);
    }
    return status == GT_OK ? profile(job, backbone, problem) : status;
}

/* From a description to features and back to nothing. */
static gt_status
make_and_run(void *context, gt_error *problem)
{
    const trial *job = context;
    gt_graph graph;
    gt_backbone *backbone = NULL;
    gt_backbone_config config = {
        .threads = THREADS, .sub_batch = 2, .preprocessing = preprocessing};
    gt_status status = gt_net_copy(job->net, job->outputs, job->n, &graph, problem);
    if (status == GT_OK) {
        status = gt_backbone_create(&backbone, &graph, config, problem);
        CHECK((status == GT_OK) == (backbone != NULL));
    }
    if (status == GT_OK) {
        status = use_all(job, backbone, problem);
    }
    gt_backbone_free(backbone);
    gt_graph_clear(&graph);
    return status;
}

/* In int8, whose ranges come from the images; results are close enough if they are numbers. */
static gt_status
make_and_learn(const trial *job, gt_backbone **backbone, float *const *places, gt_error *problem)
{
    gt_graph graph;
    gt_backbone_config config = {.threads = THREADS,
                                 .sub_batch = 2,
                                 .preprocessing = job->pixels,
                                 .precision = GT_PRECISION_INT8};
    gt_status status = gt_net_copy(job->net, job->outputs, job->n, &graph, problem);
    if (status == GT_OK) {
        status = gt_backbone_create(backbone, &graph, config, problem);
    }
    if (status == GT_OK) {
        status = gt_backbone_calibrate(*backbone, job->images, IMAGES, places, problem);
    }
    gt_graph_clear(&graph);
    return status;
}

static gt_status
make_and_calibrate(void *context, gt_error *problem)
{
    const trial *job = context;
    static float results[4][IMAGES * MAP];
    float *places[] = {results[0], results[1], results[2], results[3]};
    gt_backbone *backbone = NULL;
    gt_status status = make_and_learn(job, &backbone, places, problem);
    if (status == GT_OK) {
        status = gt_backbone_run(backbone, job->images, IMAGES, places, problem);
        CHECK(status != GT_OK || isfinite(results[0][0]));
    }
    gt_backbone_free(backbone);
    return status;
}

/* Ranges of a network of several segments. */
static gt_status
learn_in_segments(void *context, gt_error *problem)
{
    const trial *job = context;
    static float result[IMAGES * MAP];
    float *place = result;
    gt_backbone *backbone = NULL;
    gt_status status = make_and_learn(job, &backbone, &place, problem);
    for (int i = 1; status == GT_OK && i < gt_backbone_range_count(backbone); i++) {
        CHECK(gt_backbone_range(backbone, i).range > 0.0f);
    }
    gt_backbone_free(backbone);
    return status;
}

/* One kernel of 18 MB between two others. */
static void
start_wide_network(gt_net *net, trial *job)
{
    enum { WIDE = 2100 };
    gt_net_start(net, 1, 1, 8);
    int a = gt_net_add(net, gt_net_conv(net, 0, 1, 1, WIDE, 1), NULL, 0);
    int b = gt_net_add(net, gt_net_conv(net, a, 1, 1, WIDE, 1), NULL, a);
    int c = gt_net_add(net, gt_net_conv(net, b, 1, 1, 8, 1), NULL, b);
    start_trial(job, net, &c, 1);
}

/* Becomes part of the kernel that reads the bytes. */
static const gt_preprocessing by_channel = {
    .by_channel = true, .scales = {0.01f, 0.02f, 0.03f}, .offsets = {-1.0f, -2.0f, -3.0f}};

/* Bytes that are read as they are, and layers, a sum, a pool and a concatenation in 8 bits one after
 * the other; the first output is a map in 8 bits that is asked for in floats. */
static void
start_chain(gt_net *net, trial *job)
{
    gt_net_start(net, 6, 6, 3);
    gt_node first = gt_net_conv(net, 0, 3, 3, 16, 1);
    first.window.pad_mode = GT_PAD_VALID;
    int a = gt_net_plain(net, GT_OP_RELU, NULL, gt_net_add(net, first, NULL, 0));
    int b = gt_net_add(net, gt_net_conv(net, a, 1, 1, 16, 1), NULL, a);
    int c = gt_net_plain(net, GT_OP_RELU, NULL, b);
    int s = gt_net_add(net, gt_net_conv(net, c, 1, 1, 16, 1), NULL, c);
    int t =
        gt_net_plain(net, GT_OP_RELU, NULL, gt_net_join(net, GT_OP_ADD, NULL, (int[]){s, c}, 2));
    int d = gt_net_add(net, gt_net_pool(GT_OP_MAX_POOL, 3, 1, GT_PAD_SAME), NULL, t);
    int e = gt_net_join(net, GT_OP_CONCAT, NULL, (int[]){t, d}, 2);
    int f = gt_net_add(net, gt_net_conv(net, e, 3, 3, 8, 1), NULL, e);
    int g = gt_net_plain(net, GT_OP_GLOBAL_AVERAGE_POOL, NULL, add_block(net, f));
    int h = gt_net_plain(net, GT_OP_RELU, NULL, e); /* alone, of bytes that it reads as floats */
    start_trial(job, net, (int[]){c, g, h}, 3);
    job->pixels = by_channel;
}

static void
make_backbone(void *context)
{
    trial *job = context;
    job->backbone = make(job->net, job->outputs, job->n, THREADS, 2);
}

static gt_status
run_backbone(void *context, gt_error *problem)
{
    trial *job = context;
    return use_all(job, job->backbone, problem);
}

/* Whatever failed before, the backbone works. */
static void
use_backbone(void *context)
{
    trial *job = context;
    CHECK(run_backbone(job, &error) == GT_OK);
    CHECK(run_images(job, job->backbone, 2 * IMAGES, &error) == GT_OK);
    gt_backbone_free(job->backbone);
    job->backbone = NULL;
}

/* Threads and plans are there already. */
static void
make_and_use_backbone(void *context)
{
    trial *job = context;
    make_backbone(job);
    CHECK(run_backbone(job, &error) == GT_OK);
}

static void
test_backbone(void)
{
    gt_net net;
    trial job;
    start_network(&net, &job);
    survive((fragile){"a backbone from nothing", NULL, make_and_run, NULL, &job});
    survive((fragile){"a backbone in int8 from nothing", NULL, make_and_calibrate, NULL, &job});
    survive(
        (fragile){"the first runs of a backbone", make_backbone, run_backbone, use_backbone, &job});
    survive((fragile){"later runs of a backbone", make_and_use_backbone, run_backbone, use_backbone,
                      &job});
    end_network(&net, &job);
    start_chain(&net, &job);
    survive((fragile){"a chain in int8 from nothing", NULL, make_and_calibrate, NULL, &job});
    end_trial(&job);
    gt_net_clear(&net);
    start_maps(&net, &job);
    survive((fragile){"operations on maps from nothing", NULL, make_and_run, NULL, &job});
    end_trial(&job);
    gt_net_clear(&net);
    start_wide_network(&net, &job);
    survive((fragile){"ranges segment by segment", NULL, learn_in_segments, NULL, &job});
    end_trial(&job);
    gt_net_clear(&net);
}

/* --- heads --------------------------------------------------------------------------------- */

enum { N = 513, D = 4, HIDDEN = 5, CLASSES = 3 };

/* A head, what it is trained on and what it is known to make of that. */
typedef struct {
    gt_head *head;
    float features[N * D];
    int32_t labels[N];
    float mean[D];
    float factor[D];
    float trained[N * CLASSES]; /* probabilities after training */
    int is_known;
} lesson;

static void
prepare_lesson(lesson *all)
{
    gt_random random = gt_random_start(3, GT_RANDOM_WEIGHTS, 1);
    for (int i = 0; i < N; i++) {
        all->labels[i] = i % CLASSES;
        for (int j = 0; j < D; j++) {
            float centre = j == i % CLASSES ? 2.0f : 0.0f;
            all->features[i * D + j] = gt_random_uniform(&random) + centre;
        }
    }
}

static gt_status
train(lesson *all, gt_error *problem)
{
    gt_head_data data = {.n = N, .features = all->features, .labels = all->labels};
    gt_head_data part = {.n = N / 3, .features = all->features, .labels = all->labels};
    gt_head_scaling scaling = {all->mean, all->factor};
    gt_train_config config = gt_train_defaults();
    config.epochs = 2;
    config.batch_size = 256;
    gt_status status = gt_head_standardise(&data, D, THREADS, all->mean, all->factor, problem);
    if (status == GT_OK) {
        status = gt_head_train(all->head, &data, &part, &scaling, &config, NULL, NULL, problem);
    }
    return status == GT_OK ? gt_head_fold_scaling(all->head, &scaling, problem) : status;
}

static gt_status
predict(lesson *all, gt_error *problem)
{
    static float output[N * CLASSES];
    gt_status status = gt_head_predict(all->head, all->features, N, 0, THREADS, output, problem);
    if (status == GT_OK && !all->is_known) {
        memcpy(all->trained, output, sizeof(output));
        all->is_known = 1;
    }
    CHECK(status != GT_OK || memcmp(output, all->trained, sizeof(output)) == 0);
    return status;
}

static gt_status
measure(lesson *all, gt_error *problem)
{
    static float gradient[D * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES];
    gt_head_data data = {.n = N, .features = all->features, .labels = all->labels};
    gt_train_config config = gt_train_defaults();
    double loss = -1.0;
    double accuracy = -1.0;
    gt_status status =
        gt_head_loss_gradient(all->head, &data, NULL, &config, &loss, gradient, problem);
    CHECK((status == GT_OK) == (loss > 0.0));
    if (status == GT_OK) {
        status = gt_head_evaluate(all->head, &data, NULL, &config, &loss, &accuracy, problem);
    }
    CHECK(status != GT_OK || (accuracy >= 0.0 && accuracy <= 1.0));
    return status;
}

static gt_status
use_head(void *context, gt_error *problem)
{
    lesson *all = context;
    gt_status status = train(all, problem);
    if (status == GT_OK) {
        status = predict(all, problem);
    }
    return status == GT_OK ? measure(all, problem) : status;
}

static gt_status
create_head(lesson *all, gt_error *problem)
{
    gt_head_config config = {2, {D, HIDDEN, CLASSES}};
    return gt_head_create(&config, 5, &all->head, problem);
}

static void
make_head(void *context)
{
    CHECK(create_head(context, &error) == GT_OK);
}

static void
free_head(void *context)
{
    lesson *all = context;
    gt_head_free(all->head);
    all->head = NULL;
}

/* A head that is initialised again learns the same as one that never met a failure. */
static void
use_head_again(void *context)
{
    lesson *all = context;
    gt_head_initialise(all->head, 5);
    CHECK(use_head(all, &error) == GT_OK);
    free_head(all);
}

static gt_status
make_and_use_head(void *context, gt_error *problem)
{
    lesson *all = context;
    gt_status status = create_head(all, problem);
    CHECK((status == GT_OK) == (all->head != NULL));
    if (status == GT_OK) {
        status = use_head(all, problem);
    }
    free_head(all);
    return status;
}

/* Enough of everything for threads to share minibatches, and for those to be rounded; when one of
 * the threads fails, all of them must leave. */
enum { WIDE_ROWS = 520, WIDE = 1000, WIDE_HIDDEN = 60, WIDE_CLASSES = 100 };

static gt_status
train_on_threads(void *context, gt_error *problem)
{
    static int32_t labels[WIDE_ROWS];
    const gt_head_config shape = {2, {WIDE, WIDE_HIDDEN, WIDE_CLASSES}};
    const gt_head_data data = {.n = WIDE_ROWS, .features = context, .labels = labels};
    gt_train_config config = gt_train_defaults();
    gt_head *head = NULL;
    gt_status status = gt_head_create(&shape, 1, &head, problem);
    config.epochs = 2;
    config.batch_size = WIDE_ROWS / 2;
    config.threads = THREADS;
    config.allow_bf16 = true;
    if (status == GT_OK) {
        status = gt_head_train(head, &data, &data, NULL, &config, NULL, NULL, problem);
    }
    gt_head_free(head);
    return status;
}

static void
test_head_on_threads(void)
{
    static float values[WIDE_ROWS * WIDE];
    for (int i = 0; i < WIDE_ROWS * WIDE; i++) {
        values[i] = (float)(i % 7) - 3.0f;
    }
    /* Which thread's call fails is another one each time. */
    for (int i = 0; i < 3; i++) {
        survive((fragile){"a head that threads train", NULL, train_on_threads, NULL, values});
    }
}

static void
test_head(void)
{
    static lesson all;
    prepare_lesson(&all);
    survive((fragile){"a head from nothing", NULL, make_and_use_head, NULL, &all});
    survive((fragile){"the use of a head", make_head, use_head, use_head_again, &all});
}

/* --- the harness --------------------------------------------------------------------------- */

/* What counts calls must see them, or the loops above would end at once. */
static void
test_every_kind_of_call_is_counted(void)
{
    void *block = NULL;
    long before = gt_faults_balance();
    gt_faults_arm(1, dnnl_success, false);
    CHECK(malloc(8) == NULL && strcmp(gt_faults_disarm(), "malloc") == 0);
    gt_faults_arm(2, dnnl_success, false);
    CHECK(posix_memalign(&block, 64, 8) == 0 && gt_faults_balance() == before + 1);
    CHECK(realloc(block, 1 << 20) == NULL && strcmp(gt_faults_disarm(), "realloc") == 0);
    free(block);
    gt_faults_arm(2, dnnl_success, true);
    block = malloc(8);
    CHECK(block != NULL && malloc(8) == NULL && calloc(1, 8) == NULL);
    CHECK(strcmp(gt_faults_disarm(), "malloc") == 0);
    free(block);
    gt_faults_arm(1, dnnl_out_of_memory, false);
    dnnl_engine_t engine = NULL;
    CHECK(dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_out_of_memory);
    CHECK(strcmp(gt_faults_disarm(), "dnnl_engine_create") == 0);
    CHECK(dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success);
    CHECK(gt_faults_balance() == before + 1);
    CHECK(dnnl_engine_destroy(engine) == dnnl_success && gt_faults_balance() == before);
}

/* --- files of the system ------------------------------------------------------------------- */

/* Processors with these files, where the affinity allows two. */
static int
count_threads(const char *both, const char *quota, const char *period)
{
    gt_faults_file("/proc/self/cgroup", "2:cpu,cpuacct:/\n0::/\n");
    gt_faults_file("/proc/self/mountinfo",
                   "31 30 0:1 / /sys/fs/cgroup rw - cgroup2 none rw\n"
                   "32 30 0:2 / /sys/fs/cgroup/cpu rw - cgroup none rw,cpu,cpuacct\n");
    gt_faults_file("/sys/fs/cgroup/cpu.max", both);
    gt_faults_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota);
    gt_faults_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period);
    int count = gt_available_threads();
    gt_faults_file(NULL, NULL);
    return count;
}

static void
test_limits_of_control_groups(void)
{
    int all = count_threads(NULL, NULL, NULL);
    int two = all < 2 ? all : 2;
    CHECK(all >= 1);
    CHECK(count_threads("max 100000\n", NULL, NULL) == all);
    CHECK(count_threads("50000 100000\n", NULL, NULL) == 1);
    CHECK(count_threads("100001 100000\n", NULL, NULL) == two);
    CHECK(count_threads("9223372036854775807 1\n", NULL, NULL) == all);
    CHECK(count_threads("", NULL, NULL) == all);
    CHECK(count_threads("-1 0", NULL, NULL) == all);
    CHECK(count_threads("-1 0", "50000", "100000") == 1);
    CHECK(count_threads("100000 100000", "150000", "100000") == 1);
    CHECK(count_threads(NULL, "-1\n", "100000\n") == all);
    CHECK(count_threads(NULL, "150000\n", "100000\n") == two);
    CHECK(count_threads(NULL, "20000\n", "100000\n") == 1);
    CHECK(count_threads(NULL, "20000\n", "nonsense") == all);
    CHECK(count_threads(NULL, "20000\n", NULL) == all);
    gt_faults_arm(1, dnnl_success, true);
    CHECK(gt_available_threads() == all && strcmp(gt_faults_disarm(), "fopen") == 0);
}

/* Whether `count` processors are free where the system tells of so many running tasks, this one
 * included. */
static bool
free_beside(int running, int count)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "0.50 1.25 3.00 %d/312 4711\n", running);
    (void)usleep(20000); /* the last look lasts a while */
    gt_faults_file("/proc/loadavg", running > 0 ? text : NULL);
    bool are_free = gt_processors_are_free(count);
    gt_faults_file(NULL, NULL);
    return are_free;
}

static void
test_processors_that_have_other_work(void)
{
    int online = (int)sysconf(_SC_NPROCESSORS_ONLN);
    CHECK(free_beside(1, online) && !free_beside(1, online + 1));
    CHECK(!free_beside(2, online) && free_beside(online, 1));
    CHECK(!free_beside(online + 1, 1));
    CHECK(!free_beside(online + 1, 1) && !gt_processors_are_free(1)); /* of the same look */
    CHECK(free_beside(0, online));                                    /* the system does not tell */
    CHECK(!free_beside(online + 1, 1));
    (void)usleep(20000);
    gt_faults_arm(1, dnnl_success, true);
    CHECK(gt_processors_are_free(1) && strcmp(gt_faults_disarm(), "fopen") == 0);
}

static gt_status
throw_one(void *context, int worker, gt_error *problem)
{
    (void)context;
    (void)worker;
    return gt_check_engine(GT_CAUGHT(throw_exception(2)), "throwing", "(any)", problem);
}

static gt_status
throw_in_team(void *context, gt_error *problem)
{
    return gt_parallel(1, 1, throw_one, context, problem);
}

/* What follows an exception may fail too; it comes out as memory that is short. */
static void
test_exceptions(void)
{
    gt_error problem = {""};
    CHECK(throw_in_team(NULL, &problem) == GT_ERROR_MEMORY);
    survive((fragile){.name = "an exception", .run = throw_in_team});
}

int
main(void)
{
    RUN(test_every_kind_of_call_is_counted);
    RUN(test_limits_of_control_groups);
    RUN(test_processors_that_have_other_work);
    RUN(test_exceptions);
    gt_faults_file("/proc/loadavg", "0 0 0 0/1 1\n"); /* processors are free, whatever runs */
    RUN(test_head);
    RUN(test_head_on_threads);
    RUN(test_backbone);
    const char *path = getenv("FAULT_PLACES"); /* for ci/faults.sh */
    CHECK(path == NULL || gt_faults_write_places(path));
    return check_report();
}
