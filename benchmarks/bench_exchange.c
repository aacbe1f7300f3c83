/* bench_exchange: threads swap blocks through a shared table.
 *
 * Each of `threads` (4) threads: malloc of min..max (16..256) bytes, write the first word, swap the
 * pointer atomically with a random one of `slots` (4096) shared slots, free what came out,
 * mostly a block of another thread. `ops` (10^7) over all threads. --seed (1).
 * One operation: one malloc, one swap, one free; wall time.
 */
#include "common/bench.h"

#include <stdatomic.h>

#define TAG UINT64_C(0x45584348414e4745)

static _Atomic(uint64_t *) *table;
static uint64_t slots, ops_per_thread, seed;
static size_t min_size, max_size;

static void work(unsigned index, void *arg)
{
	struct bench_rng rng = bench_rng_seed(seed * 1000 + index);

	(void)arg;
	for (uint64_t i = 0; i < ops_per_thread; i++) {
		uint64_t *p = bench_malloc(bench_rng_range(&rng, min_size, max_size));

		*p = TAG;
		p = atomic_exchange_explicit(&table[bench_rng_below(&rng, slots)], p,
					     memory_order_acq_rel);
		if (p && *p != TAG)
			bench_die("a live block was overwritten");
		free(p);
	}
}

int main(int argc, char **argv)
{
	unsigned threads;

	bench_init(argc, argv, "exchange");
	threads = (unsigned)bench_param("threads", 4);
	slots = bench_param("slots", 4096);
	min_size = bench_param("min", 16);
	max_size = bench_param("max", 256);
	seed = bench_param("seed", 1);
	if (threads < 1 || threads > BENCH_MAX_THREADS || min_size < 8 || max_size < min_size ||
	    !slots)
		bench_die("1..%d threads, 8 <= min <= max, slots >= 1", BENCH_MAX_THREADS);
	ops_per_thread = bench_scaled(bench_param("ops", 10000000)) / threads;
	table = bench_map(slots * sizeof(*table));
	bench_run_threads(threads, work, NULL);
	for (uint64_t i = 0; i < slots; i++)
		free(atomic_load(&table[i]));
	return bench_report(ops_per_thread * threads);
}
