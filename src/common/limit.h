/* How much memory the heap holds, and two limits on it.
 *
 *   held = slabs, large and huge blocks, and what is free but not given back, all in whole
 *          units of 64 KiB, touched or not; and the memory for records.
 *
 * A page given back inside a slab still counts. Whoever takes clean units, or maps a
 * huge block, charges them first; whoever gives units back uncharges them.
 *
 * The hard limit is on what is held: a charge beyond it is refused, which the program sees as
 * "no memory". The soft limit is met by giving back sooner: a thread that grows the heap
 * beyond it first makes it give back all it can, and while the process's resident
 * memory is above it there is *pressure*: nothing waits for the purge delay, and thread
 * caches are smaller. Thread-safe.
 */
#ifndef HAK_COMMON_LIMIT_H
#define HAK_COMMON_LIMIT_H

#include "common/atomics.h"
#include "common/base.h"

/* Bytes; 0: none. At start-up, and in tests. */
void limit_set(uint64_t soft_bytes, uint64_t hard_bytes);

/* False: refused, nothing is charged. */
bool limit_charge(size_t bytes);
/* For what is not refused: records, without which nothing can be given back either. */
void limit_charge_records(size_t bytes);
void limit_uncharge(size_t bytes);

uint64_t limit_held_bytes(void);
bool limit_is_hard(void); /* is there a hard limit? */

/* Written through the functions here only. */
extern _Atomic uint64_t limit_held, limit_look_at;
extern _Atomic bool limit_is_pressed;

/* Is the heap above the soft limit, and has it grown since limit_looked()? */
HAK_INLINE bool limit_is_due(void)
{
	return HAK_UNLIKELY(atomic_load_relaxed(&limit_held) > atomic_load_relaxed(&limit_look_at));
}
/* All was given back that could be: look again when the heap has grown by a part. */
void limit_looked(void);

/* Compare resident memory with the soft limit: one system call, none without a limit. Returns
 * whether there is pressure now. */
bool limit_update_pressure(void);

HAK_INLINE bool limit_pressure(void)
{
	return atomic_load_relaxed(&limit_is_pressed);
}

#endif
