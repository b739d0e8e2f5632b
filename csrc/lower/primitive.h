/* What all layers need to become oneDNN primitives. */
#ifndef GT_PRIMITIVE_H
#define GT_PRIMITIVE_H

#include "plan/builder.h"

/* One of oneDNN's functions of a number, with its arguments. */
typedef struct {
    dnnl_alg_kind_t algorithm;
    float alpha;
    float beta;
} gt_eltwise;

enum { GT_MAX_ELTWISE = 2 };

/* The functions of oneDNN that one after the other make an activation; their number, 0 where there
 * is nothing to do or oneDNN lacks the function. */
int gt_primitive_eltwise(const gt_activation *activation, gt_eltwise *functions);

/* Attributes of every primitive: the scratchpad is the caller's, the node's activation may follow. */
gt_status gt_primitive_attributes(dnnl_primitive_attr_t *attributes, const gt_node *node,
                                  bool with_activation, gt_error *error);

/* Likewise, where an array of that layout, or of any, is added before the activation, its elements
 * times `scale`.  Then all that is done to the result is in units of that scale. */
gt_status gt_primitive_attributes_of_sum(dnnl_primitive_attr_t *attributes, const gt_node *node,
                                         const_dnnl_memory_desc_t addend, float scale,
                                         gt_error *error);

/* Of which post-operation that array is an argument. */
int gt_primitive_addend_place(float scale);

/* The status of creating a descriptor, which stays NULL where oneDNN has no such primitive: that is
 * no failure yet. */
gt_status gt_primitive_check(dnnl_status_t code, const char *what, const char *layer,
                             gt_error *error);

/* Fail with GT_ERROR_ENGINE, naming the node, because nothing runs it. */
gt_status gt_primitive_missing(const gt_node *node, gt_error *error);

/* What oneDNN calls the implementation. */
const char *gt_primitive_name(const_dnnl_primitive_desc_t desc);

/* Whether that is its reference implementation, a hundred times slower than a fast one. */
bool gt_primitive_is_reference(const_dnnl_primitive_desc_t desc);

const_dnnl_memory_desc_t gt_primitive_query(const_dnnl_primitive_desc_t desc, dnnl_query_t what);

/* Add the value of a node's result and the step of the plan that makes it from `args`, which has
 * room for one argument more. */
gt_status gt_primitive_finish(gt_builder *builder, int index, const_dnnl_primitive_desc_t desc,
                              gt_format format, gt_arg *args, int n_args, gt_error *error);

#endif
