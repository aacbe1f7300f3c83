/* bench_giant_set: a working set far larger than the caches, one thread.
 *
 * `objects` (10^6) blocks of min..max (16..512) bytes, uniform, are alive and fully written.
 * Then `ops` (2*10^6) times: pick a random block, check its first word, free it, malloc
 * another random size into its place and write all of it.
 * One operation: one such replacement (one free, one malloc, one fill). --seed (1).
 * Measured: the replacements. fill_ns: one malloc and write while the set is built.
 */
#include "common/bench.h"

struct object {
	uint64_t *block;
};

static uint64_t *make(struct bench_rng *rng, size_t min, size_t max, uint64_t tag)
{
	size_t size = bench_rng_range(rng, min, max);
	uint64_t *p = bench_malloc(size);

	memset(p, (int)(tag & 0xff), size);
	*p = tag;
	return p;
}

int main(int argc, char **argv)
{
	struct object *table;
	struct bench_rng rng;
	uint64_t objects, ops, at;
	size_t min, max;

	bench_init(argc, argv, "giant_set");
	objects = bench_scaled(bench_param("objects", 1000000));
	ops = bench_scaled(bench_param("ops", 2000000));
	min = bench_param("min", 16);
	max = bench_param("max", 512);
	rng = bench_rng_seed(bench_param("seed", 1));
	if (min < 8 || max < min || !objects || objects > UINT32_MAX)
		bench_die("8 <= min <= max, 1 <= objects < 2^32");
	table = bench_map(objects * sizeof(*table));
	at = bench_now_ns();
	for (uint64_t i = 0; i < objects; i++)
		table[i].block = make(&rng, min, max, i);
	bench_extra("fill_ns", (double)(bench_now_ns() - at) / (double)objects);
	bench_start();
	for (uint64_t i = 0; i < ops; i++) {
		uint64_t slot = bench_rng_below(&rng, objects);

		if (*table[slot].block != slot)
			bench_die("a live block was overwritten");
		free(table[slot].block);
		table[slot].block = make(&rng, min, max, slot);
	}
	bench_stop();
	return bench_report(ops);
}
