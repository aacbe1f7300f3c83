/* Thread cache: per size class a stack of free blocks, each with the address of its
 * state, so that a hit marks it live or cached without looking it up.
 *
 * A bin is an array of entries. Entry 0 is its head: `top`, the distance in bytes
 * from the bin to its top entry; `limit`, the top at which the next push must flush;
 * and, where the others have their block, NULL, so that a pop needs no test of
 * the count: it reads NULL when the bin is empty. Knobs move the limit. A bin of
 * zeros is empty and full at once, and so is the cache of a thread that has no heap
 * yet, or no more: all zeros, never written. Only the owner thread touches a cache;
 * `top` is atomic because statistics read it from elsewhere.
 */
#ifndef HAK_COMMON_TCACHE_H
#define HAK_COMMON_TCACHE_H

#include "common/atomics.h"
#include "common/base.h"
#include "common/size_class.h"
#include "common/slab.h"

struct heap;

enum {
	TCACHE_SLOTS = 64,       /* the largest candidate of its knob */
	TCACHE_BIN_ENTRIES = 72, /* makes a bin 9 * 128 bytes: bins spread over the cache's sets */
	/* A class's cache holds at most this many bytes, but TCACHE_MIN_BLOCKS at least. */
	TCACHE_CLASS_BYTES = 256 * 1024,
	TCACHE_MIN_BLOCKS = 4,
};

struct tcache_bin {
	union {
		struct {
			_Atomic uint32_t top;
			uint32_t limit;
			void *null;
		};
		struct cached_block entries[TCACHE_BIN_ENTRIES];
	};
};
HAK_STATIC_ASSERT(offsetof(struct tcache_bin, null) == offsetof(struct cached_block, block),
		  "the head ends the stack");
HAK_STATIC_ASSERT(TCACHE_BIN_ENTRIES > TCACHE_SLOTS, "a bin has room for its head");

struct tcache {
	struct tcache_bin bins[HAK_CLASS_COUNT + 1]; /* bin 0 stays all zeros */
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
	return (struct cached_block *)((uintptr_t)bin + top);
}

HAK_INLINE void *tcache_pop(struct tcache *tc, unsigned cls)
{
	struct tcache_bin *bin = &tc->bins[cls];
	struct cached_block *e;
	uint32_t top;
	void *p;
	HAK_OPAQUE(bin);
	top = atomic_load_relaxed(&bin->top);
	e = bin_entry(bin, top);
	p = e->block; /* of the head: NULL */
	if (HAK_LIKELY(p != NULL)) {
		atomic_store_relaxed(&bin->top, top - (uint32_t)sizeof(*e));
		atomic_store_relaxed(e->state, BLOCK_LIVE);
	}
	return p;
}

/* Push a live block; false, with nothing changed: the bin is full, or the block is
 * not live. */
HAK_INLINE bool tcache_push(struct tcache *tc, unsigned cls, void *block, _Atomic uint8_t *state)
{
	struct tcache_bin *bin = &tc->bins[cls];
	struct cached_block *e;
	uint32_t top;
	HAK_OPAQUE(bin);
	top = atomic_load_relaxed(&bin->top);
	if (HAK_UNLIKELY(top >= bin->limit) || HAK_UNLIKELY(atomic_load_relaxed(state) != BLOCK_LIVE))
		return false;
	top += (uint32_t)sizeof(*e);
	atomic_store_relaxed(state, BLOCK_CACHED);
	atomic_store_relaxed(&bin->top, top);
	e = bin_entry(bin, top);
	e->state = state;
	e->block = block;
	return true;
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
