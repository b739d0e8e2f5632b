#include "plan/memory_plan.h"

#include <stdlib.h>

#include "common/arithmetic.h"

enum { ALIGNMENT = 64 }; /* bytes; one cache line, the widest vector */

static int
compare_sizes(const void *left, const void *right)
{
    const gt_value *a = *(const gt_value *const *)left;
    const gt_value *b = *(const gt_value *const *)right;
    if (a->size != b->size) {
        return a->size < b->size ? 1 : -1;
    }
    return a < b ? -1 : a > b;
}

static bool
alive_together(const gt_value *a, const gt_value *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset at which `value` overlaps none of the placed values alive with it. */
static size_t
lowest_place(const gt_value *value, gt_value *const *placed, int n_placed)
{
    size_t offset = 0;
    bool moved = true;
    while (moved) {
        moved = false;
        for (int i = 0; i < n_placed; i++) {
            const gt_value *other = placed[i];
            if (alive_together(value, other) && offset < other->offset + other->size &&
                other->offset < offset + value->size) {
                offset = gt_round_up(other->offset + other->size, ALIGNMENT);
                moved = true;
            }
        }
    }
    return offset;
}

gt_status
gt_memory_plan(gt_plan *plan, gt_error *error)
{
    gt_value **order = malloc((size_t)(plan->n_values + 1) * sizeof(gt_value *));
    if (order == NULL) {
        return gt_fail_memory(error, "planning memory");
    }
    int n_own = 0;
    for (int i = 0; i < plan->n_values; i++) {
        if (plan->values[i].alias_of < 0) {
            order[n_own++] = &plan->values[i];
        }
    }
    qsort(order, (size_t)n_own, sizeof(gt_value *), compare_sizes);
    plan->arena_size = 0;
    for (int i = 0; i < n_own; i++) {
        gt_value *value = order[i];
        value->offset = lowest_place(value, order, i);
        if (value->offset + value->size > plan->arena_size) {
            plan->arena_size = value->offset + value->size;
        }
    }
    for (int i = 0; i < plan->n_values; i++) {
        if (plan->values[i].alias_of >= 0) {
            plan->values[i].offset = plan->values[plan->values[i].alias_of].offset;
        }
    }
    free(order);
    return GT_OK;
}
