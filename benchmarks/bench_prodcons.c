/* bench_prodcons: blocks are allocated by some threads and freed by others.
 *
 * Each of `producers` (1) threads allocates blocks of min..max (16..512) bytes, writes the first
 * word and hands them in turn to `consumers` (1) threads, through a ring of 1024 pointers for
 * each pair of threads; a consumer checks the word and frees. --burst (0): a producer makes that
 * many blocks at once and waits until all were taken. A full or empty ring yields the processor.
 * `ops` (6*10^6) blocks in all. --seed (1).
 * One operation: one block through the ring (one malloc, one free); wall time.
 */
#include "common/bench.h"

#include <sched.h>
#include <stdatomic.h>

enum { RING = 1024, MAX_SIDE = 32 };

/* One writer, one reader; each index has a cache line of its own. */
struct ring {
	_Alignas(BENCH_CACHELINE) _Atomic uint64_t head; /* written by the producer */
	_Alignas(BENCH_CACHELINE) _Atomic uint64_t tail; /* written by the consumer */
	_Alignas(BENCH_CACHELINE) uint64_t *slot[RING];
};

static struct ring *rings; /* [producer * consumers + consumer] */
static uint64_t producers, consumers, burst, per_ring, seed;
static size_t min_size, max_size;

static void wait_a_bit(unsigned *spins)
{
	if (++*spins < 64)
		__asm__ volatile("" : : : "memory");
	else
		sched_yield();
}

static void put(struct ring *r, uint64_t *p)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	unsigned spins = 0;

	while (head - atomic_load_explicit(&r->tail, memory_order_acquire) == RING)
		wait_a_bit(&spins);
	r->slot[head % RING] = p;
	atomic_store_explicit(&r->head, head + 1, memory_order_release);
}

static void produce(unsigned index)
{
	struct bench_rng rng = bench_rng_seed(seed * 1000 + index);
	struct ring *mine = &rings[index * consumers];
	uint64_t made = 0;

	for (uint64_t i = 0; i < per_ring; i++) {
		for (uint64_t c = 0; c < consumers; c++) {
			uint64_t *p = bench_malloc(bench_rng_range(&rng, min_size, max_size));

			*p = i;
			put(&mine[c], p);
			if (burst && ++made % burst == 0) {
				for (uint64_t k = 0; k < consumers; k++) {
					unsigned spins = 0;

					while (atomic_load_explicit(&mine[k].tail,
								    memory_order_acquire) !=
					       atomic_load_explicit(&mine[k].head,
								    memory_order_relaxed))
						wait_a_bit(&spins);
				}
			}
		}
	}
}

static void consume(unsigned index)
{
	uint64_t taken[MAX_SIDE] = { 0 };
	uint64_t left = per_ring * producers;
	unsigned spins = 0;

	while (left) {
		bool any = false;

		for (uint64_t p = 0; p < producers; p++) {
			struct ring *r = &rings[p * consumers + index];
			uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);

			for (; taken[p] < head; taken[p]++) {
				uint64_t *b = r->slot[taken[p] % RING];

				if (*b != taken[p])
					bench_die("a block arrived damaged");
				free(b);
				left--;
				any = true;
				/* Each 16th: room is seen early, the line moves seldom. */
				if (taken[p] % 16 == 15)
					atomic_store_explicit(&r->tail, taken[p] + 1,
							      memory_order_release);
			}
			atomic_store_explicit(&r->tail, taken[p], memory_order_release);
		}
		if (any)
			spins = 0;
		else
			wait_a_bit(&spins);
	}
}

static void work(unsigned index, void *arg)
{
	(void)arg;
	if (index < producers)
		produce(index);
	else
		consume(index - (unsigned)producers);
}

int main(int argc, char **argv)
{
	uint64_t ops;

	bench_init(argc, argv, "prodcons");
	producers = bench_param("producers", 1);
	consumers = bench_param("consumers", 1);
	burst = bench_param("burst", 0);
	min_size = bench_param("min", 16);
	max_size = bench_param("max", 512);
	seed = bench_param("seed", 1);
	ops = bench_scaled(bench_param("ops", 6000000));
	if (producers < 1 || producers > MAX_SIDE || consumers < 1 || consumers > MAX_SIDE)
		bench_die("1..%d producers and consumers", MAX_SIDE);
	if (min_size < 8 || max_size < min_size || burst > RING)
		bench_die("8 <= min <= max, burst <= %d", RING);
	per_ring = ops / (producers * consumers);
	rings = bench_map(producers * consumers * sizeof(*rings));
	bench_run_threads((unsigned)(producers + consumers), work, NULL);
	return bench_report(per_ring * producers * consumers);
}
