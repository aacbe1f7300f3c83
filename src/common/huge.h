/* Huge blocks: above LARGE_MAX or aligned beyond a superslab, in whole units of
 * address space of their own. They grow into free memory behind them or by mremap,
 * with address space to spare so that a vector that keeps growing asks the kernel
 * seldom. Freed ones are kept for a short while, since pages from the kernel cost
 * more than anything else here, as free extents: neighbours are merged, and a
 * new block takes the smallest extent that fits and leaves the rest of it free.
 * Thread-safe. */
#ifndef HAK_COMMON_HUGE_H
#define HAK_COMMON_HUGE_H

#include "common/base.h"
#include "common/history.h"
#include "common/list.h"

struct lock;

/* A live block or a free extent; all under the huge lock, but that the owner of a
 * live block may read its fields, which nobody else writes.
 *
 * The page map leads here from the first unit of a live block (UNIT_HUGE), and from
 * the first and the last unit of a free extent (UNIT_HUGE_FREE). */
struct huge {
	struct list_node link; /* among the live, or in a bucket of free ones */
	struct list_node age;  /* free: among all free ones, oldest first */
	uintptr_t base;
	size_t mapped_bytes;   /* whole units */
	size_t usable_bytes;   /* live: <= mapped_bytes; whole pages */
	uint32_t freed_at_ms;  /* free: the youngest part of it */
	enum origin origin;    /* live: the owner's, without the lock */
};

/* *zeroed: every byte is zero. NULL: no memory. */
void *huge_alloc(size_t bytes, size_t align, bool *zeroed);

void huge_free(struct huge *h);

/* Resize, in place or by moving. The block's new address, and what it grew by is not
 * zeroed; NULL: not possible, unchanged. */
void *huge_resize(struct huge *h, size_t bytes);

/* Unmap extents freed at least delay_ms ago. Returns their bytes. */
size_t huge_purge(uint32_t delay_ms);
/* Until os_now_ns() is the deadline; 0: none. */
size_t huge_purge_until(uint32_t delay_ms, uint64_t deadline_ns);

size_t huge_cached_bytes(void); /* of free extents; read without the lock */

/* Since the start: freed and, for want of room, not kept; given back to the kernel in all. */
uint64_t huge_declined_bytes(void);
uint64_t huge_unmapped_bytes(void);

struct huge_counters {
	size_t live, live_bytes, cached_bytes;
	size_t stuck_bytes; /* of what the kernel would not take back; a purge tries again */
};
struct huge_counters huge_counters(void);

/* The live block or the free extent in which addr lies, for reports; false: none.
 * Does not wait for the lock. */
struct huge_place {
	bool live;
	uintptr_t base;
	size_t bytes;
};
bool huge_find(uintptr_t addr, struct huge_place *place);

void huge_check(void);

struct lock *huge_lock(void); /* for fork */

#endif
