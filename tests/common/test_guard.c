/* common/guard.c: blocks end at a page that traps, freed ones trap everywhere, what is
 * left on their pages is looked at, their number has a bound, and faults that are not
 * about them go to the program's own handler. */
#include "unit.h"

#include <setjmp.h>
#include <sys/mman.h>

#include "common/entry.h"
#include "common/guard.h"
#include "common/options.h"
#include "common/os.h"
#include "common/registry.h"
#include "common/report.h"

static void *guarded(size_t bytes, size_t align)
{
	char *p = guard_alloc(bytes, align, false, ORIGIN_MALLOC);
	REQUIRE(p != NULL, "no memory");
	return p;
}

static void geometry(void)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 4095, 4096, 4097, 70000, 5000000 };
	for (unsigned i = 0; i < HAK_ARRAY_LEN(sizes); i++) {
		for (size_t align = 1; align <= os_page_bytes(); align *= 4) {
			char *p = guarded(sizes[i], align);
			uintptr_t end = (uintptr_t)p + max_size(sizes[i], 1);
			CHECK((uintptr_t)p % max_size(align, HAK_MIN_ALIGN) == 0,
			      "%p for alignment %zu", (void *)p, align);
			CHECK(align_up(end, os_page_bytes()) - end < max_size(align, HAK_MIN_ALIGN),
			      "%zu bytes end %zu before the page does", sizes[i],
			      align_up(end, os_page_bytes()) - end);
			CHECK_U64(entry_usable_bytes(p, "test"), max_size(sizes[i], 1),
				  "usable bytes");
			CHECK_U64(unit_first_nonzero(p, sizes[i]), sizes[i], "zeros");
			memset(p, 1, sizes[i]);
			entry_free(p);
		}
	}
	CHECK_U64(guard_count(), 0, "live blocks");
	CHECK_U64(report_count(), 0, "reports");
}

static void resized(void)
{
	char *p = guarded(100, 16), *q;
	test_fill(p, 100, 7);
	q = entry_realloc(p, 5000);
	REQUIRE(q != NULL && q != p, "a block that grows moves");
	CHECK_U64(test_verify(q, 100, 7), 100, "content");
	entry_free(q);
}

/* ---- what is reported */

static void write_at(char *p, size_t at)
{
	((volatile char *)p)[at] = 1;
}

static void past_the_end(void *arg)
{
	(void)arg;
	guard_install_handler();
	write_at(guarded(4096, 16), 4096);
}

static void in_the_rest_of_the_page(void *arg)
{
	char *p = guarded(100, 16);
	(void)arg;
	write_at(p, 100);
	entry_free(p);
}

static void after_free(void *arg)
{
	char *p = guarded(100, 16);
	(void)arg;
	guard_install_handler();
	entry_free(p);
	write_at(p, 50);
}

static void twice(void *arg)
{
	char *p = guarded(100, 16);
	(void)arg;
	entry_free(p);
	entry_free(p);
}

static void inside(void *arg)
{
	(void)arg;
	entry_free((char *)guarded(100, 16) + 16);
}

static void reports(void)
{
	unit_child_aborts(past_the_end, NULL, "0 bytes past the end of the live 4096-byte block");
	unit_child_aborts(in_the_rest_of_the_page, NULL, "byte 100 of the live 100-byte block");
	unit_child_aborts(after_free, NULL, "in or beside the freed 100-byte block");
	unit_child_aborts(after_free, NULL, "  freed by thread ");
	unit_child_aborts(twice, NULL, "[TLS_SLL_DOUBLE_FREE]");
	unit_child_aborts(inside, NULL, "points 16 bytes into a live 100-byte block");
}

static void go_on_after_reports(void *arg)
{
	char *p = guarded(4096, 16);
	(void)arg;
	options.on_error_report = 1;
	guard_install_handler();
	write_at(p, 4096);
	CHECK_U64(report_count(), 1, "reports");
	entry_free(p);
	write_at(p, 10);
	CHECK_U64(report_count(), 2, "reports");
	entry_free(p);
	CHECK_U64(report_count(), 3, "reports");
}

/* Sampled, that is only said; under full checking it is an error. */
static void free_of_new(void *full)
{
	size_t live = guard_count();
	void *p = guard_alloc(100, 16, full == NULL, ORIGIN_NEW);
	options.check_full = full != NULL;
	entry_free(p);
	CHECK_U64(guard_count(), live, "guarded blocks");
	CHECK_U64(report_count(), 0, "reports");
	entry_free(guard_alloc(100, 16, true, ORIGIN_NEW));
}

static void mismatch(void)
{
	static struct unit_child child;
	const char *line = "[HAK_FREE_MISMATCH] hakmem: free(0x";
	unit_child_passes(&child, free_of_new, NULL);
	CHECK(strncmp(child.text, line, strlen(line)) == 0 && unit_count(child.text, "\n") == 1 &&
		      strstr(child.text, "the live 100-byte block comes from operator new; ") !=
			      NULL,
	      "it said:\n%s", child.text);
	unit_child_aborts(free_of_new, &child, line);
}

static void report_mode(void)
{
	static struct unit_child child;
	unit_child_passes(&child, go_on_after_reports, NULL);
}

/* ---- the program's own handler */

static sigjmp_buf back;
static volatile sig_atomic_t caught;

static void own_handler(int sig)
{
	caught += sig == SIGSEGV;
	siglongjmp(back, 1);
}

static void own_fault(void *arg)
{
	char *page = mmap(NULL, os_page_bytes(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)arg;
	signal(SIGSEGV, own_handler);
	guard_install_handler();
	if (sigsetjmp(back, 1) == 0)
		write_at(page, 0);
	CHECK(caught == 1, "the program's handler was called %d times", (int)caught);
}

static void fault_without_handler(void *arg)
{
	char *page = mmap(NULL, os_page_bytes(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)arg;
	guard_install_handler();
	write_at(page, 0);
}

static void raised(void *arg)
{
	(void)arg;
	guard_install_handler();
	raise(SIGSEGV);
}

static void chaining(void)
{
	static struct unit_child child;
	unit_child_passes(&child, own_fault, NULL);
	unit_in_child(&child, fault_without_handler, NULL);
	CHECK(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGSEGV,
	      "a fault that is not ours: wait status %#x", (unsigned)child.status);
	unit_in_child(&child, raised, NULL);
	CHECK(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGSEGV,
	      "a signal that was sent: wait status %#x", (unsigned)child.status);
}

static void bounds(void)
{
	static void *p[GUARD_SAMPLED_MAX + 1];
	unsigned n = 0;
	void *first = guarded(10, 16), *record;
	while (n <= GUARD_SAMPLED_MAX &&
	       (p[n] = guard_alloc(10, 16, true, ORIGIN_MALLOC)) != NULL)
		n++;
	CHECK_U64(n, GUARD_SAMPLED_MAX, "sampled blocks");
	while (n > 0)
		entry_free(p[--n]);
	/* A freed one is known until so many others were freed. */
	entry_free(first);
	for (unsigned i = 0; i < GUARD_FREED_MAX - 1; i++)
		entry_free(guarded(10, 16));
	CHECK_U64(registry_lookup((uintptr_t)first, &record), UNIT_GUARD, "kind before the last");
	entry_free(guarded(10, 16));
	CHECK_U64(registry_lookup((uintptr_t)first, &record), UNIT_NONE, "kind afterwards");
}

static const struct test_case cases[] = {
	{ "geometry", geometry }, { "resized", resized },   { "reports", reports },
	{ "mismatch", mismatch },
	{ "report_mode", report_mode }, { "chaining", chaining }, { "bounds", bounds },
};

UNIT_MAIN(cases)
