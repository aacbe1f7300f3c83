/* bench_copy: the copies and clears of src/arch beside the C library's, by size and by what
 * lies around them. Not about allocation, so it prints a table of its own instead of
 * a result line; benchmarks/copy.py runs it, and makes tables and a plot.
 *
 * A line: operation, variant, state, bytes, figure. Variant "libc" is memcpy or memset,
 * "hakmem" is what realloc and calloc use: libc below the threshold, the best variant above.
 * States, medians of many rounds:
 *   warm    the same two places again and again; GB/s
 *   cold    places that nothing has touched for 256 MiB of copying; GB/s
 *   reread  as warm, and what was written is read once afterwards; GB/s of both
 *   victim  a working set of 1 MiB is read at random before and after; ns per line after
 * --pages=huge (default) or small; --least and --most bytes (64 KiB, 256 MiB).
 */
#include <stdio.h>
#include <sys/mman.h>

#include "arch/arch.h"
#include "common/bulk.h"
#include "common/thread.h"
#include "common/bench.h"

#define MIB ((size_t)1 << 20)

enum { VARIANTS_MAX = 8, ROUNDS_MAX = 101, LINE_BYTES = 64 };

static size_t arena_bytes = 512 * MIB;
static size_t round_bytes = 256 * MIB; /* copied per figure, about */
static char *from, *to;

/* --- what is compared -------------------------------------------------------- */

static void libc_copy(void *restrict dst, const void *restrict src, size_t n)
{
	memcpy(dst, src, n);
}

static void libc_clear(void *p, size_t n)
{
	memset(p, 0, n);
}

static void hakmem_copy(void *restrict dst, const void *restrict src, size_t n)
{
	bulk_copy(dst, src, n);
}

static void hakmem_clear(void *p, size_t n)
{
	bulk_clear(p, n);
}

static struct contender {
	enum arch_op op;
	const char *name;
	arch_copy_fn copy;
	arch_clear_fn clear;
} contenders[2 * VARIANTS_MAX] = {
	{ ARCH_OP_COPY_NT, "libc", libc_copy, NULL },
	{ ARCH_OP_COPY_NT, "hakmem", hakmem_copy, NULL },
	{ ARCH_OP_CLEAR_NT, "libc", NULL, libc_clear },
	{ ARCH_OP_CLEAR_NT, "hakmem", NULL, hakmem_clear },
};
static unsigned ncontenders = 4;

static void find_variants(void)
{
	const struct arch_variant *v;

	for (unsigned i = 0; (v = arch_variant_at(i)) != NULL; i++) {
		struct contender *c = &contenders[ncontenders];

		/* What needs nothing is the C library's. */
		if (!arch_variant_usable(v) || v->needs == 0 || ncontenders == 2 * VARIANTS_MAX)
			continue;
		if (v->op == ARCH_OP_COPY_NT)
			*c = (struct contender){ v->op, v->name, v->fn.copy_nt, NULL };
		else if (v->op == ARCH_OP_CLEAR_NT)
			*c = (struct contender){ v->op, v->name, NULL, v->fn.clear_nt };
		else
			continue;
		ncontenders++;
	}
}

static void run(const struct contender *c, size_t offset, size_t n)
{
	if (c->copy)
		c->copy(to + offset, from + offset, n);
	else
		c->clear(to + offset, n);
	bench_escape(to);
}

/* --- what lies around ----------------------------------------------------------- */

static size_t *victim; /* a random cycle through its lines */
static const size_t victim_bytes = MIB;

static void victim_make(void)
{
	struct bench_rng rng = bench_rng_seed(1);
	size_t lines = victim_bytes / LINE_BYTES, step = LINE_BYTES / sizeof(size_t);
	size_t *order = bench_map(lines * sizeof(size_t));

	victim = bench_map(victim_bytes);
	for (size_t i = 0; i < lines; i++)
		order[i] = i;
	for (size_t i = lines - 1; i > 0; i--) {
		size_t j = bench_rng_below(&rng, i + 1), swapped = order[i];

		order[i] = order[j];
		order[j] = swapped;
	}
	for (size_t i = 0; i < lines; i++)
		victim[order[i] * step] = order[(i + 1) % lines] * step;
}

static void victim_pass(void)
{
	size_t at = 0;

	for (size_t i = 0; i < victim_bytes / LINE_BYTES; i++)
		at = victim[at];
	bench_escape(&at);
}

static void read_all(const char *p, size_t n)
{
	uint64_t sum = 0, word;

	for (size_t i = 0; i < n; i += sizeof(word)) {
		memcpy(&word, p + i, sizeof(word));
		sum += word;
	}
	bench_escape(&sum);
}

/* --- measuring -------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

enum state { WARM, COLD, REREAD, VICTIM, STATES };
static const char *const state_names[STATES] = { "warm", "cold", "reread", "victim" };

static uint64_t once(const struct contender *c, enum state state, size_t n, unsigned round)
{
	size_t places = arena_bytes / n;
	uint64_t start;

	if (state == VICTIM) {
		victim_pass();
		victim_pass();
		run(c, 0, n);
		start = bench_now_ns();
		victim_pass();
		return bench_now_ns() - start;
	}
	start = bench_now_ns();
	run(c, state == COLD ? round % places * n : 0, n);
	if (state == REREAD)
		read_all(to, n);
	return bench_now_ns() - start;
}

static void figure(const struct contender *c, enum state state, size_t n)
{
	static unsigned round; /* goes on, so that cold places stay cold */
	uint64_t took[ROUNDS_MAX], median;
	unsigned rounds = (unsigned)(round_bytes / n) | 1;

	if (rounds < 5)
		rounds = 5;
	if (rounds > ROUNDS_MAX)
		rounds = ROUNDS_MAX;
	if (state != COLD)
		run(c, 0, n);
	for (unsigned i = 0; i < rounds; i++)
		took[i] = once(c, state, n, round++);
	qsort(took, rounds, sizeof(took[0]), by_size);
	median = took[rounds / 2];
	printf("%s %s %s %zu %.2f\n", c->copy ? "copy" : "clear", c->name, state_names[state], n,
	       state == VICTIM ? (double)median / (double)(victim_bytes / LINE_BYTES)
			       : (double)n / (double)median);
	fflush(stdout);
}

static char *map_arena(int advice)
{
	char *p = mmap(NULL, arena_bytes + 2 * MIB, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bench_die("no memory");
	p += -(uintptr_t)p & (2 * MIB - 1);
	madvise(p, arena_bytes, advice);
	memset(p, 1, arena_bytes);
	return p;
}

int main(int argc, char **argv)
{
	const char *pages;
	size_t least, most;

	bench_init(argc, argv, "copy");
	pages = bench_param_str("pages", "huge");
	least = bench_param("least", 64 << 10);
	most = bench_param("most", 256 * MIB);
	if (least < 4096 || most > arena_bytes || (least & (least - 1)))
		bench_die("--least is a power of two from 4096 on, --most is at most %zu",
			  arena_bytes);
	hak_init_once();
	find_variants();
	victim_make();
	from = map_arena(strcmp(pages, "huge") ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	to = map_arena(strcmp(pages, "huge") ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	printf("# llc %zu copy %zu clear %zu pages %s\n", arch_get()->llc_bytes,
	       bulk_nt_copy_bytes(), bulk_nt_clear_bytes(), pages);
	for (size_t n = least; n <= most; n *= 2)
		for (unsigned state = 0; state < STATES; state++)
			for (unsigned i = 0; i < ncontenders; i++)
				figure(&contenders[i], (enum state)state, n);
	return 0;
}
