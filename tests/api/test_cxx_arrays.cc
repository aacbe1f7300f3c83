/*
 * A program that replaces operator new[] and delete[], and only those: the forms that the
 * standard defines by them must go through the program's, whichever side they are called from.
 */
#include <initializer_list>

#include "replaced_operators.h"

void *operator new[](size_t n)
{
	return prefixed_new(n);
}

void operator delete[](void *block) noexcept
{
	prefixed_delete(block);
}

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
	EXPECT_REFUSED(::operator new[](test_opaque_size(100), std::nothrow));
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
