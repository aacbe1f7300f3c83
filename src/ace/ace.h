/* ACE in a process: the controller, fed with the allocator's figures.
 *
 * With HAKMEM_ACE_ENABLED=1 a constructor registers ace_tick() with the allocator's
 * hook (common/ticker.h); that, metrics.h, knobs.h, statpage_decision() and
 * purge_scavenge() are all that the two know of each other. State is static; calls are
 * under the ticker's lock. No call
 * allocates.
 */
#ifndef HAK_ACE_ACE_H
#define HAK_ACE_ACE_H

#include "common/base.h"

/* One fast interval has passed. Returns the ms to the next call. */
uint32_t ace_tick(void);

#endif
