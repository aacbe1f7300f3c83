/*
 * Threads that meet the allocator where it is least expected: inside the C
 * library's own thread functions, in threads that never allocate, in the middle
 * of another thread's realloc, and as the only thread that could take back what
 * others freed.
 */
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "api.h"
#include "hakmem/hakmem.h"

enum { KIB = 1 << 10, MIB = 1 << 20 };

static bool stop;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static pthread_t start_thread(void *(*fn)(void *), uintptr_t arg)
{
	pthread_t t;

	REQUIRE(pthread_create(&t, NULL, fn, (void *)arg) == 0,
		"pthread_create failed");
	return t;
}

/* ---- free, called by the C library with its list of stacks locked ---- */

enum { USED_UP_BLOCKS = 600 };

/*
 * Use and free 128 KiB of each larger size. What the thread leaves is enough
 * for the allocator to think of maintenance, at the latest when the C library
 * frees the thread's own records: under the lock that pthread_create takes.
 */
static void *use_many_sizes(void *arg)
{
	char *p[USED_UP_BLOCKS];
	size_t step, size;
	unsigned i, n = 0;

	(void)arg;
	for (size = 4 * KIB; size <= 32 * KIB; size += step) {
		for (step = 512; step * 16 <= size; step *= 2)
			;
		for (i = 0; i < 128 * KIB / size && n < USED_UP_BLOCKS; i++) {
			p[n] = api.malloc(size);
			REQUIRE(p[n], "malloc failed");
			memset(p[n++], 1, size);
		}
	}
	while (n > 0)
		api.free(p[--n]);
	return NULL;
}

static void end_detached(const pthread_attr_t *attr)
{
	pthread_t t;

	REQUIRE(pthread_create(&t, attr, use_many_sizes, NULL) == 0,
		"pthread_create (detached) failed");
	api_sleep_ms(200);
}

/* A stack of the program's own: its thread's records go back at once. */
static void end_on_own_stack(void)
{
	void *stack = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_t attr;

	REQUIRE(stack != MAP_FAILED, "mmap failed, errno %d", errno);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstack(&attr, stack, MIB);
	end_detached(&attr);
	/* Hangs if the lock of the stacks is never released. */
	pthread_join(start_thread(use_many_sizes, 0), NULL);
}

/* Stacks larger than what the C library keeps: freed by the next that ends. */
static void end_on_large_stacks(void)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 48 * MIB);
	end_detached(&attr);
	end_detached(&attr);
	pthread_join(start_thread(use_many_sizes, 0), NULL);
}

/* A child each: the first free that asks for maintenance is the one that counts. */
static void case_free_under_the_lock_of_stacks(void)
{
	if (test_under_qemu()) {
		test_skip_case("qemu fails when a forked child starts threads");
		return;
	}
	api_isolated(end_on_own_stack, 8000);
	api_isolated(end_on_large_stacks, 8000);
}

/* ---- threads that never allocate, but free what the C library gave them ---- */

static unsigned alive;

static void *only_live(void *arg)
{
	(void)arg;
	usleep(1000);
	__atomic_sub_fetch(&alive, 1, __ATOMIC_RELEASE);
	return NULL;
}

static size_t heaps(void)
{
	struct hak_stats s = { .struct_bytes = sizeof(s) };
	bool (*get)(struct hak_stats *);
	void *fn = API_LOOKUP(hak_stats_get);

	if (fn == NULL)
		return 0;
	memcpy(&get, &fn, sizeof(get));
	return get(&s) ? s.heaps : 0;
}

/*
 * At their end, after the last destructor, they free each other's records. A
 * heap that is given to a thread then is never given back.
 */
static void case_detached_threads_leave_no_heaps(void)
{
	enum { TOGETHER = 24 };
	unsigned i, count = test_scaled(1000, 200);
	size_t before = heaps(), after;
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* Few of this size are kept: most are freed. */
	pthread_attr_setstacksize(&attr, 8 * MIB);
	for (i = 0; i < count; i++) {
		while (__atomic_load_n(&alive, __ATOMIC_ACQUIRE) >= TOGETHER)
			usleep(100);
		__atomic_add_fetch(&alive, 1, __ATOMIC_RELAXED);
		REQUIRE(pthread_create(&t, &attr, only_live, NULL) == 0,
			"pthread_create %u failed", i);
	}
	while (__atomic_load_n(&alive, __ATOMIC_ACQUIRE) != 0)
		usleep(100);
	api_sleep_ms(50);
	after = heaps();
	CHECK(after <= before + TOGETHER + 1,
	      "expected <= %u heaps more after %u threads, found %zu, then %zu",
	      TOGETHER + 1, count, before, after);
	pthread_attr_destroy(&attr);
}

/* ---- realloc that moves huge blocks, and others who map memory ---- */

enum { GROWTHS = 5, HELD = 8 };

/* The first and last word say whose the block is: no page more is touched. */
static void stamp(char *p, size_t n, uint64_t value)
{
	memcpy(p, &value, sizeof(value));
	memcpy(p + n - sizeof(value), &value, sizeof(value));
}

static bool is_stamped(const char *p, size_t n, uint64_t value)
{
	return memcmp(p, &value, sizeof(value)) == 0 &&
	       memcmp(p + n - sizeof(value), &value, sizeof(value)) == 0;
}

static void *grow_huge(void *arg)
{
	uint64_t seed = (uintptr_t)arg;

	while (!stopped()) {
		size_t n = 2 * MIB;
		char *p = api.malloc(n);
		unsigned i;

		REQUIRE(p, "malloc failed");
		stamp(p, n, seed);
		for (i = 0; i < GROWTHS; i++) {
			uint64_t was = seed;
			/* In the way of a block that would grow where it is. */
			char *behind = api.malloc(1200 * KIB +
						  test_random(&seed) % MIB);
			char *moved = api.realloc(p, 2 * n);

			REQUIRE(behind && moved, "malloc or realloc failed");
			CHECK(memcmp(moved, &was, sizeof(was)) == 0 &&
				      memcmp(moved + n - sizeof(was), &was,
					     sizeof(was)) == 0,
			      "a block of %zu MiB changed as it grew", n / MIB);
			p = moved;
			n *= 2;
			CHECK(api.usable_size(p) >= n, "usable size %zu of %zu",
			      api.usable_size(p), n);
			stamp(p, n, seed);
			api.free(behind);
		}
		api.free(p);
	}
	return NULL;
}

static void *map_huge(void *arg)
{
	uint64_t seed = (uintptr_t)arg, mark[HELD];
	char *p[HELD] = { NULL };
	size_t n[HELD];
	unsigned i;

	while (!stopped()) {
		i = (unsigned)(test_random(&seed) % HELD);
		if (p[i])
			CHECK(is_stamped(p[i], n[i], mark[i]),
			      "a huge block changed beside realloc");
		api.free(p[i]);
		n[i] = 33 * MIB + test_random(&seed) % (8 * MIB) / 16 * 16;
		mark[i] = seed;
		p[i] = api.malloc(n[i]);
		REQUIRE(p[i], "malloc failed");
		stamp(p[i], n[i], mark[i]);
	}
	for (i = 0; i < HELD; i++)
		api.free(p[i]);
	return NULL;
}

/*
 * The range that a moved block leaves is another thread's at once: who forgets
 * it later forgets that thread's block.
 */
static void case_huge_realloc_beside_mmap(void)
{
	pthread_t t[4];
	unsigned i;

	stop = false;
	for (i = 0; i < 4; i++)
		t[i] = start_thread(i < 2 ? grow_huge : map_huge, i + 1);
	api_sleep_ms(2000);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

/* ---- what others freed comes back, whatever the owner is busy with ---- */

enum { LENT_BLOCKS = 100000, LENT_BYTES = 1000, BUSY_BLOCKS = 2000 };

static char *lent[LENT_BLOCKS];

static void *free_lent(void *arg)
{
	unsigned i;

	(void)arg;
	for (i = 0; i < LENT_BLOCKS; i++)
		api.free(lent[i]);
	return NULL;
}

static void be_busy_with_another_size(void)
{
	static char *p[BUSY_BLOCKS];
	unsigned i;

	for (i = 0; i < BUSY_BLOCKS; i++)
		p[i] = api.malloc(64);
	for (i = 0; i < BUSY_BLOCKS; i++)
		api.free(p[i]);
	usleep(500);
}

static void case_remote_frees_reach_a_busy_owner(void)
{
	uint64_t end;
	size_t before, full, now;
	unsigned i;

	if (test_under_qemu()) {
		test_skip_case("resident memory is the emulator's");
		return;
	}
	before = api_rss_bytes();
	for (i = 0; i < LENT_BLOCKS; i++) {
		lent[i] = api.malloc(LENT_BYTES);
		REQUIRE(lent[i], "malloc failed");
		memset(lent[i], 1, LENT_BYTES);
	}
	full = api_rss_bytes();
	pthread_join(start_thread(free_lent, 0), NULL);
	/* It never asks for a block of that size again. */
	end = test_now_ms() + 4000;
	do {
		be_busy_with_another_size();
		now = api_rss_bytes();
	} while (now > before + (full - before) / 4 && test_now_ms() < end);
	CHECK(now <= before + (full - before) / 4,
	      "freed by another thread: RSS %zu KiB before, %zu full, still %zu",
	      before / KIB, full / KIB, now / KIB);
}

static const struct test_case cases[] = {
	{ "free_under_the_lock_of_stacks", case_free_under_the_lock_of_stacks },
	{ "detached_threads_leave_no_heaps",
	  case_detached_threads_leave_no_heaps },
	{ "huge_realloc_beside_mmap", case_huge_realloc_beside_mmap },
	{ "remote_frees_reach_a_busy_owner",
	  case_remote_frees_reach_a_busy_owner },
};

int main(int argc, char **argv)
{
	api_init();
	return TEST_MAIN(argc, argv, cases);
}
