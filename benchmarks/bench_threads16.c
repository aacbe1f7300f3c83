/* bench_threads16: many threads, each with its own small objects.
 *
 * Each of `threads` (16) threads keeps `live` (1000) blocks of min..max (16..512) bytes and
 * replaces a random one, `ops` (6*10^7) times over all threads: check the first word, free,
 * malloc of a random size, write the first word. --remote (0): in this share of the
 * operations, in percent, the freed block is first swapped with one that another thread
 * left in a shared table of 4 slots a thread, so that it is freed by a stranger. --seed (1).
 * One operation: one malloc or one free, over all threads; wall time.
 */
#include "common/bench.h"

#include <stdatomic.h>

struct mailbox {
	_Alignas(BENCH_CACHELINE) _Atomic(uint64_t *) block;
};

static size_t min_size, max_size;
static uint64_t live, ops_per_thread, seed, remote_percent;
static struct mailbox *boxes;
static unsigned nboxes;

static void work(unsigned index, void *arg)
{
	struct bench_rng rng = bench_rng_seed(seed * 1000 + index);
	uint64_t **table = ((uint64_t ***)arg)[index];

	for (uint64_t i = 0; i < ops_per_thread; i++) {
		uint64_t slot = bench_rng_below(&rng, live);
		uint64_t *p = table[slot];

		if (p && *p != slot)
			bench_die("a live block was overwritten");
		if (remote_percent && bench_rng_below(&rng, 100) < remote_percent)
			p = atomic_exchange_explicit(&boxes[bench_rng_below(&rng, nboxes)].block, p,
						     memory_order_acq_rel);
		free(p);
		p = bench_malloc(bench_rng_range(&rng, min_size, max_size));
		p[0] = slot;
		table[slot] = p;
	}
	for (uint64_t i = 0; i < live; i++)
		free(table[i]);
}

int main(int argc, char **argv)
{
	static uint64_t **tables[BENCH_MAX_THREADS];
	unsigned threads;

	bench_init(argc, argv, "threads16");
	threads = (unsigned)bench_param("threads", 16);
	live = bench_param("live", 1000);
	min_size = bench_param("min", 16);
	max_size = bench_param("max", 512);
	remote_percent = bench_param("remote", 0);
	seed = bench_param("seed", 1);
	if (threads < 1 || threads > BENCH_MAX_THREADS || min_size < 8 || max_size < min_size ||
	    !live)
		bench_die("1..%d threads, 8 <= min <= max, live >= 1", BENCH_MAX_THREADS);
	ops_per_thread = bench_scaled(bench_param("ops", 60000000)) / threads;
	nboxes = threads * 4;
	boxes = bench_map(nboxes * sizeof(*boxes));
	for (unsigned i = 0; i < threads; i++)
		tables[i] = bench_map(live * sizeof(uint64_t *));
	bench_run_threads(threads, work, tables);
	return bench_report(ops_per_thread * threads * 2);
}
