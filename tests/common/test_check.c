/* common/check.c and debug_trace.c: sizes are those asked for, freed blocks wait, damage is
 * found where it should be and tells its story; and the trace is as long as it says. */
#include "unit.h"

#include "common/check.h"
#include "common/debug_trace.h"
#include "common/entry.h"
#include "common/options.h"
#include "common/report.h"
#include "common/slab.h"

#include <sys/time.h>

static void *take(size_t bytes)
{
	void *p = entry_malloc(bytes);
	REQUIRE(p != NULL, "no memory");
	return p;
}

static void sizes(void)
{
	for (size_t bytes = 1; bytes < 100000; bytes += bytes / 3 + 1) {
		char *p = take(bytes), *q;
		CHECK_U64(entry_usable_bytes(p, "test"), bytes, "usable bytes");
		memset(p, 1, bytes);
		q = entry_realloc(p, bytes + 1);
		CHECK(q != NULL && q != p && q[0] == 1 && q[bytes - 1] == 1, "resized from %zu",
		      bytes);
		CHECK_U64(entry_usable_bytes(q, "test"), bytes + 1, "usable bytes, resized");
		entry_free(q);
	}
	CHECK_U64(report_count(), 0, "reports");
}

static void aligned(void)
{
	for (size_t align = 1; align <= 1 << 20; align *= 2) {
		char *p = entry_aligned_alloc(align, 100);
		CHECK(p != NULL && (uintptr_t)p % align == 0, "%p for %zu", (void *)p, align);
		CHECK_U64(entry_usable_bytes(p, "test"), 100, "usable bytes");
		entry_free(p);
	}
	CHECK_U64(report_count(), 0, "reports");
}

/* A freed block does not come back before so many others were freed. */
static void quarantine(void)
{
	char *p = take(1000), *q;
	unsigned n = 0;
	entry_free(p);
	do {
		q = take(1000);
		entry_free(q);
		n++;
	} while (q != p && n < 4 * CHECK_QUARANTINE_BLOCKS);
	CHECK(n > CHECK_QUARANTINE_BLOCKS / 2, "it came back after %u others", n);
	CHECK(q == p, "it never came back");
}

static void cleared(void)
{
	for (unsigned i = 0; i < 3 * CHECK_QUARANTINE_BLOCKS / 2; i++) {
		char *p = entry_zalloc(3000);
		REQUIRE(p != NULL, "no memory");
		CHECK_U64(unit_first_nonzero(p, 3000), 3000, "zeros");
		entry_free(p);
	}
}

/* ---- damage; each in a child that must abort */

static void write_at(char *p, ptrdiff_t at)
{
	((volatile char *)p)[at] = 1;
}

static void tail(void *arg)
{
	char *p = take(40);
	(void)arg;
	write_at(p, 40);
	entry_free(p);
}

static void tail_at_the_end(void *arg)
{
	(void)arg;
	write_at(take(40), 41);
	check_everything();
}

static void freed_and_reused(void *arg)
{
	char *p = take(40);
	struct slab *s = slab_of_block(p);
	(void)arg;
	entry_free(p);
	while (atomic_load_relaxed(&s->states[slab_block_index(s, p)]) == BLOCK_QUARANTINED)
		entry_free(take(40));
	write_at(p, 7);
	for (;;)
		take(40);
}

static void freed_in_quarantine(void *arg)
{
	char *p = take(40);
	(void)arg;
	entry_free(p);
	write_at(p, 7);
	for (unsigned i = 0; i < 2 * CHECK_QUARANTINE_BLOCKS; i++)
		entry_free(take(40));
}

static void before(void *arg)
{
	char *p = take(40), *q = take(40);
	(void)arg;
	REQUIRE(q > p, "the second block lies in front");
	write_at(q, -1);
	entry_free(q);
}

static void wrong_size(void *arg)
{
	(void)arg;
	entry_free_sized(take(40), 41);
}

static void damage(void)
{
	unit_child_aborts(tail, NULL, "byte 40 of the live 40-byte block");
	unit_child_aborts(tail, NULL, "  allocated by thread ");
	unit_child_aborts(tail_at_the_end, NULL, "byte 41 of the live 40-byte block");
	unit_child_aborts(freed_in_quarantine, NULL, "found when the block left the quarantine");
	unit_child_aborts(freed_in_quarantine, NULL, "  freed by thread ");
	unit_child_aborts(freed_and_reused, NULL, "found when the block was to be used again");
	unit_child_aborts(before, NULL, "found when the block behind it was freed");
	unit_child_aborts(wrong_size, NULL, "[TLS_SLL_PUSH_CLASS] hakmem: free_sized(");
}

/* ---- the trace */

static void traced(void *arg)
{
	static void *p[400];
	(void)arg;
	options.check_full = 0;
	options.on_error_report = 1;
	for (unsigned i = 0; i < 400; i++)
		p[i] = take(40);
	for (unsigned i = 0; i < 6; i++)
		entry_free((char *)p[i] + 16);
	for (unsigned i = 0; i < 400; i++)
		entry_free(p[i]);
}

static void trace(void)
{
	static struct unit_child child;
	unit_in_child(&child, traced, NULL);
	CHECK_U64(unit_count(child.text, "[TLS_SLL_TRACE] "), 0, "lines of a trace that is off");
	options.debug_trace = 1;
	unit_in_child(&child, traced, NULL);
	options.debug_trace = 0;
	CHECK_U64(unit_count(child.text, "[TLS_SLL_TRACE] "), TRACE_OPERATIONS_MAX, "lines");
	CHECK(strstr(child.text, " pops 0x") != NULL, "what the lines say");
}

static void mismatches(void *arg)
{
	char *p = take(40);
	(void)arg;
	options.on_error_report = options.debug_trace = 1;
	options.check_full = 0;
	for (unsigned i = 0; i < 6; i++)
		entry_free(p + 16);
}

static void registration(void)
{
	static struct unit_child child;
	unit_in_child(&child, mismatches, NULL);
	CHECK_U64(unit_count(child.text, "slab registration around"), TRACE_MISMATCHES_MAX,
		  "mismatches in detail");
}

/* ---- a signal handler that calls the allocator, wherever it comes */

enum { SIGNALS = 300 };

static _Atomic unsigned signals;

static void allocate_in_handler(int sig)
{
	void *p = entry_malloc(100);
	(void)sig;
	if (p != NULL)
		(void)entry_usable_bytes(p, "test");
	entry_free(p);
	atomic_add_relaxed(&signals, 1);
}

static void ask_and_be_interrupted(void *arg)
{
	const struct sigaction action = { .sa_handler = allocate_in_handler };
	const struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
	uint64_t deadline = test_now_ms() + 3000;
	char *p = take(40);
	(void)arg;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	while (atomic_load_relaxed(&signals) < SIGNALS && test_now_ms() < deadline)
		for (unsigned i = 0; i < 100; i++)
			CHECK_U64(entry_usable_bytes(p, "test"), 40, "usable bytes");
	setitimer(ITIMER_REAL, &never, NULL);
}

static void handlers(void)
{
	static struct unit_child child;
	unit_child_passes(&child, ask_and_be_interrupted, NULL);
}

static const struct test_case cases[] = {
	{ "sizes", sizes },	    { "aligned", aligned }, { "quarantine", quarantine },
	{ "cleared", cleared },	    { "damage", damage },   { "trace", trace },
	{ "registration", registration }, { "handlers", handlers },
};

UNIT_MAIN(cases)
