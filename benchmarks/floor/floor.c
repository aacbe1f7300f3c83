/* libfloor.so: what no allocator can be faster than.
 *
 * malloc and free are a call through the PLT plus a pop from and a push to a list that
 * belongs to the thread: no size class, no check, no owner. All blocks have room for
 * FLOOR_BLOCK bytes; larger ones and the first ones are cut from a mapping and, once
 * freed, serve as ordinary blocks. Fit for the pair and lifo rows of bench_pair alone.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FLOOR_EXPORT __attribute__((visibility("default")))

enum { FLOOR_BLOCK = 4096, FLOOR_HEADER = 16 };
static const size_t arena_bytes = (size_t)1 << 30;

/* The next word lies in the block, as in the simplest free list. */
struct block {
	struct block *next;
};

static _Thread_local struct block *list __attribute__((tls_model("initial-exec")));
static atomic_uintptr_t arena_at;
static uintptr_t arena_end;
static atomic_flag arena_made = ATOMIC_FLAG_INIT;

static __attribute__((cold, noinline)) void *carve(size_t size)
{
	uintptr_t at;

	if (!atomic_flag_test_and_set(&arena_made)) {
		void *p = mmap(NULL, arena_bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			abort();
		arena_end = (uintptr_t)p + arena_bytes;
		atomic_store(&arena_at, (uintptr_t)p);
	}
	while (!atomic_load(&arena_at))
		continue; /* the first thread is in mmap */
	if (size < FLOOR_BLOCK)
		size = FLOOR_BLOCK;
	/* One odd line a block keeps them from all falling on the same cache set. */
	size = ((size + FLOOR_HEADER + 63) & ~(size_t)63) + 64;
	at = atomic_fetch_add(&arena_at, size);
	if (at + size > arena_end) {
		errno = ENOMEM;
		return NULL;
	}
	*(size_t *)at = size - FLOOR_HEADER;
	return (void *)(at + FLOOR_HEADER);
}

FLOOR_EXPORT void *malloc(size_t size)
{
	struct block *b = list;

	if (__builtin_expect(b == NULL || size > FLOOR_BLOCK, 0))
		return carve(size);
	list = b->next;
	return b;
}

FLOOR_EXPORT void free(void *p)
{
	struct block *b = p;

	if (__builtin_expect(b == NULL, 0))
		return;
	b->next = list;
	list = b;
}

FLOOR_EXPORT void *calloc(size_t count, size_t size)
{
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(count, size, &bytes))
		return NULL;
	p = malloc(bytes);
	return p ? memset(p, 0, bytes) : NULL;
}

FLOOR_EXPORT void *realloc(void *old, size_t size)
{
	size_t have;
	void *p;

	if (!old)
		return malloc(size);
	have = *(size_t *)((char *)old - FLOOR_HEADER);
	if (size <= have)
		return old;
	p = malloc(size);
	if (p) {
		memcpy(p, old, have);
		free(old);
	}
	return p;
}

/* Blocks are aligned to 16 bytes; nothing in the rows asks for more. */
FLOOR_EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	if (align > 16)
		return ENOMEM;
	*out = malloc(size);
	return *out ? 0 : ENOMEM;
}
