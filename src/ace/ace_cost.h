/* What the allocator's work costs at most, as a share of the processor time that the process
 * uses, or of one processor if that is more: of a program that sleeps nearly all the time
 * no part is worth saving.
 *
 * Counts are nearly free of noise, unlike throughput: what these figures say needs no trial.
 */
#ifndef HAK_ACE_COST_H
#define HAK_ACE_COST_H

#include "ace/ace_metrics.h"

/* If no allocation was a hit of the thread cache. */
int64_t ace_cost_of_ops(const struct ace_sample *s);

/* Memory that went to and from the kernel, by whichever is more. */
int64_t ace_cost_of_pages(const struct ace_sample *s);

#endif
