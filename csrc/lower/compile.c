#include "lower/compile.h"

#include <stdlib.h>

#include "lower/lower.h"
#include "lower/lower_mbconv.h"
#include "plan/builder.h"
#include "plan/memory_plan.h"

static gt_status
build(gt_builder *builder, gt_error *error)
{
    const gt_graph *graph = builder->graph;
    gt_status status = GT_OK;
    for (int i = 0; status == GT_OK && i < graph->count; i++) {
        status = gt_lower_node(builder, i, error);
    }
    for (int i = 0; status == GT_OK && i < graph->n_outputs; i++) {
        status = gt_builder_add_output(builder, i, error);
    }
    if (status == GT_OK) {
        status = gt_memory_plan(builder->plan, error);
    }
    return status;
}

gt_status
gt_compile(gt_plan **plan, const gt_graph *graph, gt_compile_config config, dnnl_engine_t engine,
           gt_weight_store *weights, gt_error *error)
{
    gt_status status = GT_OK;
    gt_builder builder = {.graph = graph,
                          .precision = config.precision,
                          .preprocessing = config.preprocessing,
                          .low_memory = config.low_memory};
    gt_plan *created = calloc(1, sizeof(*created));
    *plan = NULL;
    if (created == NULL) {
        return gt_fail_memory(error, "a plan");
    }
    created->batch = config.batch;
    created->type = config.precision == GT_PRECISION_BF16 ? dnnl_bf16 : dnnl_f32;
    created->engine = engine;
    created->weights = weights;
    created->input = graph->nodes[0].shape;
    created->reads_maps = config.reads_maps;
    created->outputs = calloc((size_t)graph->n_outputs, sizeof(*created->outputs));
    created->value_of = calloc((size_t)graph->count, sizeof(*created->value_of));
    builder.plan = created;
    builder.formats = calloc((size_t)graph->count, sizeof(*builder.formats));
    builder.blocks = calloc((size_t)graph->count, sizeof(*builder.blocks));
    builder.partners = calloc((size_t)graph->count, sizeof(*builder.partners));
    if (created->outputs == NULL || created->value_of == NULL || builder.formats == NULL ||
        builder.blocks == NULL || builder.partners == NULL) {
        status = gt_fail_memory(error, "a plan");
        goto done;
    }
    for (int i = 0; i < graph->count; i++) {
        created->value_of[i] = GT_NO_VALUE;
        builder.partners[i] = GT_NO_VALUE;
    }
    gt_lower_mbconv_mark(&builder);
    status = gt_choose_formats(graph, config.precision, config.preprocessing, builder.blocks,
                               builder.formats, error);
    if (status == GT_OK) {
        gt_lower_mark_additions(&builder);
        status = build(&builder, error);
    }
done:
    free(builder.partners);
    free(builder.blocks);
    free(builder.formats);
    if (status != GT_OK) {
        gt_plan_free(created);
        return status;
    }
    *plan = created;
    return GT_OK;
}
