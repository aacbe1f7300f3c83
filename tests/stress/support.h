/* What every stress program needs and no allocator may serve.
 *
 * Random numbers, memory straight from the kernel, one failure report that ends
 * the process, a watchdog which turns a hang into a failure, and the arguments
 * that the programs share. Nothing here calls the allocator under test.
 */
#ifndef HAK_TESTS_STRESS_SUPPORT_H
#define HAK_TESTS_STRESS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many times slower than natively programs run, about; the build says. */
#ifndef HAKMEM_TEST_SLOWDOWN
#define HAKMEM_TEST_SLOWDOWN 1
#endif

/* splitmix64: any state is a good state, so a seed is a state. */
struct rng {
	uint64_t state;
};

static inline uint64_t mix64(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static inline uint64_t rng_next(struct rng *r)
{
	r->state += UINT64_C(0x9e3779b97f4a7c15);
	return mix64(r->state);
}

/* Uniform enough for tests; below(0) is 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return n ? rng_next(r) % n : 0;
}

static inline bool rng_one_in(struct rng *r, uint64_t n)
{
	return rng_below(r, n) == 0;
}

/* Zeroed pages of the kernel's; a refusal ends the program. */
void *pages_get(size_t bytes);

uint64_t clock_ns(void);
void sleep_ms(unsigned ms);

/* One line on standard error, in one write. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Report the first failure of the process with program, seed and thread, then
 * abort. Later failures of other threads wait for the abort in silence. */
_Noreturn void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What the calling thread is: shown in its failures. */
void thread_name_set(const char *kind, unsigned number);
const char *thread_name(void);

/* End the process with a failure when nobody calls watchdog_kick() for 20 s (more
 * where programs run slowly). `describe` writes the state of things into a buffer. */
void watchdog_start(void (*describe)(char *buf, size_t size));
void watchdog_kick(void);

struct stress_args {
	const char *program;
	uint64_t seed;
	double seconds;
	uint64_t ops;         /* 0: no limit */
	unsigned threads;
	size_t max_bytes;     /* live at once */
	unsigned percent;     /* of the work that a plain native run does */
	bool progress;
	bool child_alloc;     /* a handler's child allocates */
	bool child_alone;     /* children start no threads: where the runtime cannot */
	const char *fault;    /* CALL:NTH:PERIOD, or NULL */
};

/* Fill *args, whose fields hold the program's defaults, from the command line;
 * prints the seed. Ends the program on an argument that it does not know. */
void args_parse(struct stress_args *args, int argc, char **argv);

#endif
