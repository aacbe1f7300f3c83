/* bench_realloc_heavy: growing vectors, one thread.
 *
 * Two kinds of vectors grow in turn, so that none stays the last block of the heap:
 *   step   `steppers` (2) vectors grow by 64 bytes at a time up to `max` (64 MiB), in bursts
 *          of 32 reallocs each; the 64 new bytes are written.
 *   double after each round of bursts, one of `doublers` (2) vectors doubles (from 32 bytes;
 *          at `max` it is freed and begins anew); 8 bytes of each new page are written.
 * The first word of each vector is checked now and then. --mode=both|step|double (both);
 * in double alone, `ops` (120) doublings to `max` and back are done. No seed: nothing is random.
 * One operation: one realloc. Bursts are timed as a whole, by the power of two that the vector's
 * size lies in: mean_ns and bucket_<size>_ns are of step vectors, worst_bucket_ns the largest
 * (everything below 16 KiB is one bucket), double_ns the mean of a doubling above 1 MiB.
 */
#include "common/bench.h"

#include <stdio.h>

enum { STEP = 64, BURST = 32, MAX_VECTORS = 16, FIRST_BUCKET = 14, BUCKETS = 40 };

struct vector {
	char *data;
	size_t size;
};

static uint64_t bucket_ns[BUCKETS], bucket_ops[BUCKETS];
static uint64_t double_ns, double_ops;
static uint64_t ops;

static unsigned bucket_of(size_t size)
{
	unsigned b = 63 - (unsigned)__builtin_clzll(size);

	return b < FIRST_BUCKET ? FIRST_BUCKET - 1 : b;
}

static void resize(struct vector *v, size_t size)
{
	char *p = realloc(v->data, size);

	if (!p)
		bench_die("realloc to %zu bytes failed", size);
	bench_escape(p);
	v->data = p;
	v->size = size;
	ops++;
}

static void check(const struct vector *v, uint64_t tag)
{
	uint64_t word;

	memcpy(&word, v->data, sizeof(word));
	if (word != tag)
		bench_die("a vector lost its content at %zu bytes", v->size);
}

static void step_burst(struct vector *v, uint64_t tag)
{
	uint64_t at = bench_now_ns();
	unsigned b = bucket_of(v->size + BURST * STEP);

	for (int i = 0; i < BURST; i++) {
		size_t old = v->size;

		resize(v, old + STEP);
		memset(v->data + old, 1, STEP);
	}
	if (v->size == BURST * STEP)
		memcpy(v->data, &tag, sizeof(tag));
	check(v, tag);
	bucket_ns[b] += bench_now_ns() - at;
	bucket_ops[b] += BURST;
}

/* Doubles v. True when it had reached max and was freed. */
static bool double_once(struct vector *v, uint64_t tag, size_t max)
{
	uint64_t at = bench_now_ns();
	size_t old = v->size;

	if (old >= max) {
		check(v, tag);
		free(v->data);
		*v = (struct vector){ 0 };
		return true;
	}
	resize(v, old ? old * 2 : 32);
	if (!old)
		memcpy(v->data, &tag, sizeof(tag));
	for (size_t i = old; i < v->size; i += 4096)
		*(uint64_t *)(void *)(v->data + i + (i ? 0 : 8)) = tag;
	check(v, tag);
	if (v->size > (1u << 20)) {
		double_ns += bench_now_ns() - at;
		double_ops++;
	}
	return false;
}

int main(int argc, char **argv)
{
	static struct vector step[MAX_VECTORS], twice[MAX_VECTORS];
	const char *mode;
	uint64_t steppers, doublers, turns;
	uint64_t total_ns = 0, total_ops = 0;
	double worst = 0;
	size_t max;

	bench_init(argc, argv, "realloc_heavy");
	mode = bench_param_str("mode", "both");
	max = bench_scaled(bench_param("max", 64 << 20)) & ~(size_t)(BURST * STEP - 1);
	steppers = strcmp(mode, "double") ? bench_param("steppers", 2) : 0;
	doublers = strcmp(mode, "step") ? bench_param("doublers", 2) : 0;
	turns = strcmp(mode, "double") ? max / (BURST * STEP)
				       : bench_scaled(bench_param("ops", 120)) * 21;
	if (steppers > MAX_VECTORS || doublers > MAX_VECTORS || steppers + doublers == 0 ||
	    max < 4096)
		bench_die("0..%d steppers and doublers, max >= 4096", MAX_VECTORS);
	bench_start();
	for (uint64_t i = 0; i < turns; i++) {
		for (unsigned j = 0; j < steppers; j++)
			step_burst(&step[j], j + 1);
		/* A doubling to 64 MiB writes 16384 pages: rare enough beside the steps
		 * that these stay the larger part of the work. */
		if (doublers && (!steppers || i % 256 == 0))
			double_once(&twice[(steppers ? i / 256 : i) % doublers], 100, max);
	}
	bench_stop();
	for (unsigned b = 0; b < BUCKETS; b++) {
		char key[32];
		double mean;

		if (!bucket_ops[b])
			continue;
		mean = (double)bucket_ns[b] / (double)bucket_ops[b];
		/* The last bucket holds a single burst at max itself: too few to judge. */
		if (bucket_ops[b] >= 64 * steppers && mean > worst)
			worst = mean;
		total_ns += bucket_ns[b];
		total_ops += bucket_ops[b];
		snprintf(key, sizeof(key), "bucket_%lluk_ns", 1ull << b >> 10);
		bench_extra(key, mean);
	}
	if (total_ops) {
		bench_extra("mean_ns", (double)total_ns / (double)total_ops);
		bench_extra("worst_bucket_ns", worst);
	}
	if (double_ops)
		bench_extra("double_ns", (double)double_ns / (double)double_ops);
	return bench_report(ops);
}
