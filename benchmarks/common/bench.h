/* What every benchmark program shares: parameters from the command line, the
 * clocks, a seeded generator, threads that start together, and the result line.
 *
 * A program calls bench_init(), reads its parameters, does its work between
 * bench_start() and bench_stop() and ends with bench_report(). Its own tables
 * come from bench_map(), never from malloc, so that the memory and the time
 * that are measured belong to the allocator and to the objects alone.
 */
#ifndef HAK_BENCH_H
#define HAK_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BENCH_LIKELY(x) __builtin_expect(!!(x), 1)
#define BENCH_CACHELINE 64

/* Makes the compiler believe that p is read and written by somebody else, so
 * that no allocation is optimised away. Costs nothing. */
static inline void bench_escape(void *p)
{
	__asm__ volatile("" : : "g"(p) : "memory");
}

/* --- generator: one per thread, the same numbers on every machine --------- */

struct bench_rng {
	uint64_t state;
};

static inline struct bench_rng bench_rng_seed(uint64_t seed)
{
	struct bench_rng r = { .state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) };

	if (!r.state)
		r.state = 1;
	return r;
}

/* xorshift with a multiplied result: about 1 ns, good enough to pick slots. */
static inline uint64_t bench_rng_next(struct bench_rng *r)
{
	uint64_t x = r->state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	r->state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* Uniform in [0, n); n < 2^32. A multiplication in place of a division. */
static inline uint64_t bench_rng_below(struct bench_rng *r, uint64_t n)
{
	return ((bench_rng_next(r) >> 32) * n) >> 32;
}

/* Uniform in [lo, hi]. */
static inline size_t bench_rng_range(struct bench_rng *r, size_t lo, size_t hi)
{
	return lo + (size_t)bench_rng_below(r, hi - lo + 1);
}

/* --- parameters ------------------------------------------------------------ */

/* Reads the arguments, all of the form --key=value, --quick or --json. */
void bench_init(int argc, char **argv, const char *name);

/* The value of --key=value, or the default. Each one read goes into the result
 * line; one that is given and never read ends the program with an error. */
uint64_t bench_param(const char *key, uint64_t fallback);
const char *bench_param_str(const char *key, const char *fallback);

/* n, or a tenth of it (at least 1) under --quick. For operation counts. */
uint64_t bench_scaled(uint64_t n);

/* --- measuring ------------------------------------------------------------- */

uint64_t bench_now_ns(void); /* monotonic */
uint64_t bench_cpu_ns(void); /* CPU time of the whole process */

/* The measured part. start/stop may be called several times: the parts add up. */
void bench_start(void);
void bench_stop(void);

/* More figures for the result line, under "extra". */
void bench_extra(const char *key, double value);

/* Prints the result and returns main's exit status. In the JSON line: name,
 * ops, wall_ns, cpu_ns, ns_per_op (wall), cpu_ns_per_op, mops (wall), peak_rss_kib,
 * rss_kib, minor_faults (of the measured part), major_faults, calib_ns (a fixed
 * loop timed before and after: shows a disturbed machine), params and extra. With
 * --rest=MS it sleeps first, and rss_rested_kib, one of extra, is what is resident then. */
int bench_report(uint64_t ops);

/* --- threads ---------------------------------------------------------------- */

#define BENCH_MAX_THREADS 1024

/* Runs fn(index, arg) on n threads. All begin at once, when each has started and
 * the caller's clock runs; start and stop of the measured part are done here. */
void bench_run_threads(unsigned n, void (*fn)(unsigned index, void *arg), void *arg);

/* pthread_create and pthread_join that end the program on failure. */
void bench_spawn(uintptr_t *thread, void *(*fn)(void *), void *arg);
void bench_join(uintptr_t thread);

/* --- memory ----------------------------------------------------------------- */

/* Zeroed pages straight from the kernel, touched so that no fault is measured. */
void *bench_map(size_t bytes);

/* malloc that ends the program when there is none. */
static inline void *bench_malloc(size_t size)
{
	void *p = malloc(size);

	if (!BENCH_LIKELY(p != NULL))
		abort();
	bench_escape(p);
	return p;
}

uint64_t bench_rss_kib(void); /* resident now */

/* Ends the program with a message: a block lost its content, a bad parameter. */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif /* HAK_BENCH_H */
