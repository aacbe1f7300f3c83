/*
 * Kinds of misuse x size of the block x thread that errs x time: one child per case. Prints a
 * line per case, and with "-- LEVEL" checks it against what docs/safety.md promises of
 * that level ("default" or "full"). Runs on any malloc: misuse_table makes the table of
 * docs/safety.md out of three runs.
 */
#include <pthread.h>
#include <stdbool.h>

#include "api/api.h"

/* Absent with some allocators, which then do what a C++ runtime or an old C library does. */
extern void *_Znwm(size_t) __attribute__((weak));
extern void _ZdlPv(void *) __attribute__((weak));
extern void *_Znam(size_t) __attribute__((weak));
extern void free_sized(void *, size_t) __attribute__((weak));

enum { CHURN_OPS = 2000, CHURN_LIVE = 64, NEIGHBOURS = 8, TEXT_BYTES = 16384 };

static const struct {
	const char *name;
	size_t bytes;
} sizes[] = { { "small", 40 }, { "medium", 5000 }, { "large", 200000 }, { "huge", 8 << 20 } };

enum { SMALL, MEDIUM, LARGE, HUGE, SIZE_COUNT };

/* The error is made in two steps: the first is right by itself. */
struct misuse {
	const char *name;
	void *(*allocate)(size_t bytes);
	void (*before)(void *p);
	void (*error)(char *p, size_t bytes);
	const char *prefix, *or_prefix;
	bool by_default;     /* caught whatever the size, thread and time, without options */
	bool not_after_reuse; /* of by_default: if the block may have been handed out again, it is
				the second owner's free that is caught */
	bool not_small;      /* under full checking: only blocks above HAK_SMALL_MAX */
};

static volatile char sink;

static void *hide(void *p)
{
	__asm__("" : "+r"(p));
	return p;
}

static void *by_malloc(size_t bytes)
{
	return malloc(bytes);
}

static void *by_new(size_t bytes)
{
	return _Znwm ? _Znwm(bytes) : malloc(bytes);
}

static void *by_new_array(size_t bytes)
{
	return _Znam ? _Znam(bytes) : malloc(bytes);
}

static void nothing(void *p)
{
	(void)p;
}

static void do_free(char *p, size_t bytes)
{
	(void)bytes;
	free(hide(p));
}

static void free_interior(char *p, size_t bytes)
{
	(void)bytes;
	free(hide(p + 16));
}

static void free_foreign(char *p, size_t bytes)
{
	char local[64];
	(void)p;
	(void)bytes;
	free(hide(local + ((16 - (uintptr_t)local % 16) & 15)));
}

static void free_wrong_size(char *p, size_t bytes)
{
	if (free_sized)
		free_sized(hide(p), 3 * bytes);
	else
		free(hide(p));
}

static void do_delete(char *p, size_t bytes)
{
	(void)bytes;
	if (_ZdlPv)
		_ZdlPv(hide(p));
	else
		free(hide(p));
}

static void do_realloc(char *p, size_t bytes)
{
	free(hide(realloc(hide(p), 2 * bytes)));
}

static void write_past(char *p, size_t bytes)
{
	((volatile char *)p)[bytes] = 1;
	free(hide(p));
}

static void write_far_past(char *p, size_t bytes)
{
	for (size_t i = 0; i < 64; i++)
		((volatile char *)p)[bytes + i] = 1;
	free(hide(p));
}

static void write_before(char *p, size_t bytes)
{
	(void)bytes;
	for (int i = 1; i <= 16; i++)
		((volatile char *)p)[-i] = 1;
	free(hide(p));
}

static void write_freed(char *p, size_t bytes)
{
	for (size_t i = 0; i < bytes && i < 64; i++)
		((volatile char *)p)[i] = 1;
}

static void read_freed(char *p, size_t bytes)
{
	sink = ((volatile char *)p)[bytes / 2];
}

static void realloc_freed(char *p, size_t bytes)
{
	sink = (char)(realloc(hide(p), bytes * 2) != NULL);
}

#define NO_SLAB "[TLS_SLL_PUSH_NO_SS]"
#define DOUBLE_FREE "[TLS_SLL_DOUBLE_FREE]"
#define MISALIGNED "[TLS_SLL_PUSH_MISALIGNED]"
#define OVERRUN "[HAK_OVERRUN]"
#define AFTER_FREE "[HAK_USE_AFTER_FREE]"
#define MISMATCH "[HAK_FREE_MISMATCH]"

static const struct misuse kinds[] = {
	{ "double free", by_malloc, free, do_free,
	  DOUBLE_FREE, NO_SLAB, true, true, false },
	{ "free of an interior pointer", by_malloc, nothing, free_interior,
	  MISALIGNED, NULL, true, false, false },
	{ "free of a stack address", by_malloc, nothing, free_foreign,
	  NO_SLAB, NULL, true, false, false },
	{ "free_sized with a wrong size", by_malloc, nothing, free_wrong_size,
	  "[TLS_SLL_PUSH_CLASS]", NULL, true, false, false },
	{ "realloc of a freed block", by_malloc, free, realloc_freed,
	  DOUBLE_FREE, NO_SLAB, true, true, false },
	{ "new, then free", by_new, nothing, do_free,
	  MISMATCH, NULL, false, false, false },
	{ "new[], then delete", by_new_array, nothing, do_delete,
	  MISMATCH, NULL, false, false, false },
	{ "malloc, then delete", by_malloc, nothing, do_delete,
	  MISMATCH, NULL, false, false, false },
	{ "new, then realloc", by_new, nothing, do_realloc,
	  MISMATCH, NULL, false, false, false },
	{ "write of one byte past the end", by_malloc, nothing, write_past,
	  OVERRUN, NULL, false, false, false },
	{ "write of 64 bytes past the end", by_malloc, nothing, write_far_past,
	  OVERRUN, NULL, false, false, false },
	{ "write before the start", by_malloc, nothing, write_before,
	  OVERRUN, NULL, false, false, false },
	{ "write to a freed block", by_malloc, free, write_freed,
	  AFTER_FREE, NULL, false, false, false },
	{ "read of a freed block", by_malloc, free, read_freed,
	  AFTER_FREE, NULL, false, false, true },
};

enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

struct misuse_case {
	const struct misuse *kind;
	unsigned size;
	bool other_thread, later;
};

/* ---- a case, in its child */

/* Some traffic of all sizes; what is left at its end is live. */
static void churn(void)
{
	static void *live[CHURN_LIVE];
	uint64_t rng = 1;
	for (unsigned i = 0; i < CHURN_OPS; i++) {
		unsigned k = (unsigned)(test_random(&rng) % CHURN_LIVE);
		size_t most = i % 64 == 0 ? 300000 : i % 8 == 0 ? 8000 : 200;
		free(live[k]);
		live[k] = malloc(1 + test_random(&rng) % most);
	}
	for (unsigned k = 0; k < CHURN_LIVE; k += 2) {
		free(live[k]);
		live[k] = NULL;
	}
}

struct step {
	const struct misuse_case *c;
	char *p;
};

static void *make_error(void *arg)
{
	const struct step *s = arg;
	s->c->kind->error(s->p, sizes[s->c->size].bytes);
	return NULL;
}

static void run_case(void *arg)
{
	const struct misuse_case *c = arg;
	static char *around[NEIGHBOURS];
	size_t bytes = sizes[c->size].bytes;
	struct step step = { c, NULL };
	unsigned n = c->size == HUGE ? 2 : NEIGHBOURS;
	pthread_t t;
	for (unsigned i = 0; i < n; i++)
		around[i] = c->kind->allocate(bytes);
	step.p = around[n / 2];
	c->kind->before(step.p);
	if (c->later)
		churn();
	if (!c->other_thread) {
		make_error(&step);
	} else {
		if (pthread_create(&t, NULL, make_error, &step) != 0)
			_exit(3);
		pthread_join(t, NULL);
	}
	/* Life goes on: the same sizes are used again, and everything is freed. */
	churn();
	for (unsigned i = 0; i < 64; i++)
		around[0] = hide(malloc(bytes)), free(around[0]);
	exit(0); /* not _exit(): full checking looks at every block at the end */
}

/* ---- its end, as the parent sees it */

/* By default that is said, of large and huge blocks, and the program goes on. */
static bool is_mismatch(const struct misuse *k)
{
	return strcmp(k->prefix, MISMATCH) == 0;
}

/* Is a report there, with the prefix of this kind, that names code of this program? */
static bool explains(const struct misuse *k, const char *text)
{
	const char *stack = strstr(text, "call stack");
	bool prefix =
		strncmp(text, k->prefix, strlen(k->prefix)) == 0 ||
		(k->or_prefix != NULL && strncmp(text, k->or_prefix, strlen(k->or_prefix)) == 0);
	if (stack == NULL && is_mismatch(k))
		stack = strstr(text, "called at");
	return prefix && stack != NULL && strstr(stack, "test_misuse_") != NULL;
}

static bool is_promised(const struct misuse_case *c, bool full)
{
	const struct misuse *k = c->kind;
	if (full)
		return !k->not_small || c->size >= LARGE;
	if (is_mismatch(k))
		return c->size >= LARGE;
	if (!k->by_default || (k->not_after_reuse && c->later))
		return false;
	/* The other thread's own memory may be where the large block was. */
	return !k->not_after_reuse || !c->other_thread || c->size < LARGE;
}

static const char *outcome(const struct misuse *k, int status, const char *text)
{
	if (WIFEXITED(status))
		return is_mismatch(k) && explains(k, text) ? "said" : "missed";
	if (WTERMSIG(status) != SIGABRT)
		return "crashed";
	return explains(k, text) ? "explained" : "aborted";
}

static void look_at(const struct misuse_case *c, const char *level)
{
	static char text[TEXT_BYTES];
	bool full = level != NULL && strcmp(level, "full") == 0;
	const char *found;
	int status;
	fflush(stdout); /* or the child's exit() prints it again */
	status = api_hear_child(run_case, (void *)(uintptr_t)c, text, sizeof(text));
	found = outcome(c->kind, status, text);
	printf("%s|%s|%s|%s|%s\n", c->kind->name, sizes[c->size].name,
	       c->other_thread ? "other" : "own", c->later ? "later" : "at once", found);
	if (level != NULL && is_promised(c, full))
		CHECK(strcmp(found, full || !is_mismatch(c->kind) ? "explained" : "said") == 0,
		      "%s, %s, %s thread, %s: %s (status %#x); it said:\n%.800s", c->kind->name,
		      sizes[c->size].name, c->other_thread ? "other" : "own",
		      c->later ? "later" : "at once", found, (unsigned)status, text);
}

static void matrix(void)
{
	const char *level = test_extra_argc > 0 ? test_extra_argv[0] : NULL;
	for (unsigned k = 0; k < KIND_COUNT; k++)
		for (unsigned size = 0; size < SIZE_COUNT; size++)
			for (unsigned i = 0; i < 4; i++) {
				struct misuse_case c = { &kinds[k], size, i & 1, i & 2 };
				look_at(&c, level);
			}
}

static const struct test_case cases[] = { { "matrix", matrix } };

int main(int argc, char **argv)
{
	return TEST_MAIN(argc, argv, cases);
}
