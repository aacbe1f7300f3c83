/* Thread cache: per size class an array of free blocks, used as a stack.
 *
 * A bin counts its blocks; the word in front of its first slot is NULL, so a pop
 * needs no test of the count: it reads NULL when the bin is empty. `limit` is the
 * count at which the next push must flush; knobs move it, up to TCACHE_SLOTS. A
 * bin of zeros is empty and full at once, and so is the cache of a thread that
 * has no heap yet, or no more: all zeros, never written. Only the owner thread
 * touches a cache; the count is atomic because statistics read it from elsewhere.
 */
#ifndef HAK_COMMON_TCACHE_H
#define HAK_COMMON_TCACHE_H

#include "common/atomics.h"
#include "common/base.h"
#include "common/size_class.h"
#include "common/slab.h"

struct heap;

enum {
	TCACHE_SLOTS = 64,     /* the largest candidate of its knob */
	TCACHE_BIN_SLOTS = 70, /* makes a bin 9 * 64 bytes: bins spread over the cache's sets */
	/* A class's cache holds at most this many bytes, but TCACHE_MIN_BLOCKS at least. */
	TCACHE_CLASS_BYTES = 256 * 1024,
	TCACHE_MIN_BLOCKS = 4,
};

struct tcache_bin {
	_Atomic uint32_t count;
	uint32_t limit;
	void *null; /* always NULL: slot -1 */
	void *slots[TCACHE_BIN_SLOTS];
};
HAK_STATIC_ASSERT(sizeof(struct tcache_bin) == 9 * 64, "see TCACHE_BIN_SLOTS");

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
	return atomic_load_relaxed(&tc->bins[cls].count);
}

HAK_INLINE void *tcache_pop(struct tcache *tc, unsigned cls)
{
	struct tcache_bin *bin = &tc->bins[cls];
	uint32_t count;
	void *p;
	HAK_OPAQUE(bin);
	count = atomic_load_relaxed(&bin->count);
	p = *(&bin->slots[0] + count - 1); /* slot -1 is `null` */
	if (HAK_LIKELY(p != NULL))
		atomic_store_relaxed(&bin->count, count - 1);
	return p;
}

/* Is the block, whose state is `state` < TCACHE_BIN_SLOTS, among the bin's `count`
 * blocks? One number decides, as either half alone is true or false at random and
 * a branch on it would be mispredicted. */
HAK_INLINE bool bin_holds(const struct tcache_bin *bin, uint32_t count, uint32_t state,
			  const void *block)
{
	uintptr_t beyond = state >= count;
	return (((uintptr_t)bin->slots[state] ^ (uintptr_t)block) | beyond) == 0;
}

/* Push a block and set its state to its slot; false, with nothing changed: the bin
 * is full, or the block is free already. */
HAK_INLINE bool tcache_push(struct tcache *tc, unsigned cls, void *block, _Atomic uint8_t *state)
{
	struct tcache_bin *bin = &tc->bins[cls];
	uint32_t count, old;
	HAK_OPAQUE(bin);
	count = atomic_load_relaxed(&bin->count);
	old = atomic_load_relaxed(state);
	if (HAK_UNLIKELY(count >= bin->limit))
		return false;
	if (HAK_UNLIKELY(old == BLOCK_FREE) || HAK_UNLIKELY(bin_holds(bin, count, old, block)))
		return false;
	bin->slots[count] = block;
	atomic_store_relaxed(&bin->count, count + 1);
	atomic_store_relaxed(state, (uint8_t)count);
	return true;
}

/* Is the block in this cache? */
HAK_INLINE bool tcache_holds(const struct tcache *tc, unsigned cls, const void *block,
			     const _Atomic uint8_t *state)
{
	uint32_t slot = atomic_load_relaxed(state);
	return slot != BLOCK_FREE && bin_holds(&tc->bins[cls], tcache_count(tc, cls), slot, block);
}

/* Make an empty cache of zeroed memory. */
void tcache_init(struct tcache *tc, struct heap *heap);

/* The rest are slow paths of the owner thread, which must not hold a lock. */

/* Get blocks for an empty bin and pop one. NULL: no memory. */
void *tcache_refill(struct tcache *tc, unsigned cls);

/* Put a block, which is not free, in its bin, making room if that is full; or pass
 * it on to its slab. */
void tcache_put_slow(struct tcache *tc, unsigned cls, void *block, _Atomic uint8_t *state);

/* Follow the knobs, if they have moved since the last call. */
void tcache_refresh(struct tcache *tc);

/* Return every block to its slab. */
void tcache_flush_all(struct tcache *tc);

#endif
