/* Property test: the page map against a model.
 *
 * First with made-up addresses: windows of units that straddle 4 GiB borders of
 * the map, at both ends of the address space too. Several threads enter and clear
 * runs in units of their own, side by side in the same leaves, and look up bytes of
 * theirs (exact answer known) and addresses of nobody (nothing may be found). Then
 * with the allocator's own blocks: every byte of a block leads back to it.
 */
#include "support.h"

#include "common/registry.h"
#include "common/slab.h"
#include "common/thread.h"
#include "hakmem/hakmem.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

enum {
	WINDOWS = 48,
	THREADS = 3,
	WINDOW_UNITS = 192,  /* of one thread in one window; some on each side of the border */
	MAX_RUN = 32,        /* units of a superslab */
	STEPS = 300000,
	REAL_BLOCKS = 3000,
};

struct model_unit {
	unsigned kind;  /* UNIT_NONE: nothing there */
	unsigned index;
	unsigned colour; /* bytes */
	void *record;
	unsigned run;   /* on the first unit of a run: its length */
};

struct mapper {
	pthread_t thread;
	unsigned number;
	struct rng rng;
	uint64_t steps;
	uint64_t look_ups;
	struct model_unit units[WINDOWS][WINDOW_UNITS];
};

static struct mapper mappers[THREADS];
/* 4 GiB ranges in which the allocator has blocks of its own: their addresses are not
 * nobody's. */
static bool is_real[REGISTRY_ROOT_ENTRIES];
static _Atomic unsigned arrived;
static uintptr_t borders[WINDOWS]; /* each a multiple of 4 GiB, in the middle of a window */

/* Unit u of this thread's part of a window. The parts interleave in stretches of
 * WINDOW_UNITS / 4, so that each thread has some on either side of the border. */
static uintptr_t unit_addr(const struct mapper *me, unsigned window, unsigned u)
{
	enum { STRETCH = WINDOW_UNITS / 4 };
	intptr_t at = (intptr_t)(u / STRETCH * THREADS + me->number) * STRETCH + u % STRETCH -
		      THREADS * WINDOW_UNITS / 2;

	return borders[window] + (uintptr_t)(at * HAK_UNIT_BYTES);
}

static void expect(struct mapper *me, uintptr_t addr, const struct model_unit *want,
		   const char *why)
{
	void *record;
	unsigned kind = registry_lookup(addr, &record);

	me->look_ups++;
	if (kind != want->kind || record != want->record)
		fail("%s: look-up of %#lx gives kind %u, record %p; "
		     "the model says kind %u, record %p",
		     why, (unsigned long)addr, kind, record, want->kind, want->record);
	if (kind == UNIT_NONE)
		return;
	uintptr_t unit = addr / HAK_UNIT_BYTES * HAK_UNIT_BYTES;
	uintptr_t base = unit - (uintptr_t)want->index * HAK_UNIT_BYTES + want->colour;
	uintptr_t tag = unit_tag(registry_unit_of(addr));
	if (tag_base(tag) != base || tag_offset(tag, addr) != addr - base)
		fail("%s: %#lx has base %#lx, offset %#lx; the model says base %#lx", why,
		     (unsigned long)addr, (unsigned long)tag_base(tag),
		     (unsigned long)tag_offset(tag, addr), (unsigned long)base);
}

/* A run from u on: units next to each other in the address space, too, all empty. */
static unsigned room(const struct mapper *me, unsigned w, unsigned u, unsigned most)
{
	unsigned n = 0;

	while (n < most && u + n < WINDOW_UNITS && me->units[w][u + n].kind == UNIT_NONE &&
	       unit_addr(me, w, u + n) == unit_addr(me, w, u) + (uintptr_t)n * HAK_UNIT_BYTES)
		n++;
	return n;
}

static void enter_run(struct mapper *me, unsigned w, unsigned u)
{
	unsigned n = room(me, w, u, 1 + (unsigned)rng_below(&me->rng, MAX_RUN));
	unsigned kind = 1 + (unsigned)rng_below(&me->rng, HAK_CLASS_COUNT);
	/* Any pointer will do: the map never follows it. */
	void *record = (void *)(uintptr_t)((rng_next(&me->rng) >> 20 << 8) | 8);

	if (!n)
		return;
	if (rng_one_in(&me->rng, 4))
		kind = UNIT_LARGE;
	unsigned colour =
		(unsigned)rng_below(&me->rng, HAK_COLOUR_END / HAK_COLOUR_BYTES) * HAK_COLOUR_BYTES;
	registry_set(unit_addr(me, w, u) + colour, n, kind, record);
	for (unsigned i = 0; i < n; i++)
		me->units[w][u + i] = (struct model_unit){ kind, i, colour, record, i ? 0 : n };
}

static void clear_run(struct mapper *me, unsigned w, unsigned u)
{
	struct model_unit *first = &me->units[w][u];

	first -= first->index;
	u -= me->units[w][u].index;
	unsigned n = first->run;
	registry_clear(unit_addr(me, w, u), n);
	memset(first, 0, n * sizeof(*first));
}

static bool near_a_window(uintptr_t addr)
{
	for (unsigned w = 0; w < WINDOWS; w++)
		if (addr - borders[w] + THREADS * WINDOW_UNITS * (uintptr_t)HAK_UNIT_BYTES <
		    2 * THREADS * WINDOW_UNITS * (uintptr_t)HAK_UNIT_BYTES)
			return true;
	return false;
}

static void look_at_nobody(struct mapper *me)
{
	static const struct model_unit nothing;
	uintptr_t addr = (uintptr_t)(rng_next(&me->rng) >> rng_below(&me->rng, 64));
	uintptr_t in_use = unit_addr(me, (unsigned)rng_below(&me->rng, WINDOWS),
				     (unsigned)rng_below(&me->rng, WINDOW_UNITS));

	if (!near_a_window(addr) &&
	    !(registry_covers(addr) && is_real[addr >> REGISTRY_LEAF_SHIFT]))
		expect(me, addr, &nothing, "address of nobody");
	/* What differs from an address in use in a bit that no address has. */
	addr = in_use | (uintptr_t)1 << (HAK_ADDRESS_BITS + rng_below(&me->rng, 16));
	expect(me, addr, &nothing, "address that cannot be");
}

/* Wait until every thread is here for the n-th time, spinning, so that they go on
 * at once and make the same leaf at the same time. */
static void meet(unsigned n)
{
	atomic_fetch_add_explicit(&arrived, 1, memory_order_relaxed);
	while (atomic_load_explicit(&arrived, memory_order_relaxed) < THREADS * n)
		sched_yield();
}

static void *map_main(void *arg)
{
	const size_t half = (size_t)THREADS * WINDOW_UNITS / 2 * HAK_UNIT_BYTES;
	struct mapper *me = arg;

	thread_name_set("mapper", me->number);
	for (unsigned w = 0; w < WINDOWS; w++) {
		meet(w + 1);
		if (!registry_reserve(borders[w] - half, 2 * half))
			fail("cannot reserve around %#lx", (unsigned long)borders[w]);
		/* On both sides of the border. */
		enter_run(me, w, 0);
		enter_run(me, w, WINDOW_UNITS - 1);
	}
	for (uint64_t n = 0; n < me->steps; n++) {
		unsigned w = (unsigned)rng_below(&me->rng, WINDOWS);
		unsigned u = (unsigned)rng_below(&me->rng, WINDOW_UNITS);
		if (rng_one_in(&me->rng, 2)) {
			if (me->units[w][u].kind == UNIT_NONE)
				enter_run(me, w, u);
			else
				clear_run(me, w, u);
		}
		u = (unsigned)rng_below(&me->rng, WINDOW_UNITS);
		expect(me, unit_addr(me, w, u) + rng_below(&me->rng, HAK_UNIT_BYTES),
		       &me->units[w][u], "own unit");
		look_at_nobody(me);
	}
	for (unsigned w = 0; w < WINDOWS; w++) {
		for (unsigned u = 0; u < WINDOW_UNITS; u++) {
			expect(me, unit_addr(me, w, u), &me->units[w][u], "own unit at the end");
			if (me->units[w][u].kind != UNIT_NONE)
				clear_run(me, w, u);
		}
	}
	return NULL;
}

static void choose_borders(struct rng *rng)
{
	const uintptr_t step = (uintptr_t)1 << REGISTRY_LEAF_SHIFT;

	/* Both ends, as near as a window fits, and others of which no two are the same. */
	borders[0] = step;
	borders[1] = ((uintptr_t)1 << HAK_ADDRESS_BITS) - step;
	for (unsigned w = 2; w < WINDOWS; w++)
		borders[w] = ((uintptr_t)w * 1300 + rng_below(rng, 1200)) * step;
}

/* Returns how many look-ups were compared. */
static uint64_t check_made_up(const struct stress_args *args)
{
	struct rng rng = { args->seed };
	uint64_t look_ups = 0;

	choose_borders(&rng);
	for (unsigned t = 0; t < THREADS; t++) {
		mappers[t].number = t;
		mappers[t].rng.state = rng_next(&rng);
		mappers[t].steps = (uint64_t)STEPS * args->percent / 100;
		if (pthread_create(&mappers[t].thread, NULL, map_main, &mappers[t]))
			fail("cannot create a thread");
	}
	for (unsigned t = 0; t < THREADS; t++) {
		pthread_join(mappers[t].thread, NULL);
		look_ups += mappers[t].look_ups;
	}
	if (registry_reserve((uintptr_t)1 << HAK_ADDRESS_BITS, HAK_UNIT_BYTES) ||
	    registry_reserve(~(uintptr_t)HAK_UNIT_BYTES + 1, 2 * HAK_UNIT_BYTES))
		fail("a range outside the map could be reserved");
	return look_ups;
}

/* --- real blocks ------------------------------------------------------------------------ */

static void check_slab_block(uintptr_t at, size_t size, const struct slab *s, unsigned cls)
{
	uint32_t index = slab_block_index(s, (const void *)at);
	uintptr_t start = s->base + (uintptr_t)index * class_bytes(cls);

	if (s->cls != cls || cls != size_class(size))
		fail("%zu bytes: map says class %u, record %u, size says %u", size, cls, s->cls,
		     size_class(size));
	if (start != at || index >= s->capacity)
		fail("%zu bytes at %#lx: block %u of its slab starts at %#lx", size,
		     (unsigned long)at, index, (unsigned long)start);
}

static void check_block(uintptr_t at, size_t size, struct rng *rng)
{
	void *record, *again;
	unsigned kind = registry_lookup(at, &record);
	size_t usable = hak_usable_size((const void *)at);

	is_real[at >> REGISTRY_LEAF_SHIFT] = true;
	if (kind == UNIT_NONE || !record)
		fail("block %#lx of %zu bytes is not in the map", (unsigned long)at, size);
	if (kind <= HAK_CLASS_COUNT)
		check_slab_block(at, size, slab_of_block((const void *)at), kind);
	else if (kind == UNIT_HUGE)
		return; /* only its first unit is entered */
	for (int i = 0; i < 8; i++) {
		uintptr_t inside = at + (i == 0 ? usable - 1 : rng_below(rng, usable));
		if (registry_lookup(inside, &again) != kind || again != record)
			fail("byte %zu of block %#lx (%zu bytes, kind %u) leads elsewhere",
			     (size_t)(inside - at), (unsigned long)at, size, kind);
	}
}

static void check_real(const struct stress_args *args)
{
	static struct {
		uintptr_t at;
		size_t size;
	} blocks[REAL_BLOCKS];
	struct rng rng = { args->seed ^ 3 };
	/* There is room for no more than a plain run's. */
	unsigned n = REAL_BLOCKS * (args->percent < 100 ? args->percent : 100) / 100;

	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < n; i++) {
			if (blocks[i].at && rng_one_in(&rng, 2))
				continue;
			hak_free((void *)blocks[i].at);
			uint64_t most_log2 = rng_one_in(&rng, 20) ? 23 : 15;
			size_t size = rng_below(&rng, (size_t)2 << rng_below(&rng, most_log2));
			blocks[i].size = size;
			blocks[i].at = (uintptr_t)hak_malloc(size);
			if (!blocks[i].at)
				fail("hak_malloc(%zu) returned NULL", size);
			check_block(blocks[i].at, size, &rng);
		}
		for (unsigned i = 0; i < n; i++)
			check_block(blocks[i].at, blocks[i].size, &rng);
	}
	for (unsigned i = 0; i < n; i++)
		hak_free((void *)blocks[i].at);
}

int main(int argc, char **argv)
{
	struct stress_args args = { .program = "prop_registry", .threads = THREADS };

	args_parse(&args, argc, argv);
	/* The very first allocation of the process must be found as well. */
	void *first = hak_malloc(1);
	struct rng rng = { args.seed ^ 4 };
	check_block((uintptr_t)first, 1, &rng);
	check_real(&args);
	hak_free(first);
	uint64_t look_ups = check_made_up(&args);
	say("prop_registry: %llu look-ups compared, nothing found", (unsigned long long)look_ups);
	return 0;
}
