/*
 * A program that replaces operator new[] and delete[], and only those: the forms that the
 * standard defines by them must go through the program's, whichever side they are called from.
 */
#include <initializer_list>
#include <new>

#include "api.h"

static const uint64_t magic = 0x6d795f6172726179ull;

/* In front of each block that the program's operator new[] gives out. */
struct alignas(16) prefix {
	uint64_t magic;
};

static unsigned long news, deletes;
static bool refuse;

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsized-deallocation"
#endif

void *operator new[](size_t n)
{
	prefix *p = refuse ? nullptr : static_cast<prefix *>(malloc(sizeof(prefix) + n));
	if (!p)
		throw std::bad_alloc();
	p->magic = magic;
	news++;
	return p + 1;
}

void operator delete[](void *block) noexcept
{
	prefix *p = static_cast<prefix *>(block) - 1;
	CHECK(p->magic == magic, "operator delete[](%p): not from the program's new[]", block);
	p->magic = 0;
	deletes++;
	free(p);
}

#define EXPECT_REPLACED(allocate, release)                                                       \
	do {                                                                                     \
		const unsigned long news_ = news, deletes_ = deletes;                            \
		void *p = test_opaque(allocate);                                                 \
		REQUIRE(p, #allocate " returned NULL");                                          \
		test_fill(p, n, n);                                                              \
		CHECK_U64(news - news_, 1, #allocate ": calls of the program's new[]");          \
		if (news == news_) /* or delete[] would read what lies in front */               \
			break;                                                                   \
		release;                                                                         \
		CHECK_U64(deletes - deletes_, 1, #release ": calls of the program's delete[]");  \
	} while (0)

static void case_forms_call_the_basic_ones()
{
	for (size_t n : { 1u, 40u, 1000u, 70000u, 3u << 20 }) {
		EXPECT_REPLACED(::operator new[](n), ::operator delete[](p));
		EXPECT_REPLACED(::operator new[](n), ::operator delete[](p, n));
		EXPECT_REPLACED(::operator new[](n, std::nothrow), ::operator delete[](p));
		EXPECT_REPLACED(::operator new[](n), ::operator delete[](p, std::nothrow));
	}
}

static void case_nothrow_form_catches()
{
	void *p;

	refuse = true;
	p = test_opaque(::operator new[](test_opaque_size(100), std::nothrow));
	refuse = false;
	CHECK(!p, "the program's new[] throws: expected NULL, found %p", p);
}

static void case_others_are_not_replaced()
{
	const unsigned long news_before = news, deletes_before = deletes;

	for (size_t n : { 1u, 1000u, 70000u, 3u << 20 }) {
		::operator delete(test_opaque(::operator new(n)));
		::operator delete(test_opaque(::operator new(n, std::nothrow)), n);
		::operator delete[](test_opaque(::operator new[](n, std::align_val_t(64))),
				    std::align_val_t(64));
	}
	CHECK_U64(news - news_before, 0, "calls of the program's new[]");
	CHECK_U64(deletes - deletes_before, 0, "calls of the program's delete[]");
}

static const struct test_case cases[] = {
	{ "forms_call_the_basic_ones", case_forms_call_the_basic_ones },
	{ "nothrow_form_catches", case_nothrow_form_catches },
	{ "others_are_not_replaced", case_others_are_not_replaced },
};

int main(int argc, char **argv)
{
	api_init();
	return TEST_MAIN(argc, argv, cases);
}
