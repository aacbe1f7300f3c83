/* bench_colouring: what do blocks cost that begin on the same cache sets?
 *
 * Allocates `live` (1000) blocks of `size` (4096) bytes and, `rounds` (2000) times, writes to one
 * line of each in a random order: at --offset=0 the first line; at --offset=spread another one in
 * each block, which is what perfect colouring could give. The difference is all there is to gain.
 * One operation: one line; CPU time.
 */
#include "common/bench.h"

int main(int argc, char **argv)
{
	struct bench_rng rng = bench_rng_seed(1);
	size_t size, live, rounds;
	bool spread;
	char **lines;

	bench_init(argc, argv, "colouring");
	size = bench_param("size", 4096);
	live = bench_param("live", 1000);
	rounds = bench_scaled(bench_param("rounds", 2000));
	spread = !strcmp(bench_param_str("offset", "0"), "spread");
	if (size < BENCH_CACHELINE || !live)
		bench_die("size >= %d, live >= 1", BENCH_CACHELINE);
	lines = bench_map(live * sizeof(*lines));
	for (size_t i = 0; i < live; i++) {
		size_t offset =
			spread ? i * BENCH_CACHELINE % (size & ~(size_t)(BENCH_CACHELINE - 1)) : 0;

		lines[i] = (char *)bench_malloc(size) + offset;
	}
	for (size_t i = live - 1; i > 0; i--) {
		size_t j = bench_rng_below(&rng, i + 1);
		char *swapped = lines[i];

		lines[i] = lines[j];
		lines[j] = swapped;
	}
	bench_start();
	for (size_t r = 0; r < rounds; r++) {
		for (size_t i = 0; i < live; i++)
			++*(volatile char *)lines[i];
	}
	bench_stop();
	return bench_report(rounds * live);
}
