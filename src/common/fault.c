#include "common/fault.h"

#if HAKMEM_TESTING

#include "common/heap.h"
#include "common/slab.h"

static _Atomic int planted;

void fault_plant(enum fault fault)
{
	atomic_store_relaxed(&planted, (int)fault);
}

bool fault_is_planted(void)
{
	return atomic_load_relaxed(&planted) != (int)FAULT_NONE;
}

bool fault_take(enum fault fault)
{
	int expected = (int)fault;
	return atomic_load_relaxed(&planted) == expected &&
	       atomic_cas_acquire(&planted, &expected, (int)FAULT_NONE);
}

void fault_spoil(unsigned cls, struct cached_block *entries, unsigned n)
{
	struct cached_block *e = &entries[n - 1];
	if (n == 0)
		return;
	if (fault_take(FAULT_OFFSET_TWICE))
		e->block = (char *)e->block + HAK_MIN_ALIGN;
	if (fault_take(FAULT_LINK_RESET))
		atomic_store_relaxed(e->state, BLOCK_LIVE);
	if (fault_take(FAULT_WRONG_CLASS))
		heap_take(heap_orphans(), cls + 1, e, 1);
}

#endif
