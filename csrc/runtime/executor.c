#include "runtime/executor.h"

#include <stdlib.h>
#include <string.h>

#include "common/pages.h"
#include "runtime/pixel_writer.h"
#include "threads/exit_gate.h"

struct gt_executor {
    const gt_plan *plan;
    char *arena; /* (plan->arena_size,) bytes */
    dnnl_stream_t stream;
    dnnl_memory_t *values;  /* (plan->n_values,) over the arena */
    dnnl_memory_t *outputs; /* (plan->n_outputs,) over memory that each run names */
    dnnl_exec_arg_t **args; /* (plan->n_steps,) */
};

static dnnl_memory_t
memory_of(const gt_executor *executor, const gt_arg *arg)
{
    switch (arg->kind) {
    case GT_ARG_VALUE:
        return executor->values[arg->index];
    case GT_ARG_WEIGHT:
        return executor->plan->weights->items[arg->index].memory;
    case GT_ARG_OUTPUT:
        break;
    }
    return executor->outputs[arg->index];
}

static gt_status
allocate(gt_executor *executor, gt_error *error)
{
    const gt_plan *plan = executor->plan;
    executor->arena = gt_pages_allocate(plan->arena_size);
    executor->values = calloc((size_t)plan->n_values + 1, sizeof(*executor->values));
    executor->outputs = calloc((size_t)plan->n_outputs + 1, sizeof(*executor->outputs));
    executor->args = calloc((size_t)plan->n_steps + 1, sizeof(*executor->args));
    bool complete = executor->arena != NULL && executor->values != NULL &&
                    executor->outputs != NULL && executor->args != NULL;
    for (int i = 0; complete && i < plan->n_steps; i++) {
        executor->args[i] = calloc((size_t)plan->steps[i].n_args + 1, sizeof(**executor->args));
        complete = executor->args[i] != NULL;
    }
    return complete ? GT_OK : gt_fail_memory(error, "running the network");
}

static gt_status
bind_memory(gt_executor *executor, gt_error *error)
{
    const gt_plan *plan = executor->plan;
    dnnl_status_t code = dnnl_stream_create(&executor->stream, plan->engine, dnnl_stream_in_order);
    for (int i = 0; code == dnnl_success && i < plan->n_values; i++) {
        code = dnnl_memory_create(&executor->values[i], plan->values[i].desc, plan->engine,
                                  executor->arena + plan->values[i].offset);
    }
    for (int i = 0; code == dnnl_success && i < plan->n_outputs; i++) {
        code = dnnl_memory_create(&executor->outputs[i], plan->outputs[i], plan->engine,
                                  DNNL_MEMORY_NONE);
    }
    for (int i = 0; code == dnnl_success && i < plan->n_steps; i++) {
        const gt_step *step = &plan->steps[i];
        for (int k = 0; k < step->n_args; k++) {
            executor->args[i][k].arg = step->args[k].role;
            executor->args[i][k].memory = memory_of(executor, &step->args[k]);
        }
    }
    return gt_check_engine(code, "binding memory", "(all)", error);
}

gt_status
gt_executor_create(gt_executor **executor, const gt_plan *plan, gt_error *error)
{
    *executor = NULL;
    gt_executor *created = calloc(1, sizeof(*created));
    if (created == NULL) {
        return gt_fail_memory(error, "running the network");
    }
    created->plan = plan;
    gt_status status = allocate(created, error);
    if (status == GT_OK) {
        status = bind_memory(created, error);
    }
    if (status != GT_OK) {
        gt_executor_free(created);
        return status;
    }
    *executor = created;
    return GT_OK;
}

void
gt_executor_free(gt_executor *executor)
{
    if (executor == NULL) {
        return;
    }
    for (int i = 0; executor->values != NULL && i < executor->plan->n_values; i++) {
        (void)dnnl_memory_destroy(executor->values[i]);
    }
    for (int i = 0; executor->outputs != NULL && i < executor->plan->n_outputs; i++) {
        (void)dnnl_memory_destroy(executor->outputs[i]);
    }
    for (int i = 0; executor->args != NULL && i < executor->plan->n_steps; i++) {
        free(executor->args[i]);
    }
    (void)dnnl_stream_destroy(executor->stream);
    free(executor->values);
    free(executor->outputs);
    free(executor->args);
    gt_pages_free(executor->arena);
    free(executor);
}

static void
write_input(const gt_executor *executor, const void *images, gt_preprocessing preprocessing)
{
    const gt_value *input = &executor->plan->values[executor->plan->input_value];
    if (executor->plan->reads_maps) {
        memcpy(executor->arena + input->offset, images, input->size);
        return;
    }
    gt_write_pixels(executor->plan, &preprocessing, images, executor->arena + input->offset);
}

/* Give a kernel of our own the memory behind its arguments. */
static dnnl_status_t
run_kernel(const gt_step *step, const dnnl_exec_arg_t *args)
{
    void *memory[GT_KERNEL_MAX_ARGS] = {NULL};
    for (int k = 0; k < step->n_args; k++) {
        dnnl_status_t code = dnnl_memory_get_data_handle(args[k].memory, &memory[k]);
        if (code != dnnl_success) {
            return code;
        }
    }
    step->kernel_fn(step->context, memory);
    return dnnl_success;
}

static dnnl_status_t
run_step(const gt_executor *executor, int i)
{
    const gt_step *step = &executor->plan->steps[i];
    if (step->kernel_fn != NULL) {
        return run_kernel(step, executor->args[i]);
    }
    return dnnl_primitive_execute(step->primitive, executor->stream, step->n_args,
                                  executor->args[i]);
}

static void
tell(const gt_observer *observer, const gt_executor *executor, int step)
{
    if (observer->observe != NULL) {
        observer->observe(observer->context, executor, step);
    }
}

const void *
gt_executor_value(const gt_executor *executor, int value)
{
    return executor->arena + executor->plan->values[value].offset;
}

gt_status
gt_executor_run(gt_executor *executor, const void *images, gt_preprocessing preprocessing,
                float *const *outputs, gt_observer observer, gt_error *error)
{
    const gt_plan *plan = executor->plan;
    for (int i = 0; i < plan->n_outputs; i++) {
        gt_status status =
            gt_check_engine(dnnl_memory_set_data_handle(executor->outputs[i], outputs[i]),
                            "placing a result", "(output)", error);
        if (status != GT_OK) {
            return status;
        }
    }
    write_input(executor, images, preprocessing);
    tell(&observer, executor, GT_INPUT_WRITTEN);
    for (int i = 0; i < plan->n_steps; i++) {
        gt_exit_gate_enter();
        dnnl_status_t code = run_step(executor, i);
        gt_exit_gate_leave();
        if (code != dnnl_success) {
            return gt_check_engine(code, "running", plan->steps[i].layer, error);
        }
        tell(&observer, executor, i);
    }
    return gt_check_engine(dnnl_stream_wait(executor->stream), "waiting", "(all)", error);
}
