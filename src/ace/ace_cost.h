/* What the allocator's work costs at most, by counts. They are nearly free of noise, unlike
 * throughput: what these figures say needs no trial.
 */
#ifndef HAK_ACE_COST_H
#define HAK_ACE_COST_H

#include "ace/ace_metrics.h"

/* If no allocation was a hit of the thread cache. As a share of the processor time that the process
 * uses, or of one processor if that is more. */
int64_t ace_cost_of_ops(const struct ace_sample *s);

/* Memory that went to and came from the kernel. As a share of one processor. */
int64_t ace_cost_of_pages(const struct ace_sample *s);

/* Does the process rest? A few calls and looks are no work, nor is giving memory back. */
bool ace_is_idle(const struct ace_sample *s);

#endif
