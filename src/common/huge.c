#include "common/huge.h"

#include "common/lock.h"
#include "common/meta.h"
#include "common/os.h"
#include "common/registry.h"

enum {
	/* What the cache of freed mappings may hold: one mapping, all together. */
	CACHE_MAX_ONE = 32 << 20,
	CACHE_MAX_ALL = 64 << 20,
	/* A growing block gets 1/GROWTH_SPARE of its size as spare address space. */
	GROWTH_SPARE = 4,
};

static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_HUGE);
/* Under lock. The cache is in order of time, oldest first. */
static struct list_node live = { &live, &live }, cache = { &cache, &cache };
static size_t live_count, live_bytes;
static _Atomic size_t cached_bytes; /* written under lock */
static struct meta_pool records;

struct lock *huge_lock(void)
{
	return &lock;
}

size_t huge_cached_bytes(void)
{
	return atomic_load_relaxed(&cached_bytes);
}

/* ---- the two lists; the lock is held */

static void live_insert_locked(struct huge *h)
{
	list_push_back(&live, &h->link);
	live_count++;
	live_bytes += h->mapped_bytes;
}

static void live_remove_locked(struct huge *h)
{
	list_remove(&h->link);
	live_count--;
	live_bytes -= h->mapped_bytes;
}

static void cache_remove_locked(struct huge *h)
{
	list_remove(&h->link);
	atomic_sub_relaxed(&cached_bytes, h->mapped_bytes);
}

/* The smallest cached mapping that fits and wastes at most a quarter. */
static struct huge *cache_find_locked(size_t bytes, size_t align)
{
	struct huge *best = NULL;
	LIST_FOR_EACH(n, &cache) {
		struct huge *h = LIST_ENTRY(n, struct huge, link);
		if (h->mapped_bytes < bytes || h->mapped_bytes - bytes > bytes / 4)
			continue;
		if ((h->base & (align - 1)) != 0)
			continue;
		if (best == NULL || h->mapped_bytes < best->mapped_bytes)
			best = h;
	}
	if (best != NULL)
		cache_remove_locked(best);
	return best;
}

/* ---- making and unmaking */

static void huge_unmap(struct huge *h)
{
	/* Refused (the mapping is part of a larger one that the kernel cannot split):
	 * at least the pages go back. */
	if (!os_unmap((void *)h->base, h->mapped_bytes))
		os_purge((void *)h->base, h->mapped_bytes);
	meta_pool_free(&records, h);
}

static struct huge *huge_map(size_t bytes, size_t align)
{
	struct huge *h = meta_pool_alloc(&records, sizeof(*h));
	void *p;
	if (h == NULL)
		return NULL;
	p = os_map(bytes, align);
	if (p != NULL && !registry_reserve((uintptr_t)p, bytes)) {
		os_unmap(p, bytes);
		p = NULL;
	}
	if (p == NULL) {
		meta_pool_free(&records, h);
		return NULL;
	}
	list_init(&h->link);
	h->base = (uintptr_t)p;
	h->mapped_bytes = bytes;
	return h;
}

void *huge_alloc(size_t bytes, size_t align, bool *zeroed)
{
	struct huge *h;
	if (__builtin_add_overflow(bytes, os_page_bytes() - 1, &bytes))
		return NULL;
	bytes = align_down(bytes, os_page_bytes());
	align = max_size(align, HAK_UNIT_BYTES);

	lock_acquire(&lock);
	h = cache_find_locked(bytes, align);
	lock_release(&lock);
	*zeroed = h == NULL;
	if (h == NULL)
		h = huge_map(bytes, align);
	if (h == NULL)
		return NULL;
	h->usable_bytes = bytes;
	registry_set(h->base, 1, UNIT_HUGE, h);
	lock_acquire(&lock);
	live_insert_locked(h);
	lock_release(&lock);
	return (void *)h->base;
}

void huge_free(struct huge *h)
{
	bool keep;
	registry_clear(h->base, 1);
	lock_acquire(&lock);
	live_remove_locked(h);
	keep = h->mapped_bytes <= CACHE_MAX_ONE &&
	       h->mapped_bytes + atomic_load_relaxed(&cached_bytes) <= CACHE_MAX_ALL;
	if (keep) {
		h->freed_at_ms = os_now_ms();
		list_push_back(&cache, &h->link);
		atomic_add_relaxed(&cached_bytes, h->mapped_bytes);
	}
	lock_release(&lock);
	if (!keep)
		huge_unmap(h);
}

size_t huge_purge(uint32_t delay_ms)
{
	size_t bytes = 0;
	for (;;) {
		struct huge *h = NULL;
		lock_acquire(&lock);
		if (!list_is_empty(&cache)) {
			h = LIST_ENTRY(cache.next, struct huge, link);
			if (os_now_ms() - h->freed_at_ms < delay_ms)
				h = NULL;
			else
				cache_remove_locked(h);
		}
		lock_release(&lock);
		if (h == NULL)
			return bytes;
		bytes += h->mapped_bytes;
		huge_unmap(h);
	}
}

/* ---- resizing; the block is the caller's, the lock guards the sums and links */

static void set_mapping(struct huge *h, uintptr_t base, size_t bytes)
{
	lock_acquire(&lock);
	live_bytes += bytes - h->mapped_bytes; /* wraps when shrinking */
	h->base = base;
	h->mapped_bytes = bytes;
	lock_release(&lock);
}

static bool grow_in_place(struct huge *h, size_t bytes)
{
	if (!os_resize_in_place((void *)h->base, h->mapped_bytes, bytes))
		return false;
	set_mapping(h, h->base, bytes);
	return true;
}

static bool grow_by_moving(struct huge *h, size_t bytes)
{
	uintptr_t old_base = h->base;
	void *target = os_reserve(bytes, HAK_UNIT_BYTES);
	if (target == NULL)
		return false;
	if (!registry_reserve((uintptr_t)target, bytes)) {
		os_unmap(target, bytes);
		return false;
	}
	/* Before the move: as soon as the old place is unmapped, another thread may get
	 * it and enter a block of its own there. */
	registry_clear(old_base, 1);
	if (!os_move((void *)h->base, h->mapped_bytes, target, bytes)) {
		registry_set(old_base, 1, UNIT_HUGE, h);
		return false;
	}
	set_mapping(h, (uintptr_t)target, bytes);
	registry_set(h->base, 1, UNIT_HUGE, h);
	return true;
}

static void shrink(struct huge *h, size_t bytes)
{
	if (os_unmap((void *)(h->base + bytes), h->mapped_bytes - bytes))
		set_mapping(h, h->base, bytes);
}

void *huge_resize(struct huge *h, size_t bytes)
{
	size_t roomy;
	if (bytes > PTRDIFF_MAX)
		return NULL;
	bytes = align_up(bytes, os_page_bytes());
	roomy = align_up(bytes + bytes / GROWTH_SPARE, os_page_bytes());
	if (bytes > h->mapped_bytes) {
		if (!grow_in_place(h, roomy) && !grow_by_moving(h, roomy) &&
		    !grow_in_place(h, bytes) && !grow_by_moving(h, bytes))
			return NULL;
	} else if (bytes < h->mapped_bytes / 2) {
		shrink(h, bytes);
	}
	h->usable_bytes = bytes;
	return (void *)h->base;
}

/* ---- figures, reports, checks */

struct huge_counters huge_counters(void)
{
	struct huge_counters c;
	lock_acquire(&lock);
	c = (struct huge_counters){ .live = live_count,
				    .live_bytes = live_bytes,
				    .cached_bytes = atomic_load_relaxed(&cached_bytes) };
	lock_release(&lock);
	return c;
}

bool huge_find(uintptr_t addr, uintptr_t *base, size_t *bytes)
{
	bool found = false;
	if (!lock_try(&lock))
		return false;
	LIST_FOR_EACH(n, &live) {
		const struct huge *h = LIST_ENTRY(n, struct huge, link);
		if (addr - h->base < h->mapped_bytes) {
			*base = h->base;
			*bytes = h->usable_bytes;
			found = true;
			break;
		}
	}
	lock_release(&lock);
	return found;
}

void huge_check(void)
{
	size_t count = 0, bytes = 0;
	lock_acquire(&lock);
	LIST_FOR_EACH(n, &live) {
		const struct huge *h = LIST_ENTRY(n, struct huge, link);
		HAK_VERIFY(unit_tag(registry_unit_of(h->base)) == (h->base | UNIT_HUGE));
		HAK_VERIFY(registry_record((void *)h->base) == h);
		HAK_VERIFY(h->usable_bytes <= h->mapped_bytes);
		count++;
		bytes += h->mapped_bytes;
	}
	HAK_VERIFY(count == live_count && bytes == live_bytes);
	lock_release(&lock);
}
