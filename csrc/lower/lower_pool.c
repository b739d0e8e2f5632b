/* Pools: by a kernel of the project's own between uint8 maps, else by oneDNN. */
#include <omp.h>

#include "kernels/u8/u8.h"
#include "lower/implementation.h"
#include "lower/lower_activation.h"
#include "lower/primitive.h"

/* --- oneDNN -------------------------------------------------------------------------------- */

static bool
reaches_beyond(const gt_window *window)
{
    return window->beyond[0] + window->beyond[1] > 0;
}

/* Whether all of each window counts in a mean.  Without padding, what is beyond alone does not. */
static bool
counts_all(const gt_window *window)
{
    return window->count_padding && !(reaches_beyond(window) && !gt_window_has_padding(window));
}

static dnnl_alg_kind_t
pool_algorithm(const gt_node *node)
{
    if (node->op == GT_OP_MAX_POOL || node->op == GT_OP_GLOBAL_MAX_POOL) {
        return dnnl_pooling_max;
    }
    return counts_all(&node->window) ? dnnl_pooling_avg_include_padding
                                     : dnnl_pooling_avg_exclude_padding;
}

/* The window of a pool; that of a global one is the whole map. */
static gt_window
pool_window(const gt_builder *builder, const gt_node *node)
{
    gt_window window = node->window;
    if (node->op == GT_OP_GLOBAL_AVERAGE_POOL || node->op == GT_OP_GLOBAL_MAX_POOL) {
        const gt_shape *from = &builder->graph->nodes[node->inputs[0]].shape;
        window.size[0] = from->height;
        window.size[1] = from->width;
    }
    return window;
}

/* One of the ways in which oneDNN may run a pool. */
typedef struct {
    gt_format format;
    bool keeps_layout; /* of the source, where that has this format; else channels last */
    bool fuses_activation;
} variant;

/* The layout in which the variant reads the source; to be destroyed by the caller. */
static gt_status
describe_source(const gt_builder *builder, const gt_node *node, const variant *chosen,
                dnnl_memory_desc_t *desc, gt_error *error)
{
    const gt_value *value = &builder->plan->values[builder->plan->value_of[node->inputs[0]]];
    if (chosen->keeps_layout && gt_same_format(value->format, chosen->format)) {
        return gt_check_engine(dnnl_memory_desc_clone(desc, value->desc), "copying a descriptor",
                               node->name, error);
    }
    return gt_builder_describe(builder, desc, builder->graph->nodes[node->inputs[0]].shape,
                               chosen->format.type, dnnl_nhwc, error);
}

/* *desc stays NULL where oneDNN has no such pool. */
static gt_status
create_pool(const gt_builder *builder, const gt_node *node, const variant *chosen,
            const_dnnl_memory_desc_t source, dnnl_primitive_desc_t *desc, gt_error *error)
{
    const gt_plan *plan = builder->plan;
    dnnl_memory_desc_t result = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    gt_window window = pool_window(builder, node);
    dnnl_dims_t size = {window.size[0], window.size[1]};
    dnnl_dims_t strides = {window.strides[0], window.strides[1]};
    dnnl_dims_t dilations = {0, 0};
    dnnl_dims_t before = {window.before[0], window.before[1]};
    dnnl_dims_t after = {window.after[0] + window.beyond[0], window.after[1] + window.beyond[1]};
    gt_status status = gt_builder_describe(builder, &result, node->shape, chosen->format.type,
                                           dnnl_format_tag_any, error);
    if (status == GT_OK) {
        status = gt_primitive_attributes(&attributes, node, chosen->fuses_activation, error);
    }
    if (status == GT_OK) {
        status = gt_primitive_check(dnnl_pooling_forward_primitive_desc_create(
                                        desc, plan->engine, dnnl_forward_inference,
                                        pool_algorithm(node), source, result, strides, size,
                                        dilations, before, after, attributes),
                                    "choosing a pool", node->name, error);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    (void)dnnl_memory_desc_destroy(result);
    return status;
}

/* The first variant that oneDNN runs fast: in the node's format with the activation or without it, then
 * in float32 with channels last.  Where there is none, its slow reference implementation of the
 * last. */
static gt_status
choose_variant(const gt_builder *builder, int index, variant *chosen, dnnl_memory_desc_t *source,
               dnnl_primitive_desc_t *desc, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    const gt_format format = builder->formats[index].result;
    const gt_format float32 = {dnnl_f32, 1.0f};
    const variant variants[] = {{format, true, true},
                                {format, true, false},
                                {float32, false, true},
                                {float32, false, false}};
    enum { COUNT = sizeof(variants) / sizeof(*variants) };
    gt_status status = GT_OK;
    for (int i = 0; status == GT_OK && i < COUNT; i++) {
        *chosen = variants[i];
        if (chosen->fuses_activation && !gt_activation_exists(&node->activation)) {
            continue;
        }
        status = describe_source(builder, node, chosen, source, error);
        if (status == GT_OK) {
            status = create_pool(builder, node, chosen, *source, desc, error);
        }
        if (status != GT_OK || i == COUNT - 1 ||
            (*desc != NULL && !gt_primitive_is_reference(*desc))) {
            break;
        }
        (void)dnnl_memory_desc_destroy(*source);
        (void)dnnl_primitive_desc_destroy(*desc);
        *source = NULL;
        *desc = NULL;
    }
    return status == GT_OK && *desc == NULL ? gt_primitive_missing(node, error) : status;
}

static gt_status
lower_onednn_pool(gt_builder *builder, int index, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    dnnl_primitive_desc_t desc = NULL;
    dnnl_memory_desc_t layout = NULL;
    variant chosen = {.fuses_activation = false};
    int source = builder->plan->value_of[node->inputs[0]];
    gt_status status = choose_variant(builder, index, &chosen, &layout, &desc, error);
    if (status == GT_OK) {
        const char *layer = builder->graph->nodes[node->inputs[0]].name;
        status = gt_builder_reorder(builder, source, layout, chosen.format, layer, &source, error);
    }
    if (status == GT_OK) {
        gt_arg args[2] = {gt_value_arg(DNNL_ARG_SRC, source)};
        status = gt_primitive_finish(builder, index, desc, chosen.format, args, 1, error);
    }
    if (status == GT_OK && gt_activation_exists(&node->activation) && !chosen.fuses_activation) {
        status = gt_lower_activation(builder, index, builder->plan->value_of[index], error);
    }
    (void)dnnl_memory_desc_destroy(layout);
    (void)dnnl_primitive_desc_destroy(desc);
    return status;
}

const gt_implementation gt_onednn_pool = {.lower = lower_onednn_pool};

/* --- uint8 --------------------------------------------------------------------------------- */

static gt_u8_pool
describe_pool(const gt_builder *builder, const gt_node *node)
{
    return (gt_u8_pool){.batch = builder->plan->batch,
                        .from = builder->graph->nodes[node->inputs[0]].shape,
                        .to = node->shape,
                        .window = node->window,
                        .is_max = node->op == GT_OP_MAX_POOL,
                        .threads = omp_get_max_threads()};
}

static bool
is_u8_pool(const gt_builder *builder, int index)
{
    const gt_node *node = &builder->graph->nodes[index];
    if (!builder->formats[index].in_int8 || builder->formats[index].result.type != dnnl_u8 ||
        (node->op != GT_OP_MAX_POOL && node->op != GT_OP_AVERAGE_POOL)) {
        return false;
    }
    if (node->window.count_padding && reaches_beyond(&node->window)) {
        return false;
    }
    gt_u8_pool pool = describe_pool(builder, node);
    return gt_u8_pool_is_supported(&pool);
}

static void
run_pool(const void *context, void *const *memory)
{
    gt_u8_pool_run(context, memory[0], memory[1]);
}

static gt_status
lower_u8_pool(gt_builder *builder, int index, gt_error *error)
{
    gt_u8_pool pool = describe_pool(builder, &builder->graph->nodes[index]);
    return gt_builder_add_map_kernel(builder, index, builder->formats[index].result,
                                     (gt_kernel){run_pool, &pool, sizeof(pool), "pooling", "u8"},
                                     error);
}

const gt_implementation gt_u8_pool_by_rows = {.is_supported = is_u8_pool, .lower = lower_u8_pool};
