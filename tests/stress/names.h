/* The allocator under test, by one set of names.
 *
 * The same sources build twice. The internal build calls hak_* in the test
 * library and can reach knobs, fault injection and the structure walk. With
 * STRESS_LIBC it calls the C library's names, through volatile pointers so that
 * the compiler neither drops nor merges calls; what is behind them is whatever
 * is preloaded or linked, and knobs, faults and the walk are empty.
 */
#ifndef HAK_TESTS_STRESS_NAMES_H
#define HAK_TESTS_STRESS_NAMES_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum aligned_how { ALIGNED_C11, ALIGNED_POSIX, ALIGNED_MEMALIGN, ALIGNED_HOW_COUNT };

#ifdef STRESS_LIBC

#include <malloc.h>
#include <stdlib.h>

enum { HAS_INTERNALS = 0 };

/* C23; absent from older C libraries. */
extern void free_sized(void *p, size_t size) __attribute__((weak));
extern void free_aligned_sized(void *p, size_t align, size_t size) __attribute__((weak));

static inline void *st_malloc(size_t size)
{
	static void *(*volatile call)(size_t) = malloc;
	return call(size);
}

static inline void *st_calloc(size_t count, size_t size)
{
	static void *(*volatile call)(size_t, size_t) = calloc;
	return call(count, size);
}

static inline void *st_realloc(void *p, size_t size)
{
	static void *(*volatile call)(void *, size_t) = realloc;
	return call(p, size);
}

static inline void *st_reallocarray(void *p, size_t count, size_t size)
{
	static void *(*volatile call)(void *, size_t, size_t) = reallocarray;
	return call(p, count, size);
}

static inline void st_free(void *p)
{
	static void (*volatile call)(void *) = free;
	call(p);
}

static inline void st_free_sized(void *p, size_t size)
{
	if (free_sized)
		free_sized(p, size);
	else
		st_free(p);
}

static inline void *st_aligned(enum aligned_how how, size_t align, size_t size)
{
	static void *(*volatile c11)(size_t, size_t) = aligned_alloc;
	static int (*volatile posix)(void **, size_t, size_t) = posix_memalign;
	static void *(*volatile old)(size_t, size_t) = memalign;
	void *p = NULL;

	if (how == ALIGNED_C11)
		return c11(align, size);
	if (how == ALIGNED_MEMALIGN)
		return old(align, size);
	int err = posix(&p, align, size);
	if (!err)
		return p;
	errno = err;
	return NULL;
}

static inline size_t st_usable(void *p)
{
	static size_t (*volatile call)(void *) = malloc_usable_size;
	return call(p);
}

/* No libc name tells this without a block: the request itself is a lower bound. */
static inline size_t st_good_size(size_t size)
{
	return size;
}

static inline void st_purge(void)
{
	malloc_trim(0);
}

static inline void st_stats(void)
{
	(void)mallinfo2();
}

static inline void st_check_all(void)
{
}

#else

#include "common/knobs.h"
#include "common/os.h"
#include "common/stats.h"
#include "hakmem/hakmem.h"

enum { HAS_INTERNALS = 1 };

static inline void *st_malloc(size_t size)
{
	return hak_malloc(size);
}

static inline void *st_calloc(size_t count, size_t size)
{
	return count == 1 ? hak_zalloc(size) : hak_calloc(count, size);
}

static inline void *st_realloc(void *p, size_t size)
{
	return hak_realloc(p, size);
}

static inline void *st_reallocarray(void *p, size_t count, size_t size)
{
	return hak_reallocarray(p, count, size);
}

static inline void st_free(void *p)
{
	hak_free(p);
}

static inline void st_free_sized(void *p, size_t size)
{
	hak_free_sized(p, size);
}

static inline void *st_aligned(enum aligned_how how, size_t align, size_t size)
{
	return how == ALIGNED_MEMALIGN ? hak_aligned_zalloc(align, size)
				       : hak_aligned_alloc(align, size);
}

static inline size_t st_usable(void *p)
{
	return hak_usable_size(p);
}

static inline size_t st_good_size(size_t size)
{
	return hak_good_size(size);
}

static inline void st_purge(void)
{
	(void)hak_purge();
}

static inline void st_stats(void)
{
	struct hak_stats st = { .struct_bytes = sizeof(st) };
	char json[512];

	(void)hak_stats_get(&st);
	(void)hak_stats_json(json, sizeof(json));
}

static inline void st_check_all(void)
{
	(void)hak_check_all();
}

#endif
#endif
