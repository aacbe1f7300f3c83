/* malloc and free as the public names use them: the hot path, inline, and one
 * cold call each for everything else. These functions return NULL for "no memory"
 * and leave errno alone; src/common/api_*.c turn that into ENOMEM.
 *
 * malloc, hit:  size -> class (1 load), cache pointer (1), top (1), block and state (2);
 *               counts down until the next sample (1 load, 1 store); stores top, state;
 *               branches: too large, empty, sample.
 * free, hit:    root (1 load), tag and record (2), cache pointer (1), inverse, top and
 *               limit (3), state (1); stores state, top, entry (2); branches: not
 *               covered, not a block start, full, not live.
 */
#ifndef HAK_COMMON_ENTRY_H
#define HAK_COMMON_ENTRY_H

#include "common/base.h"
#include "common/history.h"
#include "common/registry.h"
#include "common/size_class.h"
#include "common/slab.h"
#include "common/tcache.h"
#include "common/thread.h"

/* Any size, any power of two as alignment, any state of the thread. *zeroed: every
 * byte is zero. Who has tried a hit in vain comes here: another hit would count twice. */
void *entry_alloc_slow(size_t bytes, size_t align, bool *zeroed);
HAK_COLD void *entry_malloc_slow(size_t bytes);
/* Any pointer whatever, good or bad. */
HAK_COLD void entry_free_slow(void *p);
/* The same, said with more: */
HAK_COLD void entry_free_call(void *p, const struct free_call *call);
HAK_COLD void entry_free_sized_slow(void *p, size_t bytes, size_t align);
/* As entry_aligned_alloc(), of blocks that are not malloc's. */
HAK_COLD void *entry_alloc_for(size_t bytes, size_t align, enum origin origin);

/* Allocations that no thread cache has counted: of threads before their first heap and
 * past their end. */
uint64_t entry_heapless_ops(void);

/* As malloc, all bytes zero. */
void *entry_zalloc(size_t bytes);
/* align is a power of two. */
HAK_COLD void *entry_aligned_slow(size_t align, size_t bytes);
void *entry_aligned_zalloc(size_t align, size_t bytes);
/* Where it is kept whose a large, huge or guarded block is; NULL: of this kind it is not. */
enum origin *entry_origin(unsigned kind, void *record);
/* p is a block and bytes > 0. */
void *entry_realloc(void *p, size_t bytes);
/* `doing` names the call, for the report if p is not the start of a block. */
size_t entry_usable_bytes(const void *p, const char *doing);
/* Usable bytes of a block made for `bytes`; `bytes` if there can be none. */
size_t entry_good_bytes(size_t bytes);

/* No machine of ours has more than 56 bits of addresses (x86_64 with five levels of page tables):
 * what is larger is refused without asking the kernel, and without giving up what is kept. */
HAK_INLINE bool entry_size_is_possible(size_t bytes)
{
	return bytes <= (size_t)1 << 56;
}

/* A block from the thread cache; NULL: entry_malloc_slow() has to find one, or it is time
 * that one is looked at. */
HAK_INLINE void *entry_malloc_hit(size_t bytes)
{
	if (HAK_UNLIKELY(bytes > HAK_SMALL_MAX))
		return NULL;
	return tcache_hit(thread_state.tcache, size_class(bytes));
}

HAK_INLINE void *entry_malloc(size_t bytes)
{
	void *p = entry_malloc_hit(bytes);
	return HAK_LIKELY(p != NULL) ? p : entry_malloc_slow(bytes);
}

/* align is a power of two. NULL: entry_aligned_slow() has to find one. */
HAK_INLINE void *entry_aligned_hit(size_t align, size_t bytes)
{
	unsigned cls = size_class_aligned(bytes, max_size(align, HAK_MIN_ALIGN));
	return tcache_hit(thread_state.tcache, cls);
}

HAK_INLINE void *entry_aligned_alloc(size_t align, size_t bytes)
{
	void *p = entry_aligned_hit(align, bytes);
	return HAK_LIKELY(p != NULL) ? p : entry_aligned_slow(align, bytes);
}

/* Does a block of a slab start at p, whose unit has this tag? *state is its. `inverse` is
 * that of the tag's kind. The one gate for pointers that the program gives us; what is
 * behind it trusts the result. */
HAK_INLINE bool entry_locate(const void *p, const struct registry_unit *unit, uintptr_t tag,
			     uint64_t inverse, _Atomic uint8_t **state)
{
	uint64_t index;
	if (HAK_UNLIKELY(!block_starts(inverse, tag_offset(tag, (uintptr_t)p), &index)))
		return false;
	*state = (_Atomic uint8_t *)unit_record(unit) + index;
	return true;
}

/* Of what class is a block, in the words of a free with size? */
enum { ENTRY_ANY_CLASS = UNIT_KINDS };

HAK_INLINE bool entry_free_hit_of(void *p, unsigned cls)
{
	uintptr_t addr = (uintptr_t)p, tag;
	const struct registry_unit *unit;
	struct tcache_bin *bin;
	_Atomic uint8_t *state;
	if (HAK_UNLIKELY(!registry_covers(addr)))
		return false;
	unit = registry_unit_of(addr);
	tag = unit_tag(unit);
	if (HAKMEM_CHECKS && cls != ENTRY_ANY_CLASS && HAK_UNLIKELY(tag_kind(tag) != cls))
		return false;
	bin = tcache_bin(thread_state.tcache, tag_kind(tag));
	return HAK_LIKELY(entry_locate(p, unit, tag, bin->inverse, &state)) &&
	       HAK_LIKELY(bin_push(bin, p, state));
}

/* A block in the cache of this thread, if it is a block of a slab, live, and there is
 * room; else entry_free_slow() has to look at it. */
HAK_INLINE bool entry_free_hit(void *p)
{
	return entry_free_hit_of(p, ENTRY_ANY_CLASS);
}

/* As entry_free_hit(), if the block is of the class that a malloc of `bytes` takes. It may be
 * of another for good reasons, and then entry_free_sized_slow() knows. */
HAK_INLINE bool entry_free_sized_hit(void *p, size_t bytes)
{
	return HAK_LIKELY(bytes <= HAK_SMALL_MAX) && entry_free_hit_of(p, size_class(bytes));
}

/* `bytes` is what the program takes the size of p to be. */
HAK_INLINE void entry_free_sized(void *p, size_t bytes)
{
	if (HAK_UNLIKELY(!entry_free_sized_hit(p, bytes)))
		entry_free_sized_slow(p, bytes, HAK_MIN_ALIGN);
}

HAK_INLINE void entry_free(void *p)
{
	if (HAK_UNLIKELY(!entry_free_hit(p)))
		entry_free_slow(p);
}

#endif
