/* hakmem: a drop-in memory allocator that learns its own settings.
 *
 * The C library's names (malloc, free, ...) are served by libhakmem when it is
 * preloaded or linked; this header is for programs that want to name the
 * allocator explicitly. All functions are thread-safe unless said otherwise.
 * Blocks from either family of names may be freed through the other.
 *
 * Allocation functions return NULL and set errno to ENOMEM when memory cannot
 * be had; the heap stays usable. Blocks are aligned to 16 bytes at least.
 */
#ifndef HAKMEM_HAKMEM_H
#define HAKMEM_HAKMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HAKMEM_VERSION_MAJOR 0
#define HAKMEM_VERSION_MINOR 1
#define HAKMEM_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HAK_API __attribute__((visibility("default")))
#else
#define HAK_API
#endif

/* "major.minor.patch" of the library that is running. Static storage. */
HAK_API const char *hak_version(void);

/* Allocate `size` bytes; size 0 gives a unique block of the smallest class. */
HAK_API void *hak_malloc(size_t size);

/* Allocate `size` zeroed bytes. */
HAK_API void *hak_zalloc(size_t size);

/* Allocate count * size zeroed bytes; an overflowing product is ENOMEM. */
HAK_API void *hak_calloc(size_t count, size_t size);

/* Allocate `size` bytes aligned to `align`, a power of two (else NULL, EINVAL). */
HAK_API void *hak_aligned_alloc(size_t align, size_t size);

/* As hak_aligned_alloc, zeroed. */
HAK_API void *hak_aligned_zalloc(size_t align, size_t size);

/* Resize p, keeping min(old, new) bytes of content. p NULL: hak_malloc(size).
 * size 0 with p not NULL: frees p, returns NULL (as the GNU C library does).
 * On failure NULL, and p is untouched. */
HAK_API void *hak_realloc(void *p, size_t size);

/* hak_realloc(p, count * size); an overflowing product is ENOMEM. */
HAK_API void *hak_reallocarray(void *p, size_t count, size_t size);

/* Free p. NULL is ignored. errno is kept. */
HAK_API void hak_free(void *p);

/* Free p, whose size is given: the size last requested for it, or any size up
 * to hak_usable_size(p). errno is kept. */
HAK_API void hak_free_sized(void *p, size_t size);

/* Bytes that may be used at p; 0 for NULL. */
HAK_API size_t hak_usable_size(const void *p);

/* What hak_usable_size would say of a block of `size` bytes; `size` itself if
 * no such block can exist. */
HAK_API size_t hak_good_size(size_t size);

/* Give every free page back to the kernel now. Returns the bytes given back. */
HAK_API size_t hak_purge(void);

/* Figures of the whole process, in bytes unless the name says otherwise.
 * struct_bytes is set by the caller to sizeof(struct hak_stats): a library
 * with more fields fills only as many, one with fewer zeroes the rest. */
struct hak_stats {
	size_t struct_bytes;
	size_t mapped_bytes;         /* address space held, metadata included */
	size_t metadata_bytes;       /* metadata memory carved so far */
	size_t small_bytes;          /* blocks of slabs not free in their slab: live + cached */
	size_t small_cached_bytes;   /* of these, in thread caches */
	size_t large_bytes;          /* live spans */
	size_t huge_bytes;           /* live, outside superslabs */
	size_t huge_cached_bytes;    /* freed ones kept for reuse */
	size_t free_dirty_bytes;     /* free, not yet given back to the kernel */
	size_t superslabs;           /* count */
	size_t slabs;                /* count */
	size_t heaps;                /* count: threads at the peak, about */
	uint64_t purged_bytes_total; /* given back since the start */
	uint64_t purge_failures;     /* madvise calls that the kernel refused */
	uint64_t map_failures;       /* mmap and mremap calls that the kernel refused */
	uint64_t remote_batches;     /* batches of blocks sent to other threads' heaps */
	uint64_t bad_pointers;       /* pointers rejected and reported */
	uint64_t held_bytes;         /* what HAKMEM_HARD_LIMIT limits */
	uint64_t purge_passes;       /* of the maintenance */
	uint64_t purge_longest_ns;   /* the longest of them, by the clock */
	uint64_t purge_longest_cpu_ns; /* and by processor time */
};

/* Fill *out. Returns false if out->struct_bytes is 0. */
HAK_API bool hak_stats_get(struct hak_stats *out);

/* Write the statistics as text (for people) or as one JSON object into
 * buf[0..size), always terminated when size > 0. Returns the length that the
 * whole text has, as snprintf does. Allocates nothing. */
HAK_API size_t hak_stats_text(char *buf, size_t size);
HAK_API size_t hak_stats_json(char *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
