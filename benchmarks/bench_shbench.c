/* bench_shbench: the patterns of sh6bench and sh8bench, after their public descriptions.
 *
 * Each of `threads` (1) threads makes `passes` / `threads` (4000) passes. In a pass the sizes run
 * from 1 to 1000 bytes, small ones in larger numbers (4000 / size + 1 blocks of each of 200 sizes).
 * Blocks are kept in batches of 1000: of each full batch one half is freed in order of allocation,
 * the other in reverse order, except every 4th block, which is kept until two batches later.
 * --mode=sh6   all blocks are freed by the thread that allocated them.
 * --mode=sh8   the kept blocks of a batch are swapped through a slot of one of the threads, another
 *              one each time, so that most of them are freed by a stranger.
 * One operation: one pair of malloc and free; CPU time for one thread, else wall time.
 */
#include "common/bench.h"

#include <stdatomic.h>

enum { BATCH = 1000, KEPT = BATCH / 4, GENERATIONS = 2, MAX_THREADS = 64 };

struct kept {
	unsigned n;
	char *block[KEPT];
};

struct worker {
	_Alignas(BENCH_CACHELINE) _Atomic(struct kept *) inbox;
	struct kept *own[GENERATIONS];
	unsigned turn;
	unsigned swaps;
	uint64_t pairs;
	char *batch[BATCH];
};

static struct worker *workers;
static unsigned nworkers;
static uint64_t passes;
static bool remote;

static void release_kept(struct kept *k)
{
	while (k->n > 0)
		free(k->block[--k->n]);
}

static void release_batch(struct worker *w, unsigned index, unsigned n)
{
	struct kept *k = w->own[w->turn];

	/* What was kept two batches ago goes now; under sh8 it stays in a slot, and what
	 * another thread left in that slot is freed here instead. */
	if (remote)
		k = atomic_exchange_explicit(&workers[(index + w->swaps++) % nworkers].inbox, k,
					     memory_order_acq_rel);
	release_kept(k);
	for (unsigned i = 0; i < n; i += 4)
		k->block[k->n++] = w->batch[i];
	for (unsigned i = 0; i < n / 2; i++)
		if (i % 4)
			free(w->batch[i]);
	for (unsigned i = n; i-- > n / 2;)
		if (i % 4)
			free(w->batch[i]);
	w->own[w->turn] = k;
	w->turn = (w->turn + 1) % GENERATIONS;
}

static void work(unsigned index, void *arg)
{
	struct worker *w = &workers[index];
	unsigned n = 0;

	(void)arg;
	for (uint64_t pass = 0; pass < passes; pass++) {
		for (size_t size = 1; size <= 1000; size += 5) {
			for (size_t i = 0; i < 4000 / size + 1; i++) {
				char *p = bench_malloc(size);

				p[0] = (char)i;
				p[size - 1] = (char)i;
				w->batch[n++] = p;
				w->pairs++;
				if (n == BATCH) {
					release_batch(w, index, n);
					n = 0;
				}
			}
		}
	}
	release_batch(w, index, n);
	for (unsigned g = 0; g < GENERATIONS; g++)
		release_kept(w->own[g]);
}

int main(int argc, char **argv)
{
	const char *mode;
	uint64_t pairs = 0;

	bench_init(argc, argv, "shbench");
	mode = bench_param_str("mode", "sh6");
	nworkers = (unsigned)bench_param("threads", 1);
	passes = bench_scaled(bench_param("passes", 4000)) / nworkers;
	remote = !strcmp(mode, "sh8");
	if (nworkers < 1 || nworkers > MAX_THREADS || (!remote && strcmp(mode, "sh6")))
		bench_die("1..%d threads, --mode is sh6 or sh8", MAX_THREADS);
	workers = bench_map(nworkers * sizeof(*workers));
	for (unsigned i = 0; i < nworkers; i++) {
		for (unsigned g = 0; g < GENERATIONS; g++)
			workers[i].own[g] = bench_map(sizeof(struct kept));
		atomic_store(&workers[i].inbox, bench_map(sizeof(struct kept)));
	}
	bench_run_threads(nworkers, work, NULL);
	for (unsigned i = 0; i < nworkers; i++) {
		release_kept(atomic_load(&workers[i].inbox));
		pairs += workers[i].pairs;
	}
	return bench_report(pairs);
}
