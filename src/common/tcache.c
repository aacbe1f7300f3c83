#include "common/tcache.h"

#include <string.h>

#include "common/debug_trace.h"
#include "common/fault.h"
#include "common/heap.h"
#include "common/knobs.h"
#include "common/limit.h"
#include "common/memtag.h"
#include "common/options.h"
#include "common/profile.h"
#include "common/report.h"

enum {
	/* After so many overflows without a refill, of which the depot kept nothing, the thread
	 * only frees blocks of that class: from then on a full bin is emptied. */
	ONE_WAY = 3,
};

/* The top of bins that have no entries. */
static struct cached_block nothing;

/* Full too, as every address is above a limit of NULL. The fewer pointers, the fewer relocations
 * at the start of every program. */
#define CONSTANT_CACHE                                                                             \
	{                                                                                          \
		.bins = { [0 ... UNIT_KINDS - 1] = { .top = &nothing } }                           \
	}
struct tcache tcache_unborn = CONSTANT_CACHE, tcache_dead = CONSTANT_CACHE;

/* What of the capacity is left while memory is above the soft limit. */
enum { PRESSURE_DIET_PERCENT = 25 };

/* The most blocks that a bin of the class may ever hold. */
static unsigned slots_for(unsigned cls)
{
	size_t by_bytes = max_size(TCACHE_CLASS_BYTES / class_bytes(cls), TCACHE_MIN_BLOCKS);
	return (unsigned)min_size(by_bytes, TCACHE_SLOTS);
}

/* Blocks that the bin may hold, from options and knobs. */
static unsigned capacity_for(unsigned cls)
{
	unsigned diet = limit_pressure() ? PRESSURE_DIET_PERCENT
					 : (unsigned)knob_get(HAK_KNOB_DIET_FACTOR, 0);
	unsigned by_knob = (unsigned)knob_get(HAK_KNOB_TCACHE_CAPACITY, cls) * diet / 100;
	if (options.rare_paths || options.check_full || options.debug_trace || memtag_is_on())
		return 0;
	/* While allocations are sampled, each of a big class passes the slow path. */
	if (class_bytes(cls) > atomic_load_relaxed(&profile_direct_bytes))
		return 0;
	return (unsigned)min_size(by_knob, slots_for(cls));
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
	atomic_store_relaxed(&tc->bins[cls].top, bin_bottom(&tc->bins[cls]) + count);
}

/* Take out the n blocks that were cached last. They leave the bin before they go
 * anywhere else: in the child of a fork this thread stops at any point, and blocks that
 * are in neither place are lost, while in both they would be handed out twice. */
static void bin_take_out(struct tcache *tc, unsigned cls, struct cached_block *out, unsigned n)
{
	unsigned rest = tcache_count(tc, cls) - n;
	memcpy(out, bin_bottom(&tc->bins[cls]) + 1 + rest, n * sizeof(*out));
	atomic_compiler_fence();
	set_count(tc, cls, rest);
	atomic_compiler_fence();
}

/* Return the n blocks that were cached last to their slabs. */
static void bin_flush(struct tcache *tc, unsigned cls, unsigned n)
{
	struct cached_block out[TCACHE_SLOTS];
	bin_take_out(tc, cls, out, n);
	heap_put(tc->heap, cls, out, n);
}

/* The bin, of count > 0 blocks, is full: make room. */
static void bin_make_room(struct tcache *tc, unsigned cls, unsigned count)
{
	struct cached_block out[TCACHE_SLOTS];
	unsigned n = count < tc->bundle[cls] ? count : tc->bundle[cls];
	if (tc->overflows[cls] >= ONE_WAY)
		n = count;
	bin_take_out(tc, cls, out, n);
	if (heap_keep_or_put(tc->heap, cls, out, n))
		tc->overflows[cls] = 0;
	else if (tc->overflows[cls] < ONE_WAY)
		tc->overflows[cls]++;
}

static void follow_knobs(struct tcache *tc)
{
	/* Before the limits: a tcache_notify() in between has it done once more. */
	atomic_store_relaxed(&tc->knob_epoch, knob_epoch());
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++) {
		unsigned capacity = capacity_for(cls);
		unsigned count = tcache_count(tc, cls);
		tc->bundle[cls] = (uint8_t)bundle_for(capacity);
		if (bin_bottom(&tc->bins[cls]) != NULL)
			atomic_store_word(&tc->bins[cls].limit,
					  bin_bottom(&tc->bins[cls]) + capacity);
		if (count > capacity)
			bin_flush(tc, cls, count - capacity);
	}
}

/* Follow the knobs, and see that the bin has entries. In the child of a fork this thread may stop
 * at any point: the bin is then as full and as empty as it was, and at most its entries are lost,
 * for which the few that bins of big classes need leave room. */
static void bin_prepare(struct tcache *tc, unsigned cls)
{
	struct tcache_bin *bin = &tc->bins[cls];
	struct cached_block *bottom = tc->unused;
	tcache_refresh(tc);
	if (HAK_LIKELY(bin_bottom(bin) != NULL))
		return;
	tc->unused = bottom + 1 + slots_for(cls);
	atomic_store_relaxed(&bin->top, bottom);
	atomic_store_release(&bin->bottom, bottom);
	atomic_compiler_fence();
	atomic_store_word(&bin->limit, bottom + capacity_for(cls));
}

void tcache_init(struct tcache *tc, struct tcache_entries *entries, struct heap *heap)
{
	*tc = tcache_unborn;
	tc->heap = heap;
	tc->unused = entries->all;
	sample_clock_init(&tc->clock);
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++)
		tc->bins[cls].inverse = class_inverse[cls];
	follow_knobs(tc);
}

void tcache_refresh(struct tcache *tc)
{
	if (HAK_UNLIKELY(atomic_load_acquire(&tc->knob_epoch) != knob_epoch()))
		follow_knobs(tc);
}

void tcache_notify(struct tcache *tc)
{
	if (atomic_load_relaxed(&tc->knob_epoch) == knob_epoch())
		return;
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++)
		atomic_store_word(&tc->bins[cls].limit, bin_bottom(&tc->bins[cls]));
	/* The owner may have followed meanwhile. Pairs with tcache_refresh(), which sees 0 only
	 * with these limits, and then makes them anew. */
	atomic_store_release(&tc->knob_epoch, 0);
}

void *tcache_refill(struct tcache *tc, unsigned cls)
{
	struct cached_block *first;
	unsigned n;
	void *p;
	bin_prepare(tc, cls);
	first = bin_bottom(&tc->bins[cls]) + 1;
	HAK_ASSERT(tcache_count(tc, cls) == 0);
	tc->overflows[cls] = 0;
	do { /* again, if blocks were there but none of them is sound */
		n = heap_take(tc->heap, cls, first, tc->bundle[cls]);
		fault_spoil(cls, first, n);
		set_count(tc, cls,
			  heap_sound_entries(cls, first, n, "found when it was to be handed out"));
	} while (HAK_UNLIKELY(n > 0 && tcache_count(tc, cls) == 0));
	p = tcache_pop(tc, cls);
	trace_pop(cls, p);
	return p;
}

static void put_one(struct tcache *tc, unsigned cls, void *block, _Atomic uint8_t *state)
{
	struct cached_block one = { state, block };
	atomic_store_relaxed(state, BLOCK_CACHED);
	heap_put(tc->heap, cls, &one, 1);
}

void tcache_put_slow(struct tcache *tc, unsigned cls, void *block, _Atomic uint8_t *state)
{
	unsigned count;
	trace_push(cls, block);
	bin_prepare(tc, cls);
	if (tcache_push(tc, cls, block, state))
		return;
	count = tcache_count(tc, cls);
	if (count > 0)
		bin_make_room(tc, cls, count);
	/* A bin without capacity, or its limit has just been lowered. */
	if (count == 0 || !tcache_push(tc, cls, block, state))
		put_one(tc, cls, block, state);
}

void tcache_flush_all(struct tcache *tc)
{
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++) {
		unsigned count = tcache_count(tc, cls);
		if (count > 0)
			bin_flush(tc, cls, count);
	}
}
