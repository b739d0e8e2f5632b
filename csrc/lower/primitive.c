#include "lower/primitive.h"

#include <math.h>
#include <string.h>

gt_status
gt_primitive_attributes(dnnl_primitive_attr_t *attributes, const gt_node *node, bool with_relu,
                        gt_error *error)
{
    dnnl_post_ops_t post_ops = NULL;
    dnnl_status_t code = dnnl_primitive_attr_create(attributes);
    if (code == dnnl_success) {
        code = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    }
    if (code == dnnl_success && with_relu) {
        code = dnnl_post_ops_create(&post_ops);
        if (code == dnnl_success) {
            bool bounded = isfinite(node->relu_max);
            code = dnnl_post_ops_append_eltwise(post_ops,
                                                bounded ? dnnl_eltwise_clip : dnnl_eltwise_relu,
                                                0.0f, bounded ? node->relu_max : 0.0f);
        }
        if (code == dnnl_success) {
            code = dnnl_primitive_attr_set_post_ops(*attributes, post_ops);
        }
        (void)dnnl_post_ops_destroy(post_ops);
    }
    return gt_check_engine(code, "setting attributes", node->name, error);
}

gt_status
gt_primitive_check(dnnl_status_t code, const char *what, const char *layer, gt_error *error)
{
    return code == dnnl_unimplemented ? GT_OK : gt_check_engine(code, what, layer, error);
}

gt_status
gt_primitive_missing(const gt_node *node, gt_error *error)
{
    return gt_fail(error, GT_ERROR_ENGINE,
                   "layer '%s': oneDNN has no implementation of this %s for this processor",
                   node->name, gt_op_name(node->op));
}

const char *
gt_primitive_name(const_dnnl_primitive_desc_t desc)
{
    const char *name = NULL;
    (void)dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name);
    return name != NULL ? name : "";
}

bool
gt_primitive_is_reference(const_dnnl_primitive_desc_t desc)
{
    return strncmp(gt_primitive_name(desc), "ref", 3) == 0;
}

const_dnnl_memory_desc_t
gt_primitive_query(const_dnnl_primitive_desc_t desc, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(desc, what, 0);
}

gt_status
gt_primitive_finish(gt_builder *builder, int index, const_dnnl_primitive_desc_t desc,
                    gt_format format, gt_arg *args, int n_args, gt_error *error)
{
    const gt_node *node = &builder->graph->nodes[index];
    int *value = &builder->plan->value_of[index];
    gt_status status = gt_builder_add_value(builder, gt_primitive_query(desc, dnnl_query_dst_md),
                                            format, node->name, value, error);
    if (status == GT_OK) {
        args[n_args] = gt_value_arg(DNNL_ARG_DST, *value);
        status = gt_builder_add_step(builder, desc, node->name, args, n_args + 1, error);
    }
    return status;
}
