#include "runtime/range_histogram.h"

#include <stdlib.h>
#include <string.h>

/* The upper bits of a float32 without its sign are its logarithm in steps of 1/32 of an octave, so
 * that one pass over the numbers needs no range to be known before. */
enum { SHIFT = 18, BINS = 1 << (31 - SHIFT) };

static const double tail = 1e-5; /* share of the numbers that may be clipped */

typedef struct {
    uint64_t *counts; /* (BINS,); NULL until the first number */
    bool negative;
} bins;

struct gt_range_histogram {
    bins *nodes; /* (n_nodes,) */
    int n_nodes;
};

gt_range_histogram *
gt_range_histogram_create(int n_nodes)
{
    gt_range_histogram *histogram = calloc(1, sizeof(*histogram));
    if (histogram == NULL) {
        return NULL;
    }
    histogram->n_nodes = n_nodes;
    histogram->nodes = calloc((size_t)n_nodes, sizeof(*histogram->nodes));
    for (int i = 0; histogram->nodes != NULL && i < n_nodes; i++) {
        histogram->nodes[i].counts = calloc(BINS, sizeof(uint64_t));
        if (histogram->nodes[i].counts == NULL) {
            gt_range_histogram_free(histogram);
            return NULL;
        }
    }
    if (histogram->nodes == NULL) {
        free(histogram);
        return NULL;
    }
    return histogram;
}

void
gt_range_histogram_free(gt_range_histogram *histogram)
{
    if (histogram == NULL) {
        return;
    }
    for (int i = 0; i < histogram->n_nodes; i++) {
        free(histogram->nodes[i].counts);
    }
    free(histogram->nodes);
    free(histogram);
}

void
gt_range_histogram_add(gt_range_histogram *histogram, int node, const float *numbers, size_t count)
{
    bins *counted = &histogram->nodes[node];
    uint32_t signs = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = 0;
        memcpy(&bits, &numbers[i], sizeof(bits));
        uint32_t magnitude = bits & 0x7fffffffu;
        signs |= magnitude > 0 ? bits : 0; /* minus zero is no number below zero */
        counted->counts[magnitude >> SHIFT]++;
    }
    counted->negative = counted->negative || signs >> 31 != 0;
}

/* The upper end of the bin in which the numbers to be clipped begin; 0 for none but zeros. */
static float
percentile(const uint64_t *counts)
{
    uint64_t total = 0;
    uint64_t above = 0;
    for (int i = 0; i < BINS; i++) {
        total += counts[i];
    }
    for (int i = BINS - 1; i > 0; i--) {
        above += counts[i];
        if ((double)above > tail * (double)total) {
            uint32_t bits = (uint32_t)(i + 1) << SHIFT;
            float magnitude = 0.0f;
            memcpy(&magnitude, &bits, sizeof(magnitude));
            return magnitude;
        }
    }
    return 0.0f;
}

void
gt_range_histogram_set_ranges(const gt_range_histogram *histogram, gt_graph *graph)
{
    for (int i = 0; i < graph->count && i < histogram->n_nodes; i++) {
        graph->nodes[i].range = percentile(histogram->nodes[i].counts);
        graph->nodes[i].negative = histogram->nodes[i].negative;
    }
}
