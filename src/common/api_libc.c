/* The C library's allocation names, with the semantics of the GNU C library 2.36
 * (and C23 for free_sized), acting on and reporting this heap. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/api.h"
#include "common/bits.h"
#include "common/diag.h"
#include "common/os.h"
#include "common/stats.h"

#define EXPORT __attribute__((visibility("default"), used))
/* A second name for a function of this file. gcc wants an alias to have all the
 * attributes of its function; clang does not know how to say that, nor want it. */
#if __has_attribute(copy)
#define ALIAS_OF(fn) __attribute__((visibility("default"), alias(#fn), copy(fn)))
#else
#define ALIAS_OF(fn) __attribute__((visibility("default"), alias(#fn)))
#endif

void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t align, size_t size);
void cfree(void *p);

EXPORT void *malloc(size_t size)
{
	return api_malloc(size);
}

EXPORT void free(void *p)
{
	entry_free(p);
}

EXPORT void *calloc(size_t count, size_t size)
{
	return api_calloc(count, size);
}

EXPORT void *realloc(void *p, size_t size)
{
	return api_realloc(p, size);
}

EXPORT void *reallocarray(void *p, size_t count, size_t size)
{
	return api_reallocarray(p, count, size);
}

EXPORT void free_sized(void *p, size_t size)
{
	entry_free_sized(p, size);
}

EXPORT void free_aligned_sized(void *p, size_t align, size_t size)
{
	if (!entry_free_sized_hit(p, align_up(size, is_pow2(align) ? align : 1)))
		entry_free_sized_slow(p, size, is_pow2(align) ? align : 1);
}

EXPORT void cfree(void *p)
{
	entry_free(p);
}

/* ---- alignment */

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	void *p;
	if (!is_pow2(align) || align % sizeof(void *) != 0)
		return EINVAL;
	p = entry_aligned_alloc(align, size);
	if (p == NULL) {
		errno = ENOMEM; /* POSIX does not ask for it; glibc does it, and tests for it */
		return ENOMEM;
	}
	*out = p;
	return 0;
}

/* memalign rounds an alignment up to a power of two; one that cannot be is EINVAL. */
EXPORT void *memalign(size_t align, size_t size)
{
	if (align > SIZE_MAX / 2 + 1)
		return api_einval();
	if (!is_pow2(align))
		align = align == 0 ? 1 : (size_t)2 << bit_highest(align);
	return api_or_enomem(entry_aligned_alloc(align, size));
}

/* In 2.36 aligned_alloc is memalign. */
EXPORT void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

EXPORT void *valloc(size_t size)
{
	hak_init_once();
	return api_or_enomem(entry_aligned_alloc(os_page_bytes(), size));
}

EXPORT void *pvalloc(size_t size)
{
	size_t rounded;
	hak_init_once();
	if (__builtin_add_overflow(size, os_page_bytes() - 1, &rounded))
		return api_enomem();
	return valloc(align_down(rounded, os_page_bytes()));
}

/* ---- questions and orders */

EXPORT size_t malloc_usable_size(void *p)
{
	return api_usable_size(p);
}

EXPORT int malloc_trim(size_t pad)
{
	(void)pad;
	return api_purge() > 0;
}

/* The settings of the GNU C library's malloc have no equal here; a program that
 * sets them is told that they were accepted, as their purpose is met. */
EXPORT int mallopt(int param, int value)
{
	(void)value;
	switch (param) {
	case M_MXFAST:
	case M_TRIM_THRESHOLD:
	case M_TOP_PAD:
	case M_MMAP_THRESHOLD:
	case M_MMAP_MAX:
	case M_CHECK_ACTION:
	case M_PERTURB:
	case M_ARENA_TEST:
	case M_ARENA_MAX:
		return 1;
	default:
		return 0;
	}
}

/* Live blocks count as `uordblks`, huge ones as `hblkhd`, and what is mapped beyond
 * them as `fordblks`. */
EXPORT struct mallinfo2 mallinfo2(void)
{
	struct hak_stats s;
	struct mallinfo2 m = { 0 };
	stats_gather(&s);
	m.uordblks = s.small_bytes - s.small_cached_bytes + s.large_bytes;
	m.fsmblks = s.small_cached_bytes;
	m.hblkhd = s.huge_bytes;
	m.arena = s.mapped_bytes - min_size(s.mapped_bytes, s.huge_bytes);
	m.fordblks = m.arena - min_size(m.arena, m.uordblks);
	m.ordblks = s.slabs;
	m.keepcost = s.free_dirty_bytes;
	return m;
}

static int clamp_to_int(size_t n)
{
	return n > INT32_MAX ? INT32_MAX : (int)n;
}

EXPORT struct mallinfo mallinfo(void)
{
	struct mallinfo2 m = mallinfo2();
	return (struct mallinfo){
		.arena = clamp_to_int(m.arena),
		.ordblks = clamp_to_int(m.ordblks),
		.hblkhd = clamp_to_int(m.hblkhd),
		.fsmblks = clamp_to_int(m.fsmblks),
		.uordblks = clamp_to_int(m.uordblks),
		.fordblks = clamp_to_int(m.fordblks),
		.keepcost = clamp_to_int(m.keepcost),
	};
}

EXPORT void malloc_stats(void)
{
	struct hak_stats s;
	stats_print_to_stderr();
	stats_gather(&s);
	diag_line("max mmap bytes   = %zu", s.huge_bytes); /* the words that scripts look for */
}

EXPORT int malloc_info(int options, FILE *out)
{
	struct hak_stats s;
	if (options != 0) {
		errno = EINVAL;
		return -1;
	}
	stats_gather(&s);
	fprintf(out,
		"<malloc version=\"hakmem-%s\">\n"
		"<total type=\"small\" count=\"%zu\" size=\"%zu\"/>\n"
		"<total type=\"cached\" size=\"%zu\"/>\n"
		"<total type=\"large\" size=\"%zu\"/>\n"
		"<total type=\"mmap\" size=\"%zu\"/>\n"
		"<system type=\"current\" size=\"%zu\"/>\n"
		"<metadata size=\"%zu\"/>\n"
		"</malloc>\n",
		hak_version(), s.slabs, s.small_bytes - s.small_cached_bytes, s.small_cached_bytes,
		s.large_bytes, s.huge_bytes, s.mapped_bytes, s.metadata_bytes);
	return ferror(out) ? -1 : 0;
}

/* ---- the names behind the names, for programs that were linked against them */

void *__libc_malloc(size_t size) ALIAS_OF(malloc);
void __libc_free(void *p) ALIAS_OF(free);
void *__libc_calloc(size_t count, size_t size) ALIAS_OF(calloc);
void *__libc_realloc(void *p, size_t size) ALIAS_OF(realloc);
void *__libc_memalign(size_t align, size_t size) ALIAS_OF(memalign);
void *__libc_valloc(size_t size) ALIAS_OF(valloc);
void *__libc_pvalloc(size_t size) ALIAS_OF(pvalloc);
void __libc_cfree(void *p) ALIAS_OF(cfree);
int __posix_memalign(void **out, size_t align, size_t size) ALIAS_OF(posix_memalign);
