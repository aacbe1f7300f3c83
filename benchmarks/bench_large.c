/* bench_large: large blocks.
 *
 * Each of `threads` (1) threads keeps `live` (16) blocks of min..max (64 KiB..16 MiB), evenly
 * spread over the powers of two, and replaces a random one; `ops` (20000) over all.
 * --touch=ends writes the first and last word, all writes a word of each 4096 bytes. --seed (1).
 * One operation: one free and one malloc; CPU time for one thread, else wall time.
 */
#include "common/bench.h"

static size_t min_size, max_size;
static uint64_t live, ops_per_thread, seed;
static unsigned powers;
static bool touch_all;

static void work(unsigned index, void *arg)
{
	struct bench_rng rng = bench_rng_seed(seed * 1000 + index);
	uint64_t **table = ((uint64_t ***)arg)[index];

	for (uint64_t i = 0; i < ops_per_thread; i++) {
		uint64_t slot = bench_rng_below(&rng, live);
		size_t base = min_size << bench_rng_below(&rng, powers);
		size_t size = (base + (size_t)bench_rng_below(&rng, base)) & ~(size_t)7;
		uint64_t *p = table[slot];

		if (p && *p != slot)
			bench_die("a live block was overwritten");
		free(p);
		p = bench_malloc(size);
		if (touch_all)
			for (size_t at = 0; at < size / 8; at += 512)
				p[at] = i;
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

	bench_init(argc, argv, "large");
	threads = (unsigned)bench_param("threads", 1);
	live = bench_param("live", 16);
	min_size = bench_param("min", 64 << 10);
	max_size = bench_param("max", 16 << 20);
	touch_all = !strcmp(bench_param_str("touch", "ends"), "all");
	seed = bench_param("seed", 1);
	if (threads < 1 || threads > BENCH_MAX_THREADS || min_size < 16 ||
	    max_size < 2 * min_size || !live)
		bench_die("1..%d threads, 16 <= min <= max / 2, live >= 1", BENCH_MAX_THREADS);
	for (powers = 0; min_size << (powers + 1) <= max_size; powers++)
		continue;
	ops_per_thread = bench_scaled(bench_param("ops", 20000)) / threads;
	for (unsigned i = 0; i < threads; i++)
		tables[i] = bench_map(live * sizeof(uint64_t *));
	bench_run_threads(threads, work, tables);
	return bench_report(ops_per_thread * threads);
}
