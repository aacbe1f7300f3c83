/*
 * Every replaceable form of C++ operator new and delete, called as programs and
 * compilers call them, with the standard's rules for failure.
 */
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "api.h"

static const size_t sizes[] = { 0, 1, 16, 100, 1000, 5000, 70000, 3u << 20 };

/* Keep the compiler from knowing, and complaining about, the size. */
static size_t impossible()
{
	return test_opaque_size(static_cast<size_t>(PTRDIFF_MAX));
}

static void use(void *p, size_t n, size_t align)
{
	REQUIRE(p, "operator new(%zu) returned NULL", n);
	CHECK((reinterpret_cast<uintptr_t>(p) & (align - 1)) == 0,
	      "size %zu: expected alignment %zu, found %p", n, align, p);
	CHECK(api.usable_size(p) >= n, "size %zu: usable %zu", n,
	      api.usable_size(p));
	test_fill(p, n, n);
	CHECK_U64(test_verify(p, n, n), n, "content");
}

static void case_plain_forms()
{
	for (size_t n : sizes) {
		void *p = ::operator new(n);
		use(p, n, 16);
		::operator delete(p);
		p = ::operator new(n);
		use(p, n, 16);
		::operator delete(p, n);
		p = ::operator new[](n);
		use(p, n, 16);
		::operator delete[](p);
		p = ::operator new[](n);
		use(p, n, 16);
		::operator delete[](p, n);
		p = ::operator new(n, std::nothrow);
		use(p, n, 16);
		::operator delete(p, std::nothrow);
		p = ::operator new[](n, std::nothrow);
		use(p, n, 16);
		::operator delete[](p, std::nothrow);
	}
	::operator delete(nullptr);
	::operator delete[](nullptr);
	::operator delete(nullptr, std::nothrow);
	::operator delete[](nullptr, std::nothrow);
	::operator delete(nullptr, size_t(8));
	::operator delete[](nullptr, size_t(8));
	void *a = ::operator new(0), *b = ::operator new(0);
	CHECK(a && b && a != b, "operator new(0) twice: %p and %p", a, b);
	::operator delete(a);
	::operator delete(b);
}

static void case_aligned_forms()
{
	for (size_t al = 1; al <= 1u << 21; al <<= 1) {
		const std::align_val_t av = std::align_val_t(al);
		const size_t want = al;

		for (size_t n : sizes) {
			void *p = ::operator new(n, av);
			use(p, n, want);
			::operator delete(p, av);
			p = ::operator new(n, av);
			use(p, n, want);
			::operator delete(p, n, av);
			p = ::operator new[](n, av);
			use(p, n, want);
			::operator delete[](p, av);
			p = ::operator new[](n, av);
			use(p, n, want);
			::operator delete[](p, n, av);
			p = ::operator new(n, av, std::nothrow);
			use(p, n, want);
			::operator delete(p, av, std::nothrow);
			p = ::operator new[](n, av, std::nothrow);
			use(p, n, want);
			::operator delete[](p, av, std::nothrow);
		}
	}
	::operator delete(nullptr, std::align_val_t(64));
	::operator delete[](nullptr, std::align_val_t(64));
	::operator delete(nullptr, size_t(8), std::align_val_t(64));
	::operator delete[](nullptr, size_t(8), std::align_val_t(64));
	::operator delete(nullptr, std::align_val_t(64), std::nothrow);
	::operator delete[](nullptr, std::align_val_t(64), std::nothrow);
}

template <typename F> static void expect_bad_alloc(F call, const char *what)
{
	bool thrown = false;

	try {
		void *p = call();
		CHECK(false, "%s: expected std::bad_alloc, found %p", what, p);
	} catch (const std::bad_alloc &) {
		thrown = true;
	} catch (...) {
		CHECK(false, "%s: threw something else", what);
	}
	CHECK(thrown, "%s: std::bad_alloc was not thrown", what);
}

static void case_bad_alloc()
{
	const size_t n = impossible();
	const std::align_val_t av = std::align_val_t(64);

	expect_bad_alloc([&] { return ::operator new(n); }, "new");
	expect_bad_alloc([&] { return ::operator new[](n); }, "new[]");
	expect_bad_alloc([&] { return ::operator new(n, av); }, "new, aligned");
	expect_bad_alloc([&] { return ::operator new[](n, av); },
			 "new[], aligned");
	expect_bad_alloc([&] { return ::operator new(test_opaque_size(SIZE_MAX)); },
			 "new(SIZE_MAX)");
	/* libstdc++ 12's own rounds this size up to the alignment: to zero. */
	if (api_is_hakmem())
		expect_bad_alloc([&] {
			return ::operator new(test_opaque_size(SIZE_MAX), av);
		}, "new(SIZE_MAX), aligned");
	CHECK_PTR(::operator new(n, std::nothrow), nullptr, "new, nothrow");
	CHECK_PTR(::operator new[](n, std::nothrow), nullptr, "new[], nothrow");
	CHECK_PTR(::operator new(n, av, std::nothrow), nullptr,
		  "new, aligned, nothrow");
	CHECK_PTR(::operator new[](n, av, std::nothrow), nullptr,
		  "new[], aligned, nothrow");
	void *p = ::operator new(100);
	use(p, 100, 16);
	::operator delete(p);
}

static int handler_calls;

/* Gives up after three calls: the standard's loop must ask again each time. */
static void counting_handler()
{
	if (++handler_calls == 3)
		std::set_new_handler(nullptr);
}

struct handler_error {};

static void throwing_handler()
{
	handler_calls++;
	throw handler_error();
}

template <typename F> static void expect_handler_loop(F call, const char *what)
{
	handler_calls = 0;
	std::set_new_handler(counting_handler);
	call();
	CHECK(handler_calls == 3, "%s: expected 3 calls of the handler, found %d",
	      what, handler_calls);
	std::set_new_handler(nullptr);
}

static void case_new_handler()
{
	const size_t n = impossible();
	const std::align_val_t av = std::align_val_t(64);

	expect_handler_loop([&] {
		expect_bad_alloc([&] { return ::operator new(n); }, "new");
	}, "new");
	expect_handler_loop([&] {
		expect_bad_alloc([&] { return ::operator new[](n); }, "new[]");
	}, "new[]");
	expect_handler_loop([&] {
		expect_bad_alloc([&] { return ::operator new(n, av); }, "aligned");
	}, "new, aligned");
	expect_handler_loop([&] {
		CHECK_PTR(::operator new(n, std::nothrow), nullptr, "nothrow");
	}, "new, nothrow");
	expect_handler_loop([&] {
		CHECK_PTR(::operator new[](n, std::nothrow), nullptr, "nothrow");
	}, "new[], nothrow");
	expect_handler_loop([&] {
		CHECK_PTR(::operator new(n, av, std::nothrow), nullptr, "nothrow");
	}, "new, aligned, nothrow");

	/* What the handler throws passes through new ... */
	handler_calls = 0;
	std::set_new_handler(throwing_handler);
	bool passed = false;
	try {
		void *p = ::operator new(n);
		CHECK(false, "expected an exception, found %p", p);
	} catch (const handler_error &) {
		passed = true;
	} catch (...) {
	}
	CHECK(passed && handler_calls == 1,
	      "expected the handler's exception after 1 call, found %d",
	      handler_calls);
	std::set_new_handler(nullptr);
	/* ... and bad_alloc from it becomes NULL in the nothrow forms. */
	std::set_new_handler([] { throw std::bad_alloc(); });
	CHECK_PTR(::operator new(n, std::nothrow), nullptr,
		  "nothrow, handler throws bad_alloc");
	std::set_new_handler(nullptr);
}

struct alignas(128) wide {
	unsigned char bytes[384];
};

struct counted {
	static int live;
	std::string text;
	counted() : text(40, 'x') { live++; }
	~counted() { live--; }
};
int counted::live;

static void case_expressions_and_containers()
{
	wide *w = new wide[7];
	CHECK((reinterpret_cast<uintptr_t>(w) & 127) == 0, "new wide[7] = %p",
	      static_cast<void *>(w));
	delete[] w;
	wide *one = new wide;
	CHECK((reinterpret_cast<uintptr_t>(one) & 127) == 0, "new wide = %p",
	      static_cast<void *>(one));
	delete one;
	{
		std::unique_ptr<counted[]> c(new counted[1000]);
		CHECK_I64(counted::live, 1000, "objects");
	}
	CHECK_I64(counted::live, 0, "objects left");

	std::map<int, std::string> m;
	std::unordered_map<std::string, std::vector<int>> u;
	std::list<std::string> l;
	const int rounds = static_cast<int>(test_scaled(20000, 2000));
	for (int i = 0; i < rounds; i++) {
		m[i * 7919 % 1000] = std::string(static_cast<size_t>(i % 300), 'a');
		u["key" + std::to_string(i % 500)].push_back(i);
		l.push_back(std::to_string(i));
		if (l.size() > 100)
			l.pop_front();
	}
	CHECK_U64(m.size(), 1000, "map");
	CHECK_U64(u.size(), 500, "unordered_map");
	CHECK(l.front() == std::to_string(rounds - 100), "list: front %s",
	      l.front().c_str());
}

/* Blocks cross threads, and both families of names share one heap. */
static void case_threads_and_families()
{
	std::vector<std::string *> made(5000);
	std::thread maker([&] {
		for (size_t i = 0; i < made.size(); i++)
			made[i] = new std::string(i % 200 + 20, 'm');
	});
	maker.join();
	std::thread breaker([&] {
		for (size_t i = 0; i < made.size(); i++) {
			CHECK_U64(made[i]->size(), i % 200 + 20, "size");
			delete made[i];
		}
	});
	breaker.join();
	if (!api_is_hakmem())
		return;
	const size_t before = api.mallinfo2().hblkhd + api.mallinfo2().uordblks;
	void *p = ::operator new(5u << 20);
	const size_t during = api.mallinfo2().hblkhd + api.mallinfo2().uordblks;
	CHECK(during >= before + (5u << 20),
	      "operator new must use our heap: in use %zu -> %zu", before,
	      during);
	api.free(p);
}

static const struct test_case cases[] = {
	{ "plain_forms", case_plain_forms },
	{ "aligned_forms", case_aligned_forms },
	{ "bad_alloc", case_bad_alloc },
	{ "new_handler", case_new_handler },
	{ "expressions_and_containers", case_expressions_and_containers },
	{ "threads_and_families", case_threads_and_families },
};

int main(int argc, char **argv)
{
	api_init();
	return TEST_MAIN(argc, argv, cases);
}
