#include "plan/plan.h"

#include <stdlib.h>

void
gt_plan_free(gt_plan *plan)
{
    if (plan == NULL) {
        return;
    }
    for (int i = 0; i < plan->n_values; i++) {
        (void)dnnl_memory_desc_destroy(plan->values[i].desc);
    }
    for (int i = 0; i < plan->n_steps; i++) {
        (void)dnnl_primitive_destroy(plan->steps[i].primitive);
        free(plan->steps[i].context);
        free(plan->steps[i].args);
    }
    for (int i = 0; i < plan->n_outputs; i++) {
        (void)dnnl_memory_desc_destroy(plan->outputs[i]);
    }
    free(plan->outputs);
    free(plan->value_of);
    free(plan->values);
    free(plan->steps);
    free(plan);
}
