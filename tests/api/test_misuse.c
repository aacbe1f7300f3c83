/*
 * One fault of the program per case. Each child must die of SIGABRT with a
 * report that starts with the documented prefix; with HAKMEM_ON_ERROR=report in
 * the environment it must report, go on, and never hand out a block twice.
 */
#include <pthread.h>
#include <stdbool.h>

#include "api.h"

#define NO_SLAB "[TLS_SLL_PUSH_NO_SS]"
#define MISALIGNED "[TLS_SLL_PUSH_MISALIGNED]"
#define DOUBLE_FREE "[TLS_SLL_DOUBLE_FREE]"
#define ANY "[TLS_SLL_"

/* Written between the fault and what follows: was it seen at once? */
#define PASSED_MARK "(the faulty call returned)"

static bool report_mode;
static char global_array[4096];
static size_t fault_size = 64;

static void *must_malloc(size_t n)
{
	void *p = api.malloc(n);

	if (!p)
		_exit(3);
	return test_opaque(p);
}

static void *at_address(uintptr_t a)
{
	return test_opaque((void *)a);
}

static void double_free(size_t size)
{
	void *p = must_malloc(size);

	fault_size = size;
	api.free(p);
	api.free(p);
}

static void double_free_now(void)
{
	double_free(64);
}

static void double_free_first_of_20(void)
{
	void *p[21];
	unsigned i;

	for (i = 0; i < 21; i++)
		p[i] = must_malloc(64);
	for (i = 0; i < 21; i++)
		api.free(p[i]);
	api.free(p[0]);
}

static void double_free_first_of_1000(void)
{
	static void *p[1000];
	unsigned i;

	for (i = 0; i < 1000; i++)
		p[i] = must_malloc(64);
	for (i = 0; i < 1000; i++)
		api.free(p[i]);
	api.free(p[0]);
}

static void double_free_medium(void)
{
	double_free(5000);
}

static void double_free_large(void)
{
	double_free(100000);
}

/* Another block lies there by then, at another colour: it is not what is freed. */
static void double_free_large_used_again(void)
{
	void *p = must_malloc(100000), *q;

	fault_size = 100000;
	api.free(p);
	q = must_malloc(100000);
	if (q == p) /* where there are no colours */
		api.free(q);
	api.free(p);
}

static void double_free_huge(void)
{
	double_free(8u << 20);
}

static void double_free_aligned(void)
{
	void *p = api.memalign(4096, 100);

	api.free(p);
	api.free(p);
}

static void double_free_after_realloc(void)
{
	char *p = must_malloc(64);
	char *q = api.realloc(p, 3000);

	if (q == p)
		_exit(3);
	api.free(p);
}

static void free_stack(void)
{
	char local[256];

	api.free(test_opaque(local + ((16 - (uintptr_t)local % 16) & 15)));
}

static void free_global(void)
{
	api.free(test_opaque(global_array + 64));
}

static void free_literal(void)
{
	api.free(at_address((uintptr_t)PASSED_MARK));
}

static void free_code(void)
{
	api.free(at_address((uintptr_t)&free_global & ~(uintptr_t)15));
}

static void free_plus(size_t size, size_t offset)
{
	char *p = must_malloc(size);

	fault_size = size;
	api.free(p + offset);
}

static void free_plus_8(void)
{
	free_plus(64, 8);
}

static void free_plus_16(void)
{
	free_plus(64, 16);
}

static void free_plus_1(void)
{
	free_plus(64, 1);
}

static void free_middle_of_small(void)
{
	free_plus(1000, 496);
}

static void free_middle_of_medium(void)
{
	free_plus(20000, 4096);
}

static void free_middle_of_large(void)
{
	free_plus(300000, 65536);
}

static void free_middle_of_huge(void)
{
	free_plus(8u << 20, 4u << 20);
}

static void free_minus_16(void)
{
	/* The block's predecessor, or the slab's edge: one stride off. */
	char *p[3];
	unsigned i;

	for (i = 0; i < 3; i++)
		p[i] = must_malloc(48);
	api.free(p[1] - 16);
}

static void free_wild(void)
{
	api.free(at_address(0x1234));
}

static void free_wild_aligned(void)
{
	api.free(at_address(0x10000));
}

static void free_non_canonical(void)
{
	api.free(at_address((uintptr_t)0xdead4141beef0000));
}

static void free_minus_one(void)
{
	api.free(at_address(UINTPTR_MAX & ~(uintptr_t)15));
}

static void realloc_freed(void)
{
	void *p = must_malloc(64);

	api.free(p);
	(void)!api.realloc(p, 100);
}

static void realloc_freed_same_size(void)
{
	void *p = must_malloc(64);

	api.free(p);
	(void)!api.realloc(p, 60);
}

static void realloc_interior(void)
{
	char *p = must_malloc(500);

	(void)!api.realloc(p + 32, 600);
}

static void realloc_stack(void)
{
	char local[64];

	(void)!api.realloc(test_opaque(local), 600);
}

static void realloc_freed_huge(void)
{
	void *p;

	fault_size = 8u << 20;
	p = must_malloc(8u << 20);
	api.free(p);
	(void)!api.realloc(p, 20u << 20);
}

static volatile size_t sink;

static void usable_size_freed(void)
{
	void *p = must_malloc(64);

	api.free(p);
	sink = api.usable_size(p);
}

static void usable_size_interior(void)
{
	char *p = must_malloc(500);

	sink = api.usable_size(p + 32);
}

static void *free_arg(void *p)
{
	api.free(p);
	return NULL;
}

static void free_in_thread(void *p)
{
	pthread_t t;

	if (pthread_create(&t, NULL, free_arg, p))
		_exit(3);
	pthread_join(t, NULL);
}

/* This thread frees first, another one again. */
static void double_free_by_other_thread(void)
{
	void *p = must_malloc(64);

	api.free(p);
	free_in_thread(p);
}

static void double_free_after_other_thread(void)
{
	void *p = must_malloc(64);

	free_in_thread(p);
	api.free(p);
}

static void free_sized_too_big(void)
{
	void *p = must_malloc(64);

	if (api.free_sized)
		api.free_sized(p, 5000);
}

static void free_sized_too_small(void)
{
	void *p = must_malloc(5000);

	if (api.free_sized)
		api.free_sized(p, 10);
}

/* Not a fault: shows that the runner can tell. */
static void no_fault(void)
{
	api.free(must_malloc(64));
}

enum expectation { MUST_REPORT, MAY_REPORT, MUST_BE_SILENT };

static const struct fault {
	const char *name;
	void (*run)(void);
	const char *prefix, *or_prefix;
	enum expectation expect;
} faults[] = {
	{ "no_fault", no_fault, "", NULL, MUST_BE_SILENT },
	{ "double_free_now", double_free_now, DOUBLE_FREE, NULL, MUST_REPORT },
	{ "double_free_first_of_20", double_free_first_of_20, DOUBLE_FREE, NULL,
	  MUST_REPORT },
	{ "double_free_first_of_1000", double_free_first_of_1000, DOUBLE_FREE,
	  NULL, MUST_REPORT },
	{ "double_free_medium", double_free_medium, DOUBLE_FREE, NULL,
	  MUST_REPORT },
	/* A freed span or mapping may be gone from the registry already. */
	{ "double_free_large", double_free_large, DOUBLE_FREE, NO_SLAB,
	  MUST_REPORT },
	{ "double_free_large_used_again", double_free_large_used_again,
	  DOUBLE_FREE, NULL, MUST_REPORT },
	{ "double_free_huge", double_free_huge, DOUBLE_FREE, NO_SLAB,
	  MUST_REPORT },
	{ "double_free_aligned", double_free_aligned, DOUBLE_FREE, NULL,
	  MUST_REPORT },
	{ "double_free_after_realloc", double_free_after_realloc, DOUBLE_FREE,
	  NULL, MUST_REPORT },
	{ "free_stack", free_stack, NO_SLAB, NULL, MUST_REPORT },
	{ "free_global", free_global, NO_SLAB, NULL, MUST_REPORT },
	{ "free_literal", free_literal, NO_SLAB, NULL, MUST_REPORT },
	{ "free_code", free_code, NO_SLAB, NULL, MUST_REPORT },
	{ "free_plus_1", free_plus_1, MISALIGNED, NULL, MUST_REPORT },
	{ "free_plus_8", free_plus_8, MISALIGNED, NULL, MUST_REPORT },
	{ "free_plus_16", free_plus_16, MISALIGNED, NULL, MUST_REPORT },
	{ "free_minus_16", free_minus_16, ANY, NULL, MUST_REPORT },
	{ "free_middle_of_small", free_middle_of_small, MISALIGNED, NULL,
	  MUST_REPORT },
	{ "free_middle_of_medium", free_middle_of_medium, MISALIGNED, NULL,
	  MUST_REPORT },
	{ "free_middle_of_large", free_middle_of_large, MISALIGNED, NULL,
	  MUST_REPORT },
	{ "free_middle_of_huge", free_middle_of_huge, MISALIGNED, NULL,
	  MUST_REPORT },
	{ "free_wild", free_wild, NO_SLAB, NULL, MUST_REPORT },
	{ "free_wild_aligned", free_wild_aligned, NO_SLAB, NULL, MUST_REPORT },
	{ "free_non_canonical", free_non_canonical, NO_SLAB, NULL,
	  MUST_REPORT },
	{ "free_minus_one", free_minus_one, NO_SLAB, NULL, MUST_REPORT },
	{ "realloc_freed", realloc_freed, ANY, NULL, MUST_REPORT },
	{ "realloc_freed_same_size", realloc_freed_same_size, ANY, NULL,
	  MUST_REPORT },
	{ "realloc_interior", realloc_interior, MISALIGNED, NULL, MUST_REPORT },
	{ "realloc_stack", realloc_stack, NO_SLAB, NULL, MUST_REPORT },
	{ "realloc_freed_huge", realloc_freed_huge, ANY, NULL, MUST_REPORT },
	{ "usable_size_freed", usable_size_freed, ANY, NULL, MUST_REPORT },
	{ "usable_size_interior", usable_size_interior, MISALIGNED, NULL,
	  MUST_REPORT },
	{ "double_free_by_other_thread", double_free_by_other_thread,
	  DOUBLE_FREE, NULL, MUST_REPORT },
	{ "double_free_after_other_thread", double_free_after_other_thread,
	  DOUBLE_FREE, NULL, MUST_REPORT },
	{ "free_sized_too_big", free_sized_too_big, ANY, NULL, MAY_REPORT },
	{ "free_sized_too_small", free_sized_too_small, ANY, NULL, MAY_REPORT },
};

static int by_address(const void *a, const void *b)
{
	uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Life after the fault: caches of the size are emptied and filled, which is
 * when a fault that free itself let pass is found; and no block comes twice.
 */
static void go_on(void)
{
	static uintptr_t p[2000];
	size_t n = fault_size, count = n > 100000 ? 8 : n > 20000 ? 100 : 2000;
	size_t i;

	for (i = 0; i < count; i++)
		p[i] = (uintptr_t)must_malloc(n);
	qsort(p, count, sizeof(p[0]), by_address);
	for (i = 1; i < count; i++)
		if (p[i] == p[i - 1]) {
			test_say("block %#llx was handed out twice",
				 (unsigned long long)p[i]);
			_exit(4);
		}
	for (i = 0; i < count; i++)
		api.free((void *)p[i]);
}

static const struct fault *current_fault;

static void run_fault(void *arg)
{
	const struct fault *f = arg;

	f->run();
	test_say(PASSED_MARK);
	go_on();
}

/* The prefix must open a line: the report starts with it. */
static const char *find_prefix(const char *text, const char *prefix)
{
	const char *at = prefix ? strstr(text, prefix) : NULL;

	return at && (at == text || at[-1] == '\n') ? at : NULL;
}

static void check_report(const struct fault *f, int status, const char *text)
{
	const char *at = find_prefix(text, f->prefix);
	const char *mark = strstr(text, PASSED_MARK);

	if (!at)
		at = find_prefix(text, f->or_prefix);
	CHECK(at != NULL, "expected a report that starts with %s%s%s, found: %.300s",
	      f->prefix, f->or_prefix ? " or " : "",
	      f->or_prefix ? f->or_prefix : "", *text ? text : "(nothing)");
	if (report_mode) {
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		      "report mode: expected the process to go on, found status %#x",
		      status);
		return;
	}
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
	      "expected SIGABRT, found status %#x (%s %d)", status,
	      WIFSIGNALED(status) ? "signal" : "exit",
	      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (at && mark && mark < at)
		test_say("%s: seen, but only after the faulty call", f->name);
}

static void run_current_fault(void)
{
	static char text[65536];
	const struct fault *f = current_fault;
	int status = api_hear_child(run_fault, (void *)(uintptr_t)f, text, sizeof(text));

	switch (f->expect) {
	case MUST_REPORT:
		check_report(f, status, text);
		break;
	case MUST_BE_SILENT:
		CHECK(status == 0, "expected exit 0, found status %#x", status);
		CHECK(strstr(text, "[TLS_SLL_") == NULL,
		      "report without a fault: %.300s", text);
		break;
	case MAY_REPORT:
		test_say("%s: %s (status %#x)", f->name,
			 strstr(text, f->prefix) ? "reported" : "not reported",
			 status);
		break;
	}
}

/* CHECK names the running case; the table of faults makes one case each. */
#define FAULT_COUNT (sizeof(faults) / sizeof(faults[0]))

int main(int argc, char **argv)
{
	const char *mode = getenv("HAKMEM_ON_ERROR");
	struct test_case one;
	int failed = 0;
	size_t i;

	api_init();
	report_mode = mode && strcmp(mode, "report") == 0;
	for (i = 0; i < FAULT_COUNT; i++) {
		char *no_args[] = { argv[0], NULL };
		int a, wanted = argc < 2;

		for (a = 1; a < argc; a++)
			wanted |= strcmp(argv[a], faults[i].name) == 0;
		if (!wanted)
			continue;
		current_fault = &faults[i];
		one.name = faults[i].name;
		one.run = run_current_fault;
		test_failures = 0;
		failed |= test_run_all(1, no_args, &one, 1);
	}
	test_say(failed ? "some faults were not handled as documented"
			: "all faults were handled as documented");
	return failed;
}
