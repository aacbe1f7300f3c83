/*
 * What a program freed goes back to the kernel by itself: after two seconds in
 * which nobody calls the allocator, resident memory is near what is live.
 * Native only: under an emulator RSS is the emulator's.
 */
#include <pthread.h>
#include <stdbool.h>

#include "api.h"

enum {
	BLOCK_BYTES = 512,
	BLOCKS = 200 * 1000 * 1000 / BLOCK_BYTES,
	IDLE_MS = 2000,
};
static const size_t limit_bytes = 16u << 20;
static const size_t filled_at_least = 190u << 20;

/* Not from the heap: the table is part of the program's own memory, and its
 * pages are given back by hand before measuring. */
static char *blocks[BLOCKS];

static void allocate_all(void)
{
	unsigned i;

	for (i = 0; i < BLOCKS; i++) {
		blocks[i] = api.malloc(BLOCK_BYTES);
		REQUIRE(blocks[i], "malloc failed at %u", i);
		memset(blocks[i], 0x77, BLOCK_BYTES);
	}
}

static void free_all(void)
{
	unsigned i;

	for (i = 0; i < BLOCKS; i++)
		api.free(blocks[i]);
}

static void *allocate_thread(void *arg)
{
	(void)arg;
	allocate_all();
	return NULL;
}

static void *free_thread(void *arg)
{
	(void)arg;
	free_all();
	return NULL;
}

static void in_thread(void *(*fn)(void *))
{
	pthread_t t;

	REQUIRE(pthread_create(&t, NULL, fn, NULL) == 0,
		"pthread_create failed");
	pthread_join(t, NULL);
}

/* The table (3 MiB) counts into RSS: it is allowed on top of the limit. */
static void expect_idle_rss(size_t full, const char *what)
{
	size_t rss, limit = limit_bytes + sizeof(blocks);

	CHECK(full >= filled_at_least - (20u << 20),
	      "%s: RSS with all blocks live: expected >= 170 MiB, found %zu MiB",
	      what, full >> 20);
	api_sleep_ms(IDLE_MS);
	rss = api_rss_bytes();
	test_say("%s: RSS %zu KiB full, %zu KiB after %d ms idle", what,
		 full >> 10, rss >> 10, (int)IDLE_MS);
	CHECK(rss <= limit, "%s: expected RSS <= %zu KiB, found %zu KiB", what,
	      limit >> 10, rss >> 10);
}

static void same_thread(void)
{
	size_t full;

	allocate_all();
	full = api_rss_bytes();
	free_all();
	expect_idle_rss(full, "freed by the thread that allocated");
}

/* The last block, and one in each 20 MB, stay: no heap can shrink from its end. */
static void few_survivors(void)
{
	size_t full;
	unsigned i;

	allocate_all();
	full = api_rss_bytes();
	for (i = 0; i < BLOCKS - 1; i++)
		if (i % (BLOCKS / 10))
			api.free(blocks[i]);
	expect_idle_rss(full, "all but 11 blocks freed");
}

static void other_thread_frees(void)
{
	size_t full;

	allocate_all();
	full = api_rss_bytes();
	in_thread(free_thread);
	expect_idle_rss(full, "freed by another thread, which ended");
}

static int parked_state;

static void *free_and_stay(void *arg)
{
	(void)arg;
	free_all();
	__atomic_store_n(&parked_state, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&parked_state, __ATOMIC_ACQUIRE) != 2)
		usleep(20000);
	return NULL;
}

static void living_thread_frees(void)
{
	pthread_t t;
	size_t full;

	parked_state = 0;
	allocate_all();
	full = api_rss_bytes();
	REQUIRE(pthread_create(&t, NULL, free_and_stay, NULL) == 0,
		"pthread_create failed");
	while (__atomic_load_n(&parked_state, __ATOMIC_ACQUIRE) != 1)
		usleep(1000);
	expect_idle_rss(full, "freed by another thread, which lives on");
	__atomic_store_n(&parked_state, 2, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
}

static void owner_exits_first(void)
{
	size_t full;

	in_thread(allocate_thread);
	full = api_rss_bytes();
	free_all();
	expect_idle_rss(full, "allocated by a thread that ended");
}

static void *allocate_and_free_thread(void *arg)
{
	(void)arg;
	allocate_all();
	parked_state = (int)(api_rss_bytes() >> 20);
	free_all();
	return NULL;
}

static void all_in_exited_thread(void)
{
	in_thread(allocate_and_free_thread);
	expect_idle_rss((size_t)parked_state << 20,
			"allocated and freed by a thread that ended");
}

enum { CACHING_THREADS = 64, CACHED_PER_SIZE = 16, CACHED_SIZES = 8, CACHED_FIRST_BYTES = 1024 };
static pthread_barrier_t all_freed;

/* What is freed here fits into the thread's caches. */
static void *free_into_caches(void *arg)
{
	char *mine[CACHED_SIZES][CACHED_PER_SIZE];
	(void)arg;
	for (unsigned size = 0; size < CACHED_SIZES; size++)
		for (unsigned i = 0; i < CACHED_PER_SIZE; i++) {
			const size_t bytes = (size + 1) * CACHED_FIRST_BYTES;
			mine[size][i] = api.malloc(bytes);
			REQUIRE(mine[size][i], "malloc(%zu) failed", bytes);
			memset(mine[size][i], 1, bytes);
		}
	for (unsigned size = 0; size < CACHED_SIZES; size++)
		for (unsigned i = 0; i < CACHED_PER_SIZE; i++)
			api.free(mine[size][i]);
	pthread_barrier_wait(&all_freed);
	return NULL;
}

/* Their caches are emptied when they end, and then nobody calls the allocator any more. */
static void many_threads_end(void)
{
	pthread_t t[CACHING_THREADS];
	size_t before = api_rss_bytes(), full, rss;
	const size_t freed = (size_t)CACHING_THREADS * CACHED_PER_SIZE * CACHED_FIRST_BYTES *
			     CACHED_SIZES * (CACHED_SIZES + 1) / 2;

	pthread_barrier_init(&all_freed, NULL, CACHING_THREADS + 1);
	for (unsigned i = 0; i < CACHING_THREADS; i++)
		REQUIRE(pthread_create(&t[i], NULL, free_into_caches, NULL) == 0,
			"pthread_create failed");
	pthread_barrier_wait(&all_freed);
	full = api_rss_bytes();
	for (unsigned i = 0; i < CACHING_THREADS; i++)
		pthread_join(t[i], NULL);
	api_sleep_ms(IDLE_MS);
	rss = api_rss_bytes();
	test_say("RSS %zu KiB before, %zu KiB with %zu KiB in caches, %zu KiB %d ms after the "
		 "threads ended",
		 before >> 10, full >> 10, freed >> 10, rss >> 10, (int)IDLE_MS);
	CHECK(rss <= before + freed / 4, "expected <= %zu KiB, found %zu KiB",
	      (before + freed / 4) >> 10, rss >> 10);
}

/* 90 % freed at random: reported; the rest must be whole. */
static void trim_after_random_frees(void)
{
	uint64_t seed = 2024;
	size_t full, before, after, live = 0;
	unsigned i;
	int rc;

	allocate_all();
	full = api_rss_bytes();
	for (i = 0; i < BLOCKS; i++) {
		if (test_random(&seed) % 10) {
			api.free(blocks[i]);
			blocks[i] = NULL;
		} else {
			live++;
		}
	}
	before = api_rss_bytes();
	rc = api.trim(0);
	after = api_rss_bytes();
	test_say("90 %% freed at random, %zu KiB live: RSS %zu KiB full, "
		 "%zu KiB before and %zu KiB after malloc_trim(0) = %d",
		 live * BLOCK_BYTES >> 10, full >> 10, before >> 10,
		 after >> 10, rc);
	CHECK(after <= before + (1u << 20),
	      "malloc_trim raised RSS: %zu -> %zu KiB", before >> 10,
	      after >> 10);
	for (i = 0; i < BLOCKS; i++)
		if (blocks[i] && !CHECK(blocks[i][0] == 0x77 &&
						blocks[i][511] == 0x77,
					"live block %u changed", i))
			break;
	free_all();
	expect_idle_rss(full, "after the rest was freed, too");
}

/* Runs of neighbours freed: whole pages, which trim must give back at once. */
static void trim_after_clustered_frees(void)
{
	size_t full, after;
	unsigned i;

	allocate_all();
	full = api_rss_bytes();
	for (i = 0; i < BLOCKS; i++)
		if (i / 1000 % 10) {
			api.free(blocks[i]);
			blocks[i] = NULL;
		}
	api.trim(0);
	after = api_rss_bytes();
	test_say("90 %% freed in runs of 1000: RSS %zu KiB full, %zu KiB after "
		 "malloc_trim(0)", full >> 10, after >> 10);
	CHECK(after <= full / 3, "expected <= %zu KiB, found %zu KiB",
	      full / 3 >> 10, after >> 10);
	free_all();
}

static void large_and_huge(void)
{
	static const size_t sizes[] = { 20000, 100000, 1u << 20, 10u << 20 };
	size_t i, k;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t count = (200u << 20) / sizes[i], full;

		for (k = 0; k < count; k++) {
			blocks[k] = api.malloc(sizes[i]);
			REQUIRE(blocks[k], "malloc(%zu) failed", sizes[i]);
			memset(blocks[k], 1, sizes[i]);
		}
		full = api_rss_bytes();
		for (k = 0; k < count; k++)
			api.free(blocks[k]);
		test_say("blocks of %zu bytes:", sizes[i]);
		expect_idle_rss(full, "large or huge blocks");
	}
}

/* Each in a process of its own: what one left behind is not the next one's. */
#define ISOLATED(fn)                                                         \
	static void case_##fn(void)                                          \
	{                                                                    \
		api_isolated(fn, test_scaled(60000, 60000));                 \
	}
ISOLATED(same_thread)
ISOLATED(few_survivors)
ISOLATED(other_thread_frees)
ISOLATED(living_thread_frees)
ISOLATED(owner_exits_first)
ISOLATED(many_threads_end)
ISOLATED(all_in_exited_thread)
ISOLATED(trim_after_random_frees)
ISOLATED(trim_after_clustered_frees)
ISOLATED(large_and_huge)

static const struct test_case cases[] = {
	{ "same_thread", case_same_thread },
	{ "few_survivors", case_few_survivors },
	{ "other_thread_frees", case_other_thread_frees },
	{ "living_thread_frees", case_living_thread_frees },
	{ "owner_exits_first", case_owner_exits_first },
	{ "many_threads_end", case_many_threads_end },
	{ "all_in_exited_thread", case_all_in_exited_thread },
	{ "trim_after_random_frees", case_trim_after_random_frees },
	{ "trim_after_clustered_frees", case_trim_after_clustered_frees },
	{ "large_and_huge", case_large_and_huge },
};

int main(int argc, char **argv)
{
	api_init();
	if (test_under_qemu())
		test_skip("under an emulator RSS is the emulator's own");
	if (api_rss_bytes() == 0)
		test_skip("/proc/self/statm cannot be read");
	return TEST_MAIN(argc, argv, cases);
}
