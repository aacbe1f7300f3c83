#include "common/tcache.h"

#include <string.h>

#include "common/heap.h"
#include "common/knobs.h"
#include "common/options.h"

/* The slot that every pop of a constant cache reads, and that no push reaches. */
static void *null_slot[2];

#define EMPTY_BINS { [0 ... HAK_CLASS_COUNT] = { .top = &null_slot[1], .limit = &null_slot[1] } }
struct tcache_bin tcache_unborn_bins[HAK_CLASS_COUNT + 1] = EMPTY_BINS;
struct tcache_bin tcache_dead_bins[HAK_CLASS_COUNT + 1] = EMPTY_BINS;

/* Blocks that the bin may hold, from the knobs. */
static unsigned capacity_for(unsigned cls)
{
	unsigned by_knob = (unsigned)knob_get(HAK_KNOB_TCACHE_CAPACITY, cls) *
			   (unsigned)knob_get(HAK_KNOB_DIET_FACTOR, 0) / 100;
	unsigned by_bytes = TCACHE_CLASS_BYTES / (unsigned)class_bytes(cls);
	unsigned n = by_bytes < TCACHE_MIN_BLOCKS ? TCACHE_MIN_BLOCKS : by_bytes;
	return by_knob < n ? by_knob : n;
}

/* At most half the capacity: a bin that a flush has just emptied, or a refill
 * filled, must not do the opposite next. */
static unsigned bundle_for(unsigned capacity)
{
	unsigned bundle = (unsigned)knob_get(HAK_KNOB_BUNDLE_WIDTH, 0);
	if (bundle > capacity / 2)
		bundle = capacity / 2;
	return bundle > 0 ? bundle : 1;
}

static void bin_flush(struct tcache *tc, unsigned cls, unsigned n)
{
	void *blocks[TCACHE_SLOTS];
	void **top = atomic_load_relaxed(&tc->bins[cls].top) - n;
	memcpy(blocks, top, n * sizeof(*top));
	atomic_store_relaxed(&tc->bins[cls].top, top);
	heap_put(tc->heap, cls, blocks, n);
}

static void follow_knobs(struct tcache *tc)
{
	tc->knob_epoch = knob_epoch();
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++) {
		unsigned capacity = options.rare_paths ? 0 : capacity_for(cls);
		unsigned count = tcache_count(tc, cls);
		tc->bins[cls].limit = &tc->slots[cls][1 + capacity];
		tc->bundle[cls] = (uint8_t)(options.rare_paths ? 1 : bundle_for(capacity));
		if (count > capacity)
			bin_flush(tc, cls, count - capacity);
	}
}

void tcache_init(struct tcache *tc, struct heap *heap)
{
	tc->heap = heap;
	for (unsigned cls = 0; cls <= HAK_CLASS_COUNT; cls++) {
		atomic_store_relaxed(&tc->bins[cls].top, &tc->slots[cls][1]);
		tc->bins[cls].limit = &tc->slots[cls][1];
	}
	follow_knobs(tc);
}

void tcache_refresh(struct tcache *tc)
{
	if (HAK_UNLIKELY(tc->knob_epoch != knob_epoch()))
		follow_knobs(tc);
}

void *tcache_refill(struct tcache *tc, unsigned cls)
{
	struct tcache_bin *bin = &tc->bins[cls];
	unsigned n;
	tcache_refresh(tc);
	HAK_ASSERT(tcache_count(tc, cls) == 0);
	n = heap_take(tc->heap, cls, tc->slots[cls], 1, tc->bundle[cls]);
	if (n == 0)
		return NULL;
	atomic_store_relaxed(&bin->top, &tc->slots[cls][1 + n]);
	return tcache_pop(tc, cls);
}

void tcache_put_slow(struct tcache *tc, unsigned cls, void *block, _Atomic uint8_t *state)
{
	tcache_refresh(tc);
	if (!tcache_has_room(tc, cls)) {
		unsigned count = tcache_count(tc, cls);
		unsigned n = count < tc->bundle[cls] ? count : tc->bundle[cls];
		if (n == 0) { /* a bin without capacity */
			heap_put(tc->heap, cls, &block, 1);
			return;
		}
		bin_flush(tc, cls, n);
	}
	atomic_store_relaxed(state, tcache_push(tc, cls, block));
}

void tcache_flush_all(struct tcache *tc)
{
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++) {
		unsigned count = tcache_count(tc, cls);
		if (count > 0)
			bin_flush(tc, cls, count);
	}
}
