/* bench_thread_life: threads that live for a few allocations.
 *
 * `count` (3000) times: start `width` (4) threads, each mallocs `blocks` (100) blocks of 16..256
 * bytes, writes their first word, frees three quarters, and leaves the rest to the main
 * thread, which joins the threads and frees what they left.
 * One operation: one thread from start to join; wall time.
 */
#include "common/bench.h"

enum { MAX_BLOCKS = 4096, MAX_WIDTH = 64 };

struct life {
	uint64_t seed;
	uint64_t *block[MAX_BLOCKS];
};

static uint64_t blocks;

static void *live(void *arg)
{
	struct life *l = arg;
	struct bench_rng rng = bench_rng_seed(l->seed);

	for (uint64_t i = 0; i < blocks; i++) {
		l->block[i] = bench_malloc(bench_rng_range(&rng, 16, 256));
		*l->block[i] = i;
	}
	for (uint64_t i = 0; i < blocks; i++)
		if (i % 4)
			free(l->block[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	struct life *lives;
	uint64_t count, width, seed;

	bench_init(argc, argv, "thread_life");
	width = bench_param("width", 4);
	blocks = bench_param("blocks", 100);
	count = bench_scaled(bench_param("count", 3000));
	seed = bench_param("seed", 1);
	if (width < 1 || width > MAX_WIDTH || blocks > MAX_BLOCKS)
		bench_die("1..%d wide, at most %d blocks", MAX_WIDTH, MAX_BLOCKS);
	lives = bench_map(width * sizeof(*lives));
	bench_start();
	for (uint64_t i = 0; i < count; i++) {
		uintptr_t thread[MAX_WIDTH];

		for (uint64_t j = 0; j < width; j++) {
			lives[j].seed = seed + i * width + j;
			bench_spawn(&thread[j], live, &lives[j]);
		}
		for (uint64_t j = 0; j < width; j++)
			bench_join(thread[j]);
		for (uint64_t j = 0; j < width; j++)
			for (uint64_t k = 0; k < blocks; k += 4)
				free(lives[j].block[k]);
	}
	bench_stop();
	return bench_report(count * width);
}
