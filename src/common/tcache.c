#include "common/tcache.h"

#include "common/heap.h"
#include "common/knobs.h"
#include "common/options.h"

struct tcache tcache_unborn, tcache_dead;

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

static void set_count(struct tcache *tc, unsigned cls, unsigned count)
{
	atomic_store_relaxed(&tc->bins[cls].top, count * (uint32_t)sizeof(struct cached_block));
}

/* Return the n blocks that were cached last to their slabs. */
static void bin_flush(struct tcache *tc, unsigned cls, unsigned n)
{
	void *blocks[TCACHE_SLOTS];
	unsigned rest = tcache_count(tc, cls) - n;
	const struct cached_block *e = &tc->bins[cls].entries[1 + rest];
	for (unsigned i = 0; i < n; i++)
		blocks[i] = e[i].block;
	set_count(tc, cls, rest);
	heap_put(tc->heap, cls, blocks, n);
}

/* Make room for n blocks. */
static void bin_make_room(struct tcache *tc, unsigned cls, unsigned n)
{
	unsigned rest = tcache_count(tc, cls) - n;
	if (heap_keep(tc->heap, cls, &tc->bins[cls].entries[1 + rest], n))
		set_count(tc, cls, rest);
	else
		bin_flush(tc, cls, n);
}

static void follow_knobs(struct tcache *tc)
{
	tc->knob_epoch = knob_epoch();
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++) {
		unsigned capacity = options.rare_paths ? 0 : capacity_for(cls);
		unsigned count = tcache_count(tc, cls);
		tc->bins[cls].limit = capacity * (uint32_t)sizeof(struct cached_block);
		tc->bundle[cls] = (uint8_t)(options.rare_paths ? 1 : bundle_for(capacity));
		if (count > capacity)
			bin_flush(tc, cls, count - capacity);
	}
}

void tcache_init(struct tcache *tc, struct heap *heap)
{
	tc->heap = heap;
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++)
		tc->bins[cls].inverse = class_inverse[cls];
	follow_knobs(tc);
}

void tcache_refresh(struct tcache *tc)
{
	if (HAK_UNLIKELY(tc->knob_epoch != knob_epoch()))
		follow_knobs(tc);
}

void *tcache_refill(struct tcache *tc, unsigned cls)
{
	tcache_refresh(tc);
	HAK_ASSERT(tcache_count(tc, cls) == 0);
	set_count(tc, cls, heap_take(tc->heap, cls, tc->bins[cls].entries + 1, tc->bundle[cls]));
	return tcache_pop(tc, cls);
}

void tcache_put_slow(struct tcache *tc, unsigned cls, void *block, _Atomic uint8_t *state)
{
	unsigned count, n;
	tcache_refresh(tc);
	if (tcache_push(tc, cls, block, state))
		return;
	count = tcache_count(tc, cls);
	n = count < tc->bundle[cls] ? count : tc->bundle[cls];
	if (n == 0) { /* a bin without capacity */
		atomic_store_relaxed(state, BLOCK_CACHED);
		heap_put(tc->heap, cls, &block, 1);
		return;
	}
	bin_make_room(tc, cls, n);
	(void)tcache_push(tc, cls, block, state);
}

void tcache_flush_all(struct tcache *tc)
{
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++) {
		unsigned count = tcache_count(tc, cls);
		if (count > 0)
			bin_flush(tc, cls, count);
	}
}
