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

static struct cached_block nothing;

/* Full too, as every address is above a limit of NULL. The fewer pointers, the fewer relocations
 * at the start of every program. */
#define CONSTANT_CACHE { .bins = { [0 ... UNIT_KINDS - 1] = { .top = &nothing } } }
struct tcache tcache_unborn = CONSTANT_CACHE, tcache_dead = CONSTANT_CACHE;

/* What of the capacity is left while memory is above the soft limit. */
enum { PRESSURE_DIET_PERCENT = 25 };

/* Blocks that the bin may hold, from the knobs. */
static unsigned capacity_for(unsigned cls)
{
	unsigned diet = limit_pressure() ? PRESSURE_DIET_PERCENT
					 : (unsigned)knob_get(HAK_KNOB_DIET_FACTOR, 0);
	unsigned by_knob = (unsigned)knob_get(HAK_KNOB_TCACHE_CAPACITY, cls) * diet / 100;
	unsigned by_bytes = TCACHE_CLASS_BYTES / (unsigned)class_bytes(cls);
	unsigned n = by_bytes < TCACHE_MIN_BLOCKS ? TCACHE_MIN_BLOCKS : by_bytes;
	/* While allocations are sampled, each of a big class passes the slow path. */
	if (class_bytes(cls) > atomic_load_relaxed(&profile_direct_bytes))
		return 0;
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
	atomic_store_relaxed(&tc->bins[cls].top, tc->bins[cls].bottom + count);
}

/* Drop those of n entries that are not what the bin may hold; returns how many are left. */
static unsigned only_sound(unsigned cls, struct cached_block *entries, unsigned n,
			   const char *going)
{
	unsigned sound = HAKMEM_CHECKS ? slab_sound_run(cls, entries, n) : n;
	for (unsigned i = sound; i < n; i++) {
		if (HAK_LIKELY(slab_entry_is_sound(cls, &entries[i])))
			entries[sound++] = entries[i];
		else
			report_bad_entry(cls, &entries[i], going);
	}
	return sound;
}

/* Take out the n blocks that were cached last. They leave the bin before they go
 * anywhere else: in the child of a fork this thread stops at any point, and blocks that
 * are in neither place are lost, while in both they would be handed out twice. Returns how
 * many of them are what they should be. */
static unsigned bin_take_out(struct tcache *tc, unsigned cls, struct cached_block *out, unsigned n)
{
	unsigned rest = tcache_count(tc, cls) - n;
	memcpy(out, tc->bins[cls].bottom + 1 + rest, n * sizeof(*out));
	atomic_compiler_fence();
	set_count(tc, cls, rest);
	atomic_compiler_fence();
	return only_sound(cls, out, n, "found when it left the cache");
}

/* Return the n blocks that were cached last to their slabs. */
static void bin_flush(struct tcache *tc, unsigned cls, unsigned n)
{
	struct cached_block out[TCACHE_SLOTS];
	n = bin_take_out(tc, cls, out, n);
	heap_put(tc->heap, cls, out, n);
}

/* The bin, of count > 0 blocks, is full: make room. */
static void bin_make_room(struct tcache *tc, unsigned cls, unsigned count)
{
	struct cached_block out[TCACHE_SLOTS];
	unsigned n = count < tc->bundle[cls] ? count : tc->bundle[cls];
	if (tc->overflows[cls] >= ONE_WAY)
		n = count;
	n = bin_take_out(tc, cls, out, n);
	if (heap_keep_or_put(tc->heap, cls, out, n))
		tc->overflows[cls] = 0;
	else if (tc->overflows[cls] < ONE_WAY)
		tc->overflows[cls]++;
}

static void follow_knobs(struct tcache *tc)
{
	tc->knob_epoch = knob_epoch();
	const bool off = options.rare_paths || options.check_full || options.debug_trace ||
			 memtag_is_on();
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++) {
		unsigned capacity = off ? 0 : capacity_for(cls);
		unsigned count = tcache_count(tc, cls);
		tc->bins[cls].limit = tc->bins[cls].bottom + capacity;
		tc->bundle[cls] = (uint8_t)(off ? 1 : bundle_for(capacity));
		if (count > capacity)
			bin_flush(tc, cls, count - capacity);
	}
}

void tcache_init(struct tcache *tc, struct tcache_entries *entries, struct heap *heap)
{
	*tc = tcache_unborn;
	tc->heap = heap;
	sample_clock_init(&tc->clock);
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++) {
		struct cached_block *bottom = entries->of_class[cls];
		tc->bins[cls] = (struct tcache_bin){ bottom, bottom, class_inverse[cls], bottom };
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
	unsigned n;
	void *p;
	tcache_refresh(tc);
	HAK_ASSERT(tcache_count(tc, cls) == 0);
	tc->overflows[cls] = 0;
	do { /* again, if blocks were there but none of them is sound */
		n = heap_take(tc->heap, cls, tc->bins[cls].bottom + 1, tc->bundle[cls]);
		fault_spoil(cls, tc->bins[cls].bottom + 1, n);
		set_count(tc, cls, only_sound(cls, tc->bins[cls].bottom + 1, n,
					      "found when it was to be handed out"));
	} while (HAK_UNLIKELY(n > 0 && tcache_count(tc, cls) == 0));
	p = tcache_pop(tc, cls);
	trace_pop(cls, p);
	return p;
}

void tcache_put_slow(struct tcache *tc, unsigned cls, void *block, _Atomic uint8_t *state)
{
	unsigned count;
	trace_push(cls, block);
	tcache_refresh(tc);
	if (tcache_push(tc, cls, block, state))
		return;
	count = tcache_count(tc, cls);
	if (count == 0) { /* a bin without capacity */
		struct cached_block one = { state, block };
		atomic_store_relaxed(state, BLOCK_CACHED);
		heap_put(tc->heap, cls, &one, 1);
		return;
	}
	bin_make_room(tc, cls, count);
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
