/* malloc and free as the public names use them: the hot path, inline, and one
 * cold call each for everything else. These functions return NULL for "no memory"
 * and leave errno alone; src/common/api_*.c turn that into ENOMEM.
 *
 * malloc, hit:  size -> class (1 load), cache pointer (1), count (1), block (1),
 *               store count; branches: too large, empty.
 * free, hit:    root (1 load), entry (1), geometry (1), record (1), state (1), cache
 *               pointer, count and limit (3), slot of the double-free check (1);
 *               3 stores; branches: not covered, not small, not a block start,
 *               free, full, cached already.
 */
#ifndef HAK_COMMON_ENTRY_H
#define HAK_COMMON_ENTRY_H

#include "common/base.h"
#include "common/registry.h"
#include "common/size_class.h"
#include "common/slab.h"
#include "common/tcache.h"
#include "common/thread.h"

/* Any size, any power of two as alignment, any state of the thread. *zeroed: every
 * byte is zero. */
void *entry_alloc_slow(size_t bytes, size_t align, bool *zeroed);
HAK_COLD void *entry_malloc_slow(size_t bytes);
/* Any pointer whatever, good or bad. */
HAK_COLD void entry_free_slow(void *p);

/* As malloc, all bytes zero. */
void *entry_zalloc(size_t bytes);
/* align is a power of two. */
void *entry_aligned_alloc(size_t align, size_t bytes);
void *entry_aligned_zalloc(size_t align, size_t bytes);
/* p is a block and bytes > 0. */
void *entry_realloc(void *p, size_t bytes);
/* `doing` names the call, for the report if p is not the start of a block. */
size_t entry_usable_bytes(const void *p, const char *doing);
/* Usable bytes of a block made for `bytes`; `bytes` if there can be none. */
size_t entry_good_bytes(size_t bytes);

/* Blocks of more than this are refused: their ends could not be subtracted. */
HAK_INLINE bool entry_size_is_possible(size_t bytes)
{
	return bytes <= PTRDIFF_MAX;
}

/* A block from the thread cache; NULL: entry_malloc_slow() has to find one. */
HAK_INLINE void *entry_malloc_hit(size_t bytes)
{
	if (HAK_UNLIKELY(bytes > HAK_SMALL_MAX))
		return NULL;
	return tcache_pop(thread_state.tcache, size_class(bytes));
}

HAK_INLINE void *entry_malloc(size_t bytes)
{
	void *p = entry_malloc_hit(bytes);
	return HAK_LIKELY(p != NULL) ? p : entry_malloc_slow(bytes);
}

/* A pointer that the program gives us, decoded: is it the start of a block of a
 * slab? The one gate for them; what is behind it trusts the result. */
struct block_place {
	struct slab *slab;
	uint32_t index;
	unsigned cls;
};

HAK_INLINE bool entry_locate_block(const void *p, struct block_place *out)
{
	uintptr_t addr = (uintptr_t)p;
	const struct registry_leaf *leaf;
	unit_entry e;
	uint32_t offset;
	if (HAK_UNLIKELY(!registry_covers(addr)))
		return false;
	leaf = registry_leaf_of(addr);
	e = registry_entry(leaf, addr);
	out->cls = unit_entry_kind(e);
	if (HAK_UNLIKELY(out->cls - 1 >= HAK_CLASS_COUNT))
		return false;
	offset = registry_offset(e, addr);
	out->index = class_block_index(out->cls, offset);
	out->slab = registry_record(leaf, addr);
	return HAK_LIKELY(out->index * class_bytes(out->cls) == offset);
}

HAK_INLINE void entry_free(void *p)
{
	struct block_place b;
	if (HAK_UNLIKELY(!entry_locate_block(p, &b)) ||
	    HAK_UNLIKELY(!tcache_push(thread_state.tcache, b.cls, p, &b.slab->states[b.index])))
		entry_free_slow(p);
}

#endif
