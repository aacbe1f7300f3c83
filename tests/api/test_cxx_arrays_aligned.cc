/*
 * A program that replaces the aligned operator new[] and delete[], and only those: the forms that
 * the standard defines by them must go through the program's.
 */
#include <initializer_list>

#include "replaced_operators.h"

/* Its blocks begin one alignment behind those of the allocator. */
void *operator new[](size_t n, std::align_val_t align)
{
	const size_t al = static_cast<size_t>(align);
	const size_t bytes = al + (n + al - 1) / al * al;
	char *p = refuse ? nullptr : static_cast<char *>(aligned_alloc(al, bytes));
	if (!p)
		throw std::bad_alloc();
	news++;
	return p + al;
}

void operator delete[](void *block, std::align_val_t align) noexcept
{
	deletes++;
	free(static_cast<char *>(block) - static_cast<size_t>(align));
}

static const std::align_val_t al = std::align_val_t(64);

static void case_forms_call_the_basic_ones()
{
	for (size_t n : { 1u, 40u, 1000u, 70000u, 3u << 20 }) {
		EXPECT_REPLACED(::operator new[](n, al), ::operator delete[](p, al));
		EXPECT_REPLACED(::operator new[](n, al), ::operator delete[](p, n, al));
		EXPECT_REPLACED(::operator new[](n, al), ::operator delete[](p, al, std::nothrow));
		EXPECT_REPLACED(::operator new[](n, al, std::nothrow), ::operator delete[](p, al));
	}
}

static void case_nothrow_form_catches()
{
	EXPECT_REFUSED(::operator new[](test_opaque_size(100), al, std::nothrow));
}

static void case_others_are_not_replaced()
{
	const unsigned long news_before = news, deletes_before = deletes;

	for (size_t n : { 1u, 1000u, 70000u, 3u << 20 }) {
		::operator delete(test_opaque(::operator new(n, al)), al);
		::operator delete(test_opaque(::operator new(n, al, std::nothrow)), n, al);
		::operator delete[](test_opaque(::operator new[](n)));
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
