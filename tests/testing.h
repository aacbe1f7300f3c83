/*
 * testing.h - the small harness every test program includes.
 *
 * A program is a table of named cases:
 *
 *	static const struct test_case cases[] = { { "name", function }, ... };
 *	int main(int argc, char **argv) { return TEST_MAIN(argc, argv, cases); }
 *
 * It runs all of them, or the ones named on the command line, and exits with
 * 0 (passed), 1 (a CHECK failed) or 77 (every case was skipped).  Nothing in
 * here allocates, so a broken allocator can still be reported.  The header
 * compiles as C11 and as C++17; CHECK may be used in any thread and in forked
 * children (which leave through test_child_exit()).
 */
#ifndef HAKMEM_TESTING_H
#define HAKMEM_TESTING_H

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TEST_EXIT_SKIP 77
/* Per case: a loop that fails a million times should not fill the log. */
#define TEST_MAX_REPORTS 20

#define TEST_UNUSED __attribute__((unused))
#define TEST_PRINTF(f, a) __attribute__((format(printf, f, a)))

struct test_case {
	const char *name;
	void (*run)(void);
};

static const char *test_current TEST_UNUSED = "(start-up)";
static unsigned test_failures TEST_UNUSED;
static unsigned test_reports TEST_UNUSED;
/* The process that failed last: a forked child inherits the counters. */
static pid_t test_failed_pid TEST_UNUSED;
static int test_case_skipped TEST_UNUSED;
/* Arguments that are not case names, i.e. those that follow "--". */
static int test_extra_argc TEST_UNUSED;
static char **test_extra_argv TEST_UNUSED;

static void test_vsay(const char *prefix, const char *fmt, va_list ap)
	TEST_UNUSED TEST_PRINTF(2, 0);
static void test_vsay(const char *prefix, const char *fmt, va_list ap)
{
	char buf[1024];
	int n, m;
	ssize_t rc;

	n = snprintf(buf, sizeof(buf) - 1, "%s", prefix);
	if (n < 0)
		return;
	if (n > (int)sizeof(buf) - 2)
		n = (int)sizeof(buf) - 2;
	m = vsnprintf(buf + n, sizeof(buf) - 1 - (size_t)n, fmt, ap);
	if (m > 0)
		n += m;
	if (n > (int)sizeof(buf) - 2)
		n = (int)sizeof(buf) - 2;
	buf[n++] = '\n';
	rc = write(STDERR_FILENO, buf, (size_t)n);
	(void)rc;
}

/* Print one line on stderr without going through stdio's buffers. */
static void test_say(const char *fmt, ...) TEST_UNUSED TEST_PRINTF(1, 2);
static void test_say(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, fmt);
	test_vsay("  ", fmt, ap);
	va_end(ap);
	errno = saved;
}

static void test_fail_at(const char *file, int line, const char *cond,
			 const char *fmt, ...) TEST_UNUSED TEST_PRINTF(4, 5);
static void test_fail_at(const char *file, int line, const char *cond,
			 const char *fmt, ...)
{
	int saved = errno;
	char prefix[512];
	va_list ap;
	unsigned n;

	__atomic_add_fetch(&test_failures, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&test_failed_pid, getpid(), __ATOMIC_RELAXED);
	n = __atomic_add_fetch(&test_reports, 1, __ATOMIC_RELAXED);
	if (n <= TEST_MAX_REPORTS) {
		snprintf(prefix, sizeof(prefix), "%s:%d: %s: FAILED %s: ",
			 file, line, test_current, cond);
		va_start(ap, fmt);
		test_vsay(prefix, fmt, ap);
		va_end(ap);
	} else if (n == TEST_MAX_REPORTS + 1) {
		test_say("(further failures of this case are counted, not printed)");
	}
	errno = saved;
}

static inline int test_passed(void)
{
	return 1;
}

/* True where the condition held, so that a caller can leave a broken case. */
#define CHECK(cond, ...)                                                     \
	((cond) ? test_passed()                                              \
		: (test_fail_at(__FILE__, __LINE__, #cond, __VA_ARGS__), 0))

/* For conditions without which the rest of the program makes no sense. */
#define REQUIRE(cond, ...)                                                   \
	do {                                                                 \
		if (!CHECK(cond, __VA_ARGS__))                               \
			_exit(1);                                            \
	} while (0)

#define CHECK_U64(found, expected, what)                                     \
	do {                                                                 \
		uint64_t test_f_ = (uint64_t)(found);                        \
		uint64_t test_e_ = (uint64_t)(expected);                     \
		CHECK(test_f_ == test_e_, "%s: expected %llu, found %llu",   \
		      what, (unsigned long long)test_e_,                     \
		      (unsigned long long)test_f_);                          \
	} while (0)

#define CHECK_I64(found, expected, what)                                     \
	do {                                                                 \
		int64_t test_f_ = (int64_t)(found);                          \
		int64_t test_e_ = (int64_t)(expected);                       \
		CHECK(test_f_ == test_e_, "%s: expected %lld, found %lld",   \
		      what, (long long)test_e_, (long long)test_f_);         \
	} while (0)

#define CHECK_PTR(found, expected, what)                                     \
	do {                                                                 \
		const volatile void *test_f_ = (found);                      \
		const volatile void *test_e_ = (expected);                   \
		CHECK(test_f_ == test_e_, "%s: expected %#llx, found %#llx", \
		      what, (unsigned long long)(uintptr_t)test_e_,          \
		      (unsigned long long)(uintptr_t)test_f_);               \
	} while (0)

/* The whole program cannot run here: say why and leave. */
static void test_skip(const char *fmt, ...) TEST_UNUSED TEST_PRINTF(1, 2)
	__attribute__((noreturn));
static void test_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	test_vsay("SKIPPED: ", fmt, ap);
	va_end(ap);
	_exit(TEST_EXIT_SKIP);
}

/* One case cannot run here: say why, then return from it. */
static void test_skip_case(const char *fmt, ...) TEST_UNUSED TEST_PRINTF(1, 2);
static void test_skip_case(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	test_vsay("  skipped: ", fmt, ap);
	va_end(ap);
	test_case_skipped = 1;
}

/* A forked child reports through its exit status: 0, or 1 after a failure. */
static void test_child_exit(void) TEST_UNUSED __attribute__((noreturn));
static void test_child_exit(void)
{
	_exit(__atomic_load_n(&test_failed_pid, __ATOMIC_RELAXED) == getpid());
}

/*
 * User-mode emulators fake /proc/self/exe but not /proc/thread-self/exe,
 * which names the emulator.
 */
static int test_under_qemu(void) TEST_UNUSED;
static int test_under_qemu(void)
{
	char path[512];
	ssize_t n = readlink("/proc/thread-self/exe", path, sizeof(path) - 1);

	if (n <= 0)
		return 0;
	path[n] = 0;
	return strstr(path, "qemu-") != NULL;
}

/*
 * Loop counts: emulated machines, and the slowest sanitizers, are ten to thirty
 * times slower. The build knows (HAKMEM_TEST_SLOWDOWN); alone, look.
 */
static unsigned test_scaled(unsigned native, unsigned emulated) TEST_UNUSED;
static unsigned test_scaled(unsigned native, unsigned emulated)
{
	static int slow = -1;

	if (slow < 0) {
#ifdef HAKMEM_TEST_SLOWDOWN
		slow = HAKMEM_TEST_SLOWDOWN >= 10 || test_under_qemu();
#else
		slow = test_under_qemu();
#endif
	}
	return slow ? emulated : native;
}

static uint64_t test_now_ms(void) TEST_UNUSED;
static uint64_t test_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

/* splitmix64: enough for choosing sizes and orders, same on every machine. */
static uint64_t test_random(uint64_t *state) TEST_UNUSED;
static uint64_t test_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Hide a value from the optimiser, which knows malloc and free by name. */
static void *test_opaque(void *p) TEST_UNUSED;
static void *test_opaque(void *p)
{
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static size_t test_opaque_size(size_t n) TEST_UNUSED;
static size_t test_opaque_size(size_t n)
{
	__asm__ volatile("" : "+r"(n));
	return n;
}

/* Fill and verify a block with a pattern that depends on the seed. */
static void test_fill(void *p, size_t n, uint64_t seed) TEST_UNUSED;
static void test_fill(void *p, size_t n, uint64_t seed)
{
	unsigned char *b = (unsigned char *)p;
	size_t i;

	for (i = 0; i < n; i++)
		b[i] = (unsigned char)((seed + i) * 167u >> 3);
}

/* Index of the first byte that differs, or n. */
static size_t test_verify(const void *p, size_t n, uint64_t seed) TEST_UNUSED;
static size_t test_verify(const void *p, size_t n, uint64_t seed)
{
	const unsigned char *b = (const unsigned char *)p;
	size_t i;

	for (i = 0; i < n; i++)
		if (b[i] != (unsigned char)((seed + i) * 167u >> 3))
			return i;
	return n;
}

static int test_run_all(int argc, char **argv, const struct test_case *cases,
			size_t count) TEST_UNUSED;
static int test_run_all(int argc, char **argv, const struct test_case *cases,
			size_t count)
{
	unsigned ran = 0, skipped = 0, failed = 0, before;
	int named = 0, stop = argc, a;
	size_t i;

	for (a = 1; a < argc; a++) {
		if (strcmp(argv[a], "--") == 0) {
			stop = a;
			test_extra_argc = argc - a - 1;
			test_extra_argv = argv + a + 1;
			break;
		}
		if (strcmp(argv[a], "--list") == 0) {
			for (i = 0; i < count; i++)
				test_say("%s", cases[i].name);
			return 0;
		}
		for (i = 0; i < count; i++)
			if (strcmp(argv[a], cases[i].name) == 0)
				break;
		if (i == count) {
			test_say("no such case: %s (try --list)", argv[a]);
			return 2;
		}
		named = 1;
	}
	for (i = 0; i < count; i++) {
		int wanted = !named;
		uint64_t start;

		for (a = 1; a < stop && !wanted; a++)
			wanted = strcmp(argv[a], cases[i].name) == 0;
		if (!wanted)
			continue;
		test_current = cases[i].name;
		test_case_skipped = 0;
		__atomic_store_n(&test_reports, 0, __ATOMIC_RELAXED);
		before = __atomic_load_n(&test_failures, __ATOMIC_RELAXED);
		start = test_now_ms();
		cases[i].run();
		ran++;
		if (__atomic_load_n(&test_failures, __ATOMIC_RELAXED) !=
		    before) {
			failed++;
			test_say("FAIL %s", cases[i].name);
		} else if (test_case_skipped) {
			skipped++;
			test_say("skip %s", cases[i].name);
		} else {
			test_say("ok   %s (%llu ms)", cases[i].name,
				 (unsigned long long)(test_now_ms() - start));
		}
	}
	test_current = "(end)";
	test_say("%u cases: %u failed, %u skipped", ran, failed, skipped);
	if (failed ||
	    __atomic_load_n(&test_failures, __ATOMIC_RELAXED) != 0)
		return 1;
	if (ran && skipped == ran)
		return TEST_EXIT_SKIP;
	return 0;
}

#define TEST_MAIN(argc, argv, cases)                                         \
	test_run_all(argc, argv, cases, sizeof(cases) / sizeof((cases)[0]))

#endif /* HAKMEM_TESTING_H */
