/* The stages between maps of float32, on the vectors of the file that includes this. */
#include "kernels/mbconv/mbconv_float_sums.h"

INLINE vector
finish_sums(sums_vector sums, vector scale, vector shift, const gt_mbconv_result *result)
{
    return bound(scale_sums(sums, scale, shift), result);
}

INLINE vector
load_column(const gt_mbconv *block, const char *place, int channels)
{
    (void)block;
    return load_map(place, TYPE, channels);
}

INLINE sums_vector
add_groups(vector groups, vector weights, sums_vector sums)
{
    return add_product(groups, weights, sums);
}

INLINE sums_vector
add_projected(vector groups, vector weights, sums_vector sums)
{
    return add_groups(groups, weights, sums);
}

INLINE void
store_columns(char *place, const vector *columns)
{
    store(place, columns[0]);
}

INLINE void
store_results(char *place, const vector *results, int count)
{
    UNROLLED
    for (int i = 0; i < count; i++) {
        store(place + (size_t)i * LANES * sizeof(float), results[i]);
    }
}

typedef sums_vector columns_vector;

INLINE columns_vector
start_columns(const float *shift)
{
    return start_sums(shift);
}

INLINE columns_vector
add_columns(vector columns, vector weights, columns_vector sums)
{
    return add_groups(columns, weights, sums);
}

INLINE vector
finish_columns(columns_vector sums, vector scale, vector shift, const gt_mbconv_result *result)
{
    return finish_sums(sums, scale, shift, result);
}

#include "kernels/mbconv/mbconv_vectors.h"
