/* Aligned allocation: a class whose blocks are so aligned by their size, a span at
 * such a unit, or a mapping; never a larger block with a hole in front, so that
 * what the program holds is always the start of a block. */
#include <string.h>

#include "common/emergency.h"
#include "common/entry.h"

static void *aligned_alloc_any(size_t align, size_t bytes, bool *zeroed)
{
	struct slow_scope scope;
	void *p;
	*zeroed = true;
	if (HAK_LIKELY(slow_enter(&scope)))
		p = entry_alloc_any(bytes, align, zeroed);
	else
		p = emergency_alloc(bytes, align);
	slow_leave(&scope);
	thread_finish_attach();
	return p;
}

void *entry_aligned_alloc(size_t align, size_t bytes)
{
	bool zeroed;
	unsigned cls;
	void *p;
	if (align <= HAK_MIN_ALIGN)
		return entry_malloc(bytes);
	cls = size_class_aligned(bytes, align);
	p = tcache_pop(thread_state.tcache, cls);
	return HAK_LIKELY(p != NULL) ? p : aligned_alloc_any(align, bytes, &zeroed);
}

void *entry_aligned_zalloc(size_t align, size_t bytes)
{
	bool zeroed;
	void *p = aligned_alloc_any(align, bytes, &zeroed);
	if (p != NULL && !zeroed)
		memset(p, 0, bytes);
	return p;
}
