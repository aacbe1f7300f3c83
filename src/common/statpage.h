/* The statistics page of this process, as HAKMEM_STATS_PAGE=1 asks for: a file in
 * shared memory from which the command `hakmem` reads, without the process noticing,
 * and through which it sends commands. statpage_layout.h says what is in it.
 *
 * The maintenance thread writes it anew twice a second, or, where there is none, slow
 * paths do. A walk of the heaps that takes long is done less often: it gets at most
 * 1 % of a CPU. The file goes at the process's exit; a forked child that lives on
 * gets its own. Without the variable, and in a program with raised privileges,
 * nothing of all that happens.
 */
#ifndef HAK_COMMON_STATPAGE_H
#define HAK_COMMON_STATPAGE_H

#include "common/atomics.h"
#include "common/base.h"
#include "common/knobs.h"

struct lock;

/* The constructor, once options are known. */
void statpage_start(void);

/* At exit: a last update; the file goes. */
void statpage_stop(void);

/* Written by statpage.c alone. */
extern _Atomic bool statpage_enabled;

/* Is it time for statpage_tick()? */
bool statpage_is_due_slow(void);
HAK_INLINE bool statpage_is_due(void)
{
	return HAK_UNLIKELY(atomic_load_relaxed(&statpage_enabled)) && statpage_is_due_slow();
}

/* If it is due: do what the mailbox asks for, and write the page. No lock is held.
 * errno may change. */
void statpage_tick(void);

/* How long the maintenance thread may sleep; 0: for ever. */
uint32_t statpage_period_ms(void);

/* Note that a knob was changed, for the reason given in words. cls as in knob_set();
 * no lock is held but that of maintenance. Costs nothing without a page. */
void statpage_decision(enum hak_knob k, unsigned cls, int32_t old_value, int32_t new_value,
		       const char *reason);

/* In the child: the page is the parent's. */
void statpage_after_fork(void);

struct lock *statpage_lock(void); /* for fork */

#if HAKMEM_TESTING
/* A tick, whether it is time or not. */
void statpage_tick_now(void);
#endif

#endif
