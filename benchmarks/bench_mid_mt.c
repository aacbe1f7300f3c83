/* bench_mid_mt: mid-size objects on several threads.
 *
 * Each of `threads` (4) threads keeps `live` (64) blocks of min..max (8192..32768) bytes and
 * replaces a random one `ops` times (2*10^7 / threads): free, malloc of another random size,
 * write the first and the last word. No thread touches another's blocks. --seed (1).
 * One operation: one malloc or one free, over all threads; wall time.
 */
#include "common/bench.h"

static size_t min_size, max_size;
static uint64_t live, ops_per_thread, seed;

static void work(unsigned index, void *arg)
{
	struct bench_rng rng = bench_rng_seed(seed * 1000 + index);
	uint64_t ***tables = arg;
	uint64_t **table = tables[index];

	for (uint64_t i = 0; i < ops_per_thread; i++) {
		uint64_t slot = bench_rng_below(&rng, live);
		size_t size = bench_rng_range(&rng, min_size, max_size) & ~(size_t)7;
		uint64_t *p = table[slot];

		if (p && *p != slot)
			bench_die("a live block was overwritten");
		free(p);
		p = bench_malloc(size);
		p[size / 8 - 1] = i;
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

	bench_init(argc, argv, "mid_mt");
	threads = (unsigned)bench_param("threads", 4);
	live = bench_param("live", 64);
	min_size = bench_param("min", 8192);
	max_size = bench_param("max", 32768);
	seed = bench_param("seed", 1);
	if (threads < 1 || threads > BENCH_MAX_THREADS || min_size < 16 || max_size < min_size ||
	    !live)
		bench_die("1..%d threads, 16 <= min <= max, live >= 1", BENCH_MAX_THREADS);
	ops_per_thread = bench_scaled(bench_param("ops", 20000000)) / threads;
	for (unsigned i = 0; i < threads; i++)
		tables[i] = bench_map(live * sizeof(uint64_t *));
	bench_run_threads(threads, work, tables);
	return bench_report(ops_per_thread * threads * 2);
}
