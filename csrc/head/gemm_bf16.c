#include "head/gemm_bf16.h"

#include <stdlib.h>
#include <string.h>

#include "common/arithmetic.h"
#include "common/bf16.h"
#include "common/multiversion.h"
#include "common/onednn.h"
#include "head/gemm_f32.h"

/* Samples and multiplications of a minibatch from which bfloat16 pays off: products then gain more
 * than it costs to round and prepare what they read.  In narrow or short products, such as those of
 * a thread's last rows, most of a tile of the matrix units would be idle. */
#define MIN_SAMPLES 256
#define MIN_OF_MINIBATCH 1.5e7
#define MIN_OF_PRODUCT 1e6
#define MIN_COLUMNS 16
#define LINE 32 /* values of a cache line */

static bool
is_layer_bf16(const gt_head_config *config, int k)
{
    return config->widths[k + 1] >= MIN_COLUMNS;
}

bool
gt_bf16_is_profitable(const gt_head_config *config, int64_t samples)
{
    double weights = 0.0;

    for (int k = 0; k < config->layers; k++) {
        if (is_layer_bf16(config, k)) {
            weights += (double)config->widths[k] * (double)config->widths[k + 1];
        }
    }
    return samples >= MIN_SAMPLES && (double)samples * weights >= MIN_OF_MINIBATCH &&
           gt_processor_has(dnnl_cpu_isa_avx512_core_bf16);
}

bool
gt_bf16_product_is_profitable(int64_t m, int64_t n, int64_t k)
{
    return n >= MIN_COLUMNS && (double)m * (double)n * (double)k >= MIN_OF_PRODUCT;
}

/* --- memory -------------------------------------------------------------------------------- */

/* The next array of a block; with that NULL only its size. */
static uint16_t *
take_array(uint16_t *block, int64_t *taken, int64_t rows, int64_t columns)
{
    uint16_t *array = block != NULL ? block + *taken : NULL;

    *taken += gt_divide_up(rows * columns, LINE) * LINE;
    return array;
}

/* Returns the size of the block of which the arrays are made. */
static int64_t
place_arrays(const gt_head_config *config, int64_t rows, gt_head_bf16 *bf16)
{
    int64_t taken = 0;

    for (int k = 0; k < config->layers; k++) {
        const int64_t in = config->widths[k], out = config->widths[k + 1];

        if (is_layer_bf16(config, k)) {
            bf16->kernel[k] = take_array(bf16->block, &taken, in, out);
            bf16->input[k] = take_array(bf16->block, &taken, rows, in);
            bf16->delta[k] = take_array(bf16->block, &taken, rows, out);
        }
    }
    return taken;
}

/* No size overflows that of the float32 arrays, which are there already. */
gt_status
gt_head_bf16_create(const gt_head_config *config, gt_head_workspace *workspace, gt_error *error)
{
    const size_t size =
        (size_t)place_arrays(config, workspace->rows, &workspace->bf16) * sizeof(uint16_t);
    void *block = NULL;

    if (posix_memalign(&block, LINE * sizeof(uint16_t), size) != 0) {
        return gt_fail_memory(error, "what a head rounds");
    }
    memset(block, 0, size);
    workspace->bf16.block = block;
    (void)place_arrays(config, workspace->rows, &workspace->bf16);
    return GT_OK;
}

/* --- rounding ------------------------------------------------------------------------------ */

GT_INLINE void
convert_loop(const float *restrict values, int64_t count, uint16_t *restrict bf16)
{
    for (int64_t i = 0; i < count; i++) {
        bf16[i] = gt_to_bf16(values[i]);
    }
}

static void
convert_plainly(const float *values, int64_t count, uint16_t *bf16)
{
    convert_loop(values, count, bf16);
}

GT_AVX2 static void
convert_avx2(const float *values, int64_t count, uint16_t *bf16)
{
    convert_loop(values, count, bf16);
}

void
gt_floats_to_bf16(const float *values, int64_t count, uint16_t *bf16)
{
    (gt_has_avx2() ? convert_avx2 : convert_plainly)(values, count, bf16);
}

/* --- products ------------------------------------------------------------------------------ */

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

/* The sum begun with what is there where `adds`. */
static dnnl_status_t
set_attributes(product *made, bool adds)
{
    dnnl_post_ops_t after = NULL;
    dnnl_status_t code = dnnl_primitive_attr_create(&made->attributes);
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
add_array(product *made, int index, char op, int64_t rows, int64_t columns, dnnl_data_type_t type,
          const void *values)
{
    dnnl_dims_t dims = {rows, columns};
    dnnl_status_t code = dnnl_memory_desc_create_with_tag(&made->descs[index], 2, dims, type,
                                                          op == 'N' ? dnnl_ab : dnnl_ba);
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

static dnnl_status_t
run_primitive(product *made)
{
    dnnl_exec_arg_t args[3] = {{DNNL_ARG_SRC, made->arrays[0]},
                               {DNNL_ARG_WEIGHTS, made->arrays[1]},
                               {DNNL_ARG_DST, made->arrays[2]}};
    dnnl_status_t code = dnnl_primitive_execute(made->primitive, made->stream, 3, args);
    return code == dnnl_success ? dnnl_stream_wait(made->stream) : code;
}

/* oneDNN keeps the primitives that it has made, so that they cost little when they are made
 * again. */
gt_status
gt_bf16_product(char op_a, char op_b, int64_t m, int64_t n, int64_t k, const uint16_t *a,
                const uint16_t *b, bool adds, float *c, gt_error *error)
{
    product made = {.engine = NULL};
    dnnl_status_t code = dnnl_engine_create(&made.engine, dnnl_cpu, 0);
    if (code == dnnl_success) {
        code = dnnl_stream_create(&made.stream, made.engine, dnnl_stream_in_order);
    }
    if (code == dnnl_success) {
        code = add_array(&made, 0, op_a, m, k, dnnl_bf16, a);
    }
    if (code == dnnl_success) {
        code = add_array(&made, 1, op_b, k, n, dnnl_bf16, b);
    }
    if (code == dnnl_success) {
        code = add_array(&made, 2, 'N', m, n, dnnl_f32, c);
    }
    if (code == dnnl_success) {
        code = make_primitive(&made, adds);
    }
    if (code == dnnl_success) {
        code = run_primitive(&made);
    }
    clear_product(&made);
    return gt_check_product(code, m, n, k, error);
}
