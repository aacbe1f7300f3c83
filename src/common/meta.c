#include "common/meta.h"

#include "arch/inline.h"
#include "common/limit.h"
#include "common/lock.h"
#include "common/os.h"

/* A chunk is a quarter of what there is already: few mappings, though each is guarded. */
enum { META_CHUNK_MIN_BYTES = 256 * 1024, META_CHUNK_MAX_BYTES = 16 * 1024 * 1024 };

static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_META);
static uintptr_t next, end; /* under lock: the chunk being carved */
static _Atomic size_t carved_bytes, mapped_bytes;

struct lock *meta_lock(void)
{
	return &lock;
}

size_t meta_bytes(void)
{
	return atomic_load_relaxed(&carved_bytes);
}

static size_t chunk_bytes(void)
{
	size_t quarter = meta_bytes() / 4;
	return min_size(max_size(quarter, META_CHUNK_MIN_BYTES), META_CHUNK_MAX_BYTES);
}

size_t meta_mapped_bytes(void)
{
	return atomic_load_relaxed(&mapped_bytes);
}

static bool meta_refill_locked(size_t bytes)
{
	size_t chunk = align_up(max_size(bytes, chunk_bytes()), os_page_bytes());
	void *p = os_map_guarded(chunk);
	if (p == NULL && chunk > bytes) {
		chunk = align_up(bytes, os_page_bytes());
		p = os_map_guarded(chunk);
	}
	if (p == NULL)
		return false;
	atomic_add_relaxed(&mapped_bytes, chunk);
	limit_charge_records(chunk);
	next = (uintptr_t)p;
	end = next + chunk;
	return true;
}

static void *meta_alloc_locked(size_t bytes, size_t align)
{
	uintptr_t p = align_up(next, align);
	if (p + bytes > end) {
		if (!meta_refill_locked(bytes + align))
			return NULL;
		p = align_up(next, align);
	}
	next = p + bytes;
	atomic_add_relaxed(&carved_bytes, bytes);
	return (void *)p;
}

void *meta_alloc(size_t bytes, size_t align)
{
	void *p;
	HAK_ASSERT(bytes > 0 && is_pow2(align) && align <= HAK_CACHELINE);
	lock_acquire(&lock);
	p = meta_alloc_locked(bytes, align);
	lock_release(&lock);
	return p;
}

/* Records are written by different threads: none shares a line with another. */
static size_t record_align(void)
{
	return max_size(META_RECORD_ALIGN, hak_cacheline_bytes());
}

void *meta_pool_alloc(struct meta_pool *pool, size_t bytes)
{
	void **record;
	lock_acquire(&lock);
	record = pool->free;
	if (record != NULL)
		pool->free = *record;
	else
		record = meta_alloc_locked(bytes, record_align());
	lock_release(&lock);
	return record;
}

void meta_pool_free(struct meta_pool *pool, void *record)
{
	void **link = record;
	lock_acquire(&lock);
	*link = pool->free;
	pool->free = record;
	lock_release(&lock);
}
