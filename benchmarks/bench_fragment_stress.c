/* bench_fragment_stress: the fragmentation stress, one thread.
 *
 * `phases` (16) phases. In each one `objects` (120000) blocks are allocated, then 75..90 %
 * (another share in each phase, repeating) of everything alive is freed, chosen at random,
 * so that the survivors of all earlier phases stay scattered over the heap. The sizes move
 * on from phase to phase, so that the holes seldom fit what is asked for next:
 *   phase % 4 = 0: 16..128   1: 64..512   2: 256..1024   3: 16..2048 bytes, uniform.
 * Of each block the first 8 bytes (checked on free) and the last byte are written.
 * The rest is freed at the end. `rounds` (1) repeats the whole. --seed (1).
 * One operation: one malloc or one free. rss_after_kib: resident when all is freed.
 */
#include "common/bench.h"

#define TAG UINT64_C(0x46524147)

struct object {
	uint64_t *block;
};

static const struct {
	size_t min, max;
} phase_sizes[4] = { { 16, 128 }, { 64, 512 }, { 256, 1024 }, { 16, 2048 } };

static const unsigned phase_freed_percent[4] = { 75, 90, 80, 85 };

static void release(uint64_t *block)
{
	if ((block[0] >> 32) != TAG)
		bench_die("a live block was overwritten: %llx", (unsigned long long)block[0]);
	free(block);
}

static uint64_t run(uint64_t phases, uint64_t objects, struct object *table,
		    struct bench_rng *rng, uint64_t *peak_live)
{
	uint64_t n = 0, ops = 0;

	for (uint64_t phase = 0; phase < phases; phase++) {
		size_t min = phase_sizes[phase % 4].min;
		size_t max = phase_sizes[phase % 4].max;
		uint64_t target;

		for (uint64_t i = 0; i < objects; i++) {
			size_t size = bench_rng_range(rng, min, max);
			uint64_t *p = bench_malloc(size);

			((char *)p)[size - 1] = 1;
			p[0] = TAG << 32 | i;
			table[n++].block = p;
		}
		if (n > *peak_live)
			*peak_live = n;
		ops += objects;
		target = n - n * phase_freed_percent[phase % 4] / 100;
		ops += n - target;
		while (n > target) {
			uint64_t pick = bench_rng_below(rng, n);
			uint64_t *p = table[pick].block;

			table[pick] = table[--n];
			release(p);
		}
	}
	ops += n;
	while (n > 0)
		release(table[--n].block);
	return ops;
}

int main(int argc, char **argv)
{
	struct object *table;
	struct bench_rng rng;
	uint64_t phases, objects, rounds, ops = 0, peak_live = 0;

	bench_init(argc, argv, "fragment_stress");
	phases = bench_param("phases", 16);
	objects = bench_scaled(bench_param("objects", 120000));
	rounds = bench_param("rounds", 1);
	rng = bench_rng_seed(bench_param("seed", 1));
	if (!phases || !objects || !rounds || objects > UINT32_MAX / 2)
		bench_die("phases, objects and rounds must be at least 1");
	/* A phase leaves at most a quarter, so 4/3 of `objects` is the most alive. */
	table = bench_map((objects * 3 / 2 + 16) * sizeof(*table));
	bench_start();
	for (uint64_t i = 0; i < rounds; i++)
		ops += run(phases, objects, table, &rng, &peak_live);
	bench_stop();
	bench_extra("peak_live_objects", (double)peak_live);
	bench_extra("rss_after_kib", (double)bench_rss_kib());
	return bench_report(ops);
}
