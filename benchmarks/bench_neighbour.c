/* bench_neighbour: a heap and other memory that need the room in turn.
 *
 * `rounds` (20) times: blocks of min..max (16..1024) bytes are allocated and written until `heap`
 * (150) MiB are alive, and kept for `pause` (600) ms; then all but 1 % are freed, and after `gap`
 * (300) ms as much memory is mapped without the allocator, written, and unmapped. Under a limit
 * below the sum of both the program only lives if freed memory goes back within the gap.
 * --seed (1). One operation: one malloc or free.
 */
#include "common/bench.h"

#include <sys/mman.h>
#include <time.h>

static void sleep_ms(uint64_t ms)
{
	nanosleep(&(struct timespec){ .tv_sec = (time_t)(ms / 1000),
				      .tv_nsec = (long)(ms % 1000) * 1000000 }, NULL);
}

static void use_other_memory(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bench_die("no memory");
	memset(p, 1, bytes);
	munmap(p, bytes);
}

int main(int argc, char **argv)
{
	struct bench_rng rng;
	uint64_t rounds, bytes, pause, gap, ops = 0;
	size_t min, max, most, kept = 0;
	void **table;

	bench_init(argc, argv, "neighbour");
	rounds = bench_scaled(bench_param("rounds", 20));
	bytes = bench_param("heap", 150) << 20;
	pause = bench_param("pause", 600);
	gap = bench_param("gap", 300);
	min = bench_param("min", 16);
	max = bench_param("max", 1024);
	rng = bench_rng_seed(bench_param("seed", 1));
	if (!min || max < min)
		bench_die("1 <= min <= max");
	most = bytes / ((min + max) / 2) * 2;
	table = bench_map(most * sizeof(*table));
	bench_start();
	for (uint64_t r = 0; r < rounds; r++) {
		size_t n = kept;

		for (size_t have = 0; have < bytes && n < most; n++) {
			size_t size = bench_rng_range(&rng, min, max);

			table[n] = bench_malloc(size);
			memset(table[n], 1, size);
			have += size;
		}
		sleep_ms(pause);
		ops += n - kept;
		for (kept = n / 100; n > kept; n--, ops++)
			free(table[n - 1]);
		sleep_ms(gap);
		use_other_memory(bytes);
	}
	bench_stop();
	return bench_report(ops);
}
