/* bench_false_sharing: do small blocks of different threads share cache lines?
 *
 * --mode=active   each of `threads` (2) threads, `rounds` (10^6) times: malloc(size), increment
 *                 each byte `writes` (100) times, free.
 * --mode=passive  the main thread first allocates one block for each thread, one after another, and
 *                 hands it over; the thread frees it and goes on as above. An allocator
 *                 that gives such a block to the thread which freed it lets lines be shared.
 * --size (8). One operation: one round; wall time. Only threads that run at the same time show it.
 */
#include "common/bench.h"

static uint64_t rounds, writes;
static size_t block_size;

static void work(unsigned index, void *arg)
{
	char **given = arg;

	free(given[index]);
	for (uint64_t i = 0; i < rounds; i++) {
		volatile char *p = bench_malloc(block_size);

		memset((void *)(uintptr_t)p, 0, block_size);
		for (uint64_t w = 0; w < writes; w++)
			for (size_t j = 0; j < block_size; j++)
				p[j]++;
		free((void *)(uintptr_t)p);
	}
}

int main(int argc, char **argv)
{
	static char *given[BENCH_MAX_THREADS];
	const char *mode;
	unsigned threads;

	bench_init(argc, argv, "false_sharing");
	mode = bench_param_str("mode", "active");
	threads = (unsigned)bench_param("threads", 2);
	block_size = bench_param("size", 8);
	writes = bench_param("writes", 100);
	rounds = bench_scaled(bench_param("rounds", 1000000));
	if (threads < 1 || threads > BENCH_MAX_THREADS || !block_size)
		bench_die("1..%d threads, size >= 1", BENCH_MAX_THREADS);
	if (!strcmp(mode, "passive")) {
		for (unsigned i = 0; i < threads; i++)
			given[i] = bench_malloc(block_size);
	} else if (strcmp(mode, "active")) {
		bench_die("--mode is active or passive");
	}
	bench_run_threads(threads, work, given);
	return bench_report(rounds * threads);
}
