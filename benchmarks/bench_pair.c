/* bench_pair: cost of a malloc and its free, one thread.
 *
 * --mode=pair     malloc(size), write 8 bytes, free; nothing else is live.
 * --mode=lifo     stack: depth (64) x malloc, then free in reverse order.
 * --mode=mixed    as pair over a ring of `live` (64) blocks, sizes min..max (16..1024)
 *                 taken from a table of 4096 random sizes; the oldest is freed.
 * --mode=random   random replacement: `live` blocks of min..max bytes; free a random one,
 *                 malloc a random size into its place, write and check its first 8 bytes.
 * One operation: one pair of malloc and free. Sizes: --size (64) in pair and lifo.
 * --ops: number of pairs (default 4e7 pair/lifo, 2e7 mixed, 1e7 random). --seed (1).
 * Filling the table of `random` isn't measured; it is reported as fill_ns per malloc.
 */
#include "common/bench.h"

enum { SIZE_TABLE = 4096 };

static void run_pair(size_t size, uint64_t ops)
{
	for (uint64_t i = 0; i < ops; i++) {
		uint64_t *p = bench_malloc(size);

		*p = i;
		free(p);
	}
}

static void run_lifo(size_t size, uint64_t ops, unsigned depth, void **stack)
{
	for (uint64_t done = 0; done < ops; done += depth) {
		for (unsigned i = 0; i < depth; i++) {
			uint64_t *p = bench_malloc(size);

			*p = i;
			stack[i] = p;
		}
		for (unsigned i = depth; i-- > 0;)
			free(stack[i]);
	}
}

static void run_mixed(const uint16_t *sizes, uint64_t ops, unsigned live, void **ring)
{
	unsigned at = 0;

	for (uint64_t i = 0; i < ops; i++) {
		uint64_t *p;

		free(ring[at]);
		p = bench_malloc(sizes[i % SIZE_TABLE]);
		*p = i;
		ring[at] = p;
		if (++at == live)
			at = 0;
	}
}

static void run_random(size_t min, size_t max, uint64_t ops, uint64_t live, uint64_t **table,
		       struct bench_rng *rng)
{
	for (uint64_t i = 0; i < ops; i++) {
		uint64_t r = bench_rng_next(rng);
		uint64_t slot = ((r >> 32) * live) >> 32;
		size_t size = min + (size_t)(((r & UINT32_MAX) * (max - min + 1)) >> 32);
		uint64_t *p = table[slot];

		if (*p != slot)
			bench_die("a block changed: slot %llu holds %llu", (unsigned long long)slot,
				  (unsigned long long)*p);
		free(p);
		p = bench_malloc(size);
		*p = slot;
		table[slot] = p;
	}
}

int main(int argc, char **argv)
{
	static uint16_t sizes[SIZE_TABLE];
	const char *mode;
	struct bench_rng rng;
	size_t min, max, size;
	uint64_t ops, live;

	bench_init(argc, argv, "pair");
	mode = bench_param_str("mode", "pair");
	rng = bench_rng_seed(bench_param("seed", 1));
	if (!strcmp(mode, "pair") || !strcmp(mode, "lifo")) {
		unsigned depth = (unsigned)bench_param("depth", strcmp(mode, "lifo") ? 1 : 64);
		void **stack = bench_map(depth * sizeof(*stack));

		size = bench_param("size", 64);
		ops = bench_scaled(bench_param("ops", 40000000)) / depth * depth;
		if (size < 8 || !depth || !ops)
			bench_die("size >= 8, depth >= 1, ops >= 1");
		bench_start();
		if (depth == 1)
			run_pair(size, ops);
		else
			run_lifo(size, ops, depth, stack);
		bench_stop();
		return bench_report(ops);
	}

	min = bench_param("min", 16);
	max = bench_param("max", 1024);
	if (min < 8 || max < min || max > UINT16_MAX)
		bench_die("8 <= min <= max <= 65535");
	if (!strcmp(mode, "mixed")) {
		void **ring;

		live = bench_param("live", 64);
		ops = bench_scaled(bench_param("ops", 20000000));
		ring = bench_map(live * sizeof(*ring));
		for (unsigned i = 0; i < SIZE_TABLE; i++)
			sizes[i] = (uint16_t)bench_rng_range(&rng, min, max);
		bench_start();
		run_mixed(sizes, ops, (unsigned)live, ring);
		bench_stop();
	} else if (!strcmp(mode, "random")) {
		uint64_t **table;
		uint64_t at;

		live = bench_param("live", 1000);
		ops = bench_scaled(bench_param("ops", 10000000));
		if (live < 1 || live > UINT32_MAX)
			bench_die("live must be 1..2^32-1");
		table = bench_map(live * sizeof(*table));
		at = bench_now_ns();
		for (uint64_t i = 0; i < live; i++) {
			table[i] = bench_malloc(bench_rng_range(&rng, min, max));
			*table[i] = i;
		}
		bench_extra("fill_ns", (double)(bench_now_ns() - at) / (double)live);
		bench_start();
		run_random(min, max, ops, live, table, &rng);
		bench_stop();
	} else {
		bench_die("--mode is pair, lifo, mixed or random");
	}
	return bench_report(ops);
}
