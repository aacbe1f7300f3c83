/* Words that every file of the allocator uses: attributes, assertions, the
 * fixed geometry of the heap, alignment arithmetic. No state. */
#ifndef HAK_COMMON_BASE_H
#define HAK_COMMON_BASE_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HAK_LIKELY(x) __builtin_expect(!!(x), 1)
#define HAK_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define HAK_INLINE static inline __attribute__((always_inline))
#define HAK_COLD __attribute__((cold, noinline))
#define HAK_NOINLINE __attribute__((noinline))
#define HAK_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define HAK_STATIC_ASSERT(cond, why) _Static_assert(cond, why)
#define HAK_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define HAK_CONTAINER_OF(ptr, type, member) ((type *)((uintptr_t)(ptr) - offsetof(type, member)))

/* Is this a build for a sanitizer? gcc defines macros, clang has features. */
#if defined(__has_feature)
#define HAK_HAS_FEATURE(f) __has_feature(f)
#else
#define HAK_HAS_FEATURE(f) 0
#endif
#if defined(__SANITIZE_THREAD__) || HAK_HAS_FEATURE(thread_sanitizer)
#define HAK_SANITIZED_THREAD 1
#else
#define HAK_SANITIZED_THREAD 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAK_HAS_FEATURE(address_sanitizer)
#define HAK_SANITIZED_ADDRESS 1
#else
#define HAK_SANITIZED_ADDRESS 0
#endif
#define HAK_SANITIZED (HAK_SANITIZED_THREAD || HAK_SANITIZED_ADDRESS)

/* Three strengths of check: HAK_STATIC_ASSERT at build time, HAK_ASSERT in dev
 * builds (constant time), and the ..._check() walks of each module. */
/* 0 only to measure what the checks of the default level cost: what they would find is then
 * undefined. */
#ifndef HAKMEM_CHECKS
#define HAKMEM_CHECKS 1
#endif

#ifndef HAKMEM_DEV
#define HAKMEM_DEV 0
#endif
HAK_COLD _Noreturn void hak_assert_failed(const char *what, const char *file, int line);
#define HAK_ASSERT(cond)                                                                           \
	do {                                                                                       \
		if (HAKMEM_DEV && HAK_UNLIKELY(!(cond)))                                           \
			hak_assert_failed(#cond, __FILE__, __LINE__);                              \
	} while (0)
/* As HAK_ASSERT, in every build: for the ..._check() walks and broken metadata. */
#define HAK_VERIFY(cond)                                                                           \
	do {                                                                                       \
		if (HAK_UNLIKELY(!(cond)))                                                         \
			hak_assert_failed(#cond, __FILE__, __LINE__);                              \
	} while (0)

enum {
	/* What different threads write, and what all read, keeps this distance where it is
	 * known at build time: the longest line there is (A64FX); x86_64 fetches lines of
	 * 64 bytes in pairs, others have 128. Records keep that of the machine (meta.c). */
	HAK_CACHELINE = 256,

	HAK_MIN_ALIGN = 16, /* of every block; also the step of the smallest classes */

	HAK_UNIT_SHIFT = 16, /* the page map's grain, and the smallest slab */
	HAK_UNIT_BYTES = 1 << HAK_UNIT_SHIFT,
	HAK_SUPERSLAB_SHIFT = 21, /* a huge page of both main architectures */
	HAK_SUPERSLAB_BYTES = 1 << HAK_SUPERSLAB_SHIFT,
	HAK_SUPERSLAB_UNITS = HAK_SUPERSLAB_BYTES / HAK_UNIT_BYTES,

	HAK_ADDRESS_BITS = 48, /* of a user address that mmap returns without a hint */
};

/* Make the compiler forget where a value came from. Left to itself, gcc computes a
 * bin's address anew for each of its fields, and one number in two widths. */
#define HAK_OPAQUE(x) __asm__("" : "+r"(x))

HAK_INLINE uintptr_t align_up(uintptr_t x, uintptr_t align)
{
	return (x + align - 1) & ~(align - 1);
}

HAK_INLINE uintptr_t align_down(uintptr_t x, uintptr_t align)
{
	return x & ~(align - 1);
}

HAK_INLINE bool is_pow2(uintptr_t x)
{
	return x != 0 && (x & (x - 1)) == 0;
}

HAK_INLINE size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

HAK_INLINE size_t max_size(size_t a, size_t b)
{
	return a > b ? a : b;
}

#endif
