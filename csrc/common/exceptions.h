/* oneDNN's functions, and its exceptions as statuses.  It is C++ within: where memory is short,
 * `new` throws out of its functions in C, which would end the process.  To be included wherever
 * oneDNN is called, in place of its own header. */
#ifndef GT_EXCEPTIONS_H
#define GT_EXCEPTIONS_H

#include <oneapi/dnnl/dnnl.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

/* Run work(context).  A call of oneDNN below it that throws returns dnnl_out_of_memory; one that is
 * made elsewhere ends the process.  oneDNN's own objects are cleared up by its unwinding. */
void gt_catch_exceptions(void (*work)(void *context), void *context);

/* Whether as much memory is to be had as the making of a primitive takes, and `more`.  Asked before it,
 * for a kernel whose making fails halfway is broken for the rest of the process. */
bool gt_memory_is_left(size_t more);

/* --- for the calls ------------------------------------------------------------------------- */

/* Where this thread goes on when the call throws that it is about to make. */
jmp_buf *gt_exceptions_place(void);

/* After a call that threw: forget the primitives that it may have left half made. */
dnnl_status_t gt_exceptions_caught(void);

/* Nothing that a function holds changes from when the place is set until the call returns, which the
 * compiler cannot know. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wclobbered"
#endif

#define GT_CAUGHT(call)                                                                            \
    __extension__({                                                                                \
        dnnl_status_t caught_code_;                                                                \
        if (setjmp(*gt_exceptions_place()) == 0) {                                                 \
            caught_code_ = (call);                                                                 \
        }                                                                                          \
        else {                                                                                     \
            caught_code_ = gt_exceptions_caught();                                                 \
        }                                                                                          \
        caught_code_;                                                                              \
    })

/* Those that allocate. */
#define dnnl_concat_primitive_desc_create(...)                                                     \
    GT_CAUGHT(dnnl_concat_primitive_desc_create(__VA_ARGS__))
#define dnnl_convolution_forward_primitive_desc_create(...)                                        \
    GT_CAUGHT(dnnl_convolution_forward_primitive_desc_create(__VA_ARGS__))
#define dnnl_eltwise_forward_primitive_desc_create(...)                                            \
    GT_CAUGHT(dnnl_eltwise_forward_primitive_desc_create(__VA_ARGS__))
#define dnnl_matmul_primitive_desc_create(...)                                                     \
    GT_CAUGHT(dnnl_matmul_primitive_desc_create(__VA_ARGS__))
#define dnnl_pooling_forward_primitive_desc_create(...)                                            \
    GT_CAUGHT(dnnl_pooling_forward_primitive_desc_create(__VA_ARGS__))
#define dnnl_reorder_primitive_desc_create(...)                                                    \
    GT_CAUGHT(dnnl_reorder_primitive_desc_create(__VA_ARGS__))
#define dnnl_softmax_forward_primitive_desc_create(...)                                            \
    GT_CAUGHT(dnnl_softmax_forward_primitive_desc_create(__VA_ARGS__))
#define dnnl_sum_primitive_desc_create(...) GT_CAUGHT(dnnl_sum_primitive_desc_create(__VA_ARGS__))
#define dnnl_engine_create(...) GT_CAUGHT(dnnl_engine_create(__VA_ARGS__))
#define dnnl_memory_create(...) GT_CAUGHT(dnnl_memory_create(__VA_ARGS__))
#define dnnl_memory_desc_clone(...) GT_CAUGHT(dnnl_memory_desc_clone(__VA_ARGS__))
#define dnnl_memory_desc_create_with_strides(...)                                                  \
    GT_CAUGHT(dnnl_memory_desc_create_with_strides(__VA_ARGS__))
#define dnnl_memory_desc_create_with_tag(...)                                                      \
    GT_CAUGHT(dnnl_memory_desc_create_with_tag(__VA_ARGS__))
#define dnnl_post_ops_append_binary(...) GT_CAUGHT(dnnl_post_ops_append_binary(__VA_ARGS__))
#define dnnl_post_ops_append_eltwise(...) GT_CAUGHT(dnnl_post_ops_append_eltwise(__VA_ARGS__))
#define dnnl_post_ops_append_sum(...) GT_CAUGHT(dnnl_post_ops_append_sum(__VA_ARGS__))
#define dnnl_post_ops_create(...) GT_CAUGHT(dnnl_post_ops_create(__VA_ARGS__))
#define dnnl_primitive_attr_create(...) GT_CAUGHT(dnnl_primitive_attr_create(__VA_ARGS__))
#define dnnl_primitive_attr_set_post_ops(...)                                                      \
    GT_CAUGHT(dnnl_primitive_attr_set_post_ops(__VA_ARGS__))
#define dnnl_primitive_attr_set_scales_mask(...)                                                   \
    GT_CAUGHT(dnnl_primitive_attr_set_scales_mask(__VA_ARGS__))
#define dnnl_primitive_create(...)                                                                 \
    (gt_memory_is_left(0) ? GT_CAUGHT(dnnl_primitive_create(__VA_ARGS__)) : dnnl_out_of_memory)
#define dnnl_primitive_desc_next_impl(...) GT_CAUGHT(dnnl_primitive_desc_next_impl(__VA_ARGS__))
#define dnnl_primitive_execute(...) GT_CAUGHT(dnnl_primitive_execute(__VA_ARGS__))
#define dnnl_sgemm(...) GT_CAUGHT(dnnl_sgemm(__VA_ARGS__))
#define dnnl_stream_create(...) GT_CAUGHT(dnnl_stream_create(__VA_ARGS__))
#define dnnl_stream_wait(...) GT_CAUGHT(dnnl_stream_wait(__VA_ARGS__))

#endif
