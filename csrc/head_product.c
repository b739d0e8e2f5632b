#include "head_product.h"

#include <oneapi/dnnl/dnnl.h>

#include "engine.h"

/* Multiplications from which the matrix units gain more than it costs to prepare them, and the least
 * width of a result of which they are not mostly idle. */
#define LEAST_MULTIPLICATIONS 3e6
#define LEAST_COLUMNS 16

bool
gt_rounding_pays(int64_t m, int64_t n, int64_t k)
{
    return gt_processor_offers(dnnl_cpu_isa_avx512_core_amx) && n >= LEAST_COLUMNS &&
           (double)m * (double)n * (double)k >= LEAST_MULTIPLICATIONS;
}

static gt_status
check_product(dnnl_status_t result, int64_t m, int64_t n, int64_t k, gt_error *error)
{
    if (result == dnnl_out_of_memory) {
        return gt_fail_memory(error, "a matrix product");
    }
    if (result != dnnl_success) {
        return gt_fail(error, GT_ERROR_ENGINE,
                       "oneDNN failed (status %d) at a matrix product of %lld x %lld x %lld",
                       (int)result, (long long)m, (long long)k, (long long)n);
    }
    return GT_OK;
}

/* What a primitive is made of. */
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

/* An array (rows, columns), which is transposed where `op` is 'T'. */
static dnnl_status_t
add_array(product *made, int index, char op, int64_t rows, int64_t columns, const float *values)
{
    dnnl_dims_t dims = {rows, columns};
    dnnl_status_t code = dnnl_memory_desc_create_with_tag(
        &made->descs[index], 2, dims, dnnl_f32, op == 'N' ? dnnl_ab : dnnl_ba);
    return code == dnnl_success ? dnnl_memory_create(&made->arrays[index], made->descs[index],
                                                     made->engine, (void *)(uintptr_t)values)
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
static dnnl_status_t
multiply_rounded(char op_a, char op_b, int64_t m, int64_t n, int64_t k, const float *a,
                 const float *b, bool adds, float *c)
{
    product made = {NULL};
    dnnl_status_t code = dnnl_engine_create(&made.engine, dnnl_cpu, 0);
    if (code == dnnl_success) {
        code = dnnl_stream_create(&made.stream, made.engine, dnnl_stream_in_order);
    }
    if (code == dnnl_success) {
        code = add_array(&made, 0, op_a, m, k, a);
    }
    if (code == dnnl_success) {
        code = add_array(&made, 1, op_b, k, n, b);
    }
    if (code == dnnl_success) {
        code = add_array(&made, 2, 'N', m, n, c);
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

gt_status
gt_matrix_product(char op_a, char op_b, int64_t m, int64_t n, int64_t k, const float *a,
                  const float *b, float beta, float *c, bool rounds, gt_error *error)
{
    dnnl_status_t code;
    if (rounds && gt_rounding_pays(m, n, k)) {
        code = multiply_rounded(op_a, op_b, m, n, k, a, b, beta != 0.0f, c);
    }
    else {
        code = dnnl_sgemm(op_a, op_b, m, n, k, 1.0f, a, op_a == 'N' ? k : m, b,
                          op_b == 'N' ? n : k, beta, c, n);
    }
    return check_product(code, m, n, k, error);
}
