/*
 * A program that replaces the basic operator new and delete, and only those, as
 * the standard allows: every other form without an alignment must go through
 * the program's, in the program itself and in the C++ runtime; the aligned ones
 * stay the allocator's.
 */
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "replaced_operators.h"

void *operator new(size_t n)
{
	return prefixed_new(n);
}

void operator delete(void *block) noexcept
{
	prefixed_delete(block);
}

static void case_forms_call_the_basic_ones()
{
	for (size_t n : { 1u, 40u, 1000u, 70000u, 3u << 20 }) {
		EXPECT_REPLACED(::operator new(n), ::operator delete(p));
		EXPECT_REPLACED(::operator new(n), ::operator delete(p, n));
		EXPECT_REPLACED(::operator new[](n), ::operator delete[](p));
		EXPECT_REPLACED(::operator new[](n), ::operator delete[](p, n));
		EXPECT_REPLACED(::operator new(n, std::nothrow),
				::operator delete(p, std::nothrow));
		EXPECT_REPLACED(::operator new[](n, std::nothrow),
				::operator delete[](p, std::nothrow));
	}
}

struct counted {
	int a[10];
	~counted() { a[0] = 0; }
};

/* As the compiler calls them. */
static void case_expressions()
{
	const unsigned long news_before = news, deletes_before = deletes;

	delete static_cast<counted *>(test_opaque(new counted));
	delete[] static_cast<counted *>(test_opaque(new counted[3]));
	delete static_cast<int *>(test_opaque(new (std::nothrow) int));
	delete[] static_cast<int *>(test_opaque(new (std::nothrow) int[7]));
	CHECK_U64(news - news_before, 4, "calls of new");
	CHECK_U64(deletes - deletes_before, 4, "calls of delete");
}

static void case_nothrow_forms_catch()
{
	void *one, *many;
	bool thrown = false;

	refuse = true;
	one = test_opaque(::operator new(test_opaque_size(100), std::nothrow));
	many = test_opaque(::operator new[](test_opaque_size(100), std::nothrow));
	try {
		::operator delete[](test_opaque(::operator new[](100)));
	} catch (const std::bad_alloc &) {
		thrown = true;
	}
	refuse = false;
	CHECK(!one && !many, "the program's new throws: expected NULL, found %p and %p",
	      one, many);
	CHECK(thrown, "new[] did not pass on what the program's new throws");
}

static void case_aligned_forms_are_not_replaced()
{
	const unsigned long news_before = news, deletes_before = deletes;

	for (size_t al = 32; al <= 4096; al *= 2) {
		const std::align_val_t av = std::align_val_t(al);
		void *p[4] = { ::operator new(300, av), ::operator new[](300, av),
			       ::operator new(300, av, std::nothrow),
			       ::operator new[](300, av, std::nothrow) };

		for (void *q : p) {
			REQUIRE(q, "aligned new returned NULL");
			CHECK((reinterpret_cast<uintptr_t>(q) & (al - 1)) == 0,
			      "expected alignment %zu, found %p", al, q);
			test_fill(q, 300, al);
		}
		::operator delete(p[0], av);
		::operator delete[](p[1], 300, av);
		::operator delete(p[2], av, std::nothrow);
		::operator delete[](p[3], av, std::nothrow);
	}
	CHECK_U64(news - news_before, 0, "calls of the program's new");
	CHECK_U64(deletes - deletes_before, 0, "calls of the program's delete");
}

/* What the runtime allocates is the program's, whichever side frees it. */
static void case_runtime_uses_them()
{
	const unsigned long news_before = news, deletes_before = deletes;

	{
		std::vector<std::unique_ptr<std::string>> v;
		std::ostringstream out;

		for (int i = 0; i < 500; i++) {
			v.push_back(std::make_unique<std::string>(i, 'x'));
			out << *v.back() << i << '\n';
		}
		const std::string all = out.str();
		CHECK(all.size() > 500 * 499 / 2, "expected the text, found %zu bytes",
		      all.size());
	}
	CHECK(news - news_before >= 500, "expected >= 500 calls of new, found %lu",
	      news - news_before);
	CHECK_U64(deletes - deletes_before, news - news_before, "calls of delete");
}

static const struct test_case cases[] = {
	{ "forms_call_the_basic_ones", case_forms_call_the_basic_ones },
	{ "expressions", case_expressions },
	{ "nothrow_forms_catch", case_nothrow_forms_catch },
	{ "aligned_forms_are_not_replaced", case_aligned_forms_are_not_replaced },
	{ "runtime_uses_them", case_runtime_uses_them },
};

int main(int argc, char **argv)
{
	api_init();
	return TEST_MAIN(argc, argv, cases);
}
