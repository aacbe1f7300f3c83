/* bench_missrate: what hakmem knows of the cache, and what knowing it costs.
 *
 * For working sets of different sizes: `live` blocks of --size (64) bytes; free a random one,
 * malloc another in its place, write to it. In turns without and with the sampler of the miss rate;
 * the fastest of --rounds (31) of each. --max: bytes of the largest set. A row says
 *   load ns   a load of a random block, each waiting for the last: what is to be estimated
 *   op ns     free and malloc, without the sampler
 *   cost ns   what the sampler adds to that at its usual rate: the difference of the two, which is
 *             measured at one sample in --every (1024) operations, and scaled
 *   said ns   what it says itself that it costs
 *   miss      its estimate, and twice its standard error
 * It is linked with the allocator's internals, as no public call turns the sampler on and off.
 */
#include "common/bench.h"

#include <stdio.h>

#include "common/missrate.h"
#include "common/sample.h"
#include "hakmem/hakmem.h"

enum { KIB = 1024, MIB = 1024 * KIB };

struct block {
	struct block *next;
};

struct set {
	struct block **blocks;
	uint64_t live;
	size_t size;
};

static void set_fill(struct set *s, size_t bytes, size_t size)
{
	s->size = size;
	s->live = bytes / size;
	s->blocks = bench_map(s->live * sizeof(*s->blocks));
	for (uint64_t i = 0; i < s->live; i++) {
		s->blocks[i] = hak_malloc(size);
		if (s->blocks[i] == NULL)
			bench_die("no memory");
		s->blocks[i]->next = NULL;
	}
}

static void set_free(struct set *s)
{
	for (uint64_t i = 0; i < s->live; i++)
		hak_free(s->blocks[i]);
}

static double replace(struct set *s, uint64_t ops, struct bench_rng *rng)
{
	uint64_t start = bench_now_ns();

	for (uint64_t i = 0; i < ops; i++) {
		struct block **slot = &s->blocks[bench_rng_below(rng, s->live)];

		hak_free(*slot);
		*slot = hak_malloc(s->size);
		bench_escape(*slot);
		(*slot)->next = *slot;
	}
	return (double)(bench_now_ns() - start) / (double)ops;
}

/* One cycle through all blocks in random order (Sattolo), then along it. */
static double chase(struct set *s, uint64_t loads, struct bench_rng *rng)
{
	struct block *at = s->blocks[0];
	uint64_t start;

	for (uint64_t i = s->live - 1; i > 0; i--) {
		uint64_t k = bench_rng_below(rng, i);
		struct block *b = s->blocks[i];

		s->blocks[i] = s->blocks[k];
		s->blocks[k] = b;
	}
	for (uint64_t i = 0; i < s->live; i++)
		s->blocks[i]->next = s->blocks[(i + 1) % s->live];
	start = bench_now_ns();
	for (uint64_t i = 0; i < loads; i++)
		at = at->next;
	bench_escape(at);
	return (double)(bench_now_ns() - start) / (double)loads;
}

static void look(void *block, size_t bytes)
{
	(void)bytes;
	missrate_sample(block);
}

/* every 0: off. */
static void sampler(uint32_t every, struct set *s, struct bench_rng *rng)
{
	static const struct sampler_hooks hooks = { .look = look };

	sampler_set(SAMPLER_MISS_RATE, &hooks, every);
	/* A running thread follows by then. */
	(void)replace(s, 2 * SAMPLE_IDLE_OPS, rng);
}

static double min(double a, double b)
{
	return a < b ? a : b;
}

static void row(size_t bytes, size_t size, uint64_t ops, uint64_t rounds, uint32_t every,
		struct bench_rng *rng)
{
	double off = 1e9, on = 1e9, load;
	struct missrate sum = { 0 }, r;
	uint64_t misses = 0;
	struct set s;

	set_fill(&s, bytes, size);
	for (uint64_t i = 0; i < rounds; i++) {
		sampler(0, &s, rng);
		off = min(off, replace(&s, ops, rng));
		sampler(every, &s, rng);
		(void)missrate_take();
		on = min(on, replace(&s, ops, rng));
		r = missrate_take();
		if (r.ppm < 0)
			continue;
		sum.samples += r.samples;
		misses += (uint64_t)r.ppm * r.samples;
		sum.error_ppm = r.error_ppm;
		sum.overhead_ps_per_op = r.overhead_ps_per_op;
	}
	r = missrate_total();
	load = chase(&s, ops, rng);
	printf("%8zu %8.2f %8.2f %8.3f %8.3f %8.3f %8.3f %8llu  %s\n", bytes / KIB, load, off,
	       (on - off) * every / MISSRATE_SAMPLE_OPS, sum.overhead_ps_per_op / 1e3,
	       sum.samples ? (double)misses / (double)sum.samples / 1e6 : -1, sum.error_ppm / 1e6,
	       (unsigned long long)sum.samples, counter_source_name(r.source));
	fflush(stdout);
	set_free(&s);
}

int main(int argc, char **argv)
{
	static const size_t sets[] = { 16 * KIB, 256 * KIB, 2 * MIB, 8 * MIB, 64 * MIB, 256 * MIB };
	struct bench_rng rng;
	uint64_t ops, rounds, size, max, every;

	bench_init(argc, argv, "missrate");
	rng = bench_rng_seed(bench_param("seed", 1));
	ops = bench_scaled(bench_param("ops", 500000));
	rounds = bench_param("rounds", 31);
	size = bench_param("size", 64);
	max = bench_param("max", 256 * MIB);
	every = bench_param("every", MISSRATE_SAMPLE_OPS);
	if (size < 16 || size > 4096 || !ops || !rounds || every < 2 || every > 65536)
		bench_die("size 16 to 4096, ops and rounds at least 1, every 2 to 65536");
	printf("%8s %8s %8s %8s %8s %8s %8s %8s  %s\n", "set KiB", "load ns", "op ns", "cost ns",
	       "said ns", "miss", "+-", "samples", "source");
	for (unsigned i = 0; i < sizeof(sets) / sizeof(sets[0]) && sets[i] <= max; i++)
		row(sets[i], size, ops, rounds, (uint32_t)every, &rng);
	return 0;
}
