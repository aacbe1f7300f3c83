/*
 * Large and huge blocks of malloc, new and new[] that are freed by another family: one line,
 * the first time, and the program goes on. What fits gets none; nor does anything where
 * HAKMEM_WARN_MISMATCH=0 says so, or the program has replaced some of the operators: built
 * again with REPLACE_DELETE, or with REPLACE_NEW, it has done so by malloc and free, as
 * programs do, which fits whatever is left of ours.
 */
#include <new>
#include <thread>

#include "api.h"

#if defined(REPLACE_DELETE) || defined(REPLACE_NEW)
enum { KNOWN = 0 };
#else
enum { KNOWN = 1 };
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsized-deallocation"
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

#ifdef REPLACE_DELETE
void operator delete(void *p) noexcept
{
	free(p);
}
#endif
#ifdef REPLACE_NEW
void *operator new(size_t n)
{
	void *p = malloc(n);
	if (!p)
		throw std::bad_alloc();
	return p;
}
#endif

#define PREFIX "[HAK_FREE_MISMATCH] hakmem: "

static const std::align_val_t aligned = std::align_val_t(256);
static const size_t small_sizes[] = { 1, 100, 5000, 32768 };
static const size_t large_sizes[] = { 40000, 200000, 3u << 20, 8u << 20 };

/* ---- what there is to call */

static void *by_malloc(size_t n) { return malloc(n); }
static void *by_calloc(size_t n) { return calloc(1, n); }
static void *by_memalign(size_t n) { return aligned_alloc(256, n); }
static void *by_realloc(size_t n) { return realloc(test_opaque(malloc(n / 2 + 1)), n); }
static void *by_new(size_t n) { return ::operator new(n); }
static void *by_new_nothrow(size_t n) { return ::operator new(n, std::nothrow); }
static void *by_new_aligned(size_t n) { return ::operator new(n, aligned); }
static void *by_array(size_t n) { return ::operator new[](n); }
static void *by_array_nothrow(size_t n) { return ::operator new[](n, std::nothrow); }
static void *by_array_aligned(size_t n) { return ::operator new[](n, aligned); }

static void to_free(void *p, size_t) { free(p); }
static void to_realloc(void *p, size_t n) { free(test_opaque(realloc(p, n + n / 2))); }
static void to_realloc_less(void *p, size_t n) { free(test_opaque(realloc(p, n / 3))); }
static void to_delete(void *p, size_t) { ::operator delete(p); }
static void to_delete_sized(void *p, size_t n) { ::operator delete(p, n); }
static void to_delete_nothrow(void *p, size_t) { ::operator delete(p, std::nothrow); }
static void to_delete_aligned(void *p, size_t) { ::operator delete(p, aligned); }
static void to_array(void *p, size_t) { ::operator delete[](p); }
static void to_array_sized(void *p, size_t n) { ::operator delete[](p, n); }
static void to_array_aligned(void *p, size_t n) { ::operator delete[](p, n, aligned); }

struct maker {
	void *(*call)(size_t);
	const char *family;
};
static const maker makers[] = {
	{ by_malloc, "malloc" },
	{ by_calloc, "malloc" },
	{ by_memalign, "malloc" },
	{ by_realloc, "malloc" },
	{ by_new, "operator new" },
	{ by_new_nothrow, "operator new" },
	{ by_new_aligned, "operator new" },
	{ by_array, "operator new[]" },
	{ by_array_nothrow, "operator new[]" },
	{ by_array_aligned, "operator new[]" },
};

struct ender {
	void (*call)(void *, size_t);
	const char *family, *name;
};
static const ender enders[] = {
	{ to_free, "malloc", "free" },
	{ to_realloc, "malloc", "realloc" },
	{ to_realloc_less, "malloc", "realloc" },
	{ to_delete, "operator new", "operator delete" },
	{ to_delete_sized, "operator new", "operator delete" },
	{ to_delete_nothrow, "operator new", "operator delete" },
	{ to_delete_aligned, "operator new", "operator delete" },
	{ to_array, "operator new[]", "operator delete[]" },
	{ to_array_sized, "operator new[]", "operator delete[]" },
	{ to_array_aligned, "operator new[]", "operator delete[]" },
};

static bool fits(const maker &m, const ender &e)
{
	return strcmp(m.family, e.family) == 0;
}

/* A block for an alignment is larger than the size that a sized delete would be told. */
static bool size_is_wrong(const maker &m, const ender &e)
{
	return (m.call == by_memalign || m.call == by_new_aligned || m.call == by_array_aligned) &&
	       (e.call == to_delete_sized || e.call == to_array_sized);
}

static void use(const maker &m, const ender &e, size_t n)
{
	unsigned char *p = static_cast<unsigned char *>(test_opaque(m.call(n)));
	REQUIRE(p, "no memory for %zu bytes", n);
	p[0] = p[n - 1] = 1;
	e.call(p, n);
}

/* ---- children */

static char said[16384];

template <typename F> static void in_child(F body)
{
	size_t length = 0;
	ssize_t n;
	int fds[2], status;
	REQUIRE(pipe(fds) == 0, "pipe failed");
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		body();
		test_child_exit();
	}
	close(fds[1]);
	while ((n = read(fds[0], said + length, sizeof(said) - 1 - length)) > 0)
		length += static_cast<size_t>(n);
	said[length] = 0;
	close(fds[0]);
	status = api_wait_child(pid, test_scaled(20000, 60000));
	CHECK(status == 0, "expected exit 0, found status %#x; it said:\n%.600s",
	      static_cast<unsigned>(status), said);
}

static bool warns()
{
	const char *off = getenv("HAKMEM_WARN_MISMATCH");
	return KNOWN && (!off || strcmp(off, "0") != 0);
}

static void expect_silence(const char *what)
{
	CHECK(said[0] == 0, "%s: expected nothing, found:\n%.600s", what, said);
}

static void expect_line(const char *name, const char *family)
{
	char begin[64], from[64];
	const char *called = strstr(said, "; called at "), *end = strchr(said, '\n');
	if (!warns()) {
		expect_silence("no warnings");
		return;
	}
	snprintf(begin, sizeof(begin), PREFIX "%s(0x", name);
	snprintf(from, sizeof(from), " comes from %s; ", family);
	CHECK(strncmp(said, begin, strlen(begin)) == 0, "expected %s, found:\n%.600s", begin, said);
	CHECK(strstr(said, from) != nullptr, "expected \"%s\", found:\n%.600s", from, said);
	CHECK(called && strstr(called, "test_cxx_mismatch"), "it names no code of ours:\n%.600s",
	      said);
	CHECK(end && end[1] == 0, "expected one line, found:\n%.600s", said);
}

/* ---- cases */

static void case_what_fits()
{
	in_child([] {
		for (int round = 0; round < 2; round++)
			for (const maker &m : makers)
				for (const ender &e : enders)
					for (size_t n : large_sizes)
						if (fits(m, e))
							use(m, e, n);
	});
	expect_silence("what fits");
}

static void case_small()
{
	in_child([] {
		for (const maker &m : makers)
			for (const ender &e : enders)
				for (size_t n : small_sizes)
					if (!size_is_wrong(m, e))
						use(m, e, n);
	});
	expect_silence("small blocks");
}

static void case_each_mismatch()
{
	for (const maker &m : makers)
		for (const ender &e : enders)
			for (size_t n : large_sizes) {
				if (fits(m, e) ||
				    (test_under_qemu() && n != 200000 && n != 3u << 20))
					continue;
				in_child([&] { use(m, e, n); });
				expect_line(e.name, m.family);
			}
}

static void case_said_once()
{
	in_child([] {
		use(makers[0], enders[3], 200000);
		use(makers[4], enders[0], 3u << 20);
		for (size_t n : large_sizes)
			use(makers[7], enders[3], n);
	});
	expect_line("operator delete", "malloc");
}

static void case_other_thread()
{
	in_child([] {
		void *p = test_opaque(::operator new(200000));
		std::thread([&] {
			free(p);
			/* No tail call, which would take this frame's place. */
			(void)test_opaque(p);
		}).join();
	});
	expect_line("free", "operator new");
}

/* However it grows: in place, by a copy, by moving its pages. */
static void case_realloc()
{
	in_child([] {
		void *p = test_opaque(::operator new[](70000));
		for (size_t n = 70000; n < (32u << 20); n += n / 3)
			p = test_opaque(realloc(p, n));
		free(p);
	});
	expect_line("realloc", "operator new[]");
}

static const struct test_case cases[] = {
	{ "what_fits", case_what_fits },
	{ "small", case_small },
	{ "each_mismatch", case_each_mismatch },
	{ "said_once", case_said_once },
	{ "other_thread", case_other_thread },
	{ "realloc", case_realloc },
};

int main(int argc, char **argv)
{
	api_init();
	return TEST_MAIN(argc, argv, cases);
}
