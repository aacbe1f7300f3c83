/* bench_batch: allocate a batch, then free all of it, one thread.
 *
 * `count` (100000) blocks of min..max (16..256) bytes are allocated and their first word
 * written, then freed --order=fifo (in the order of allocation), lifo (reverse) or random
 * (one shuffle, made beforehand); `rounds` (40) times. --seed (1).
 * One operation: one pair of malloc and free.
 */
#include "common/bench.h"

int main(int argc, char **argv)
{
	const char *order;
	struct bench_rng rng;
	uint64_t count, rounds;
	size_t min, max;
	uint64_t **block;
	uint32_t *turn;
	uint16_t *size;

	bench_init(argc, argv, "batch");
	order = bench_param_str("order", "fifo");
	count = bench_param("count", 100000);
	rounds = bench_scaled(bench_param("rounds", 40));
	min = bench_param("min", 16);
	max = bench_param("max", 256);
	rng = bench_rng_seed(bench_param("seed", 1));
	if (min < 8 || max < min || max > UINT16_MAX || !count || count > UINT32_MAX)
		bench_die("8 <= min <= max <= 65535, 1 <= count < 2^32");
	block = bench_map(count * sizeof(*block));
	turn = bench_map(count * sizeof(*turn));
	size = bench_map(count * sizeof(*size));
	for (uint64_t i = 0; i < count; i++) {
		size[i] = (uint16_t)bench_rng_range(&rng, min, max);
		turn[i] = (uint32_t)(strcmp(order, "lifo") ? i : count - 1 - i);
	}
	if (!strcmp(order, "random")) {
		for (uint64_t i = count - 1; i > 0; i--) {
			uint64_t j = bench_rng_below(&rng, i + 1);
			uint32_t t = turn[i];

			turn[i] = turn[j];
			turn[j] = t;
		}
	} else if (strcmp(order, "fifo") && strcmp(order, "lifo")) {
		bench_die("--order is fifo, lifo or random");
	}
	bench_start();
	for (uint64_t r = 0; r < rounds; r++) {
		for (uint64_t i = 0; i < count; i++) {
			block[i] = bench_malloc(size[i]);
			*block[i] = i;
		}
		for (uint64_t i = 0; i < count; i++)
			free(block[turn[i]]);
	}
	bench_stop();
	return bench_report(count * rounds);
}
