/* Faults of the allocator itself, planted by tests to see that they are reported as they
 * should be: those of the field report that pointer safety is built against. Nothing in
 * a build that is not for tests. */
#ifndef HAK_COMMON_FAULT_H
#define HAK_COMMON_FAULT_H

#include "common/base.h"

struct cached_block;

enum fault {
	FAULT_NONE,
	FAULT_OFFSET_TWICE,  /* an entry of a thread cache points 16 bytes on */
	FAULT_WRONG_CLASS,   /* an entry is of another class than its cache */
	FAULT_LINK_RESET,    /* an entry is of a block that is not free */
	FAULT_UNREGISTERED,  /* a slab is not entered in the page map */
};

#if HAKMEM_TESTING
/* Let `fault` happen once, as soon as it can. */
void fault_plant(enum fault fault);
bool fault_is_planted(void);
/* Is it to happen now? */
bool fault_take(enum fault fault);
/* n entries go into a bin of class cls: spoil the one that is handed out first. */
void fault_spoil(unsigned cls, struct cached_block *entries, unsigned n);
#else
HAK_INLINE bool fault_take(enum fault fault)
{
	(void)fault;
	return false;
}

HAK_INLINE void fault_spoil(unsigned cls, struct cached_block *entries, unsigned n)
{
	(void)cls;
	(void)entries;
	(void)n;
}
#endif

#endif
