/* common/metrics.c: counters that are exact for work that the test knows, threads that have
 * ended included; gauges against their definitions. */
#include "unit.h"

#include "common/entry.h"
#include "common/heap.h"
#include "common/knobs.h"
#include "common/lock.h"
#include "common/metrics.h"
#include "hakmem/hakmem.h"

enum { THREADS = 4, BLOCKS = 500 };

static struct hak_metrics metrics(void)
{
	struct hak_metrics m;
	metrics_read(&m);
	return m;
}

/* ---- operations */

static unsigned rounds(void)
{
	return test_scaled(20000, 2000);
}

/* Every way to a block; returns how many were made. */
static uint64_t work(uint64_t seed, unsigned n)
{
	static const size_t sizes[] = { 1, 16, 100, 1000, 5000, 32768, 40000, 200000 };
	void *held[64] = { NULL };
	uint64_t made = 0;
	for (unsigned i = 0; i < n; i++) {
		unsigned slot = unit_below(&seed, 64);
		size_t bytes = sizes[unit_below(&seed, i % 16 == 0 ? 8 : 5)];
		hak_free(held[slot]);
		switch (unit_below(&seed, 4)) {
		case 0:
			held[slot] = hak_calloc(1, bytes);
			break;
		case 1:
			held[slot] = entry_aligned_alloc(64, bytes);
			break;
		default:
			held[slot] = hak_malloc(bytes);
			break;
		}
		made++;
	}
	for (unsigned i = 0; i < 64; i++)
		hak_free(held[i]);
	return made;
}

static void *work_in_thread(void *seed)
{
	(void)work(*(uint64_t *)seed, rounds());
	return NULL;
}

static void ops_of_ended_threads(void)
{
	uint64_t seeds[THREADS] = { unit_seed(), 2, 3, 4 };
	uint64_t before = metrics().ops;
	unit_threads(THREADS, work_in_thread, seeds, sizeof(seeds[0]));
	CHECK_U64(metrics().ops - before, (uint64_t)THREADS * rounds(),
		  "operations of all threads");
	unit_threads(THREADS, work_in_thread, seeds, sizeof(seeds[0]));
	CHECK_U64(metrics().ops - before, (uint64_t)2 * THREADS * rounds(),
		  "operations, with heaps used again");
}

static void ops_of_this_thread(void)
{
	uint64_t before;
	hak_free(hak_malloc(16));
	before = metrics().ops;
	for (unsigned i = 0; i < 200; i++) {
		hak_free(hak_malloc(16));
		CHECK_U64(metrics().ops - before, i + 1, "operations");
	}
	/* What grows in place is no allocation. */
	hak_free(hak_realloc(hak_malloc(100), 110));
	CHECK_U64(metrics().ops - before, 201, "operations, with a realloc in place");
}

static _Atomic bool stop;

static void *work_until_stopped(void *total)
{
	uint64_t seed = 7;
	while (!atomic_load_relaxed(&stop))
		*(uint64_t *)total += work(seed++, 100);
	return NULL;
}

/* The count of a running thread never goes back. */
static void ops_grow(void)
{
	uint64_t totals[THREADS] = { 0 }, before = metrics().ops, last = before, made = 0;
	pthread_t threads[THREADS];
	atomic_store_relaxed(&stop, false);
	for (unsigned i = 0; i < THREADS; i++)
		threads[i] = unit_thread(work_until_stopped, &totals[i]);
	for (unsigned i = 0; i < test_scaled(3000, 300); i++) {
		uint64_t now = metrics().ops;
		if (!CHECK(now >= last, "operations went back from %llu to %llu",
			   (unsigned long long)last, (unsigned long long)now))
			break;
		last = now;
	}
	atomic_store_relaxed(&stop, true);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		made += totals[i];
	}
	CHECK_U64(metrics().ops - before, made, "operations");
}

/* ---- slow paths */

/* A bucket's bounds are those of the times that go into it. */
static void buckets(void)
{
	for (uint64_t ns = LATENCY_STEPS, next; ns < UINT64_C(1) << 36; ns = next) {
		unsigned i = latency_bucket(ns);
		next = ns + ns / 50 + 1;
		CHECK(latency_bucket_ns(i) <= ns && ns < latency_bucket_ns(i + 1),
		      "%llu ns in bucket %u", (unsigned long long)ns, i);
		CHECK(latency_bucket(ns - 1) <= i, "order at %llu ns", (unsigned long long)ns);
		CHECK(latency_bucket_ns(i + 1) - latency_bucket_ns(i) <= ns / 4, "width at %llu ns",
		      (unsigned long long)ns);
	}
	CHECK_U64(latency_bucket(0), 0, "no time");
	CHECK_U64(latency_bucket(UINT64_MAX), LATENCY_BUCKETS - 1, "all time");
}

static void slow_paths(void)
{
	struct hak_metrics before = metrics(), m;
	uint64_t timed = 0;
	for (unsigned i = 0; i < 800; i++)
		hak_free(hak_malloc(100000));
	m = metrics();
	CHECK_U64(m.slow_allocs - before.slow_allocs, 800, "slow allocations");
	CHECK_U64(m.slow_frees - before.slow_frees, 800, "slow frees");
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		timed += m.latency[i] - before.latency[i];
	CHECK_U64(timed, 1600, "slow paths by their time, weighted");
	before = m;
	for (unsigned i = 0; i < 1000; i++)
		hak_free(hak_malloc(64));
	m = metrics();
	CHECK(m.slow_allocs - before.slow_allocs <= 2, "%llu of 1000 pairs were slow",
	      (unsigned long long)(m.slow_allocs - before.slow_allocs));
}

static struct lock contended = LOCK_INITIALIZER(LOCK_RANK_HEAP);

static void *wait_for_lock(void *arg)
{
	(void)arg;
	lock_acquire(&contended);
	lock_release(&contended);
	return NULL;
}

static void lock_waits_count(void)
{
	struct hak_metrics before = metrics(), m;
	pthread_t t;
	lock_acquire(&contended);
	t = unit_thread(wait_for_lock, NULL);
	while (!(atomic_load_relaxed(&contended.state) & 1)) /* it waits */
		sched_yield();
	lock_release(&contended);
	pthread_join(t, NULL);
	m = metrics();
	CHECK_U64(m.lock_waits - before.lock_waits, 1, "waits");
	CHECK(m.lock_wait_ns > before.lock_wait_ns, "they took no time");
}

/* ---- blocks on their way */

static void *free_all(void *blocks)
{
	for (unsigned i = 0; i < BLOCKS; i++)
		hak_free(((void **)blocks)[i]);
	return NULL;
}

static void backlog(void)
{
	void *blocks[BLOCKS];
	unsigned cls = size_class(700);
	struct hak_metrics m;
	for (unsigned i = 0; i < BLOCKS; i++)
		blocks[i] = hak_malloc(700);
	unit_threads(1, free_all, blocks, 0);
	m = metrics();
	CHECK_U64(m.class_backlog[cls], BLOCKS, "blocks that wait for this thread");
	CHECK_U64(m.backlog, BLOCKS, "of all classes");
	hak_purge(); /* twice: what has lain there since the last pass is taken in */
	hak_purge();
	CHECK_U64(metrics().backlog, 0, "afterwards");
}

/* ---- memory */

static void live_and_kept(void)
{
	enum { N = 20000, BYTES = 96 };
	static void *blocks[N];
	struct hak_metrics before, m;
	size_t live = 0;
	uint64_t expected;
	hak_purge();
	before = metrics();
	for (unsigned i = 0; i < N; i++) {
		blocks[i] = hak_malloc(BYTES);
		live += hak_usable_size(blocks[i]);
	}
	m = metrics();
	CHECK_U64(m.live_bytes - before.live_bytes, live, "live bytes");
	CHECK(m.kept_bytes - before.kept_bytes < live + 2 * HAK_UNIT_BYTES,
	      "%llu bytes kept for %zu", (unsigned long long)(m.kept_bytes - before.kept_bytes),
	      live);
	for (unsigned i = 0; i < N; i++)
		if (i % 10 != 0)
			hak_free(blocks[i]);
	m = metrics();
	CHECK_U64(m.live_bytes - before.live_bytes, live / 10, "live bytes of one in ten");
	CHECK(m.kept_bytes - before.kept_bytes >= live, "no page is free, so all are kept");
	expected = (m.kept_bytes - m.live_bytes) * 1000000 / m.kept_bytes;
	CHECK_U64(m.fragmentation_ppm, expected, "fragmentation");
	CHECK(m.fragmentation_ppm > 800000, "%u ppm", m.fragmentation_ppm);
	for (unsigned i = 0; i < N; i += 10)
		hak_free(blocks[i]);
	hak_purge();
	m = metrics();
	CHECK_U64(m.live_bytes, before.live_bytes, "live bytes at the end");
	CHECK(m.kept_bytes <= before.kept_bytes + HAK_UNIT_BYTES, "%llu bytes kept, %llu before",
	      (unsigned long long)m.kept_bytes, (unsigned long long)before.kept_bytes);
}

/* Pages that are given back inside a slab are not kept; blocks that use them again are. */
static void purged_pages(void)
{
	enum { N = 64, BYTES = 32768 };
	void *blocks[N];
	struct hak_metrics full, m;
	for (unsigned i = 0; i < N; i++)
		blocks[i] = hak_malloc(BYTES);
	full = metrics();
	for (unsigned i = 0; i < N; i++)
		if (i % 8 != 0) /* of each slab's eight blocks one stays */
			hak_free(blocks[i]);
	hak_purge();
	m = metrics();
	CHECK_U64(full.live_bytes - m.live_bytes, N * 7 / 8 * BYTES, "bytes freed");
	CHECK(full.kept_bytes - m.kept_bytes >= N * 6 / 8 * BYTES, "%llu bytes given up",
	      (unsigned long long)(full.kept_bytes - m.kept_bytes));
	for (unsigned i = 0; i < N; i++)
		if (i % 8 != 0)
			blocks[i] = hak_malloc(BYTES);
	CHECK_U64(metrics().kept_bytes, full.kept_bytes, "kept, with all of them in use again");
	for (unsigned i = 0; i < N; i++)
		hak_free(blocks[i]);
	/* Now that nothing is live, what is missing would show. */
	CHECK(metrics().kept_bytes >= N * BYTES - HAK_UNIT_BYTES,
	      "%llu bytes kept, of blocks that nothing has given back",
	      (unsigned long long)metrics().kept_bytes);
	hak_purge();
}

static void process(void)
{
	struct hak_metrics m = metrics();
	CHECK(m.rss_bytes > 0 && m.rss_bytes % 4096 == 0, "resident: %llu",
	      (unsigned long long)m.rss_bytes);
	CHECK(m.minor_faults > 0, "no page faults");
	CHECK(m.mapped_bytes >= m.kept_bytes, "mapped %llu, kept %llu",
	      (unsigned long long)m.mapped_bytes, (unsigned long long)m.kept_bytes);
	CHECK(m.heaps >= 1, "no heap");
	CHECK_I64(m.llc_miss_ppm, -1, "misses of the last-level cache");
	CHECK_U64(m.knob_epoch, knob_epoch(), "knob epoch");
	CHECK(metrics().now_ns > m.now_ns, "time stands");
}

static const struct test_case cases[] = {
	{ "ops_of_ended_threads", ops_of_ended_threads },
	{ "ops_of_this_thread", ops_of_this_thread },
	{ "ops_grow", ops_grow },
	{ "buckets", buckets },
	{ "slow_paths", slow_paths },
	{ "lock_waits_count", lock_waits_count },
	{ "backlog", backlog },
	{ "live_and_kept", live_and_kept },
	{ "purged_pages", purged_pages },
	{ "process", process },
};

UNIT_MAIN(cases)
