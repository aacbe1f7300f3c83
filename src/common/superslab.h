/* Superslabs: 2 MiB regions, aligned to their size, cut into 32 units of 64 KiB;
 * and spans, runs of units of one superslab that serve as a slab or as a large
 * block.
 *
 *   units of a superslab = those of its live spans + free_mask (+ those a purge
 *   holds for a moment); of the free units, dirty_mask are those whose pages may be
 *   in memory, and zero_mask those whose bytes are all zero.
 *
 * A span is taken from dirty units if some run of them is long enough, else from
 * clean ones; in both cases from the superslab whose longest run fits tightest,
 * so that sparse superslabs get a chance to drain. All is under one lock, taken
 * once per slab or large block. Purging takes units out of free_mask, works
 * without the lock, and puts them back clean.
 *
 * Huge pages: the kernel fills 2 MiB at the first touch, so a superslab that asks
 * for them has all its free units dirty, though zero, as soon as one is taken. And
 * khugepaged makes a whole huge page again of one that has been given back in part:
 * from the first partial purge on, a superslab asks for small pages, until it is
 * full again.
 */
#ifndef HAK_COMMON_SUPERSLAB_H
#define HAK_COMMON_SUPERSLAB_H

#include "common/atomics.h"
#include "common/base.h"
#include "common/list.h"

struct lock;

struct superslab {
	struct list_node free_link;  /* bucket by longest run of free units */
	struct list_node dirty_link; /* bucket by longest run of dirty units */
	struct list_node age_link;   /* superslabs with dirty units, oldest first */
	struct list_node all_link;
	uintptr_t base;
	uint32_t present_mask; /* units that are mapped: all, but for those of scarce times */
	uint32_t free_mask;
	uint32_t dirty_mask;
	uint32_t zero_mask;
	uint32_t freed_at_ms;    /* when a unit last became dirty */
	bool wants_huge_pages;   /* until there is no room for all of them below the hard limit */
	_Atomic bool huge_pages; /* asked for now; written under the lock */
};

struct span {
	struct superslab *superslab;
	uintptr_t base;
	uint16_t first; /* unit index in the superslab */
	uint16_t units;
	bool zeroed;    /* every byte is zero */
};

/* Take `units` consecutive units, 1 .. HAK_SUPERSLAB_UNITS, the first at a multiple
 * of align_units (a power of two). False: no memory. */
bool span_alloc(struct span *out, unsigned units, unsigned align_units);

/* Give back units [first, first + units). */
void span_free(struct superslab *s, unsigned first, unsigned units);

/* Take the `more` units right behind [first, first + units). False: not free. */
bool span_extend(struct superslab *s, unsigned first, unsigned units, unsigned more);

HAK_INLINE bool superslab_has_huge_pages(const struct superslab *s)
{
	return atomic_load_relaxed(&s->huge_pages);
}

/* Part of a span of s is going back to the kernel: see "Huge pages" above. */
void superslab_use_small_pages(struct superslab *s);

/* Give the pages of free units back to the kernel: those of superslabs that have
 * freed nothing for delay_ms, until deadline_ns (os_now_ns; 0: no limit). Returns
 * the bytes given back. *more says whether some are due or will be later. The
 * maintenance lock is held. */
size_t superslab_purge(uint32_t delay_ms, uint64_t deadline_ns, bool *more);

/* Unmap every superslab that is wholly free. For when the kernel refuses memory.
 * Returns the bytes unmapped. */
size_t superslab_unmap_free(void);

struct superslab_counters {
	size_t superslabs;
	size_t units; /* mapped */
	size_t free_units;
	size_t dirty_units;
};
struct superslab_counters superslab_counters(void);

/* A superslab as it stood at one moment. */
struct superslab_state {
	uintptr_t base;
	uint32_t present_mask, free_mask, dirty_mask;
};
/* The first `max` superslabs, in the order in which they were made, to out[]. Returns
 * how many. */
size_t superslab_list(struct superslab_state *out, size_t max);

/* Bytes of dirty free units, read without the lock. */
size_t superslab_dirty_bytes(void);

/* Walk everything and abort on a broken invariant. */
void superslab_check(void);

struct lock *superslab_lock(void); /* for fork */

#endif
