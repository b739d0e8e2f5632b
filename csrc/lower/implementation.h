/* The ways to run each operation. */
#ifndef GT_IMPLEMENTATION_H
#define GT_IMPLEMENTATION_H

#include "plan/builder.h"

/* One way to run node `index`.  The three questions are asked in their order; NULL stands for yes.
 * None of the answers may depend on the batch or the threads, on which features must not depend. */
typedef struct {
    bool (*is_available)(const gt_builder *builder,
                         int index); /* the processor has what it takes */
    bool (*is_supported)(const gt_builder *builder, int index);  /* it computes such a node */
    bool (*is_profitable)(const gt_builder *builder, int index); /* it should be the fastest */

    /* Append the steps of the node, whose inputs have been lowered, and set its value. */
    gt_status (*lower)(gt_builder *builder, int index, gt_error *error);
} gt_implementation;

extern const gt_implementation gt_onednn_convolution;   /* and dense */
extern const gt_implementation gt_deferred_convolution; /* to the addition that alone reads it */
extern const gt_implementation gt_convolution_and_addition;
extern const gt_implementation gt_amx_convolution;
extern const gt_implementation gt_winograd_convolution;
extern const gt_implementation gt_mbconv_block; /* convolutions and additions */
extern const gt_implementation gt_onednn_pool;
extern const gt_implementation gt_u8_pool_by_rows;
extern const gt_implementation gt_mean_of_map;
extern const gt_implementation gt_onednn_join; /* concat and add */
extern const gt_implementation gt_copying_concat;
extern const gt_implementation gt_onednn_activation;
extern const gt_implementation gt_onednn_softmax;
extern const gt_implementation gt_input;
extern const gt_implementation gt_flatten; /* and reshape */
extern const gt_implementation gt_softsign;
extern const gt_implementation gt_prelu;
extern const gt_implementation gt_binary_map; /* add of two, multiply and the like */
extern const gt_implementation gt_constant;
extern const gt_implementation gt_moved_map; /* pad, crop, slice, concat and the like: by copies */
extern const gt_implementation gt_reduced_map;
extern const gt_implementation gt_bilinear_resize;
extern const gt_implementation gt_response_normalisation;
extern const gt_implementation gt_mean_pool_beyond;
extern const gt_implementation gt_norm_of_rows; /* layer_norm and group_norm */
extern const gt_implementation gt_position_embedding;
extern const gt_implementation gt_attention_of_heads;

#endif
