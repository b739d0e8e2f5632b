#include "runtime/backbone.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/arithmetic.h"
#include "common/malloc_trim.h"
#include "graph/passes.h"
#include "graph/segments.h"
#include "lower/compile.h"
#include "plan/builder.h"
#include "runtime/range_histogram.h"
#include "threads/exit_gate.h"
#include "threads/parallel.h"
#include "threads/processors.h"
#include "threads/team.h"

/* A plan and the executors that run it at once. */
typedef struct {
    gt_plan *plan;           /* NULL until first needed */
    gt_executor **executors; /* (n_executors,) */
    gt_team *team;           /* a thread for each executor */
    int n_executors;
    int inner; /* threads inside a primitive */
} executor_pool;

struct gt_backbone {
    gt_graph graph;
    gt_backbone_config config;
    dnnl_engine_t engine;
    gt_weight_store weights;
    executor_pool batches;          /* an executor a thread, each primitive on one thread */
    executor_pool image_per_thread; /* the same with one image a batch */
    executor_pool single_image;     /* one image a batch, each primitive on all threads */
    bool calibrated;                /* or its ranges have been set */
    pthread_mutex_t lock;
    _Atomic(pid_t) process; /* in which `lock` was made; set after it */
};

/* Held while a plan is built and at the moment of a fork: a child never inherits a plan half built,
 * nor oneDNN's own locks and its promises of primitives that a thread left behind would keep. */
static pthread_mutex_t building = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t forks_guarded = PTHREAD_ONCE_INIT;

static void
hold_building(void)
{
    (void)pthread_mutex_lock(&building);
}

static void
release_building(void)
{
    (void)pthread_mutex_unlock(&building);
}

static void
guard_forks(void)
{
    (void)pthread_atfork(hold_building, release_building, release_building);
}

/* Bounds that keep every size in bytes far from 64 bits. */
enum { MAX_THREADS = 1 << 12, MAX_SUB_BATCH = 1 << 16 };

gt_status
gt_backbone_create(gt_backbone **backbone, gt_graph *graph, gt_backbone_config config,
                   gt_error *error)
{
    *backbone = NULL;
    if (config.threads < 1 || config.threads > MAX_THREADS || config.sub_batch < 1 ||
        config.sub_batch > MAX_SUB_BATCH) {
        return gt_fail(error, GT_ERROR_ARGUMENT,
                       "threads is %d and must be from 1 to %d, sub_batch is %d and must be from 1 "
                       "to %d",
                       config.threads, MAX_THREADS, config.sub_batch, MAX_SUB_BATCH);
    }
    if (graph->count < 1 || graph->n_outputs < 1) {
        return gt_fail(error, GT_ERROR_GRAPH, "no layer is asked for");
    }
    if ((config.preprocessing.by_channel || config.preprocessing.reversed) &&
        graph->nodes[0].shape.channels != GT_PIXEL_CHANNELS) {
        return gt_fail(error, GT_ERROR_ARGUMENT,
                       "scale, offset or order of %d channels, but the network takes %d",
                       GT_PIXEL_CHANNELS, graph->nodes[0].shape.channels);
    }
    (void)pthread_once(&forks_guarded, guard_forks);
    gt_backbone *created = calloc(1, sizeof(*created));
    if (created == NULL) {
        return gt_fail_memory(error, "the backbone");
    }
    gt_status status = gt_optimize(graph, config.precision, error);
    if (status == GT_OK) {
        status = gt_check_engine(dnnl_engine_create(&created->engine, dnnl_cpu, 0),
                                 "creating the engine", "(all)", error);
    }
    if (status != GT_OK) {
        free(created);
        return status;
    }
    created->graph = *graph;
    gt_graph_init(graph);
    created->config = config;
    created->batches.n_executors = config.threads;
    created->batches.inner = 1;
    created->image_per_thread.n_executors = config.threads;
    created->image_per_thread.inner = 1;
    created->single_image.n_executors = 1;
    created->single_image.inner = config.threads;
    (void)pthread_mutex_init(&created->lock, NULL);
    created->process = getpid();
    *backbone = created;
    return GT_OK;
}

static void
clear_pool(executor_pool *pool)
{
    gt_team_free(pool->team);
    for (int i = 0; pool->executors != NULL && i < pool->n_executors; i++) {
        gt_executor_free(pool->executors[i]);
    }
    free(pool->executors);
    gt_plan_free(pool->plan);
    pool->executors = NULL;
    pool->team = NULL;
    pool->plan = NULL;
}

void
gt_backbone_free(gt_backbone *backbone)
{
    if (backbone == NULL) {
        return;
    }
    clear_pool(&backbone->batches);
    clear_pool(&backbone->image_per_thread);
    clear_pool(&backbone->single_image);
    gt_weight_store_clear(&backbone->weights);
    (void)dnnl_engine_destroy(backbone->engine);
    gt_graph_clear(&backbone->graph);
    (void)pthread_mutex_destroy(&backbone->lock);
    free(backbone);
}

gt_shape
gt_backbone_output_shape(const gt_backbone *backbone, int k)
{
    return backbone->graph.nodes[backbone->graph.outputs[k]].shape;
}

int
gt_backbone_output_count(const gt_backbone *backbone)
{
    return backbone->graph.n_outputs;
}

/* Only the thread that forked lives on in the child, and it does not hold the lock: whoever did
 * is gone, so the child makes the lock anew. */
static void
lock_backbone(gt_backbone *backbone)
{
    pid_t process = getpid();
    if (backbone->process != process) {
        hold_building(); /* two threads of a child may come at once */
        if (backbone->process != process) {
            (void)pthread_mutex_init(&backbone->lock, NULL);
            backbone->process = process;
        }
        release_building();
    }
    (void)pthread_mutex_lock(&backbone->lock);
}

static void
unlock_backbone(gt_backbone *backbone)
{
    (void)pthread_mutex_unlock(&backbone->lock);
}

typedef struct {
    const gt_graph *graph;
    dnnl_engine_t engine;
    executor_pool *pool;
    gt_compile_config plan;
    gt_weight_store *weights;
} build_job;

static gt_status
build_task(void *context, int worker, gt_error *error)
{
    (void)worker;
    build_job *job = context;
    executor_pool *pool = job->pool;
    gt_exit_gate_enter();
    gt_status status =
        gt_compile(&pool->plan, job->graph, job->plan, job->engine, job->weights, error);
    gt_exit_gate_leave();
    if (status != GT_OK) {
        return status;
    }
    pool->executors = calloc((size_t)pool->n_executors, sizeof(*pool->executors));
    if (pool->executors == NULL) {
        return gt_fail_memory(error, "running the network");
    }
    for (int i = 0; status == GT_OK && i < pool->n_executors; i++) {
        status = gt_executor_create(&pool->executors[i], pool->plan, error);
    }
    return status;
}

/* Give the pool of the job its plan, executors and team; on failure it has none of them. */
static gt_status
build_pool(build_job job, gt_error *error)
{
    executor_pool *pool = job.pool;
    hold_building();
    gt_status status = gt_parallel(1, pool->inner, build_task, &job, error);
    if (status == GT_OK) {
        status = gt_team_create(&pool->team, pool->n_executors, pool->inner, error);
    }
    release_building();
    if (status != GT_OK) {
        clear_pool(pool);
    }
    gt_heap_trim();
    return status;
}

/* Make sure that the pool has its plan and executors. */
static gt_status
ensure_pool(gt_backbone *backbone, executor_pool *pool, int batch, gt_error *error)
{
    gt_precision precision = backbone->config.precision;
    if (pool->executors != NULL) {
        return GT_OK;
    }
    if (precision == GT_PRECISION_INT8 && !backbone->calibrated) {
        return gt_fail(error, GT_ERROR_ARGUMENT,
                       "a backbone in int8 must be calibrated before it runs");
    }
    return build_pool((build_job){.graph = &backbone->graph,
                                  .engine = backbone->engine,
                                  .pool = pool,
                                  .plan = {.batch = batch,
                                           .precision = precision,
                                           .preprocessing = backbone->config.preprocessing},
                                  .weights = &backbone->weights},
                      error);
}

/* A run of equal batches over the executors of a pool. */
typedef struct {
    const gt_graph *graph;
    gt_preprocessing preprocessing;
    const executor_pool *pool;
    const void *images; /* photographs, or float32 maps */
    float *const *outputs;
    int64_t first;                 /* image */
    int64_t count;                 /* images, a multiple of the batch */
    _Atomic(int64_t) next;         /* of those, not yet taken by an executor */
    double *seconds;               /* to time the input and every step of the only batch, or NULL */
    gt_range_histogram *histogram; /* of the numbers of every layer, to be filled; or NULL */
} run_job;

typedef struct {
    double *seconds; /* (n_steps + 1,) */
    double since;    /* when the last step was over */
} stopwatch;

static double
now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void
stop_watch(void *context, const gt_executor *executor, int step)
{
    stopwatch *watch = context;
    double time = now();
    (void)executor;
    watch->seconds[step - GT_INPUT_WRITTEN] = time - watch->since;
    watch->since = time;
}

/* Count the numbers of the nodes whose value the step wrote.  A flat view of a map is the value of
 * the map's numbers, counted with it. */
static void
count_numbers(void *context, const gt_executor *executor, int step)
{
    const run_job *job = context;
    const gt_plan *plan = job->pool->plan;
    for (int i = 1; step >= 0 && i < job->graph->count; i++) {
        const gt_value *value = &plan->values[plan->value_of[i]];
        if (value->first == step && value->alias_of == GT_NO_VALUE) {
            gt_range_histogram_add(job->histogram, i,
                                   gt_executor_value(executor, plan->value_of[i]),
                                   value->size / sizeof(float));
        }
    }
}

static gt_status
run_task(void *context, int worker, gt_error *error)
{
    run_job *job = context;
    const gt_graph *graph = job->graph;
    const gt_plan *plan = job->pool->plan;
    int64_t batch = plan->batch;
    size_t image_size = (size_t)gt_shape_size(plan->input) * (plan->reads_maps ? sizeof(float) : 1);
    gt_status status = GT_OK;
    float **outputs = malloc((size_t)graph->n_outputs * sizeof(*outputs));
    if (outputs == NULL) {
        return gt_fail_memory(error, "running the network");
    }
    /* An executor that has to share its processor takes fewer. */
    while (status == GT_OK) {
        int64_t taken = atomic_fetch_add(&job->next, batch);
        if (taken >= job->count) {
            break;
        }
        int64_t image = job->first + taken;
        for (int k = 0; k < graph->n_outputs; k++) {
            outputs[k] =
                job->outputs[k] + image * gt_shape_size(graph->nodes[graph->outputs[k]].shape);
        }
        stopwatch watch = {job->seconds, now()};
        gt_observer observer = {0};
        if (job->histogram != NULL) {
            observer = (gt_observer){count_numbers, context};
        }
        else if (job->seconds != NULL) {
            observer = (gt_observer){stop_watch, &watch};
        }
        status = gt_executor_run(job->pool->executors[worker],
                                 (const char *)job->images + (size_t)image * image_size,
                                 job->preprocessing, outputs, observer, error);
    }
    free(outputs);
    return status;
}

static gt_status
run_pool(gt_backbone *backbone, executor_pool *pool, int batch, run_job job, gt_error *error)
{
    if (job.count == 0) {
        return GT_OK;
    }
    gt_status status = ensure_pool(backbone, pool, batch, error);
    if (status == GT_OK) {
        job.graph = &backbone->graph;
        job.preprocessing = backbone->config.preprocessing;
        job.pool = pool;
        status = gt_team_run(pool->team, run_task, &job, error);
    }
    return status;
}

/* Threads inside primitives wait for each other some hundred times an image, and on the processor:
 * where they do not run at once, an image takes 30 times as long as on one thread. */
static int
threads_inside(const gt_backbone *backbone)
{
    int threads = backbone->config.threads;
    return gt_processors_are_free(threads) ? threads : 1;
}

/* The pool for so many images, too few for batches.  Inside primitives threads wait for each other,
 * which takes about as long as one in five of them having no image of its own. */
static executor_pool *
pool_for_rest(gt_backbone *backbone, int64_t count)
{
    int64_t threads = backbone->config.threads;
    int64_t turns = gt_divide_up(count, threads);
    bool nearly_all_have_one = 5 * count > 4 * threads * turns;
    return threads > 1 && (nearly_all_have_one || threads_inside(backbone) == 1)
               ? &backbone->image_per_thread
               : &backbone->single_image;
}

gt_status
gt_backbone_run(gt_backbone *backbone, const uint8_t *images, int64_t count, float *const *outputs,
                gt_error *error)
{
    const gt_backbone_config *config = &backbone->config;
    int64_t round = (int64_t)config->threads * config->sub_batch;
    int64_t whole = count / round * round;
    run_job batches = {.images = images, .outputs = outputs, .first = 0, .count = whole};
    run_job rest = {.images = images, .outputs = outputs, .first = whole, .count = count - whole};
    lock_backbone(backbone);
    gt_status status = run_pool(backbone, &backbone->batches, config->sub_batch, batches, error);
    if (status == GT_OK) {
        status = run_pool(backbone, pool_for_rest(backbone, rest.count), 1, rest, error);
    }
    unlock_backbone(backbone);
    return status;
}

/* Ranges decide how plans are built, and weights packed: those that a failed plan has left go. */
static gt_status
begin_ranges(gt_backbone *backbone, gt_error *error)
{
    if (backbone->batches.plan == NULL && backbone->image_per_thread.plan == NULL &&
        backbone->single_image.plan == NULL) {
        gt_weight_store_clear(&backbone->weights);
        return GT_OK;
    }
    return gt_fail(error, GT_ERROR_ARGUMENT, "a backbone that has run cannot be calibrated");
}

/* Run one image at a time through a float32 plan of the segment and count its numbers; sets the
 * ranges of the segment's nodes. */
static gt_status
count_segment(const gt_backbone *backbone, gt_segment *segment, run_job job, gt_error *error)
{
    executor_pool pool = {.n_executors = 1, .inner = threads_inside(backbone)};
    gt_weight_store weights = {0};
    gt_status status = build_pool((build_job){.graph = &segment->graph,
                                              .engine = backbone->engine,
                                              .pool = &pool,
                                              .plan = {.batch = 1,
                                                       .preprocessing = job.preprocessing,
                                                       .low_memory = true,
                                                       .reads_maps = segment->first > 0},
                                              .weights = &weights},
                                  error);
    job.histogram = gt_range_histogram_create(segment->graph.count);
    if (status == GT_OK && job.histogram == NULL) {
        status = gt_fail_memory(error, "counting numbers");
    }
    if (status == GT_OK) {
        job.graph = &segment->graph;
        job.pool = &pool;
        status = gt_team_run(pool.team, run_task, &job, error);
    }
    if (status == GT_OK) {
        gt_range_histogram_set_ranges(job.histogram, &segment->graph);
    }
    gt_range_histogram_free(job.histogram);
    clear_pool(&pool);
    gt_weight_store_clear(&weights);
    gt_heap_trim();
    return status;
}

/* Count one segment of which job.images are the inputs and job.outputs the network's outputs.  The
 * maps of its end become *maps, to be freed by the caller; NULL for the last segment. */
static gt_status
pass_segment(gt_backbone *backbone, gt_segment *segment, run_job job, float **maps, gt_error *error)
{
    const gt_graph *graph = &segment->graph;
    float *const *outputs = job.outputs;
    int64_t size = gt_shape_size(graph->nodes[graph->count - 1].shape) * job.count;
    float **places = calloc((size_t)graph->n_outputs + 1, sizeof(*places));
    gt_status status = places != NULL ? GT_OK : gt_fail_memory(error, "counting numbers");
    *maps = NULL;
    for (int k = 0; status == GT_OK && k < graph->n_outputs; k++) {
        if (segment->wanted[k] < 0) {
            *maps = malloc((size_t)size * sizeof(float));
            status = *maps != NULL ? GT_OK : gt_fail_memory(error, "the maps between two parts");
        }
        places[k] = segment->wanted[k] < 0 ? *maps : outputs[segment->wanted[k]];
    }
    if (status == GT_OK) {
        job.outputs = places;
        status = count_segment(backbone, segment, job, error);
    }
    for (int i = 1; status == GT_OK && i < graph->count; i++) {
        backbone->graph.nodes[segment->first + i].range = graph->nodes[i].range;
        backbone->graph.nodes[segment->first + i].negative = graph->nodes[i].negative;
    }
    free(places);
    return status;
}

/* Segment after segment, so that the float32 weights of only one are in memory. */
static gt_status
learn_ranges(gt_backbone *backbone, run_job job, gt_error *error)
{
    gt_status status = GT_OK;
    float *inputs = NULL;
    int first = 0;
    job.preprocessing = backbone->config.preprocessing;
    do {
        gt_segment segment = {.first = first};
        float *maps = NULL;
        status = gt_segment_cut(&segment, &backbone->graph, first, job.count, error);
        if (status == GT_OK) {
            status = pass_segment(backbone, &segment, job, &maps, error);
            first = gt_segment_end(&segment);
        }
        gt_segment_clear(&segment);
        free(inputs);
        inputs = maps;
        job.images = maps;
    } while (status == GT_OK && first < backbone->graph.count - 1);
    free(inputs);
    backbone->calibrated = backbone->calibrated || status == GT_OK;
    return status;
}

gt_status
gt_backbone_calibrate(gt_backbone *backbone, const uint8_t *images, int64_t count,
                      float *const *outputs, gt_error *error)
{
    run_job job = {.images = images, .outputs = outputs, .count = count};
    if (count < 1) {
        return gt_fail(error, GT_ERROR_ARGUMENT, "calibration needs an image");
    }
    lock_backbone(backbone);
    gt_status status = begin_ranges(backbone, error);
    if (status == GT_OK) {
        status = learn_ranges(backbone, job, error);
    }
    unlock_backbone(backbone);
    return status;
}

int
gt_backbone_range_count(const gt_backbone *backbone)
{
    return backbone->graph.count;
}

gt_range
gt_backbone_range(const gt_backbone *backbone, int i)
{
    const gt_node *node = &backbone->graph.nodes[i];
    return (gt_range){node->name, node->range, node->negative};
}

gt_status
gt_backbone_set_range(gt_backbone *backbone, gt_range range, gt_error *error)
{
    if (!isfinite(range.range) || range.range < 0.0f) {
        return gt_fail(error, GT_ERROR_ARGUMENT,
                       "the range of layer '%s' is %g and must be a finite number from 0 on",
                       range.layer, (double)range.range);
    }
    lock_backbone(backbone);
    gt_status status = begin_ranges(backbone, error);
    int index = gt_graph_find(&backbone->graph, range.layer);
    if (status == GT_OK && index >= 0) {
        backbone->graph.nodes[index].range = range.range;
        backbone->graph.nodes[index].negative = range.negative;
    }
    backbone->calibrated = backbone->calibrated || status == GT_OK;
    unlock_backbone(backbone);
    return status;
}

gt_status
gt_backbone_visit_steps(gt_backbone *backbone, gt_step_visitor visitor, void *context,
                        gt_error *error)
{
    lock_backbone(backbone);
    gt_status status = ensure_pool(backbone, &backbone->batches, backbone->config.sub_batch, error);
    for (int i = 0; status == GT_OK && i < backbone->batches.plan->n_steps; i++) {
        visitor(context, &backbone->batches.plan->steps[i]);
    }
    unlock_backbone(backbone);
    return status;
}

gt_status
gt_backbone_profile(gt_backbone *backbone, const uint8_t *images, float *const *outputs,
                    double *seconds, gt_error *error)
{
    int batch = backbone->config.sub_batch;
    run_job job = {.images = images, .outputs = outputs, .count = batch, .seconds = seconds};
    lock_backbone(backbone);
    gt_status status = run_pool(backbone, &backbone->batches, batch, job, error);
    unlock_backbone(backbone);
    return status;
}
