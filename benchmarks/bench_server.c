/* bench_server: churn as in a server whose threads come and go.
 *
 * `threads` (4) lines of workers share threads + 1 tables of `live` (2000) blocks of min..max
 * (16..1000) bytes. A worker leaves its predecessor's table in a shared slot and takes the one
 * that lay there, replaces a random block of it `work` (10000) times, starts its successor
 * and exits: most blocks are freed by another thread than the one that allocated them,
 * which as a rule no longer exists.
 * `ops` (10^7) replacements over all. --seed (1).
 * One operation: one replacement (one free, one malloc); wall time.
 */
#include "common/bench.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { MAX_LINES = 64 };

struct line {
	_Alignas(BENCH_CACHELINE) uint64_t generations_left;
	uint64_t generation;
	uint64_t **blocks;
	unsigned index;
};

static struct line lines[MAX_LINES];
static _Atomic(uint64_t **) parked; /* a table that waits for its next owner */
static sem_t finished;
static uint64_t live, work, seed;
static size_t min_size, max_size;

static void *worker(void *arg)
{
	struct line *l = arg;
	struct bench_rng rng = bench_rng_seed(seed * 1000000 + l->index * 10000 + l->generation);
	uint64_t **mine = atomic_exchange_explicit(&parked, l->blocks, memory_order_acq_rel);
	pthread_t next;

	if (!mine)
		bench_die("no table is parked");
	for (uint64_t i = 0; i < work; i++) {
		uint64_t slot = bench_rng_below(&rng, live);
		uint64_t *p = mine[slot];

		if (p && *p != slot)
			bench_die("a live block was overwritten");
		free(p);
		p = bench_malloc(bench_rng_range(&rng, min_size, max_size));
		*p = slot;
		mine[slot] = p;
	}
	l->blocks = mine;
	l->generation++;
	if (--l->generations_left == 0) {
		sem_post(&finished);
		return NULL;
	}
	if (pthread_create(&next, NULL, worker, l))
		bench_die("pthread_create failed");
	pthread_detach(next);
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t threads, ops, generations;

	bench_init(argc, argv, "server");
	threads = bench_param("threads", 4);
	live = bench_param("live", 2000);
	work = bench_param("work", 10000);
	min_size = bench_param("min", 16);
	max_size = bench_param("max", 1000);
	seed = bench_param("seed", 1);
	ops = bench_scaled(bench_param("ops", 10000000));
	if (threads < 1 || threads > MAX_LINES || min_size < 8 || max_size < min_size || !live ||
	    !work)
		bench_die("1..%d threads, 8 <= min <= max, live and work >= 1", MAX_LINES);
	generations = ops / threads / work;
	if (!generations)
		generations = 1;
	sem_init(&finished, 0, 0);
	atomic_store(&parked, bench_map(live * sizeof(uint64_t *)));
	for (unsigned i = 0; i < threads; i++) {
		lines[i].blocks = bench_map(live * sizeof(uint64_t *));
		lines[i].generations_left = generations;
		lines[i].index = i;
	}
	bench_start();
	for (unsigned i = 0; i < threads; i++) {
		pthread_t t;

		if (pthread_create(&t, NULL, worker, &lines[i]))
			bench_die("pthread_create failed");
		pthread_detach(t);
	}
	for (unsigned i = 0; i < threads; i++)
		while (sem_wait(&finished))
			continue; /* a signal */
	bench_stop();
	bench_extra("threads_started", (double)(threads * generations));
	return bench_report(threads * generations * work);
}
