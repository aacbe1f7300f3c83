/* common/purge.c without its thread: everything at once, passes by the program's own
 * threads, and a system that refuses the thread. test_purge_thread.c has the thread. */
#include "unit.h"

#include "common/heap.h"
#include "common/huge.h"
#include "common/knobs.h"
#include "common/lock.h"
#include "common/options.h"
#include "common/os.h"
#include "common/purge.h"
#include "common/stats.h"
#include "common/superslab.h"
#include "common/ticker.h"
#include "hakmem/hakmem.h"

enum { MIB = 1 << 20, BLOCKS = 600 };

static struct unit_child child;

/* Free units that count as touched; nothing is kicked. */
static void make_dirty(size_t bytes)
{
	struct span s[8];
	unsigned n = (unsigned)(bytes / HAK_SUPERSLAB_BYTES);
	for (unsigned i = 0; i < n; i++) {
		REQUIRE(span_alloc(&s[i], HAK_SUPERSLAB_UNITS, 1), "no memory");
		memset((void *)s[i].base, 1, HAK_SUPERSLAB_BYTES);
	}
	for (unsigned i = 0; i < n; i++)
		span_free(s[i].superslab, s[i].first, HAK_SUPERSLAB_UNITS);
	CHECK_U64(superslab_dirty_bytes(), bytes, "dirty bytes to begin with");
}

static void everything_in_child(void *arg)
{
	struct {
		unsigned char *p;
		size_t bytes;
	} b[BLOCKS];
	uint64_t rng = *(const uint64_t *)arg, purged;
	size_t cached, given;
	options.background = 0;
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 10000);
	for (unsigned i = 0; i < BLOCKS; i++) {
		b[i].bytes = 1 + (i % 100 == 0  ? MIB + unit_below(&rng, MIB)
				  : i % 10 == 0 ? unit_below(&rng, 300000)
						: unit_below(&rng, 3000));
		b[i].p = hak_malloc(b[i].bytes);
		REQUIRE(b[i].p != NULL, "no memory");
		test_fill(b[i].p, b[i].bytes, i);
	}
	for (unsigned i = 0; i < BLOCKS; i++)
		if (i / 3 % 5 != 0)
			hak_free(b[i].p);
	tcache_flush_all(thread_state.tcache);
	CHECK(superslab_dirty_bytes() > 0 && huge_cached_bytes() > 0 &&
		      heap_release_pending_bytes() > 0,
	      "there is something of each kind");
	cached = huge_cached_bytes();
	purged = os_counters().purged_bytes;
	given = purge_everything();
	CHECK_U64(given, cached + (os_counters().purged_bytes - purged), "bytes given back");
	CHECK(os_counters().purged_bytes - purged > 0, "something was purged");
	CHECK_U64(superslab_dirty_bytes(), 0, "dirty bytes");
	CHECK_U64(huge_cached_bytes(), 0, "cached mappings");
	CHECK_U64(heap_release_pending_bytes(), 0, "slabs that wait for their release");
	CHECK_U64(purge_everything(), 0, "bytes of a second purge");
	for (unsigned i = 0; i < BLOCKS; i++)
		if (i / 3 % 5 == 0)
			CHECK_U64(test_verify(b[i].p, b[i].bytes, i), b[i].bytes,
				  "content of a live block");
	hak_check_all();
}

static void everything(void)
{
	uint64_t seed = unit_seed();
	unit_child_passes(&child, everything_in_child, &seed);
}

static void cached_in_child(void *arg)
{
	unsigned char *p = hak_malloc(20000);
	size_t cached;
	(void)arg;
	options.background = 0;
	hak_free(p);
	CHECK(tcache_count(thread_state.tcache, size_class(20000)) > 0, "the block is cached");
	cached = heap_counters().cached_bytes;
	CHECK(cached > 0, "cached bytes");
	CHECK(hak_purge() > 0, "hak_purge gives its pages back");
	CHECK_U64(heap_counters().cached_bytes, 0, "cached bytes after hak_purge");
}

static void cached_blocks(void)
{
	unit_child_passes(&child, cached_in_child, NULL);
}

/* A pass has a time budget, but gives back one superslab at least. */
static void passed(void)
{
	CHECK(superslab_dirty_bytes() <= 2 * MIB, "dirty bytes after a pass: %zu of 4 MiB",
	      superslab_dirty_bytes());
}

/* ---- by the caller; each in a child, as passes come in intervals */

static void kicked_when_due(void *arg)
{
	(void)arg;
	options.background = 0;
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 0);
	make_dirty(4 * MIB);
	errno = 4711;
	purge_kick();
	CHECK_I64(errno, 4711, "errno");
	passed();
}

static void kicked_before_due(void *arg)
{
	(void)arg;
	options.background = 0;
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 10000);
	make_dirty(4 * MIB);
	purge_kick();
	CHECK_U64(superslab_dirty_bytes(), 4 * MIB, "dirty bytes that are not due");
}

static void kicked_for_little(void *arg)
{
	struct span s;
	(void)arg;
	options.background = 0;
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 0);
	REQUIRE(span_alloc(&s, 16, 1), "no memory");
	span_free(s.superslab, s.first, 16);
	purge_kick();
	CHECK_U64(superslab_dirty_bytes(), MIB, "dirty bytes too few for a pass");
}

/* The clock of milliseconds has passed the half of its range since the start. */
static void kicked_after_a_month(void *arg)
{
	os_clock_advance_ms(30u * 24 * 3600 * 1000);
	kicked_when_due(arg);
}

static unsigned ticks;

static uint32_t count_tick(void)
{
	ticks++;
	return 60000;
}

/* The ticker as well, without the thread. */
static void ticked_after_a_month(void *arg)
{
	static const struct ticker ticker = { .tick = count_tick };
	(void)arg;
	options.background = 0;
	ticker_register(&ticker);
	purge_kick();
	purge_kick();
	CHECK_U64(ticks, 1, "ticks");
	CHECK(ticker_run() <= 60000, "more than a minute to the next");
	os_clock_advance_ms(30u * 24 * 3600 * 1000);
	purge_kick();
	CHECK_U64(ticks, 2, "ticks after a month");
}

/* A signal handler's free, while its thread is in a pass. */
static void kicked_inside(void *arg)
{
	struct slow_scope scope;
	(void)arg;
	options.background = 0;
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 0);
	make_dirty(4 * MIB);
	CHECK(slow_enter(&scope), "the first to enter");
	lock_acquire(purge_lock());
	purge_kick();
	lock_release(purge_lock());
	slow_leave(&scope);
	CHECK_U64(superslab_dirty_bytes(), 4 * MIB, "dirty bytes: no pass inside a pass");
}

/* Refused a thread, or not asking for one so soon after a fork, a child passes. */
static void refused_in_child(void *arg)
{
	(void)arg;
	options.background = 1;
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 0);
	make_dirty(4 * MIB);
	os_fault_arm(OS_THREAD, 1, 1);
	purge_kick();
	purge_kick();
	CHECK(os_fault_hits(OS_THREAD) <= 1, "%u threads asked for",
	      (unsigned)os_fault_hits(OS_THREAD));
	passed();
}

static void by_the_caller(void)
{
	static void (*const bodies[])(void *) = { kicked_when_due,   kicked_before_due,
						  kicked_for_little, kicked_after_a_month,
						  kicked_inside,     ticked_after_a_month,
						  refused_in_child };
	for (unsigned i = 0; i < HAK_ARRAY_LEN(bodies); i++)
		unit_child_passes(&child, bodies[i], NULL);
}

/* ---- in steps */

enum { SPARSE_BYTES = 9000, SPARSE_BLOCKS = 700 };

/* Slabs of one class in which every third block is live, in two heaps. */
static void make_sparse(unsigned char **blocks)
{
	for (unsigned i = 0; i < SPARSE_BLOCKS; i++) {
		blocks[i] = hak_malloc(SPARSE_BYTES);
		REQUIRE(blocks[i] != NULL, "no memory");
		test_fill(blocks[i], SPARSE_BYTES, i);
	}
	for (unsigned i = 0; i < SPARSE_BLOCKS; i++)
		if (i % 3 != 0)
			hak_free(blocks[i]);
	tcache_flush_all(thread_state.tcache);
}

static void *make_sparse_in_thread(void *blocks)
{
	make_sparse(blocks);
	return NULL;
}

static void check_sparse(unsigned char **blocks)
{
	for (unsigned i = 0; i < SPARSE_BLOCKS; i += 3) {
		CHECK_U64(test_verify(blocks[i], SPARSE_BYTES, i), SPARSE_BYTES, "content");
		hak_free(blocks[i]);
	}
}

static size_t whole_pages_between(unsigned char **blocks, unsigned min_pages)
{
	size_t page = os_page_bytes(), bytes = 0;
	for (unsigned i = 0; i + 3 < SPARSE_BLOCKS; i += 3) {
		uintptr_t from = align_up((uintptr_t)blocks[i] + hak_usable_size(blocks[i]), page);
		uintptr_t to = align_down((uintptr_t)blocks[i + 3], page);
		if (to > from && to - from <= 3 * SPARSE_BYTES && (to - from) / page >= min_pages)
			bytes += to - from;
	}
	return bytes;
}

/* A budget that is over at once lets one step through; the next call goes on behind it, so
 * that all heaps get their turn, and nothing is given back twice. */
static void in_steps(void *arg)
{
	static unsigned char *mine[SPARSE_BLOCKS], *others[SPARSE_BLOCKS];
	size_t given = 0, pending, expected;
	unsigned steps = 0;
	bool more;
	(void)arg;
	options.background = 0;
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 10000);
	make_sparse(mine);
	unit_threads(1, make_sparse_in_thread, others, 0);
	expected = whole_pages_between(mine, 1) + whole_pages_between(others, 1);
	pending = heap_release_pending_bytes();
	while (heap_release_pending_bytes() > 0 && steps < 10000) {
		size_t before = heap_release_pending_bytes();
		/* The last millisecond is for the step that it is in. */
		given += purge_scavenge(steps % 2 == 0 ? 1 : 1000000, 1, &more);
		steps++;
		/* Eight slabs of two units. */
		CHECK(before - heap_release_pending_bytes() <= 16 * HAK_UNIT_BYTES,
		      "one step took %zu KiB", (before - heap_release_pending_bytes()) / 1024);
	}
	CHECK(heap_release_pending_bytes() == 0, "%zu KiB are left after %u steps",
	      heap_release_pending_bytes() / 1024, steps);
	CHECK(steps >= pending / (16 * HAK_UNIT_BYTES), "%u steps for %zu KiB", steps,
	      pending / 1024);
	/* Pages of the border between two slabs are not counted on above. */
	CHECK(given >= expected, "%zu bytes given back, %zu expected", given, expected);
	CHECK_U64(purge_scavenge(UINT64_C(1) << 40, 1, &more), 0, "bytes of another call");
	CHECK(!more, "more, with all the time there is");
	check_sparse(mine);
	check_sparse(others);
	hak_check_all();
}

/* Runs that are shorter than wanted stay. */
static void shortest_run(void *arg)
{
	static unsigned char *blocks[SPARSE_BLOCKS];
	size_t page = os_page_bytes();
	unsigned pages = (unsigned)(2 * SPARSE_BYTES / page);
	uint64_t passes;
	bool more;
	(void)arg;
	options.background = 0;
	make_sparse(blocks);
	passes = purge_counters().passes;
	CHECK_U64(purge_scavenge(UINT64_C(1) << 40, 2 * pages + 20, &more), 0,
		  "bytes of runs so long");
	CHECK_U64(purge_counters().passes, passes + 1, "passes: this was one");
	check_sparse(blocks);
	make_sparse(blocks);
	CHECK(purge_scavenge(UINT64_C(1) << 40, 1, &more) > 0 || pages < 2, "bytes of any run");
	CHECK(!more, "more, with all the time there is");
	check_sparse(blocks);
}

static void scavenge(void)
{
	unit_child_passes(&child, in_steps, NULL);
	unit_child_passes(&child, shortest_run, NULL);
}

/* Every pass is counted once in each histogram. */
static void count_in_child(void *arg)
{
	struct purge_counters before = purge_counters(), c;
	uint64_t by_ns = 0, by_cpu_ns = 0;
	kicked_when_due(arg);
	c = purge_counters();
	for (unsigned i = 0; i < PURGE_BUCKETS; i++) {
		by_ns += c.by_ns[i];
		by_cpu_ns += c.by_cpu_ns[i];
	}
	CHECK_U64(c.passes, before.passes + 1, "passes");
	CHECK_U64(by_ns, c.passes, "passes by the clock");
	CHECK_U64(by_cpu_ns, c.passes, "passes by processor time");
	CHECK(c.longest_ns > 0 && c.longest_ns >= c.longest_cpu_ns / 2,
	      "longest pass: %llu ns, %llu of the CPU", (unsigned long long)c.longest_ns,
	      (unsigned long long)c.longest_cpu_ns);
}

static void counted(void)
{
	unit_child_passes(&child, count_in_child, NULL);
}

/* The last case: the thread is asked for, refused, not asked for again soon, and the
 * caller does its work. */
static void refused_thread(void)
{
	options.background = 1;
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 0);
	make_dirty(4 * MIB);
	os_fault_arm(OS_THREAD, 1, 1);
	purge_kick();
	CHECK_U64(os_fault_hits(OS_THREAD), 1, "threads refused");
	CHECK_U64(superslab_dirty_bytes(), 4 * MIB, "dirty bytes after the refusal");
	purge_kick();
	CHECK_U64(os_fault_hits(OS_THREAD), 1, "threads refused after another kick");
	passed();
	os_fault_arm(OS_THREAD, 0, 0);
	hak_check_all();
}

static const struct test_case cases[] = {
	{ "everything", everything },
	{ "cached_blocks", cached_blocks },
	{ "by_the_caller", by_the_caller },
	{ "scavenge", scavenge },
	{ "counted", counted },
	{ "refused_thread", refused_thread },
};

UNIT_MAIN(cases)
