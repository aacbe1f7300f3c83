/* Huge blocks: above LARGE_MAX or aligned beyond a superslab, each a mapping of
 * its own. They grow by mremap, with address space to spare so that a vector
 * that keeps growing asks the kernel seldom; and freed ones are kept for a short
 * while, since pages from the kernel cost more than anything else here.
 * Thread-safe. */
#ifndef HAK_COMMON_HUGE_H
#define HAK_COMMON_HUGE_H

#include "common/base.h"
#include "common/list.h"

struct lock;

struct huge {
	struct list_node link; /* under the huge lock: live or cached */
	uintptr_t base;
	size_t mapped_bytes;
	size_t usable_bytes;   /* <= mapped_bytes; whole pages */
	uint32_t freed_at_ms;
};

/* *zeroed: every byte is zero. NULL: no memory. */
void *huge_alloc(size_t bytes, size_t align, bool *zeroed);

void huge_free(struct huge *h);

/* Resize, in place or by moving pages. The block's new address; NULL: not
 * possible, unchanged. */
void *huge_resize(struct huge *h, size_t bytes);

/* Unmap cached mappings freed at least delay_ms ago. Returns their bytes. */
size_t huge_purge(uint32_t delay_ms);

size_t huge_cached_bytes(void); /* read without the lock */

struct huge_counters {
	size_t live, live_bytes, cached_bytes;
};
struct huge_counters huge_counters(void);

/* The live huge block in which addr lies, for reports; false: none. Does not
 * wait for the lock. */
bool huge_find(uintptr_t addr, uintptr_t *base, size_t *bytes);

void huge_check(void);

struct lock *huge_lock(void); /* for fork */

#endif
