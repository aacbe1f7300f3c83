/*
 * replaced_operators.h - what programs that replace C++ operators share: blocks that are known
 * for the program's by a prefix and are counted, and the check that each is made and gone once.
 */
#ifndef HAKMEM_TESTS_REPLACED_OPERATORS_H
#define HAKMEM_TESTS_REPLACED_OPERATORS_H

#include <new>

#include "api.h"

/* GCC advises against replacing the basic operators alone, which is what is tested. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsized-deallocation"
#endif

static const uint64_t magic = 0x6d795f6f776e5f31ull;

/* In front of each block that the program's operator gives out. */
struct alignas(16) prefix {
	uint64_t magic;
};

static unsigned long news, deletes;
static bool refuse;

/* The program's operator new, and new[]. */
static inline void *prefixed_new(size_t n)
{
	prefix *p = refuse ? nullptr : static_cast<prefix *>(malloc(sizeof(prefix) + n));
	if (!p)
		throw std::bad_alloc();
	p->magic = magic;
	__atomic_add_fetch(&news, 1, __ATOMIC_RELAXED);
	return p + 1;
}

/* The program's operator delete, and delete[]. */
static inline void prefixed_delete(void *block)
{
	if (!block)
		return;
	prefix *p = static_cast<prefix *>(block) - 1;
	CHECK(p->magic == magic, "delete of %p: not from the program's new", block);
	p->magic = 0;
	__atomic_add_fetch(&deletes, 1, __ATOMIC_RELAXED);
	free(p);
}

/* A block of n bytes is the program's: p in `release`. */
#define EXPECT_REPLACED(allocate, release)                                                       \
	do {                                                                                     \
		const unsigned long news_ = news, deletes_ = deletes;                            \
		void *p = test_opaque(allocate);                                                 \
		REQUIRE(p, #allocate " returned NULL");                                          \
		test_fill(p, n, n);                                                              \
		CHECK_U64(news - news_, 1, #allocate ": calls of the program's new");            \
		if (news == news_) /* or delete would read what lies in front */                 \
			break;                                                                   \
		release;                                                                         \
		CHECK_U64(deletes - deletes_, 1, #release ": calls of the program's delete");    \
	} while (0)

/* A nothrow form returns NULL where the program's operator throws. */
#define EXPECT_REFUSED(allocate)                                                                 \
	do {                                                                                     \
		void *p;                                                                         \
		refuse = true;                                                                   \
		p = test_opaque(allocate);                                                       \
		refuse = false;                                                                  \
		CHECK(!p, #allocate ": the program's throws: expected NULL, found %p", p);       \
	} while (0)

#endif /* HAKMEM_TESTS_REPLACED_OPERATORS_H */
