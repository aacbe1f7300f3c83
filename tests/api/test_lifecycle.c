/*
 * The allocator at the edges of a program's and of a thread's life: before
 * main, after the last atexit handler, in TLS destructors, across the exit of
 * the threads that allocated.
 */
#include <pthread.h>
#include <stdbool.h>
#include <threads.h>

#include "api.h"

/* ---- before main and after it ---- */

static char *early[64];
static char *early_large, *early_huge;

/* 101 is the first priority that programs may use: before everything else. */
__attribute__((constructor(101))) static void first_constructor(void)
{
	unsigned i;

	for (i = 0; i < 64; i++) {
		early[i] = malloc(1 + i * 50);
		if (early[i])
			test_fill(early[i], 1 + i * 50, i);
	}
	early_large = calloc(1, 200000);
	early_huge = malloc(6u << 20);
	if (early_huge)
		test_fill(early_huge, 6u << 20, 1);
	free(realloc(malloc(10), 100000));
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	test_say("FAILED after main: %s", what);
	_exit(1);
}

static void work_out(unsigned rounds, uint64_t seed)
{
	char *p[64];
	unsigned i, r;

	memset(p, 0, sizeof(p));
	for (r = 0; r < rounds; r++) {
		i = (unsigned)(test_random(&seed) % 64);
		if (p[i])
			must(test_verify(p[i], 8, i) == 8, "content changed");
		free(p[i]);
		p[i] = malloc(8 + test_random(&seed) %
				      (r % 64 == 0 ? 300000 : 2000));
		must(p[i] != NULL, "malloc failed");
		test_fill(p[i], 8, i);
	}
	for (i = 0; i < 64; i++)
		free(p[i]);
}

/* Runs after main, after atexit handlers and other destructors. */
__attribute__((destructor(101))) static void last_destructor(void)
{
	unsigned i;

	for (i = 0; i < 64; i++)
		if (early[i] && (i & 1)) {
			must(test_verify(early[i], 1 + i * 50, i) == 1 + i * 50,
			     "a block of the first constructor changed");
			free(early[i]);
		}
	if (early_huge)
		must(test_verify(early_huge, 6u << 20, 1) == 6u << 20,
		     "the huge block of the first constructor changed");
	free(early_huge);
	work_out(5000, 3);
}

static void at_exit_handler(void)
{
	work_out(2000, 5);
}

static void case_constructor_blocks(void)
{
	unsigned i;

	for (i = 0; i < 64; i++)
		CHECK(early[i] && test_verify(early[i], 1 + i * 50, i) ==
					  1 + i * 50,
		      "block %u of the first constructor changed", i);
	CHECK(early_large && early_large[0] == 0 && early_large[199999] == 0,
	      "calloc in the first constructor");
	CHECK(early_huge != NULL, "huge block in the first constructor");
	for (i = 0; i < 64; i += 2) {
		free(early[i]);
		early[i] = NULL;
	}
	free(early_large);
}

/* A forked copy leaves through exit(): handlers and destructors run in it. */
static void case_exit_handlers(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		atexit(at_exit_handler);
		atexit(at_exit_handler);
		exit(0);
	}
	api_expect_clean_exit(pid, test_scaled(20000, 60000), "exit()");
}

/* ---- TLS destructors ---- */

enum { KEYS = 100, KEY_BLOCKS = 5 };

static pthread_key_t keys[KEYS];
static unsigned key_calls;

struct key_value {
	unsigned round;
	char *block[KEY_BLOCKS];
};

/* Free what the value holds; come back with new blocks until the last round. */
static void key_destructor(void *arg)
{
	struct key_value *v = arg, *next;
	unsigned i, k;

	__atomic_add_fetch(&key_calls, 1, __ATOMIC_RELAXED);
	for (i = 0; i < KEY_BLOCKS; i++) {
		CHECK(test_verify(v->block[i], 50 + i * 700, v->round) ==
			      50 + i * 700,
		      "round %u: block %u changed", v->round, i);
		free(v->block[i]);
	}
	if (v->round + 1 < 4) {
		next = malloc(sizeof(*next));
		REQUIRE(next, "malloc in a TLS destructor failed");
		next->round = v->round + 1;
		for (i = 0; i < KEY_BLOCKS; i++) {
			next->block[i] = malloc(50 + i * 700);
			REQUIRE(next->block[i], "malloc in a destructor");
			test_fill(next->block[i], 50 + i * 700, next->round);
		}
		for (k = 0; k < KEYS; k++)
			if (pthread_getspecific(keys[k]) == NULL)
				break;
		if (k == KEYS || pthread_setspecific(keys[k], next) != 0)
			REQUIRE(0, "no key is free in a destructor");
	}
	free(v);
}

static void *key_thread(void *arg)
{
	unsigned k, i;

	(void)arg;
	for (k = 0; k < KEYS / 2; k++) {
		struct key_value *v = malloc(sizeof(*v));

		REQUIRE(v, "malloc failed");
		v->round = 0;
		for (i = 0; i < KEY_BLOCKS; i++) {
			v->block[i] = malloc(50 + i * 700);
			REQUIRE(v->block[i], "malloc failed");
			test_fill(v->block[i], 50 + i * 700, 0);
		}
		pthread_setspecific(keys[k * 2], v);
	}
	return NULL;
}

static void case_many_pthread_keys(void)
{
	unsigned i, rounds = test_scaled(50, 10);

	/* More than 32: glibc itself then allocates the second level. */
	for (i = 0; i < KEYS; i++)
		REQUIRE(pthread_key_create(&keys[i], key_destructor) == 0,
			"pthread_key_create %u failed", i);
	key_calls = 0;
	for (i = 0; i < rounds; i++) {
		pthread_t t[3];
		unsigned k;

		for (k = 0; k < 3; k++)
			REQUIRE(pthread_create(&t[k], NULL, key_thread, NULL) ==
					0,
				"pthread_create failed");
		for (k = 0; k < 3; k++)
			pthread_join(t[k], NULL);
	}
	CHECK(key_calls >= rounds * 3 * KEYS / 2,
	      "expected >= %u destructor calls, found %u",
	      rounds * 3 * KEYS / 2, key_calls);
	for (i = 0; i < KEYS; i++)
		pthread_key_delete(keys[i]);
}

static tss_t c11_key;
static unsigned c11_calls;

static void c11_destructor(void *p)
{
	c11_calls++;
	CHECK_U64(test_verify(p, 3000, 8), 3000, "tss block");
	free(p);
	free(malloc(100000));
}

static int c11_thread(void *arg)
{
	void *p = malloc(3000);

	(void)arg;
	REQUIRE(p, "malloc failed");
	test_fill(p, 3000, 8);
	tss_set(c11_key, p);
	return 7;
}

static void case_c11_tss(void)
{
	unsigned i;

	REQUIRE(tss_create(&c11_key, c11_destructor) == thrd_success,
		"tss_create failed");
	c11_calls = 0;
	for (i = 0; i < 40; i++) {
		thrd_t t;
		int rc = 0;

		REQUIRE(thrd_create(&t, c11_thread, NULL) == thrd_success,
			"thrd_create failed");
		thrd_join(t, &rc);
		CHECK_I64(rc, 7, "thread's result");
	}
	CHECK_U64(c11_calls, 40, "destructor calls");
	tss_delete(c11_key);
}

/* ---- blocks that outlive or change threads ---- */

enum { SHARED_BLOCKS = 3000 };

static char *shared[SHARED_BLOCKS];

static size_t shared_size(unsigned i)
{
	return i % 100 == 0 ? 100000 : 16 + i % 40 * 60;
}

static void *fill_shared(void *arg)
{
	unsigned i;

	(void)arg;
	for (i = 0; i < SHARED_BLOCKS; i++) {
		shared[i] = malloc(shared_size(i));
		REQUIRE(shared[i], "malloc failed");
		test_fill(shared[i], shared_size(i), i);
	}
	return NULL;
}

/* A thread whose first and only use of the allocator is free. */
static void *free_shared(void *arg)
{
	unsigned i, step = *(const unsigned *)arg & 0xff;
	unsigned start = *(const unsigned *)arg >> 8;

	for (i = start; i < SHARED_BLOCKS; i += step) {
		size_t n = shared_size(i), good = test_verify(shared[i], n, i);

		CHECK(good == n, "block %u: byte %zu changed", i, good);
		free(shared[i]);
		shared[i] = NULL;
	}
	return NULL;
}

static void run_thread(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	REQUIRE(pthread_create(&t, NULL, fn, arg) == 0,
		"pthread_create failed, errno %d", errno);
	pthread_join(t, NULL);
}

static void case_threads_that_only_free(void)
{
	unsigned round;

	for (round = 0; round < test_scaled(10, 3); round++) {
		unsigned args[4] = { 4, 4 | 1 << 8, 4 | 2 << 8, 4 | 3 << 8 };
		pthread_t t[4];
		unsigned k;

		fill_shared(NULL);
		for (k = 0; k < 4; k++)
			REQUIRE(pthread_create(&t[k], NULL, free_shared,
					       &args[k]) == 0,
				"pthread_create failed");
		for (k = 0; k < 4; k++)
			pthread_join(t[k], NULL);
	}
}

static void case_blocks_of_exited_threads(void)
{
	unsigned round, all = 1;

	for (round = 0; round < test_scaled(20, 4); round++) {
		run_thread(fill_shared, NULL);
		if (round & 1)
			run_thread(free_shared, &all);
		else
			free_shared(&all);
	}
	/* Blocks of several dead threads, resized by this one. */
	run_thread(fill_shared, NULL);
	for (round = 0; round < SHARED_BLOCKS; round++) {
		size_t n = shared_size(round);

		shared[round] = realloc(shared[round], n * 3);
		REQUIRE(shared[round], "realloc failed");
		CHECK_U64(test_verify(shared[round], n, round), n,
			  "a dead thread's block after realloc");
		free(shared[round]);
	}
}

static size_t held_bytes(void)
{
	struct mallinfo2 m = api.mallinfo2();

	return m.arena + m.hblkhd;
}

static unsigned short_threads_run;

static void *short_thread(void *arg)
{
	const uint64_t fill = (uint64_t)(uintptr_t)arg;
	uint64_t seed = fill;
	char *p[30];
	size_t n[30];
	unsigned i;

	for (i = 0; i < 30; i++) {
		n[i] = 16 + test_random(&seed) % 3000;
		p[i] = malloc(n[i]);
		REQUIRE(p[i], "malloc failed");
		test_fill(p[i], n[i], fill + i);
	}
	for (i = 0; i < 30; i++) {
		CHECK(test_verify(p[i], n[i], fill + i) == n[i],
		      "thread %p: block %u changed", arg, i);
		free(p[i]);
	}
	__atomic_add_fetch(&short_threads_run, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void run_short_threads(unsigned count)
{
	unsigned i, k;

	for (i = 0; i < count; i += 4) {
		pthread_t t[4];

		for (k = 0; k < 4; k++)
			REQUIRE(pthread_create(&t[k], NULL, short_thread,
					       (void *)(uintptr_t)(i + k + 1)) ==
					0,
				"pthread_create failed, errno %d", errno);
		for (k = 0; k < 4; k++)
			pthread_join(t[k], NULL);
	}
}

static void case_short_threads_reuse_memory(void)
{
	unsigned count = test_scaled(5000, 300);
	size_t after_some, after_all;
	size_t rss_some, rss_all;

	run_short_threads(100);
	after_some = held_bytes();
	rss_some = api_rss_bytes();
	run_short_threads(count);
	after_all = held_bytes();
	rss_all = api_rss_bytes();
	CHECK_U64(short_threads_run, 100 + count, "threads run");
	CHECK(after_all <= after_some + (8u << 20),
	      "memory held after 100 threads %zu, after %u more %zu", after_some,
	      count, after_all);
	if (!test_under_qemu())
		CHECK(rss_all <= rss_some + (16u << 20),
		      "RSS after 100 threads %zu, after %u more %zu", rss_some,
		      count, rss_all);
}

/* Threads that leave everything live; others free it: nothing may be lost. */
static void case_handed_over_blocks_are_reused(void)
{
	size_t after_some = 0, after_all;
	unsigned i, all = 1, rounds = test_scaled(100, 20);

	for (i = 0; i < rounds; i++) {
		run_thread(fill_shared, NULL);
		run_thread(free_shared, &all);
		if (i == rounds / 10)
			after_some = held_bytes();
	}
	after_all = held_bytes();
	CHECK(after_all <= after_some + (32u << 20),
	      "memory held after %u rounds %zu, after %u %zu", rounds / 10,
	      after_some, rounds, after_all);
}

static void *exiting_thread(void *arg)
{
	(void)arg;
	free(malloc(500));
	pthread_exit(malloc(700));
}

static void case_pthread_exit(void)
{
	unsigned i;

	for (i = 0; i < test_scaled(100, 20); i++) {
		void *result = NULL;
		pthread_t t;

		REQUIRE(pthread_create(&t, NULL, exiting_thread, NULL) == 0,
			"pthread_create failed");
		pthread_join(t, &result);
		CHECK(result && malloc_usable_size(result) >= 700,
		      "block returned through pthread_exit: %p", result);
		free(result);
	}
}

/* main returns, or the process exits, while other threads still allocate. */
static void *endless_thread(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;
	char *keep[32];

	memset(keep, 0, sizeof(keep));
	for (;;) {
		unsigned i = (unsigned)(test_random(&seed) % 32);

		free(keep[i]);
		keep[i] = malloc(1 + test_random(&seed) % 5000);
	}
	return NULL;
}

static void case_exit_while_threads_allocate(void)
{
	unsigned i, k;

	for (i = 0; i < test_scaled(30, 5); i++) {
		pid_t pid;

		fflush(NULL);
		pid = fork();
		if (pid == 0) {
			for (k = 0; k < 3; k++) {
				pthread_t t;

				if (pthread_create(&t, NULL, endless_thread,
						   (void *)(uintptr_t)(k + 1)))
					_exit(3);
			}
			atexit(at_exit_handler);
			api_sleep_ms(2);
			exit(0);
		}
		if (!api_expect_clean_exit(pid, test_scaled(20000, 60000),
					   "exit() under load"))
			break;
	}
}

static const struct test_case cases[] = {
	{ "constructor_blocks", case_constructor_blocks },
	{ "exit_handlers", case_exit_handlers },
	{ "many_pthread_keys", case_many_pthread_keys },
	{ "c11_tss", case_c11_tss },
	{ "threads_that_only_free", case_threads_that_only_free },
	{ "blocks_of_exited_threads", case_blocks_of_exited_threads },
	{ "short_threads_reuse_memory", case_short_threads_reuse_memory },
	{ "handed_over_blocks_are_reused", case_handed_over_blocks_are_reused },
	{ "pthread_exit", case_pthread_exit },
	{ "exit_while_threads_allocate", case_exit_while_threads_allocate },
};

int main(int argc, char **argv)
{
	api_init();
	atexit(at_exit_handler);
	return TEST_MAIN(argc, argv, cases);
}
