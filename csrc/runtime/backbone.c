#include "runtime/backbone.h"
#include "lower/compile.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/malloc_trim.h"
#include "graph/passes.h"
#include "graph/segments.h"
#include "plan/builder.h"
#include "runtime/range_histogram.h"
#include "threads/parallel.h"
#include "threads/team.h"

/* A plan and the lanes that run it at once. */
typedef struct {
    gt_plan *plan;   /* NULL until first needed */
    gt_lane **lanes; /* (n_lanes,) */
    gt_team *team;   /* a thread for each lane */
    int n_lanes;
    int inner; /* threads inside a primitive */
} gt_crew;

struct gt_backbone {
    gt_graph graph;
    gt_backbone_config config;
    dnnl_engine_t engine;
    gt_constants constants;
    gt_crew batches; /* one lane a thread, each primitive on one thread */
    gt_crew apart;   /* the same for one image at a time */
    gt_crew single;  /* one image at a time, each primitive on all threads */
    bool calibrated; /* or its ranges have been set */
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
    created->batches.n_lanes = config.threads;
    created->batches.inner = 1;
    created->apart.n_lanes = config.threads;
    created->apart.inner = 1;
    created->single.n_lanes = 1;
    created->single.inner = config.threads;
    (void)pthread_mutex_init(&created->lock, NULL);
    created->process = getpid();
    *backbone = created;
    return GT_OK;
}

static void
dismiss(gt_crew *crew)
{
    gt_team_free(crew->team);
    for (int i = 0; crew->lanes != NULL && i < crew->n_lanes; i++) {
        gt_lane_free(crew->lanes[i]);
    }
    free(crew->lanes);
    gt_plan_free(crew->plan);
    crew->lanes = NULL;
    crew->team = NULL;
    crew->plan = NULL;
}

void
gt_backbone_free(gt_backbone *backbone)
{
    if (backbone == NULL) {
        return;
    }
    dismiss(&backbone->batches);
    dismiss(&backbone->apart);
    dismiss(&backbone->single);
    gt_constants_clear(&backbone->constants);
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
    gt_crew *crew;
    gt_compile_config plan;
    gt_constants *constants;
} assembly;

static gt_status
assemble_task(void *context, int worker, gt_error *error)
{
    (void)worker;
    assembly *job = context;
    gt_crew *crew = job->crew;
    gt_status status =
        gt_compile(&crew->plan, job->graph, job->plan, job->engine, job->constants, error);
    if (status != GT_OK) {
        return status;
    }
    crew->lanes = calloc((size_t)crew->n_lanes, sizeof(*crew->lanes));
    if (crew->lanes == NULL) {
        return gt_fail_memory(error, "running the network");
    }
    for (int i = 0; status == GT_OK && i < crew->n_lanes; i++) {
        status = gt_lane_create(&crew->lanes[i], crew->plan, error);
    }
    return status;
}

/* Give the crew of the job its plan, lanes and team; on failure it has none of them. */
static gt_status
assemble_anew(assembly job, gt_error *error)
{
    gt_crew *crew = job.crew;
    hold_building();
    gt_status status = gt_parallel(1, crew->inner, assemble_task, &job, error);
    if (status == GT_OK) {
        status = gt_team_create(&crew->team, crew->n_lanes, crew->inner, error);
    }
    release_building();
    if (status != GT_OK) {
        dismiss(crew);
    }
    gt_heap_rest();
    return status;
}

/* Make sure that the crew has its plan and lanes. */
static gt_status
assemble(gt_backbone *backbone, gt_crew *crew, int batch, gt_error *error)
{
    gt_precision precision = backbone->config.precision;
    if (crew->lanes != NULL) {
        return GT_OK;
    }
    if (precision == GT_PRECISION_INT8 && !backbone->calibrated) {
        return gt_fail(error, GT_ERROR_ARGUMENT,
                       "a backbone in int8 must be calibrated before it runs");
    }
    return assemble_anew((assembly){.graph = &backbone->graph,
                                    .engine = backbone->engine,
                                    .crew = crew,
                                    .plan = {.batch = batch,
                                             .precision = precision,
                                             .preprocessing = backbone->config.preprocessing},
                                    .constants = &backbone->constants},
                         error);
}

/* A run of equal batches over the lanes of a crew. */
typedef struct {
    const gt_graph *graph;
    gt_preprocessing preprocessing;
    const gt_crew *crew;
    const void *images; /* photographs, or float32 maps */
    float *const *outputs;
    int64_t first;         /* image */
    int64_t count;         /* images, a multiple of the batch */
    _Atomic(int64_t) next; /* of those, not yet taken by a lane */
    double *seconds;       /* to time the input and every step of the only batch, or NULL */
    gt_census *census;     /* to count the numbers of every layer, or NULL */
} errand;

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
stop_watch(void *context, const gt_lane *lane, int step)
{
    stopwatch *watch = context;
    double time = now();
    (void)lane;
    watch->seconds[step - GT_INPUT_WRITTEN] = time - watch->since;
    watch->since = time;
}

/* Count the numbers of the nodes whose value the step wrote.  A flat view of a map is the value of
 * the map's numbers, counted with it. */
static void
count_numbers(void *context, const gt_lane *lane, int step)
{
    const errand *job = context;
    const gt_plan *plan = job->crew->plan;
    for (int i = 1; step >= 0 && i < job->graph->count; i++) {
        const gt_value *value = &plan->values[plan->value_of[i]];
        if (value->first == step && value->alias_of == GT_NO_VALUE) {
            gt_census_add(job->census, i, gt_lane_value(lane, plan->value_of[i]),
                          value->size / sizeof(float));
        }
    }
}

static gt_status
run_task(void *context, int worker, gt_error *error)
{
    errand *job = context;
    const gt_graph *graph = job->graph;
    const gt_plan *plan = job->crew->plan;
    int64_t batch = plan->batch;
    size_t image_size = (size_t)gt_shape_size(plan->input) * (plan->reads_maps ? sizeof(float) : 1);
    gt_status status = GT_OK;
    float **outputs = malloc((size_t)graph->n_outputs * sizeof(*outputs));
    if (outputs == NULL) {
        return gt_fail_memory(error, "running the network");
    }
    /* A lane that has to share its processor takes fewer. */
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
        if (job->census != NULL) {
            observer = (gt_observer){count_numbers, context};
        }
        else if (job->seconds != NULL) {
            observer = (gt_observer){stop_watch, &watch};
        }
        status = gt_lane_run(job->crew->lanes[worker],
                             (const char *)job->images + (size_t)image * image_size,
                             job->preprocessing, outputs, observer, error);
    }
    free(outputs);
    return status;
}

static gt_status
run_crew(gt_backbone *backbone, gt_crew *crew, int batch, errand job, gt_error *error)
{
    if (job.count == 0) {
        return GT_OK;
    }
    gt_status status = assemble(backbone, crew, batch, error);
    if (status == GT_OK) {
        job.graph = &backbone->graph;
        job.preprocessing = backbone->config.preprocessing;
        job.crew = crew;
        status = gt_team_run(crew->team, run_task, &job, error);
    }
    return status;
}

/* Who runs so many images, too few for batches.  Inside primitives threads wait for each other,
 * which takes about as long as one in five of them having no image of its own. */
static gt_crew *
crew_for_rest(gt_backbone *backbone, int64_t count)
{
    int64_t threads = backbone->config.threads;
    int64_t turns = (count + threads - 1) / threads;
    bool most_have_one = 5 * count > 4 * threads * turns;
    return threads > 1 && most_have_one ? &backbone->apart : &backbone->single;
}

gt_status
gt_backbone_run(gt_backbone *backbone, const uint8_t *images, int64_t count, float *const *outputs,
                gt_error *error)
{
    const gt_backbone_config *config = &backbone->config;
    int64_t round = (int64_t)config->threads * config->sub_batch;
    int64_t whole = count / round * round;
    errand batches = {.images = images, .outputs = outputs, .first = 0, .count = whole};
    errand rest = {.images = images, .outputs = outputs, .first = whole, .count = count - whole};
    lock_backbone(backbone);
    gt_status status = run_crew(backbone, &backbone->batches, config->sub_batch, batches, error);
    if (status == GT_OK) {
        status = run_crew(backbone, crew_for_rest(backbone, rest.count), 1, rest, error);
    }
    unlock_backbone(backbone);
    return status;
}

/* Ranges decide how plans are built, and weights packed: those that a failed plan has left go. */
static gt_status
begin_ranges(gt_backbone *backbone, gt_error *error)
{
    if (backbone->batches.plan == NULL && backbone->apart.plan == NULL &&
        backbone->single.plan == NULL) {
        gt_constants_clear(&backbone->constants);
        return GT_OK;
    }
    return gt_fail(error, GT_ERROR_ARGUMENT, "a backbone that has run cannot be calibrated");
}

/* Run one image at a time through a float32 plan of the stretch, counting its numbers; sets the
 * ranges of its own nodes. */
static gt_status
count_stretch(const gt_backbone *backbone, gt_stretch *stretch, errand job, gt_error *error)
{
    gt_crew crew = {.n_lanes = 1, .inner = backbone->config.threads};
    gt_constants constants = {0};
    gt_status status = assemble_anew((assembly){.graph = &stretch->graph,
                                                .engine = backbone->engine,
                                                .crew = &crew,
                                                .plan = {.batch = 1,
                                                         .preprocessing = job.preprocessing,
                                                         .is_brief = true,
                                                         .reads_maps = stretch->first > 0},
                                                .constants = &constants},
                                     error);
    job.census = gt_census_create(stretch->graph.count);
    if (status == GT_OK && job.census == NULL) {
        status = gt_fail_memory(error, "counting numbers");
    }
    if (status == GT_OK) {
        job.graph = &stretch->graph;
        job.crew = &crew;
        status = gt_team_run(crew.team, run_task, &job, error);
    }
    if (status == GT_OK) {
        gt_census_set_ranges(job.census, &stretch->graph);
    }
    gt_census_free(job.census);
    dismiss(&crew);
    gt_constants_clear(&constants);
    gt_heap_rest();
    return status;
}

/* Count one stretch of which job.images are the inputs and job.outputs the network's outputs.  The
 * maps of its end become *maps, to be freed by the caller; NULL for the last stretch. */
static gt_status
pass_stretch(gt_backbone *backbone, gt_stretch *stretch, errand job, float **maps, gt_error *error)
{
    const gt_graph *graph = &stretch->graph;
    float *const *outputs = job.outputs;
    int64_t size = gt_shape_size(graph->nodes[graph->count - 1].shape) * job.count;
    float **places = calloc((size_t)graph->n_outputs + 1, sizeof(*places));
    gt_status status = places != NULL ? GT_OK : gt_fail_memory(error, "counting numbers");
    *maps = NULL;
    for (int k = 0; status == GT_OK && k < graph->n_outputs; k++) {
        if (stretch->wanted[k] < 0) {
            *maps = malloc((size_t)size * sizeof(float));
            status = *maps != NULL ? GT_OK : gt_fail_memory(error, "the maps between two parts");
        }
        places[k] = stretch->wanted[k] < 0 ? *maps : outputs[stretch->wanted[k]];
    }
    if (status == GT_OK) {
        job.outputs = places;
        status = count_stretch(backbone, stretch, job, error);
    }
    for (int i = 1; status == GT_OK && i < graph->count; i++) {
        backbone->graph.nodes[stretch->first + i].range = graph->nodes[i].range;
        backbone->graph.nodes[stretch->first + i].negative = graph->nodes[i].negative;
    }
    free(places);
    return status;
}

/* Stretch after stretch, so that the float32 weights of only one are in memory. */
static gt_status
take_census(gt_backbone *backbone, errand job, gt_error *error)
{
    gt_status status = GT_OK;
    float *inputs = NULL;
    int first = 0;
    job.preprocessing = backbone->config.preprocessing;
    do {
        gt_stretch stretch = {.first = first};
        float *maps = NULL;
        status = gt_stretch_cut(&stretch, &backbone->graph, first, job.count, error);
        if (status == GT_OK) {
            status = pass_stretch(backbone, &stretch, job, &maps, error);
            first = gt_stretch_end(&stretch);
        }
        gt_stretch_clear(&stretch);
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
    errand job = {.images = images, .outputs = outputs, .count = count};
    if (count < 1) {
        return gt_fail(error, GT_ERROR_ARGUMENT, "calibration needs an image");
    }
    lock_backbone(backbone);
    gt_status status = begin_ranges(backbone, error);
    if (status == GT_OK) {
        status = take_census(backbone, job, error);
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
    gt_status status = assemble(backbone, &backbone->batches, backbone->config.sub_batch, error);
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
    errand job = {.images = images, .outputs = outputs, .count = batch, .seconds = seconds};
    lock_backbone(backbone);
    gt_status status = run_crew(backbone, &backbone->batches, batch, job, error);
    unlock_backbone(backbone);
    return status;
}
