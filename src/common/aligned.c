/* Aligned allocation: a class whose blocks are so aligned by size and colour, a span at
 * such a unit, or a mapping; never a larger block with a hole in front, so that
 * what the program holds is always the start of a block. */
#include "common/bulk.h"
#include "common/entry.h"

void *entry_aligned_slow(size_t align, size_t bytes)
{
	bool zeroed;
	return entry_alloc_slow(bytes, align, &zeroed);
}

void *entry_aligned_zalloc(size_t align, size_t bytes)
{
	bool zeroed;
	void *p = entry_alloc_slow(bytes, align, &zeroed);
	if (p != NULL && !zeroed)
		bulk_clear(p, bytes);
	return p;
}
