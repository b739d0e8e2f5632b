/* What may be done with a backbone: threads, forks, failures, and reading its steps. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trial.h"

static int
says(const char *text)
{
    return strstr(error.message, text) != NULL;
}

/* A network that uses most kinds of primitives; the last output is a map. */
static void
start_network(gt_net *net, trial *job)
{
    gt_net_start(net, 13, 10, 3);
    gt_node first = gt_net_conv(net, 0, 5, 3, 16, 1);
    first.window.strides[0] = first.window.strides[1] = 2;
    int a = gt_net_add(net, first, "first", 0);
    int b = gt_net_plain(net, GT_OP_RELU, "relu", a);
    int c = gt_net_add(net, gt_net_conv(net, b, 3, 3, 16, 16), "depthwise", b);
    int d = gt_net_join(net, GT_OP_ADD, "add", (int[]){b, c}, 2);
    int e = gt_net_add(net, gt_net_pool(GT_OP_AVERAGE_POOL, 3, 1, GT_PAD_SAME), "pool", d);
    int f = gt_net_add(net, gt_net_conv(net, e, 1, 1, 24, 1), "one", e);
    int g = gt_net_join(net, GT_OP_CONCAT, "concat", (int[]){d, f}, 2);
    int h = gt_net_plain(net, GT_OP_GLOBAL_AVERAGE_POOL, "features", g);
    int i = gt_net_plain(net, GT_OP_SOFTMAX, "scores", h);
    start_trial(job, net, (int[]){h, i, g}, 3);
}

static void
end_network(gt_net *net, trial *job)
{
    end_trial(job);
    gt_net_clear(net);
}

/* --- threads ------------------------------------------------------------------------------- */

/* Where an image stands in a call, and how many come with it, must not change its numbers. */
static void
test_results_do_not_depend_on_the_count(void)
{
    gt_net net;
    trial job;
    start_network(&net, &job);
    for (int i = 0; i < 9; i++) {
        float whole[16 * 40];
        float part[16 * 40];
        float ignored[2][16 * 7 * 5 * 40];
        int differing = 0;
        job.backbone = make(&net, job.outputs, job.n, i % 3 + 1, 1 << i / 3);
        CHECK(gt_backbone_run(job.backbone, job.images, 16,
                              (float *[]){whole, ignored[0], ignored[1]}, &error) == GT_OK);
        for (int count = 1; count < 16; count += 3) {
            CHECK(gt_backbone_run(job.backbone, job.images, count,
                                  (float *[]){part, ignored[0], ignored[1]}, &error) == GT_OK);
            differing += memcmp(whole, part, (size_t)count * 40 * sizeof(float)) != 0;
        }
        CHECK(differing == 0);
        gt_backbone_free(job.backbone);
        job.backbone = NULL;
    }
    end_network(&net, &job);
}

typedef struct {
    const trial *job;
    int count;
    double distance;
    pthread_t thread;
} caller;

static void *
call(void *argument)
{
    caller *self = argument;
    for (int i = 0; i < 3 && self->distance < 1e-4; i++) {
        self->distance = distance_of_run(self->job, self->count);
    }
    return NULL;
}

static double
call_at_once(const trial *job, int n)
{
    caller callers[8];
    double furthest = 0.0;
    for (int i = 0; i < n; i++) {
        callers[i] = (caller){.job = job, .count = 1 + 5 * i % MAX};
        if (pthread_create(&callers[i].thread, NULL, call, &callers[i]) != 0) {
            return INFINITY;
        }
    }
    for (int i = 0; i < n; i++) {
        (void)pthread_join(callers[i].thread, NULL);
        furthest = callers[i].distance > furthest ? callers[i].distance : furthest;
    }
    return furthest;
}

static void
test_many_callers_at_once(void)
{
    gt_net net;
    trial job;
    start_network(&net, &job);
    job.backbone = make(&net, job.outputs, job.n, 2, 2);
    (void)alarm(300); /* callers that disturb each other may wait for ever */
    CHECK_CLOSE(call_at_once(&job, 8), 0.0, 2e-5);
    (void)alarm(0);
    end_network(&net, &job);
}

static void
check_scratchpad(void *context, const gt_step *step)
{
    int *primitives = context;
    const_dnnl_primitive_desc_t desc = NULL;
    const_dnnl_primitive_attr_t attributes = NULL;
    dnnl_scratchpad_mode_t mode = dnnl_scratchpad_mode_library;
    if (step->primitive == NULL) {
        return;
    }
    CHECK(dnnl_primitive_get_primitive_desc(step->primitive, &desc) == dnnl_success);
    CHECK(dnnl_primitive_desc_get_attr(desc, &attributes) == dnnl_success);
    CHECK(dnnl_primitive_attr_get_scratchpad_mode(attributes, &mode) == dnnl_success);
    if (mode != dnnl_scratchpad_mode_user) {
        fprintf(stderr, "    %s of %s\n", step->operation, step->layer);
    }
    CHECK(mode == dnnl_scratchpad_mode_user);
    ++*primitives;
}

/* Threads share the primitives, so none may keep a scratchpad of its own. */
static void
test_scratchpads_are_not_shared(void)
{
    gt_net net;
    trial job;
    int primitives = 0;
    start_network(&net, &job);
    job.backbone = make(&net, job.outputs, job.n, 2, 2);
    CHECK(gt_backbone_visit_steps(job.backbone, check_scratchpad, &primitives, &error) == GT_OK);
    CHECK(primitives > 5);
    end_network(&net, &job);
}

/* Of the sanitizers, that of addresses may leave its allocator locked in a child that is forked
 * beside threads, and that of threads knows no threads in a child. */
#ifdef __SANITIZE_THREAD__
#define FORKS 0
#else
#define FORKS 1
#endif
#ifdef __SANITIZE_ADDRESS__
#define FORKS_BESIDE_THREADS 0
#else
#define FORKS_BESIDE_THREADS FORKS
#endif

/* --- forks --------------------------------------------------------------------------------- */

#if FORKS
/* Fork; the child runs `count` images from `callers` threads (0: from its own) and its exit code
 * tells. */
static pid_t
run_in_child(const trial *job, int count, int callers)
{
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(30);
        double distance = callers > 0 ? call_at_once(job, callers) : distance_of_run(job, count);
        _exit(distance < 2e-5 ? 0 : 1);
    }
    return child;
}

static int
ends_well(pid_t child)
{
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static void
test_run_fork_run(void)
{
    gt_net net;
    trial job;
    start_network(&net, &job);
    for (int threads = 1; threads <= 3; threads++) {
        job.backbone = make(&net, job.outputs, job.n, threads, 2);
        CHECK(ends_well(run_in_child(&job, 9, 0))); /* before any run */
        CHECK_CLOSE(distance_of_run(&job, 9), 0.0, 2e-5);
        pid_t children[3] = {run_in_child(&job, 9, 0), run_in_child(&job, 1, 0),
                             run_in_child(&job, 0, 4)};
        CHECK_CLOSE(distance_of_run(&job, 16), 0.0, 2e-5);
        for (int i = 0; i < 3; i++) {
            CHECK(ends_well(children[i]));
        }
        CHECK_CLOSE(distance_of_run(&job, 3), 0.0, 2e-5);
        gt_backbone_free(job.backbone);
        job.backbone = NULL;
    }
    end_network(&net, &job);
}
#endif

#if FORKS_BESIDE_THREADS
/* The lock is held, and a plan may be half built, at the moment of the fork. */
static void
test_fork_while_another_thread_runs(void)
{
    gt_net net;
    trial job;
    start_network(&net, &job);
    for (useconds_t delay = 0; delay <= 12000; delay += 200) {
        job.backbone = make(&net, job.outputs, job.n, 2, 2);
        caller other = {.job = &job, .count = 16};
        CHECK(pthread_create(&other.thread, NULL, call, &other) == 0);
        (void)usleep(delay);
        pid_t child = run_in_child(&job, 9, 0);
        (void)pthread_join(other.thread, NULL);
        CHECK_CLOSE(other.distance, 0.0, 2e-5);
        CHECK(ends_well(child));
        gt_backbone_free(job.backbone);
        job.backbone = NULL;
    }
    end_network(&net, &job);
}
#endif

/* --- steps --------------------------------------------------------------------------------- */

typedef struct {
    int count;
    int references;
    char layers[1024];
    char operations[1024];
} listing;

static void
list_step(void *context, const gt_step *step)
{
    listing *list = context;
    size_t length = strlen(list->layers);
    list->count++;
    list->references += strncmp(step->implementation, "ref", 3) == 0;
    (void)snprintf(list->layers + length, sizeof(list->layers) - length, "%s ", step->layer);
    length = strlen(list->operations);
    (void)snprintf(list->operations + length, sizeof(list->operations) - length, "%s ",
                   step->operation);
}

static void
test_visiting_steps(void)
{
    gt_net net;
    trial job;
    listing before = {0};
    listing after = {0};
    start_network(&net, &job);
    job.backbone = make(&net, job.outputs, 1, 2, 2);
    job.n = 1;
    CHECK(gt_backbone_visit_steps(job.backbone, list_step, &before, &error) == GT_OK);
    CHECK_CLOSE(distance_of_run(&job, 5), 0.0, 2e-5);
    CHECK(gt_backbone_visit_steps(job.backbone, list_step, &after, &error) == GT_OK);
    CHECK(before.count > 5 && after.count == before.count);
    CHECK(strcmp(before.layers, after.layers) == 0);
    const char *names[] = {"first ", "depthwise ", "add ", "pool ", "concat ", "features "};
    const char *place = before.layers;
    for (int i = 0; i < 6; i++) {
        place = place != NULL ? strstr(place, names[i]) : NULL;
        CHECK(place != NULL);
    }
    CHECK(strstr(before.layers, "scores") == NULL); /* pruned */
    end_network(&net, &job);
}

static void
test_profile(void)
{
    enum { BATCH = 3 };
    gt_net net;
    trial job;
    listing steps = {0};
    start_network(&net, &job);
    job.backbone = make(&net, job.outputs, 1, 2, BATCH);
    int64_t size = BATCH * gt_shape_size(net.graph.nodes[job.outputs[0]].shape);
    float *result = malloc((size_t)size * sizeof(*result));
    CHECK(gt_backbone_visit_steps(job.backbone, list_step, &steps, &error) == GT_OK);
    double *seconds = calloc((size_t)steps.count + 1, sizeof(*seconds));
    CHECK(gt_backbone_profile(job.backbone, job.images, (float *[]){result}, seconds, &error) ==
          GT_OK);
    CHECK_CLOSE(gt_distance(result, job.twin.values[job.outputs[0]], size), 0.0, 2e-5);
    for (int i = 0; i <= steps.count; i++) {
        CHECK(seconds[i] > 0.0 && seconds[i] < 10.0);
    }
    CHECK(strstr(steps.operations, "convolution ") != NULL);
    CHECK(strstr(steps.operations, "other ") == NULL);
    free(seconds);
    free(result);
    end_network(&net, &job);
}

/* --- failures ------------------------------------------------------------------------------ */

static void
test_bad_settings(void)
{
    static const int bad[][2] = {{0, 1}, {1, 0}, {-1, 1}, {1, -5}, {1 << 30, 1}, {1, 1 << 30}};
    gt_net net;
    gt_net_start(&net, 4, 4, 3);
    gt_graph graph = gt_net_graph(&net, (int[]){0}, 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        gt_backbone_config config = {.threads = bad[i][0], .sub_batch = bad[i][1]};
        gt_backbone *backbone = (gt_backbone *)(void *)&net; /* to be overwritten */
        CHECK(gt_backbone_create(&backbone, &graph, config, &error) == GT_ERROR_ARGUMENT);
        CHECK(backbone == NULL && graph.count == 1 && says("threads") && says("sub_batch"));
    }
    gt_graph_clear(&graph);
    gt_graph empty;
    gt_backbone *backbone = NULL;
    gt_backbone_config config = {.threads = 1, .sub_batch = 1, .preprocessing = preprocessing};
    gt_graph_init(&empty);
    CHECK(gt_backbone_create(&backbone, &empty, config, &error) == GT_ERROR_GRAPH);
    gt_backbone_free(NULL);
    gt_net_clear(&net);
}

/* The graph of a backbone that could not be made is still the caller's. */
static void
test_failing_after_passes_began(void)
{
    gt_net net;
    gt_net_start(&net, 4, 4, 3);
    gt_node norm = gt_net_batch_norm(&net, 0);
    static const float minus[3] = {-1.0f, -1.0f, -1.0f};
    int a = gt_net_add(&net, gt_net_conv(&net, 0, 3, 3, 3, 1), NULL, 0);
    int b = gt_net_add(&net, norm, "good", a);
    int c = gt_net_plain(&net, GT_OP_RELU, NULL, b);
    norm.arrays[GT_VARIANCE].data = minus;
    int d = gt_net_add(&net, norm, "bad", c);
    gt_graph graph = gt_net_graph(&net, &d, 1);
    gt_backbone *backbone = NULL;
    gt_backbone_config config = {.threads = 1, .sub_batch = 1, .preprocessing = preprocessing};
    CHECK(gt_backbone_create(&backbone, &graph, config, &error) == GT_ERROR_GRAPH);
    CHECK(backbone == NULL && says("'bad'") && graph.count > 0);
    gt_graph_clear(&graph);
    gt_net_clear(&net);
}

/* A plan too large for the memory fails each time, and the backbone still runs single images. */
static void
test_memory_that_is_not_there(void)
{
    gt_net net;
    listing list = {0};
    gt_net_start(&net, 1500, 1000, 1);
    gt_node node = gt_net_conv(&net, 0, 3, 3, 16, 1);
    node.window.strides[0] = node.window.strides[1] = 2;
    int a = gt_net_add(&net, node, NULL, 0);
    int b = gt_net_plain(&net, GT_OP_GLOBAL_MAX_POOL, NULL, a);
    gt_backbone *backbone = make(&net, &b, 1, 2, 1 << 16);
    for (int i = 0; i < 2; i++) {
        gt_status status = gt_backbone_visit_steps(backbone, list_step, &list, &error);
        CHECK(status == GT_ERROR_MEMORY && says("memory") && list.count == 0);
    }
    uint8_t *images = make_images(&net, 1);
    gt_twin twin = gt_twin_run(&net.graph, images, 1, preprocessing);
    float result[16];
    CHECK(gt_backbone_run(backbone, images, 1, (float *[]){result}, &error) == GT_OK);
    CHECK_CLOSE(gt_distance(result, twin.values[b], 16), 0.0, 2e-5);
    free(images);
    gt_twin_clear(&twin);
    gt_backbone_free(backbone);
    gt_net_clear(&net);
}

static void
test_deep_network(void)
{
    gt_net net;
    gt_graph graph;
    gt_node node;
    int index = 0;
    gt_net_start(&net, 3, 3, 4);
    graph = gt_net_graph(&net, (int[]){0}, 1);
    for (int i = 0; i < 1500; i++) {
        char name[100];
        (void)snprintf(name, sizeof(name), "a_name_longer_than_what_a_step_keeps_%s_%d",
                       "0123456789012345678901234567890123456789", i);
        gt_node_init(&node, i % 2 == 0 ? GT_OP_RELU : GT_OP_MAX_POOL);
        CHECK(gt_graph_add(&graph, &node, name, &index, 1, &index, &error) == GT_OK);
    }
    CHECK(gt_graph_set_outputs(&graph, &index, 1, &error) == GT_OK);
    CHECK(gt_graph_infer_shapes(&graph, 3, 3, &error) == GT_OK);
    gt_backbone *backbone = NULL;
    gt_backbone_config config = {.threads = 1, .sub_batch = 1, .preprocessing = preprocessing};
    CHECK(gt_backbone_create(&backbone, &graph, config, &error) == GT_OK);
    uint8_t image[36];
    float result[36];
    int wrong = 0;
    for (int i = 0; i < 36; i++) {
        image[i] = (uint8_t)(7 * i);
    }
    CHECK(gt_backbone_run(backbone, image, 1, (float *[]){result}, &error) == GT_OK);
    for (int i = 0; i < 36; i++) {
        float wanted = (float)image[i] / 127.5f - 1.0f;
        wrong += !(fabsf(result[i] - (wanted > 0.0f ? wanted : 0.0f)) < 1e-6f);
    }
    CHECK(wrong == 0);
    gt_backbone_free(backbone);
    gt_net_clear(&net);
}

/* The core relies on it wherever it cleans up. */
static void
test_onednn_destroys_null(void)
{
    CHECK(dnnl_memory_desc_destroy(NULL) == dnnl_success);
    CHECK(dnnl_memory_destroy(NULL) == dnnl_success);
    CHECK(dnnl_primitive_desc_destroy(NULL) == dnnl_success);
    CHECK(dnnl_primitive_destroy(NULL) == dnnl_success);
    CHECK(dnnl_primitive_attr_destroy(NULL) == dnnl_success);
    CHECK(dnnl_post_ops_destroy(NULL) == dnnl_success);
    CHECK(dnnl_stream_destroy(NULL) == dnnl_success);
    CHECK(dnnl_engine_destroy(NULL) == dnnl_success);
}

int
main(void)
{
#if FORKS
    RUN(test_run_fork_run); /* first: nothing has been built yet */
#endif
#if FORKS_BESIDE_THREADS
    RUN(test_fork_while_another_thread_runs);
#endif
    RUN(test_results_do_not_depend_on_the_count);
    RUN(test_many_callers_at_once);
    RUN(test_scratchpads_are_not_shared);
    RUN(test_visiting_steps);
    RUN(test_profile);
    RUN(test_bad_settings);
    RUN(test_failing_after_passes_began);
    RUN(test_memory_that_is_not_there);
    RUN(test_deep_network);
    RUN(test_onednn_destroys_null);
    return check_report();
}
