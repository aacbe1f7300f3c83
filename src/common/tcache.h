/* Thread cache: per size class a stack of free blocks, each with the address of its
 * state, so that a hit marks it live or cached without looking it up.
 *
 * A bin's `top` is the distance in bytes from its entry 0, which stays empty, to its
 * top entry, so that a pop needs no test of the count: it reads NULL when the bin
 * is empty. At top = `limit` the next push must flush; knobs move the limit. There
 * is a bin for every kind of unit, but only classes have an `inverse`: to a free,
 * the others are slabs in which no block starts. A bin of zeros is empty, full, and
 * without blocks, and so is the cache of a thread that has no heap yet, or no more:
 * all zeros, never written. Only the owner thread touches a cache; `top` is atomic
 * because statistics read it from elsewhere.
 */
#ifndef HAK_COMMON_TCACHE_H
#define HAK_COMMON_TCACHE_H

#include "common/atomics.h"
#include "common/base.h"
#include "common/registry.h"
#include "common/size_class.h"
#include "common/slab.h"

struct heap;

enum {
	TCACHE_SLOTS = 64,       /* the largest candidate of its knob */
	TCACHE_BUNDLE_MAX = TCACHE_SLOTS / 2,
	TCACHE_BIN_ENTRIES = 71, /* makes a bin 9 * 128 bytes: bins spread over the cache's sets */
	/* A class's cache holds at most this many bytes, but TCACHE_MIN_BLOCKS at least. */
	TCACHE_CLASS_BYTES = 512 * 1024,
	TCACHE_MIN_BLOCKS = 4,
};

struct tcache_bin {
	_Atomic uint32_t top;
	uint32_t limit;
	uint64_t inverse; /* of the class's block size; see size_class.h */
	struct cached_block entries[TCACHE_BIN_ENTRIES];
};
HAK_STATIC_ASSERT(sizeof(struct tcache_bin) == 9 * 128, "see TCACHE_BIN_ENTRIES");
HAK_STATIC_ASSERT(TCACHE_BIN_ENTRIES > TCACHE_SLOTS, "entry 0 is no slot");

struct tcache {
	struct tcache_bin bins[UNIT_KINDS]; /* all zeros but those of classes */
	struct heap *heap;
	uint32_t knob_epoch;
	uint8_t bundle[HAK_CLASS_COUNT + 1]; /* blocks moved at once */
};

/* The cache of zeros, of a thread that has done nothing yet, and of one that is
 * past its end. */
extern struct tcache tcache_unborn, tcache_dead;

/* Is it the cache of a heap? */
HAK_INLINE bool tcache_is_real(const struct tcache *tc)
{
	return tc != &tcache_unborn && tc != &tcache_dead;
}

HAK_INLINE uint32_t tcache_count(const struct tcache *tc, unsigned cls)
{
	return atomic_load_relaxed(&tc->bins[cls].top) / sizeof(struct cached_block);
}

HAK_INLINE struct cached_block *bin_entry(struct tcache_bin *bin, uint32_t top)
{
	return (struct cached_block *)((uintptr_t)bin->entries + top);
}

HAK_INLINE struct tcache_bin *tcache_bin(struct tcache *tc, unsigned kind)
{
	struct tcache_bin *bin = &tc->bins[kind];
	HAK_OPAQUE(bin);
	return bin;
}

HAK_INLINE void *tcache_pop(struct tcache *tc, unsigned cls)
{
	struct tcache_bin *bin = tcache_bin(tc, cls);
	struct cached_block *e;
	uint32_t top;
	void *p;
	top = atomic_load_relaxed(&bin->top);
	e = bin_entry(bin, top);
	p = e->block; /* of entry 0: NULL */
	if (HAK_LIKELY(p != NULL)) {
		atomic_store_relaxed(&bin->top, top - (uint32_t)sizeof(*e));
		atomic_store_relaxed(e->state, BLOCK_LIVE);
	}
	return p;
}

/* Push a live block; false, with nothing changed: the bin is full, or the block is
 * not live. */
HAK_INLINE bool bin_push(struct tcache_bin *bin, void *block, _Atomic uint8_t *state)
{
	struct cached_block *e;
	uint32_t top;
	top = atomic_load_relaxed(&bin->top);
	if (HAK_UNLIKELY(top >= bin->limit) || HAK_UNLIKELY(atomic_load_relaxed(state) != BLOCK_LIVE))
		return false;
	top += (uint32_t)sizeof(*e);
	atomic_store_relaxed(state, BLOCK_CACHED);
	e = bin_entry(bin, top);
	e->state = state;
	e->block = block;
	/* The entry before the top, for a signal handler that comes between, and for the
	 * child of a fork, where this thread stops between. */
	atomic_compiler_fence();
	atomic_store_relaxed(&bin->top, top);
	return true;
}

HAK_INLINE bool tcache_push(struct tcache *tc, unsigned cls, void *block, _Atomic uint8_t *state)
{
	return bin_push(tcache_bin(tc, cls), block, state);
}

/* Make an empty cache of zeroed memory. */
void tcache_init(struct tcache *tc, struct heap *heap);

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
