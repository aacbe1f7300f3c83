/* Thread cache: per size class a stack of free blocks, each with the address of its
 * state, so that a hit marks it live or cached without looking it up.
 *
 * A bin's `top` points at its top entry. Below the first one lies an entry that stays
 * empty, so that a pop needs no test of the count: it reads NULL when the bin is
 * empty. At top = `limit` the next push must flush; knobs move the limit. There is a bin for
 * every kind of unit, but only classes have an `inverse`: to a free, the others are
 * slabs in which no block starts. A bin gets entries when its class is first used, from where
 * the last one's end: so a thread touches no page for classes it does not use. Until then,
 * and in the constant caches of threads that have no heap yet or no more, it is empty
 * and full. Only the owner thread touches a cache, with two exceptions: statistics read `top`
 * and `bottom`, and tcache_notify() lowers `limit`.
 */
#ifndef HAK_COMMON_TCACHE_H
#define HAK_COMMON_TCACHE_H

#include "common/atomics.h"
#include "common/base.h"
#include "common/latency.h"
#include "common/registry.h"
#include "common/sample.h"
#include "common/size_class.h"
#include "common/slab.h"

struct heap;

enum {
	TCACHE_SLOTS = 64, /* the largest candidate of its knob */
	TCACHE_BUNDLE_MAX = TCACHE_SLOTS / 2,
	/* A class's cache holds at most this many bytes, but TCACHE_MIN_BLOCKS at least. */
	TCACHE_CLASS_BYTES = 512 * 1024,
	TCACHE_MIN_BLOCKS = 4,
};

struct tcache_bin {
	_Atomic(struct cached_block *) top;
	struct cached_block *limit; /* atomic_load_word() */
	uint64_t inverse; /* of the class's block size; see size_class.h */
	_Atomic(struct cached_block *) bottom; /* the entry that stays empty; NULL: none yet */
};
HAK_STATIC_ASSERT(sizeof(struct tcache_bin) == 32, "one shift leads to a bin");

/* Of all bins; apart from them, so that what a thread does not use of it takes no memory. */
struct tcache_entries {
	struct cached_block all[HAK_CLASS_COUNT * (1 + TCACHE_SLOTS)];
};

struct tcache {
	struct tcache_bin bins[UNIT_KINDS];
	struct sample_clock clock;
	struct heap *heap;
	struct cached_block *unused; /* entries that no bin has got yet */
	_Atomic uint32_t knob_epoch;  /* that the cache follows; 0: has to look again */
	uint8_t bundle[HAK_CLASS_COUNT + 1];    /* blocks moved at once */
	uint8_t overflows[HAK_CLASS_COUNT + 1]; /* see ONE_WAY */
	struct latency latency;
};

/* The constant caches, of a thread that has done nothing yet, and of one that is past
 * its end. */
extern struct tcache tcache_unborn, tcache_dead;

/* Is it the cache of a heap? */
HAK_INLINE bool tcache_is_real(const struct tcache *tc)
{
	return tc != &tcache_unborn && tc != &tcache_dead;
}

/* NULL: the bin has no entries yet. Pairs with the release in bin_prepare(). */
HAK_INLINE struct cached_block *bin_bottom(const struct tcache_bin *bin)
{
	return atomic_load_acquire(&bin->bottom);
}

/* Any thread: as of some moment about now. */
HAK_INLINE uint32_t tcache_count(const struct tcache *tc, unsigned cls)
{
	const struct tcache_bin *bin = &tc->bins[cls];
	const struct cached_block *bottom = bin_bottom(bin);
	return bottom != NULL ? (uint32_t)(atomic_load_relaxed(&bin->top) - bottom) : 0;
}

HAK_INLINE struct tcache_bin *tcache_bin(struct tcache *tc, unsigned kind)
{
	struct tcache_bin *bin = &tc->bins[kind];
	HAK_OPAQUE(bin);
	return bin;
}

/* The top entry e of a bin, which is not the bottom, goes to the program. */
HAK_INLINE void bin_drop_top(struct tcache_bin *bin, struct cached_block *e)
{
	atomic_store_relaxed(&bin->top, e - 1);
	atomic_store_relaxed(e->state, BLOCK_LIVE);
}

/* As malloc's hit. NULL: the bin is empty, or it is time that an allocation is looked at. */
HAK_INLINE void *tcache_hit(struct tcache *tc, unsigned cls)
{
	struct tcache_bin *bin = tcache_bin(tc, cls);
	struct cached_block *e = atomic_load_relaxed(&bin->top);
	void *p = e->block; /* at the bottom: NULL */
	/* Constant caches are empty: their clocks are not written. */
	if (HAK_UNLIKELY(p == NULL) || HAK_UNLIKELY(sample_count_hit(&tc->clock)))
		return NULL;
	bin_drop_top(bin, e);
	return p;
}

/* In slow paths, where the allocation has been counted. NULL: the bin is empty. */
HAK_INLINE void *tcache_pop(struct tcache *tc, unsigned cls)
{
	struct tcache_bin *bin = tcache_bin(tc, cls);
	struct cached_block *e = atomic_load_relaxed(&bin->top);
	void *p = e->block;
	if (p != NULL)
		bin_drop_top(bin, e);
	return p;
}

/* Push a live block; false, with nothing changed: the bin is full, or the block is
 * not live. */
HAK_INLINE bool bin_push(struct tcache_bin *bin, void *block, _Atomic uint8_t *state)
{
	struct cached_block *e = atomic_load_relaxed(&bin->top);
	if (HAK_UNLIKELY(e >= atomic_load_word(&bin->limit)) ||
	    (HAKMEM_CHECKS && HAK_UNLIKELY(atomic_load_relaxed(state) != BLOCK_LIVE)))
		return false;
	atomic_store_relaxed(state, BLOCK_CACHED);
	e++;
	e->state = state;
	e->block = block;
	/* The entry before the top, for a signal handler that comes between, and for the
	 * child of a fork, where this thread stops between. */
	atomic_compiler_fence();
	atomic_store_relaxed(&bin->top, e);
	return true;
}

HAK_INLINE bool tcache_push(struct tcache *tc, unsigned cls, void *block, _Atomic uint8_t *state)
{
	return bin_push(tcache_bin(tc, cls), block, state);
}

/* Make an empty cache, with its entries in zeroed memory. */
void tcache_init(struct tcache *tc, struct tcache_entries *entries, struct heap *heap);

/* From any thread: if the knobs have moved since the owner looked, its next free does. No more
 * than a free that takes the slow path in vain can come of it. */
void tcache_notify(struct tcache *tc);

/* The rest are slow paths of the owner thread, which must not hold a lock. */

/* Get blocks for an empty bin and pop one. NULL: no memory. */
void *tcache_refill(struct tcache *tc, unsigned cls);

/* Put a live block in its bin, making room if that is full; or pass it on to its
 * slab. */
void tcache_put_slow(struct tcache *tc, unsigned cls, void *block, _Atomic uint8_t *state);

/* Follow the knobs, if they have moved since the last call. */
void tcache_refresh(struct tcache *tc);

/* Return every block to its slab. */
void tcache_flush_all(struct tcache *tc);

#endif
