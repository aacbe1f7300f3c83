/* A program whose nature changes while it runs, for the control loop to follow. One
 * operation is a block allocated or freed. --pattern says what changes, --seconds how
 * long a phase lasts, --phases how many there are; phases alternate.
 *
 *   mix     small blocks of few sizes; then many sizes to 8 KiB. Random replacement.
 *   grow    a live set within the cache; then one ten times larger than it.
 *   prodcons   two threads work by themselves; then one allocates and the other frees.
 *   burst   a burst of work on a large live set; then idle, 1 % of it live.
 *   pulse   the same, but for a fifth of a phase, and idle for the rest of two.
 *   shrink  a large live set; then a tenth of it, chosen at random, and few operations.
 *   startup 32 threads that make and free 200 blocks at a time, as fast as they can for a fifth
 *           of a phase; then smaller ones, few a second.
 *   pool    32 threads that serve requests, few a second each: 200 blocks that are freed together;
 *           the second phase has smaller blocks.
 *
 * --touch=all writes blocks whole when they are allocated; by default their first and last byte.
 *
 * Extra figures: rss_mean_kib, the mean of resident memory at ten looks per length of a phase.
 */
#include <stdatomic.h>
#include <time.h>

#include "common/bench.h"

enum { LOOKS_PER_PHASE = 10, BATCH_OPS = 1000, RING_SLOTS = 4096, MAX_THREADS = 32 };

struct phase {
	size_t live;        /* blocks */
	size_t low, high;   /* bytes of a block */
	bool handed_over;   /* blocks are freed by the other thread */
	bool idle;
	bool requests;      /* all blocks are allocated, then all freed, again and again */
	uint64_t rate;      /* operations per second and thread; 0: as many as go */
	unsigned tenths;    /* of a phase's time; 0: all of it */
};

struct pattern {
	const char *name;
	unsigned threads;
	struct phase phases[2];
};

static const struct pattern patterns[] = {
	{ "mix", 1, { { .live = 20000, .low = 16, .high = 64 },
		      { .live = 20000, .low = 16, .high = 8192 } } },
	{ "grow", 1, { { .live = 10000, .low = 64, .high = 512 },
		       { .live = 1000000, .low = 64, .high = 512 } } },
	{ "prodcons", 2, { { .live = 10000, .low = 16, .high = 1024 },
			   { .live = 10000, .low = 16, .high = 1024, .handed_over = true } } },
	{ "burst", 1, { { .live = 400000, .low = 16, .high = 1024 },
			{ .idle = true, .live = 4000 } } },
	{ "pulse", 1, { { .live = 400000, .low = 16, .high = 1024, .tenths = 2 },
			{ .idle = true, .live = 4000, .tenths = 18 } } },
	{ "shrink", 1, { { .live = 400000, .low = 16, .high = 1024 },
			 { .live = 40000, .low = 16, .high = 1024, .rate = 50000 } } },
	{ "startup", 32,
	  { { .live = 200, .low = 16, .high = 32768, .requests = true, .tenths = 2 },
	    { .live = 200, .low = 16, .high = 512, .requests = true, .rate = 1000 } } },
	{ "pool", 32,
	  { { .live = 200, .low = 16, .high = 32768, .requests = true, .rate = 2000 },
	    { .live = 200, .low = 16, .high = 2048, .requests = true, .rate = 2000 } } },
};

/* One producer, one consumer. */
struct ring {
	_Atomic size_t head, tail;
	void *slots[RING_SLOTS];
};

static const struct pattern *pattern;
static uint64_t phase_ns;
static bool touch_all;
static unsigned nphases;
static struct ring ring;
static uint64_t ops_of[MAX_THREADS];
static uint64_t rss_sum, rss_looks;

static void look(void)
{
	rss_sum += bench_rss_kib();
	rss_looks++;
}

static void *new_block(struct bench_rng *rng, const struct phase *p)
{
	size_t bytes = bench_rng_range(rng, p->low, p->high);
	char *block = bench_malloc(bytes);
	if (touch_all)
		memset(block, 1, bytes);
	else
		block[0] = block[bytes - 1] = 1;
	return block;
}

static bool has_room(void)
{
	return atomic_load_explicit(&ring.head, memory_order_relaxed) -
		       atomic_load_explicit(&ring.tail, memory_order_acquire) < RING_SLOTS;
}

static void push(void *p)
{
	size_t head = atomic_load_explicit(&ring.head, memory_order_relaxed);
	ring.slots[head % RING_SLOTS] = p;
	atomic_store_explicit(&ring.head, head + 1, memory_order_release);
}

static bool pop(void **p)
{
	size_t tail = atomic_load_explicit(&ring.tail, memory_order_relaxed);
	if (tail == atomic_load_explicit(&ring.head, memory_order_acquire))
		return false;
	*p = ring.slots[tail % RING_SLOTS];
	atomic_store_explicit(&ring.tail, tail + 1, memory_order_release);
	return true;
}

/* Go to a live set of `live` blocks; what is too much is freed, chosen at random. */
static uint64_t resize(void **blocks, size_t have, const struct phase *p, struct bench_rng *rng)
{
	const size_t live = p->requests ? 0 : p->live;
	for (size_t n = have; n > live; n--) {
		size_t pick = bench_rng_below(rng, n);
		free(blocks[pick]);
		blocks[pick] = blocks[n - 1];
	}
	for (size_t i = have; i < live; i++)
		blocks[i] = new_block(rng, p);
	return have > live ? have - live : live - have;
}

/* A request: blocks that live together. */
static uint64_t serve(void **blocks, const struct phase *p, struct bench_rng *rng)
{
	for (size_t i = 0; i < p->live; i++)
		blocks[i] = new_block(rng, p);
	for (size_t i = 0; i < p->live; i++)
		free(blocks[i]);
	return 2 * p->live;
}

static uint64_t replace(void **blocks, const struct phase *p, struct bench_rng *rng)
{
	for (unsigned i = 0; i < BATCH_OPS / 2; i++) {
		size_t slot = bench_rng_below(rng, p->live);
		free(blocks[slot]);
		blocks[slot] = new_block(rng, p);
	}
	return BATCH_OPS;
}

static uint64_t hand_over(unsigned index, const struct phase *p, struct bench_rng *rng)
{
	void *block;
	for (unsigned i = 0; i < BATCH_OPS; i++) {
		if (index == 0 ? !has_room() : !pop(&block))
			return i;
		if (index == 0)
			push(new_block(rng, p));
		else
			free(block);
	}
	return BATCH_OPS;
}

static uint64_t some_work(unsigned index, const struct phase *p, void **blocks,
			  struct bench_rng *rng)
{
	if (p->handed_over)
		return hand_over(index, p, rng);
	return p->requests ? serve(blocks, p, rng) : replace(blocks, p, rng);
}

static uint64_t run_phase(unsigned index, const struct phase *p, void **blocks,
			  struct bench_rng *rng)
{
	const uint64_t begin = bench_now_ns();
	const uint64_t length_ns = p->tenths == 0 ? phase_ns : phase_ns / 10 * p->tenths;
	uint64_t ops = 0, next_look = begin, now;
	while ((now = bench_now_ns()) - begin < length_ns) {
		bool wait =
			p->idle || (p->rate > 0 && ops > (now - begin) / 1000 * p->rate / 1000000);
		if (index == 0 && now >= next_look) {
			look();
			next_look += phase_ns / LOOKS_PER_PHASE;
		}
		if (wait)
			nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		else
			ops += some_work(index, p, blocks, rng);
	}
	return ops;
}

static void work(unsigned index, void *arg)
{
	struct bench_rng rng = bench_rng_seed(index);
	size_t have = 0, most = 0;
	void **blocks;
	(void)arg;
	for (unsigned i = 0; i < 2; i++)
		most = pattern->phases[i].live > most ? pattern->phases[i].live : most;
	blocks = bench_map(most * sizeof(*blocks));
	for (unsigned n = 0; n < nphases; n++) {
		const struct phase *p = &pattern->phases[n % 2];
		ops_of[index] += resize(blocks, have, p, &rng);
		have = p->requests ? 0 : p->live;
		ops_of[index] += run_phase(index, p, blocks, &rng);
	}
}

int main(int argc, char **argv)
{
	const char *name;
	uint64_t ops = 0;
	bench_init(argc, argv, "phases");
	name = bench_param_str("pattern", "mix");
	nphases = (unsigned)bench_param("phases", 4);
	phase_ns = bench_scaled(bench_param("seconds", 3) * 1000000000);
	touch_all = strcmp(bench_param_str("touch", "ends"), "all") == 0;
	for (unsigned i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		if (strcmp(patterns[i].name, name) == 0)
			pattern = &patterns[i];
	if (pattern == NULL)
		bench_die("no pattern %s", name);
	bench_run_threads(pattern->threads, work, NULL);
	look();
	bench_extra("rss_mean_kib", (double)rss_sum / (double)rss_looks);
	for (unsigned i = 0; i < pattern->threads; i++)
		ops += ops_of[i];
	return bench_report(ops);
}
