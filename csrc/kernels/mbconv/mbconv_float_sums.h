/* Sums that are float32 from the start, on the vectors of the file that includes this. */
typedef vector sums_vector;

INLINE sums_vector
start_sums(const float *shift)
{
    return load(shift);
}

/* The shift is in the sums already. */
INLINE vector
scale_sums(sums_vector sums, vector scale, vector shift)
{
    (void)scale, (void)shift;
    return sums;
}
