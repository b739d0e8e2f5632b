/* Matrix products on the matrix units, by a primitive of oneDNN that may round to bfloat16. */
#include "head_product.h"

/* A product as a primitive, and what that is made of. */
typedef struct {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attributes;
    dnnl_memory_desc_t descs[3];
    dnnl_memory_t arrays[3];
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
} product;

static void
clear_product(product *made)
{
    (void)dnnl_primitive_destroy(made->primitive);
    (void)dnnl_primitive_desc_destroy(made->desc);
    for (int i = 0; i < 3; i++) {
        (void)dnnl_memory_destroy(made->arrays[i]);
        (void)dnnl_memory_desc_destroy(made->descs[i]);
    }
    (void)dnnl_primitive_attr_destroy(made->attributes);
    (void)dnnl_stream_destroy(made->stream);
    (void)dnnl_engine_destroy(made->engine);
}

/* Rounding allowed, and the sum begun with what is there where `adds`. */
static dnnl_status_t
set_attributes(product *made, bool adds)
{
    dnnl_post_ops_t after = NULL;
    dnnl_status_t code = dnnl_primitive_attr_create(&made->attributes);
    if (code == dnnl_success) {
        code = dnnl_primitive_attr_set_fpmath_mode(made->attributes, dnnl_fpmath_mode_bf16);
    }
    if (code == dnnl_success && adds) {
        code = dnnl_post_ops_create(&after);
    }
    if (code == dnnl_success && adds) {
        code = dnnl_post_ops_append_sum(after, 1.0f, 0, dnnl_data_type_undef);
    }
    if (code == dnnl_success && adds) {
        code = dnnl_primitive_attr_set_post_ops(made->attributes, after);
    }
    (void)dnnl_post_ops_destroy(after);
    return code;
}

/* An array (rows, columns). */
static dnnl_status_t
add_array(product *made, int index, int64_t rows, int64_t columns, gt_factor array)
{
    dnnl_dims_t dims = {rows, columns};
    dnnl_status_t code = dnnl_memory_desc_create_with_tag(
        &made->descs[index], 2, dims, dnnl_f32, array.op == 'N' ? dnnl_ab : dnnl_ba);
    return code == dnnl_success
               ? dnnl_memory_create(&made->arrays[index], made->descs[index], made->engine,
                                    (void *)(uintptr_t)array.values)
               : code;
}

static dnnl_status_t
make_primitive(product *made, bool adds)
{
    dnnl_status_t code = set_attributes(made, adds);
    if (code == dnnl_success) {
        code = dnnl_matmul_primitive_desc_create(&made->desc, made->engine, made->descs[0],
                                                 made->descs[1], NULL, made->descs[2],
                                                 made->attributes);
    }
    return code == dnnl_success ? dnnl_primitive_create(&made->primitive, made->desc) : code;
}

/* oneDNN keeps the primitives that it has made, so that they cost little when they are made again. */
dnnl_status_t
gt_multiply_rounded(gt_factor a, gt_factor b, int64_t m, int64_t n, int64_t k, bool adds, float *c)
{
    product made = {.engine = NULL};
    dnnl_status_t code = dnnl_engine_create(&made.engine, dnnl_cpu, 0);
    if (code == dnnl_success) {
        code = dnnl_stream_create(&made.stream, made.engine, dnnl_stream_in_order);
    }
    if (code == dnnl_success) {
        code = add_array(&made, 0, m, k, a);
    }
    if (code == dnnl_success) {
        code = add_array(&made, 1, k, n, b);
    }
    if (code == dnnl_success) {
        code = add_array(&made, 2, m, n, (gt_factor){'N', c, n});
    }
    if (code == dnnl_success) {
        code = make_primitive(&made, adds);
    }
    if (code == dnnl_success) {
        dnnl_exec_arg_t args[3] = {{DNNL_ARG_SRC, made.arrays[0]},
                                   {DNNL_ARG_WEIGHTS, made.arrays[1]},
                                   {DNNL_ARG_DST, made.arrays[2]}};
        code = dnnl_primitive_execute(made.primitive, made.stream, 3, args);
    }
    if (code == dnnl_success) {
        code = dnnl_stream_wait(made.stream);
    }
    clear_product(&made);
    return code;
}
