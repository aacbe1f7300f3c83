/* bench_calloc: zeroed blocks, one thread.
 *
 * `live` (1000) blocks of min..max (16..1024) bytes; `ops` (10^7) times a random one is freed and
 * replaced by calloc; the first and last byte must be zero and are then written, so that a reused
 * block is dirty. --dirty=all writes the whole block. --seed (1).
 * One operation: one free and one calloc.
 */
#include "common/bench.h"

int main(int argc, char **argv)
{
	struct bench_rng rng;
	uint64_t live, ops;
	size_t min, max;
	bool all;
	char **table;

	bench_init(argc, argv, "calloc");
	live = bench_param("live", 1000);
	min = bench_param("min", 16);
	max = bench_param("max", 1024);
	ops = bench_scaled(bench_param("ops", 10000000));
	all = !strcmp(bench_param_str("dirty", "ends"), "all");
	rng = bench_rng_seed(bench_param("seed", 1));
	if (!min || max < min || !live)
		bench_die("1 <= min <= max, live >= 1");
	table = bench_map(live * sizeof(*table));
	bench_start();
	for (uint64_t i = 0; i < ops; i++) {
		uint64_t slot = bench_rng_below(&rng, live);
		size_t size = bench_rng_range(&rng, min, max);
		char *p;

		free(table[slot]);
		p = calloc(1, size);
		if (!p)
			bench_die("calloc of %zu bytes failed", size);
		bench_escape(p);
		if (p[0] || p[size - 1])
			bench_die("calloc gave a block that isn't zero");
		if (all)
			memset(p, 1, size);
		p[0] = p[size - 1] = 1;
		table[slot] = p;
	}
	bench_stop();
	return bench_report(ops);
}
