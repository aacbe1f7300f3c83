/* common/tcache.c: bins as stacks, exact membership, limits that follow the knobs,
 * refills and flushes, the constant caches. A heap is used that no thread has. */
#include "unit.h"

#include "common/heap.h"
#include "common/knobs.h"
#include "common/lock.h"
#include "common/options.h"
#include "common/purge.h"
#include "common/stats.h"
#include "common/tcache.h"

#define FOR_EACH_CLASS(cls) for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++)

enum { CLASS = 3, MAX_HELD = 600 };

static struct heap *heap;
static struct tcache *tc;

static unsigned limit_of(unsigned cls)
{
	return (unsigned)(tc->bins[cls].limit - bin_bottom(&tc->bins[cls]));
}

static _Atomic uint8_t *state_of(void *block)
{
	struct slab *s = slab_of_block(block);
	return &s->states[slab_block_index(s, block)];
}

static bool holds(unsigned cls, const void *block)
{
	for (unsigned i = 1; i <= tcache_count(tc, cls); i++)
		if (bin_bottom(&tc->bins[cls])[i].block == block)
			return true;
	return false;
}

static bool in_depot(unsigned cls, const void *block)
{
	for (const struct bundle *b = heap->depots.of_class[cls].bundles; b != NULL; b = b->next)
		for (unsigned i = 0; i < b->count; i++)
			if (b->blocks[i].block == block)
				return true;
	return false;
}

/* Every block to its slab. */
static void flush(void)
{
	bool more;
	tcache_flush_all(tc);
	lock_acquire(purge_lock());
	heap_maintain_all(&(struct heap_maintenance){ .min_run_pages = 1 }, &more);
	lock_release(purge_lock());
}

/* As malloc and free do it. */
static void *take(unsigned cls)
{
	void *p = tcache_pop(tc, cls);
	if (p == NULL)
		p = tcache_refill(tc, cls);
	REQUIRE(p != NULL, "no memory");
	return p;
}

static void put(unsigned cls, void *block)
{
	if (!tcache_push(tc, cls, block, state_of(block)))
		tcache_put_slow(tc, cls, block, state_of(block));
}

static void setup(void)
{
	if (heap == NULL)
		heap = heap_acquire();
	REQUIRE(heap != NULL, "no memory");
	tc = &heap->tcache;
	knob_reset_all();
	tcache_refresh(tc);
	FOR_EACH_CLASS(cls)
	{
		if (bin_bottom(&tc->bins[cls]) == NULL)
			put(cls, take(cls));
	}
	tcache_flush_all(tc);
}

/* ---- entries */

/* Bins get entries in the order in which their classes are first used, one behind the other. */
static void first_use(void)
{
	const size_t bin_bytes = (1 + TCACHE_SLOTS) * sizeof(struct cached_block);
	struct cached_block one;
	uintptr_t first = 0;
	REQUIRE(heap == NULL, "not the first case");
	heap = heap_acquire();
	REQUIRE(heap != NULL && heap_take(heap, 7, &one, 1) == 1, "no memory");
	atomic_store_relaxed(one.state, BLOCK_LIVE);
	tc = &heap->tcache;
	FOR_EACH_CLASS(cls)
	{
		CHECK_PTR(bin_bottom(&tc->bins[cls]), NULL, "entries of a bin that was never used");
		CHECK_U64(tcache_count(tc, cls), 0, "blocks in it");
		CHECK_PTR(tcache_pop(tc, cls), NULL, "pop of it");
	}
	CHECK(!tcache_push(tc, 7, one.block, one.state), "there is room in it");
	for (unsigned cls = 9; cls > 5; cls--) {
		/* Of one of them the first use is a free. */
		put(cls, cls == 7 ? one.block : take(cls));
		if (first == 0)
			first = (uintptr_t)bin_bottom(&tc->bins[cls]);
		CHECK_U64((uintptr_t)bin_bottom(&tc->bins[cls]) - first, (9 - cls) * bin_bytes,
			  "bytes behind the first bin's entries");
		CHECK_U64(tc->bins[cls].limit - bin_bottom(&tc->bins[cls]), 64, "capacity");
	}
	CHECK(holds(7, one.block), "the block that was freed");
	tcache_flush_all(tc);
	hak_check_all();
}

/* ---- limits */

static unsigned expected_capacity(unsigned cls, int32_t capacity, int32_t diet)
{
	unsigned by_knob = (unsigned)(capacity * diet / 100);
	unsigned by_bytes = (unsigned)max_size(524288 / class_bytes(cls), 4);
	return by_knob < by_bytes ? by_knob : by_bytes;
}

static void limits_follow_knobs(void)
{
	const struct hak_knob_info *capacity = knob_info(HAK_KNOB_TCACHE_CAPACITY);
	const struct hak_knob_info *diet = knob_info(HAK_KNOB_DIET_FACTOR);
	const struct hak_knob_info *bundle = knob_info(HAK_KNOB_BUNDLE_WIDTH);
	setup();
	for (unsigned c = 0; c < capacity->ncandidates; c++)
		for (unsigned d = 0; d < diet->ncandidates; d++)
			for (unsigned b = 0; b < bundle->ncandidates; b++) {
				knob_set(HAK_KNOB_TCACHE_CAPACITY, 0, capacity->candidates[c]);
				knob_set(HAK_KNOB_DIET_FACTOR, 0, diet->candidates[d]);
				knob_set(HAK_KNOB_BUNDLE_WIDTH, 0, bundle->candidates[b]);
				tcache_refresh(tc);
				FOR_EACH_CLASS(cls)
				{
					unsigned n = expected_capacity(cls, capacity->candidates[c],
								       diet->candidates[d]);
					unsigned w = (unsigned)bundle->candidates[b];
					w = (unsigned)max_size(min_size(w, n / 2), 1);
					CHECK_U64(limit_of(cls), n, "capacity");
					CHECK_U64(tc->bundle[cls], w, "bundle");
				}
				CHECK(limit_of(1) <= TCACHE_SLOTS, "more than there are slots");
			}
	setup();
	knob_set(HAK_KNOB_TCACHE_CAPACITY, CLASS, 8);
	CHECK_U64(limit_of(CLASS), 64, "capacity before the next slow path");
	tcache_refresh(tc);
	CHECK_U64(limit_of(CLASS), 8, "capacity of one class");
	CHECK_U64(limit_of(CLASS + 1), 64, "capacity of its neighbour");
	CHECK(limit_of(0) == 0 && tcache_pop(tc, 0) == NULL, "bin 0 is full and empty");
}

static void smaller_limit_flushes(void)
{
	void *blocks[64];
	unsigned flushed = 0;
	setup();
	for (unsigned i = 0; i < 64; i++)
		blocks[i] = take(CLASS);
	tcache_flush_all(tc);
	for (unsigned i = 0; i < 64; i++)
		put(CLASS, blocks[i]);
	CHECK_U64(tcache_count(tc, CLASS), 64, "cached blocks");
	knob_set(HAK_KNOB_TCACHE_CAPACITY, 0, 16);
	tcache_refresh(tc);
	CHECK_U64(tcache_count(tc, CLASS), 16, "cached blocks after the knob");
	for (unsigned i = 0; i < 64; i++) {
		flushed += atomic_load_relaxed(state_of(blocks[i])) == BLOCK_FREE;
		CHECK(holds(CLASS, blocks[i]) == (i < 16), "block %u: in the cache: %d", i,
		      holds(CLASS, blocks[i]));
	}
	CHECK_U64(flushed, 48, "blocks back in their slab");
	setup();
	tcache_flush_all(tc);
	hak_check_all();
}

/* ---- stacks */

static void stack_order(void)
{
	void *blocks[10];
	setup();
	FOR_EACH_CLASS(cls)
	{
		unsigned n = limit_of(cls) < 10 ? limit_of(cls) : 10;
		for (unsigned i = 0; i < n; i++)
			blocks[i] = take(cls);
		tcache_flush_all(tc);
		CHECK_PTR(tcache_pop(tc, cls), NULL, "pop of an empty bin");
		for (unsigned i = 0; i < n; i++) {
			_Atomic uint8_t *state = state_of(blocks[i]);
			CHECK_U64(atomic_load_relaxed(state), BLOCK_LIVE, "state of a live block");
			CHECK(tcache_push(tc, cls, blocks[i], state),
			      "class %u: no room for block %u", cls, i);
			CHECK_U64(atomic_load_relaxed(state), BLOCK_CACHED, "state");
			CHECK_U64(tcache_count(tc, cls), i + 1, "blocks");
			for (unsigned k = 0; k <= i; k++)
				CHECK(!tcache_push(tc, cls, blocks[k], state_of(blocks[k])),
				      "block %u of %u is cached a second time", k, i + 1);
			CHECK_U64(tcache_count(tc, cls), i + 1, "blocks after refusals");
		}
		for (unsigned i = n; i-- > 0;) {
			CHECK_PTR(tcache_pop(tc, cls), blocks[i], "last in, first out");
			CHECK_U64(atomic_load_relaxed(state_of(blocks[i])), BLOCK_LIVE, "state");
		}
		CHECK_PTR(tcache_pop(tc, cls), NULL, "pop of a bin that is empty again");
		for (unsigned i = 0; i < n; i++)
			put(cls, blocks[i]);
		tcache_flush_all(tc);
		for (unsigned i = 0; i < n; i++)
			CHECK(!tcache_push(tc, cls, blocks[i], state_of(blocks[i])),
			      "a block that is in its slab is cached");
	}
	hak_check_all();
}

/* The state of a block says whether the program has it, and the cache holds what the
 * program gave it last. */
static void membership(void)
{
	static void *held[MAX_HELD], *known[MAX_HELD];
	uint64_t rng = unit_seed();
	unsigned nheld = 0, nknown = 0;
	setup();
	knob_set(HAK_KNOB_TCACHE_CAPACITY, 0, 32);
	tcache_refresh(tc);
	for (unsigned step = 0; step < test_scaled(6000, 1500); step++) {
		unsigned in_cache = 0;
		if (nheld > 0 &&
		    (nheld == MAX_HELD || unit_below(&rng, 100) < (step / 500 % 2 ? 65 : 35))) {
			unsigned k = unit_below(&rng, nheld);
			void *block = held[k];
			held[k] = held[--nheld];
			CHECK(!holds(CLASS, block), "a live block is cached");
			CHECK_U64(atomic_load_relaxed(state_of(block)), BLOCK_LIVE,
				  "state of a live block");
			put(CLASS, block);
			CHECK(holds(CLASS, block), "a block just put is not in the cache");
		} else {
			void *block = take(CLASS);
			unsigned k = 0;
			for (unsigned i = 0; i < nheld; i++)
				CHECK(held[i] != block, "a block is given out twice");
			held[nheld++] = block;
			while (k < nknown && known[k] != block)
				k++;
			if (k == nknown && nknown < MAX_HELD)
				known[nknown++] = block;
		}
		if (step % 16 != 0)
			continue;
		for (unsigned i = 0; i < nknown; i++) {
			bool cached = atomic_load_relaxed(state_of(known[i])) == BLOCK_CACHED;
			in_cache += cached;
			CHECK((holds(CLASS, known[i]) || in_depot(CLASS, known[i])) == cached,
			      "block %p: in the cache %d, by its state %d", known[i], !cached,
			      cached);
		}
		CHECK(in_cache <= heap_counters().cached_bytes / class_bytes(CLASS),
		      "more cached blocks than there are");
	}
	while (nheld > 0)
		put(CLASS, held[--nheld]);
	tcache_flush_all(tc);
	hak_check_all();
}

/* ---- refill and flush */

/* The check of a run says of each entry what the check of one says. */
static void same_as_one_by_one(const struct cached_block *entries, unsigned n)
{
	unsigned sound = 0;
	while (sound < n && slab_entry_is_sound(CLASS, &entries[sound]))
		sound++;
	CHECK_U64(slab_sound_run(CLASS, entries, n), sound, "sound entries from the first on");
}

static void sound_runs(void)
{
	struct cached_block entries[24], other[1];
	const unsigned n = 24;
	/* Not in a row: of the own slabs and of one of the orphans'. */
	setup();
	REQUIRE(heap_take(heap_orphans(), CLASS, entries, 8) == 8 &&
			heap_take(heap, CLASS, entries + 8, 8) == 8 &&
			heap_take(heap_orphans(), CLASS, entries + 16, 8) == 8,
		"no memory");
	REQUIRE(heap_take(heap, CLASS + 1, other, 1) == 1, "no memory");
	CHECK_U64(slab_sound_run(CLASS, entries, n), n, "all sound");
	CHECK_U64(slab_sound_run(CLASS, entries, 0), 0, "of none");
	for (unsigned i = 0; i < n; i++) {
		const struct cached_block good = entries[i];
		const struct cached_block bad[] = {
			{ good.state, (char *)good.block + HAK_MIN_ALIGN },
			{ good.state, (char *)good.block + class_bytes(CLASS) },
			{ good.state + 1, good.block },
			{ good.state + 1,
			  (char *)good.block + class_bytes(CLASS) }, /* may be sound */
			{ good.state, NULL },
			{ NULL, good.block },
			{ NULL, NULL },
			{ good.state, (void *)UINTPTR_MAX },
			{ good.state, (char *)good.block + HAK_UNIT_BYTES },
			{ other->state, good.block },
			{ good.state, other->block },
			*other,
			entries[(i + 8) % n], /* sound */
		};
		for (unsigned k = 0; k < HAK_ARRAY_LEN(bad); k++) {
			entries[i] = bad[k];
			same_as_one_by_one(entries, n);
		}
		entries[i] = good;
		atomic_store_relaxed(good.state, BLOCK_LIVE);
		same_as_one_by_one(entries, n);
		CHECK_U64(slab_sound_run(CLASS, entries, n), i, "up to one that is live");
		atomic_store_relaxed(good.state, BLOCK_CACHED);
	}
	heap_put(heap, CLASS + 1, other, 1);
	heap_put(heap, CLASS, entries, n);
}

static void refill_and_flush(void)
{
	setup();
	FOR_EACH_CLASS(cls)
	{
		unsigned capacity = limit_of(cls), bundle = tc->bundle[cls];
		/* What a fresh slab has: a second one is not begun for the rest. */
		unsigned refill =
			bundle < class_layout[cls].capacity ? bundle : class_layout[cls].capacity;
		void *blocks[TCACHE_SLOTS + 1], *first;
		unsigned n = 1;
		first = blocks[0] = take(cls);
		CHECK_U64(slab_of_block(first)->cls, cls, "class of a refilled block");
		CHECK(tcache_count(tc, cls) == refill - 1,
		      "class %u: %u cached after a refill of %u", cls, tcache_count(tc, cls),
		      refill);
		for (; n <= capacity; n++) {
			blocks[n] = take(cls);
			if (n < refill)
				CHECK((uintptr_t)blocks[n] > (uintptr_t)blocks[n - 1],
				      "a refill hands out the lowest address first");
		}
		tcache_flush_all(tc);
		for (unsigned i = 0; i < capacity; i++)
			put(cls, blocks[i]);
		CHECK_U64(tcache_count(tc, cls), capacity, "a full bin");
		CHECK(!tcache_push(tc, cls, blocks[capacity], state_of(blocks[capacity])),
		      "a full bin has room");
		put(cls, blocks[capacity]);
		CHECK_U64(tcache_count(tc, cls), capacity - bundle + 1,
			  "blocks after one too many");
		CHECK(holds(cls, blocks[capacity]), "the block that was one too many");
		for (unsigned i = 0; i < capacity; i++) {
			CHECK(holds(cls, blocks[i]) == (i < capacity - bundle),
			      "class %u: block %u of %u", cls, i, capacity);
			CHECK(!in_depot(cls, blocks[i]),
			      "class %u: block %u of %u is in the depot, for which nobody came yet",
			      cls, i, capacity);
			CHECK_U64(atomic_load_relaxed(state_of(blocks[i])),
				  i < capacity - bundle ? BLOCK_CACHED : BLOCK_FREE, "state");
		}
		flush();
		CHECK_U64(tcache_count(tc, cls), 0, "blocks after a flush of all");
		for (unsigned i = 0; i <= capacity; i++)
			CHECK_U64(atomic_load_relaxed(state_of(blocks[i])), BLOCK_FREE,
				  "state after it");
	}
	hak_check_all();
	CHECK_U64(heap_counters().small_bytes, 0, "bytes of blocks out");
}

/* A thread that only frees: from some overflow on a full bin is emptied; a refill ends that. */
static void one_way(void)
{
	enum { N = 6 * TCACHE_SLOTS };
	static void *blocks[N];
	unsigned capacity, bundle, overflows = 0, emptied = 0;
	setup();
	capacity = limit_of(CLASS);
	bundle = tc->bundle[CLASS];
	for (unsigned i = 0; i < N; i++)
		blocks[i] = take(CLASS);
	heap->depots.of_class[CLASS] = (struct depot){ 0 };
	tcache_flush_all(tc);
	for (unsigned i = 0; i < N; i++) {
		bool full = tcache_count(tc, CLASS) == capacity;
		put(CLASS, blocks[i]);
		if (!full)
			continue;
		overflows++;
		emptied += tcache_count(tc, CLASS) == 1;
		CHECK_U64(tcache_count(tc, CLASS), overflows <= 3 ? capacity - bundle + 1 : 1,
			  "blocks after an overflow");
		CHECK(!in_depot(CLASS, blocks[i - 1]), "a block is kept for which nobody comes");
	}
	CHECK(emptied >= 2, "bins emptied: %u", emptied);
	while (tcache_count(tc, CLASS) > 0)
		(void)take(CLASS);
	for (unsigned i = 0; i < N; i++)
		blocks[i] = take(CLASS);
	while (tcache_count(tc, CLASS) < capacity)
		put(CLASS, blocks[tcache_count(tc, CLASS)]);
	put(CLASS, blocks[capacity]);
	CHECK_U64(tcache_count(tc, CLASS), capacity - bundle + 1,
		  "blocks after a refill and an overflow");
	setup();
}

/* HAKMEM_RARE_PATHS=1: bins of no capacity. */
static void rare_paths(void)
{
	void *blocks[5];
	setup();
	options.rare_paths = 1;
	knob_reset_all();
	tcache_refresh(tc);
	FOR_EACH_CLASS(cls)
	{
		CHECK_U64(limit_of(cls), 0, "capacity");
		CHECK_U64(tc->bundle[cls], 1, "bundle");
	}
	for (unsigned i = 0; i < 5; i++) {
		blocks[i] = take(CLASS);
		CHECK_U64(tcache_count(tc, CLASS), 0, "cached blocks");
	}
	for (unsigned i = 0; i < 5; i++) {
		put(CLASS, blocks[i]);
		CHECK_U64(tcache_count(tc, CLASS), 0, "cached blocks");
		CHECK_U64(inbox_backlog(&heap->inboxes[CLASS]), i + 1, "blocks on their way back");
	}
	options.rare_paths = 0;
	setup();
	blocks[0] = take(CLASS); /* of a slab that has room, so nothing is drained */
	put(CLASS, blocks[0]);
	tcache_flush_all(tc);
	hak_check_all();
}

static void constant_caches(void)
{
	struct tcache *constant[] = { &tcache_unborn, &tcache_dead }, before;
	_Atomic uint8_t state = 0;
	setup();
	CHECK(tcache_is_real(tc), "a heap's cache is real");
	for (unsigned kind = 0; kind < UNIT_KINDS; kind++) {
		bool is_class = kind >= 1 && kind <= HAK_CLASS_COUNT;
		CHECK_U64(tc->bins[kind].inverse, is_class ? class_inverse[kind] : 0, "inverse");
	}
	for (unsigned i = 0; i < 2; i++) {
		CHECK(!tcache_is_real(constant[i]), "constant cache %u counts as real", i);
		memcpy(&before, constant[i], sizeof(before));
		for (unsigned cls = 0; cls < UNIT_KINDS; cls++) {
			CHECK_PTR(tcache_pop(constant[i], cls), NULL, "pop of a constant cache");
			CHECK_PTR(tcache_pop(constant[i], cls), NULL,
				  "second pop of a constant cache");
			CHECK(!tcache_push(constant[i], cls, constant, &state),
			      "room in a constant cache");
		}
		CHECK(memcmp(&before, constant[i], sizeof(before)) == 0,
		      "constant cache %u has been written to", i);
	}
}

/* Who only hits looks at the knobs at its next free, and no block is lost on the way. */
static void notified(void)
{
	void *blocks[64];
	setup();
	for (unsigned i = 0; i < 64; i++)
		blocks[i] = take(CLASS);
	tcache_flush_all(tc);
	tcache_notify(tc);
	CHECK_U64(limit_of(CLASS), 64, "limit without a change");
	for (unsigned i = 0; i < 32; i++)
		put(CLASS, blocks[i]);
	knob_set(HAK_KNOB_TCACHE_CAPACITY, 0, 16);
	CHECK_U64(limit_of(CLASS), 64, "limit before the notice");
	heap_notify_knobs();
	CHECK_U64(limit_of(CLASS), 0, "limit after the notice");
	put(CLASS, blocks[32]);
	CHECK_U64(limit_of(CLASS), 16, "limit after the next free");
	CHECK(tcache_count(tc, CLASS) <= 16, "%u blocks cached", tcache_count(tc, CLASS));
	CHECK_U64(limit_of(CLASS + 1), 16, "limit of another class");
	/* The owner has just followed, and the limits fall once more, as in a race. */
	FOR_EACH_CLASS(cls)
	tc->bins[cls].limit = tc->bins[cls].bottom;
	put(CLASS, blocks[33]);
	tc->knob_epoch = 0;
	for (unsigned i = 34; i < 64; i++)
		put(CLASS, blocks[i]);
	CHECK_U64(limit_of(CLASS), 16, "limit after the race");
	for (unsigned i = 0; i < 64; i++)
		CHECK(atomic_load_relaxed(state_of(blocks[i])) != BLOCK_LIVE, "block %u is lost",
		      i);
	setup();
	flush();
}

static const struct test_case cases[] = {
	{ "first_use", first_use },
	{ "constant_caches", constant_caches },
	{ "limits_follow_knobs", limits_follow_knobs },
	{ "stack_order", stack_order },
	{ "sound_runs", sound_runs },
	{ "refill_and_flush", refill_and_flush },
	{ "one_way", one_way },
	{ "notified", notified },
	{ "smaller_limit_flushes", smaller_limit_flushes },
	{ "membership", membership },
	{ "rare_paths", rare_paths },
};

UNIT_MAIN(cases)
