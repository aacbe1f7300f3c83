/* malloc and free as the public names use them: the hot path, inline, and one
 * cold call each for everything else. These functions return NULL for "no memory"
 * and leave errno alone; src/common/api_*.c turn that into ENOMEM.
 *
 * malloc, hit:  size -> class (1 load), cache pointer (1), top (1), block and state (2);
 *               stores top, state; branches: too large, empty.
 * free, hit:    root (1 load), tag and record (2), inverse (1), cache pointer (1), top
 *               and limit (2), state (1); stores state, top, entry (2); branches: not
 *               covered, not a block start, full, not live.
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
	_Atomic uint8_t *state;
	unsigned cls;
};

HAK_INLINE bool entry_locate_block(const void *p, struct block_place *out)
{
	uintptr_t addr = (uintptr_t)p, tag;
	const struct registry_unit *unit;
	uint64_t index;
	struct slab *slab;
	if (HAK_UNLIKELY(!registry_covers(addr)))
		return false;
	unit = registry_unit_of(addr);
	tag = unit_tag(unit);
	out->cls = tag_kind(tag);
	if (HAK_UNLIKELY(!class_block_starts(out->cls, tag_offset(tag, addr), &index)))
		return false;
	slab = unit_record(unit);
	out->state = &slab->states[index];
	return true;
}

HAK_INLINE void entry_free(void *p)
{
	struct block_place b;
	if (HAK_UNLIKELY(!entry_locate_block(p, &b)) ||
	    HAK_UNLIKELY(!tcache_push(thread_state.tcache, b.cls, p, b.state)))
		entry_free_slow(p);
}

#endif
