/* bench_aligned: aligned blocks, one thread.
 *
 * `live` (1000) blocks of min..max (16..1024) bytes, `ops` (5*10^6) times a random one is freed and
 * replaced by aligned_alloc with an alignment of 2^5..2^12 (small ones likelier: each next
 * power has half the chance). First word written. --seed (1).
 * One operation: one free and one aligned_alloc.
 */
#include "common/bench.h"

int main(int argc, char **argv)
{
	struct bench_rng rng;
	uint64_t live, ops;
	size_t min, max;
	uint64_t **table;

	bench_init(argc, argv, "aligned");
	live = bench_param("live", 1000);
	min = bench_param("min", 16);
	max = bench_param("max", 1024);
	ops = bench_scaled(bench_param("ops", 5000000));
	rng = bench_rng_seed(bench_param("seed", 1));
	if (min < 8 || max < min || !live)
		bench_die("8 <= min <= max, live >= 1");
	table = bench_map(live * sizeof(*table));
	bench_start();
	for (uint64_t i = 0; i < ops; i++) {
		uint64_t r = bench_rng_next(&rng);
		uint64_t slot = ((r >> 32) * live) >> 32;
		size_t align = (size_t)32 << __builtin_ctz((unsigned)(r & 0x7f) | 0x80);
		size_t size = (bench_rng_range(&rng, min, max) + align - 1) & ~(align - 1);
		uint64_t *p;

		free(table[slot]);
		p = aligned_alloc(align, size);
		if (!p || ((uintptr_t)p & (align - 1)))
			bench_die("aligned_alloc(%zu, %zu) gave %p", align, size, (void *)p);
		bench_escape(p);
		*p = i;
		table[slot] = p;
	}
	bench_stop();
	return bench_report(ops);
}
