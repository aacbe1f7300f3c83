/* Thread cache: per size class an array of free blocks, used as a stack.
 *
 * `top` points behind the last block; slot 0 of each array holds NULL, so a pop
 * needs no count: it reads NULL when empty. `limit` is where the next push must
 * flush; knobs move it, up to TCACHE_SLOTS. Caches of threads that have no heap
 * yet, or no more, are constants in which every pop reads NULL and every push is
 * at the limit. Only the owner thread touches a cache; `top` is atomic because
 * statistics read it from elsewhere.
 */
#ifndef HAK_COMMON_TCACHE_H
#define HAK_COMMON_TCACHE_H

#include "common/atomics.h"
#include "common/base.h"
#include "common/size_class.h"

struct heap;

enum {
	TCACHE_SLOTS = 64,                /* the largest candidate of its knob */
	TCACHE_STRIDE = TCACHE_SLOTS + 8, /* slot 0, the blocks, and whole cache lines */
	/* A class's cache holds at most this many bytes, but TCACHE_MIN_BLOCKS at least. */
	TCACHE_CLASS_BYTES = 128 * 1024,
	TCACHE_MIN_BLOCKS = 4,
};

struct tcache_bin {
	_Atomic(void **) top;
	void **limit;
};

struct tcache {
	struct tcache_bin bins[HAK_CLASS_COUNT + 1]; /* bin 0 is always empty and full */
	/* The constant caches end here. */
	struct heap *heap;
	uint32_t knob_epoch;
	uint8_t bundle[HAK_CLASS_COUNT + 1]; /* blocks moved at once */
	void *slots[HAK_CLASS_COUNT + 1][TCACHE_STRIDE];
};

/* Constant caches: of a thread that has done nothing yet, and of one that is
 * past its end. They may stand for a struct tcache as far as `bins`. */
extern struct tcache_bin tcache_unborn_bins[HAK_CLASS_COUNT + 1];
extern struct tcache_bin tcache_dead_bins[HAK_CLASS_COUNT + 1];
#define TCACHE_UNBORN ((struct tcache *)(void *)tcache_unborn_bins)
#define TCACHE_DEAD ((struct tcache *)(void *)tcache_dead_bins)

/* Is it the cache of a heap? */
HAK_INLINE bool tcache_is_real(const struct tcache *tc)
{
	return tc != TCACHE_UNBORN && tc != TCACHE_DEAD;
}

HAK_INLINE void *tcache_pop(struct tcache *tc, unsigned cls)
{
	struct tcache_bin *bin = &tc->bins[cls];
	void **top = atomic_load_relaxed(&bin->top);
	void *p = top[-1];
	if (HAK_LIKELY(p != NULL))
		atomic_store_relaxed(&bin->top, top - 1);
	return p;
}

/* Is there room for a push without a flush? */
HAK_INLINE bool tcache_has_room(const struct tcache *tc, unsigned cls)
{
	return atomic_load_relaxed(&tc->bins[cls].top) < tc->bins[cls].limit;
}

/* Is `block`, whose state is `state` < TCACHE_STRIDE, in this cache? See slab.h. One
 * number decides, as either half alone is true or false at random and a branch
 * on it would be mispredicted. */
HAK_INLINE bool tcache_holds(struct tcache *tc, unsigned cls, unsigned state, const void *block)
{
	void **slot = tc->slots[cls] + state;
	uintptr_t above_top = slot >= atomic_load_relaxed(&tc->bins[cls].top);
	return (((uintptr_t)*slot ^ (uintptr_t)block) | above_top) == 0;
}

/* There must be room. Returns the block's state. */
HAK_INLINE uint8_t tcache_push(struct tcache *tc, unsigned cls, void *block)
{
	struct tcache_bin *bin = &tc->bins[cls];
	void **top = atomic_load_relaxed(&bin->top);
	*top = block;
	atomic_store_relaxed(&bin->top, top + 1);
	return (uint8_t)(top - tc->slots[cls]);
}

HAK_INLINE unsigned tcache_count(struct tcache *tc, unsigned cls)
{
	return (unsigned)(atomic_load_relaxed(&tc->bins[cls].top) - tc->slots[cls]) - 1;
}

/* Make an empty cache of zeroed memory. */
void tcache_init(struct tcache *tc, struct heap *heap);

/* The rest are slow paths of the owner thread, which must not hold a lock. */

/* Get blocks for an empty bin and pop one. NULL: no memory. */
void *tcache_refill(struct tcache *tc, unsigned cls);

/* Make room in a full bin and put `block`, whose state lies at *state, there; or
 * pass it on to its slab. */
void tcache_put_slow(struct tcache *tc, unsigned cls, void *block, _Atomic uint8_t *state);

/* Follow the knobs, if they have moved since the last call. */
void tcache_refresh(struct tcache *tc);

/* Return every block to its slab. */
void tcache_flush_all(struct tcache *tc);

#endif
