/* Realloc: which copies go past the caches.
 *
 * Growth in place and the copies themselves are the allocator's (common/realloc.c,
 * common/bulk.c). What ACE owns is the size from which a copy uses non-temporal
 * stores, the knob nt_threshold. A large copy through the caches evicts what the program
 * works on; past them, its target is cold. Which is worse depends on the program:
 *
 *	LLC misses up, for twice as long as the diet waits    threshold down, must gain reward
 *	misses few again (slow)                               threshold up, must not lose reward
 */
#ifndef HAK_ACE_REALLOC_H
#define HAK_ACE_REALLOC_H

#include "ace/ace_explorer.h"

/* Each step. `many_misses` fast steps, or else `few_misses` slow steps in a row. */
void ace_realloc_correct(struct ace_explorer *e, struct ace_settings *s, uint32_t many_misses,
			 uint32_t few_misses);

#endif
