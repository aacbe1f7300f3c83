/* A slab: a span cut into blocks of one size class, and its record.
 *
 *   capacity = blocks in the program's hands + cached + in flight + free_count;
 *   bit i of the bitmap is set iff block i is free, and free_count counts them.
 *
 * Blocks carry nothing of ours: free ones are bits in the record. Beside the bitmap
 * lies one byte per block, its *state*, which tells a free that comes too often, from
 * whatever thread, at once.
 *
 * Owned by one heap at a time: who touches more than `states` and `owner` holds
 * that heap's lock. A block's state is written by whoever holds the block.
 */
#ifndef HAK_COMMON_SLAB_H
#define HAK_COMMON_SLAB_H

#include "common/atomics.h"
#include "common/base.h"
#include "common/list.h"
#include "common/registry.h"
#include "common/size_class.h"

struct heap;
struct superslab;

/* State of a block. Zero means that the program may free it. */
enum {
	BLOCK_LIVE = 0,   /* in the program's hands */
	BLOCK_CACHED = 1, /* in a thread cache, or on its way to its slab */
	BLOCK_FREE = 2,   /* in its slab: its bit is set */
	BLOCK_QUARANTINED = 3, /* freed, under full checking, and not yet on its way */
	BLOCK_SAMPLED = 4, /* in the program's hands; the heap profile knows it */
};

/* A free block that is out of its slab, and where its state is. */
struct cached_block {
	_Atomic uint8_t *state;
	void *block;
};

enum { SLAB_PAGE_WORDS = HAK_SLAB_MAX_UNITS * HAK_UNIT_BYTES / 4096 / 64 };

struct slab {
	struct list_node link;          /* in its heap: partial or full */
	struct list_node release_link;  /* in its heap: blocks came back, pages may be free */
	_Atomic(struct heap *) owner;   /* changed under the locks of old and new owner */
	uintptr_t base;                 /* of block 0; constant, as are the next four */
	uint8_t cls;
	uint8_t units;
	uint16_t first_unit;
	uint16_t capacity;
	uint16_t free_count;
	uint16_t scan_from;             /* no free bit in bitmap words below this one */
	uint16_t carved;                /* blocks at and above this index were never out */
	uint32_t freed_at_ms;           /* when a block last came back */
	/* What lies above is all that slab_put() and its caller need: one cache line. */
	struct superslab *superslab;    /* constant */
	uint32_t serial;                /* constant; no other slab ever has it */
	uint16_t former_colour;         /* constant; see registry_former_colour() */
	uint64_t purged_pages[SLAB_PAGE_WORDS]; /* pages given back since last in use */
	alignas(64) _Atomic uint8_t states[];   /* capacity + 1; the last always BLOCK_FREE */
	/* uint64_t bitmap[], behind the states */
};
HAK_STATIC_ASSERT(offsetof(struct slab, superslab) <= 64, "blocks come in through one line");

/* A new slab for `owner`, all blocks free, entered in the registry. NULL: no
 * memory. */
struct slab *slab_create(unsigned cls, struct heap *owner);

/* All blocks must be free, and the slab in no list. */
void slab_destroy(struct slab *s);

/* Move up to `want` free blocks, those of the lowest addresses, to out[], the lowest
 * last, so that it is popped first. Returns how many. They are BLOCK_CACHED. */
unsigned slab_take(struct slab *s, struct cached_block *out, unsigned want);

/* Take back n blocks of the slab, whatever their states, up to one that is in already. Returns
 * how many came in. */
unsigned slab_put(struct slab *s, const struct cached_block *blocks, unsigned n);

/* The slabs of n blocks of one class; what slab_put() will need of them is being fetched. */
void slab_find(unsigned cls, const struct cached_block *blocks, unsigned n, struct slab **slabs);

/* The slab's colour: bytes before its first block. */
HAK_INLINE size_t slab_colour(const struct slab *s)
{
	return s->base % HAK_UNIT_BYTES;
}

/* A block of ours, of that class, with its state. */
struct cached_block slab_locate(unsigned cls, void *block);

/* Is `block` the start of a block of a slab of class cls? *state is its. */
HAK_INLINE bool slab_holds(unsigned cls, const void *block, _Atomic uint8_t **state)
{
	const struct registry_unit *unit;
	uint64_t index;
	uintptr_t tag, offset;
	if (HAK_UNLIKELY(!registry_covers((uintptr_t)block)))
		return false;
	unit = registry_unit_of((uintptr_t)block);
	tag = unit_tag(unit);
	offset = tag_offset(tag, (uintptr_t)block);
	if (HAK_UNLIKELY(tag_kind(tag) != cls) ||
	    HAK_UNLIKELY(!block_starts(class_inverse[cls], offset, &index)))
		return false;
	*state = (_Atomic uint8_t *)unit_record(unit) + index;
	return true;
}

/* Is e what a cache of class cls may hold: the start of a block of that class, which knows
 * its state, and which is free? */
HAK_INLINE bool slab_entry_is_sound(unsigned cls, const struct cached_block *e)
{
	_Atomic uint8_t *state;
	return HAK_LIKELY(slab_holds(cls, e->block, &state)) && HAK_LIKELY(state == e->state) &&
	       HAK_LIKELY(atomic_load_relaxed(state) == BLOCK_CACHED);
}

/* How many of n entries, from the first on, are sound: n, or where the first is that is not. */
unsigned slab_sound_run(unsigned cls, const struct cached_block *entries, unsigned n);

/* Give runs of at least min_pages wholly free pages back to the kernel. Returns
 * the bytes given back. */
size_t slab_release_pages(struct slab *s, unsigned min_pages);

/* Abort on a broken invariant. */
void slab_check(const struct slab *s);

HAK_INLINE uint32_t slab_block_index(const struct slab *s, const void *block)
{
	return class_block_index(s->cls, (uint32_t)((uintptr_t)block - s->base));
}

/* Where block `index` of s starts. */
HAK_INLINE uintptr_t slab_block_start(const struct slab *s, size_t index)
{
	return s->base + index * class_bytes(s->cls);
}

/* The slab of a block of ours. */
HAK_INLINE struct slab *slab_of_block(const void *block)
{
	return HAK_CONTAINER_OF(registry_record(block), struct slab, states);
}

/* Has it a free block that was out before? */
HAK_INLINE bool slab_has_used_block(const struct slab *s)
{
	return s->free_count > s->capacity - s->carved;
}

/* Is `block`, the start of a block of s, free in s? Exact for the owner only. */
bool slab_block_is_free(const struct slab *s, uint32_t index);

/* Slabs that exist. */
size_t slab_count(void);

/* Bytes of their pages that are given back. */
size_t slab_purged_bytes(void);

#endif
