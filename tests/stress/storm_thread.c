/* Thread storm: thousands of short threads pass blocks on and end.
 *
 * Each thread takes blocks that earlier, mostly dead threads left in shared slots,
 * checks and frees or resizes them, leaves new ones, and ends; most blocks outlive
 * their thread, and the memory of dead threads must be taken up by the living. In
 * the internal build mapped memory and the number of heaps may not grow with the
 * number of threads.
 */
#include "names.h"
#include "shadow.h"
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { SLOTS = 256, BLOCKS_PER_THREAD = 64, MAX_AT_ONCE = 64 };

struct slot {
	pthread_mutex_t lock;
	struct shadow_block block;
};

static struct slot slots[SLOTS];

static void walk(shadow_visit_fn *visit, void *arg)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (visit(&slots[i].block, arg))
			return;
}

static void describe(char *buf, size_t size)
{
	(void)size;
	memcpy(buf, "  (see the threads' stacks)", sizeof("  (see the threads' stacks)"));
}

static void dispose(struct shadow_block *b, struct rng *rng)
{
	if (!b->at)
		return;
	shadow_leave(b, "free of another thread's block");
	if (rng_one_in(rng, 4)) {
		size_t size = b->asked / 2 + 1;
		unsigned char *p = st_realloc(b->at, size);
		if (!p)
			fail("realloc to %zu bytes returned NULL", size);
		shadow_verify(b, p, size < b->filled ? size : b->filled, "realloc");
		st_free(p);
		return;
	}
	st_free(b->at);
}

static size_t draw_size(struct rng *rng)
{
	unsigned bits = (unsigned)rng_below(rng, rng_one_in(rng, 32) ? 17 : 11);

	return rng_below(rng, (size_t)2 << bits);
}

static void *short_life(void *arg)
{
	unsigned number = *(unsigned *)arg;
	struct rng rng = { *(unsigned *)arg * UINT64_C(0x2545f4914f6cdd1d) };

	thread_name_set("short", number);
	for (unsigned i = 0; i < BLOCKS_PER_THREAD; i++) {
		size_t size = draw_size(&rng);
		void *p = i % 8 ? st_malloc(size) : st_calloc(1, size);
		if (!p)
			fail("allocation of %zu bytes returned NULL", size);
		if (i % 8 == 0)
			shadow_verify_zero(p, size, "calloc", &rng);
		struct shadow_block mine;
		shadow_born(&mine, p, size, 16, i % 8 ? "malloc" : "calloc", i, &rng);
		struct slot *s = &slots[rng_below(&rng, SLOTS)];
		pthread_mutex_lock(&s->lock);
		struct shadow_block theirs = s->block;
		s->block = mine;
		pthread_mutex_unlock(&s->lock);
		dispose(&theirs, &rng);
	}
	watchdog_kick();
	return NULL;
}

static void batch(unsigned *next, unsigned n)
{
	static unsigned numbers[MAX_AT_ONCE];
	pthread_t threads[MAX_AT_ONCE];

	for (unsigned i = 0; i < n; i++) {
		numbers[i] = ++*next;
		int err = pthread_create(&threads[i], NULL, short_life, &numbers[i]);
		if (err)
			fail("cannot create thread %u: %s", *next, strerror(err));
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

struct footprint {
	size_t mapped, heaps;
};

static struct footprint footprint_now(void)
{
#ifndef STRESS_LIBC
	struct hak_stats st = { .struct_bytes = sizeof(st) };

	(void)hak_stats_get(&st);
	return (struct footprint){ st.mapped_bytes, st.heaps };
#else
	return (struct footprint){ 0, 0 };
#endif
}

static void check_footprint(struct footprint early, unsigned early_threads, unsigned threads,
			    unsigned at_once)
{
	enum { SLACK = 8 << 20 };
	struct footprint late = footprint_now();

	if (late.mapped > early.mapped + early.mapped / 2 + SLACK)
		fail("mapped memory grew from %zu KiB after %u threads to %zu KiB after %u: dead "
		     "threads leak",
		     early.mapped >> 10, early_threads, late.mapped >> 10, threads);
	if (late.heaps > at_once * 2 + 8)
		fail("%zu heaps after %u threads of which at most %u lived at once", late.heaps,
		     threads, at_once);
}

int main(int argc, char **argv)
{
	struct stress_args args = { .program = "storm_thread", .seconds = 3, .threads = 8,
				    .max_bytes = (size_t)64 << 20 };
	struct footprint early = { 0 };
	unsigned next = 0, early_threads = 0, limit;

	args_parse(&args, argc, argv);
	if (args.threads > MAX_AT_ONCE)
		args.threads = MAX_AT_ONCE;
	limit = args.ops ? (unsigned)args.ops : 4000 * args.percent / 100;
	watchdog_start(describe);
	shadow_set_walker(walk);
	for (unsigned i = 0; i < SLOTS; i++)
		pthread_mutex_init(&slots[i].lock, NULL);
	uint64_t end = clock_ns() + (uint64_t)(args.seconds * 1e9);
	while (next < limit || (!args.ops && clock_ns() < end)) {
		batch(&next, args.threads);
		if (!early_threads && next >= limit / 4) {
			early = footprint_now();
			early_threads = next;
		}
		if (next % (args.threads * 64) == 0)
			st_check_all();
	}
	check_footprint(early, early_threads, next, args.threads);
	struct rng rng = { args.seed };
	for (unsigned i = 0; i < SLOTS; i++)
		dispose(&slots[i].block, &rng);
	shadow_check_nothing_live();
	say("storm_thread: %u threads, nothing found", next);
	return 0;
}
