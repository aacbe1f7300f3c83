#include "common/huge.h"

#include "common/bits.h"
#include "common/bulk.h"
#include "common/knobs.h"
#include "common/limit.h"
#include "common/lock.h"
#include "common/meta.h"
#include "common/os.h"
#include "common/registry.h"

enum {
	/* What is kept of freed memory, all together; the knob huge_cache_mb says how much of one
	 * block. It is for the holes between live blocks, too: with less than about twice the live
	 * bytes, blocks that come and go are mapped and unmapped all the time. */
	CACHE_MIN_ALL = 192 << 20,
	/* What is kept of larger ones goes before anything else is mapped or grows: so keeping them
	 * never takes more memory than not keeping them. */
	CACHE_PROVISIONAL_ONE = 32 << 20,
	CACHE_MAX_ALL = 384 << 20, /* one and a half times the knob's largest candidate */
	PURGE_STEP = 4 << 20,      /* unmapped at once: well below a millisecond */
	/* Of so many bytes that are freed one is unmapped, of what is free longest. */
	FREED_PER_UNMAPPED = 128,
	/* A growing block gets 1/GROWTH_SPARE of its size as spare address space. */
	GROWTH_SPARE = 4,
	/* From this size on it asks for huge pages: at most a quarter is touched in vain. */
	HUGE_PAGES_MIN = 4 * HAK_SUPERSLAB_BYTES,
	/* Free extents by size in units, four buckets per doubling. */
	BUCKET_COUNT = 48,
	MIB_SHIFT = 20,
};

static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_HUGE);
/* Under lock; so is every entry of these kinds in the page map, since who frees
 * a block looks at the entries of the units beside it. */
static struct list_node live = { &live, &live };
static size_t live_count, live_bytes;
static struct list_node free_by_age = { &free_by_age, &free_by_age };
static struct list_node buckets[BUCKET_COUNT];
static uint64_t nonempty_buckets;       /* the heads of the others are not made yet */
static _Atomic size_t cached_bytes;     /* written under lock; <= CACHE_MAX_ALL */
static _Atomic uint64_t declined_bytes; /* written under lock */
static _Atomic uint64_t unmapped_bytes;
static struct list_node stuck = { &stuck, &stuck }; /* neither unmapped nor purged: in no map */
static size_t stuck_bytes;
static size_t turnover_bytes; /* freed since something was last unmapped for its age */
static struct meta_pool records;

struct lock *huge_lock(void)
{
	return &lock;
}

size_t huge_cached_bytes(void)
{
	return atomic_load_relaxed(&cached_bytes);
}

uint64_t huge_declined_bytes(void)
{
	return atomic_load_relaxed(&declined_bytes);
}

uint64_t huge_unmapped_bytes(void)
{
	return atomic_load_relaxed(&unmapped_bytes);
}

static size_t cache_max_one(void)
{
	return (size_t)knob_get(HAK_KNOB_HUGE_CACHE_MB, 0) << MIB_SHIFT;
}

static size_t cache_max_all(size_t max_one)
{
	return max_size(CACHE_MIN_ALL, max_one / 2 * 3);
}

static uintptr_t end_of(const struct huge *h)
{
	return h->base + h->mapped_bytes;
}

/* This and meta_pool_free() may wait for the meta lock: with this lock held, only where
 * lists, entries and sums agree (lock.h says why). */
static struct huge *record_alloc(void)
{
	return meta_pool_alloc(&records, sizeof(struct huge));
}

/* ---- live blocks; the lock is held */

static void live_insert_locked(struct huge *h)
{
	registry_set(h->base, 1, UNIT_HUGE, h);
	list_push_back(&live, &h->link);
	live_count++;
	live_bytes += h->mapped_bytes;
}

static void live_remove_locked(struct huge *h)
{
	registry_clear(h->base, 1);
	list_remove(&h->link);
	live_count--;
	live_bytes -= h->mapped_bytes;
}

/* ---- free extents; the lock is held
 *
 * The map knows their first and last units, which are the boundary tags of Knuth, The
 * Art of Computer Programming, volume 1, 2.5: who frees finds free neighbours
 * in constant time. */

static unsigned bucket_of(size_t bytes)
{
	size_t units = bytes >> HAK_UNIT_SHIFT;
	unsigned high;
	if (units < 4)
		return (unsigned)units;
	high = bit_highest(units);
	return (high - 1) * 4 + (unsigned)(units >> (high - 2) & 3);
}

HAK_STATIC_ASSERT(CACHE_MAX_ALL >> HAK_UNIT_SHIFT < 8192, "bucket_of() < (12 - 1) * 4 + 4");

/* Enter e, or take it out, for what base and mapped_bytes say; its age is apart. */
static void extent_enter_locked(struct huge *e)
{
	unsigned b = bucket_of(e->mapped_bytes);
	if ((nonempty_buckets >> b & 1) == 0)
		list_init(&buckets[b]);
	nonempty_buckets |= UINT64_C(1) << b;
	list_push_back(&buckets[b], &e->link);
	registry_set(e->base, 1, UNIT_HUGE_FREE, e);
	registry_set(end_of(e) - HAK_UNIT_BYTES, 1, UNIT_HUGE_FREE, e);
	atomic_add_relaxed(&cached_bytes, e->mapped_bytes);
}

static void extent_leave_locked(struct huge *e)
{
	unsigned b = bucket_of(e->mapped_bytes);
	list_remove(&e->link);
	if (list_is_empty(&buckets[b]))
		nonempty_buckets &= ~(UINT64_C(1) << b);
	registry_clear(e->base, 1);
	registry_clear(end_of(e) - HAK_UNIT_BYTES, 1);
	atomic_sub_relaxed(&cached_bytes, e->mapped_bytes);
}

static void extent_remove_locked(struct huge *e)
{
	extent_leave_locked(e);
	list_remove(&e->age);
}

/* The extent that begins or ends in the unit of addr; NULL: none. */
static struct huge *extent_at_locked(uintptr_t addr)
{
	void *record;
	return registry_lookup(addr, &record) == UNIT_HUGE_FREE ? record : NULL;
}

static bool fits(const struct huge *e, size_t bytes, size_t align)
{
	size_t front = align_up(e->base, align) - e->base;
	return front <= e->mapped_bytes && e->mapped_bytes - front >= bytes;
}

static bool fits_better(const struct huge *e, const struct huge *best)
{
	if (best == NULL || e->mapped_bytes != best->mapped_bytes)
		return best == NULL || e->mapped_bytes < best->mapped_bytes;
	return e->base < best->base;
}

/* The smallest extent that fits, the lowest of equals. What is kept has room for few
 * extents as large as a block: a bucket has few of them. */
static struct huge *best_fit_locked(size_t bytes, size_t align)
{
	struct huge *best = NULL;
	uint64_t b;
	if (bytes > CACHE_MAX_ALL)
		return NULL;
	b = nonempty_buckets & UINT64_MAX << bucket_of(bytes);
	for (; b != 0 && best == NULL; b &= b - 1)
		LIST_FOR_EACH(n, &buckets[bit_lowest(b)]) {
			struct huge *e = LIST_ENTRY(n, struct huge, link);
			if (fits(e, bytes, align) && fits_better(e, best))
				best = e;
		}
	return best;
}

/* Take the range of `part` out of e; what is before and behind it stays free and
 * as old as it was. For want of a record the part gets what is behind it too. */
static void extent_cut_locked(struct huge *e, struct huge *part)
{
	size_t front = part->base - e->base, back = end_of(e) - end_of(part);
	struct huge *rest = front > 0 && back > 0 ? record_alloc() : NULL;
	if (front > 0 && back > 0 && rest == NULL)
		part->mapped_bytes += back;
	extent_leave_locked(e);
	if (rest != NULL) {
		*rest = (struct huge){ .base = end_of(part),
				       .mapped_bytes = back,
				       .freed_at_ms = e->freed_at_ms };
		extent_enter_locked(rest);
		list_insert_between(&rest->age, &e->age, e->age.next);
	}
	if (front > 0) {
		e->mapped_bytes = front;
		extent_enter_locked(e);
	} else if (back > 0) {
		e->base = end_of(part);
		e->mapped_bytes = back;
		extent_enter_locked(e);
	} else {
		list_remove(&e->age);
		meta_pool_free(&records, e);
	}
}

/* Give h the extent `beside` it, if there is one. */
static void merge_locked(struct huge *h, struct huge *beside)
{
	if (beside == NULL)
		return;
	extent_remove_locked(beside);
	h->base = h->base < beside->base ? h->base : beside->base;
	h->mapped_bytes += beside->mapped_bytes;
	meta_pool_free(&records, beside);
}

/* Take the upper `bytes` of e out, or all of it if it has no more. */
static struct huge *take_top_locked(struct huge *e, size_t bytes)
{
	struct huge *top = e->mapped_bytes > bytes ? record_alloc() : NULL;
	if (top == NULL) {
		extent_remove_locked(e);
		return e;
	}
	top->base = end_of(e) - bytes;
	top->mapped_bytes = bytes;
	extent_cut_locked(e, top);
	return top;
}

static struct huge *oldest_locked(void)
{
	return list_is_empty(&free_by_age) ? NULL : LIST_ENTRY(free_by_age.next, struct huge, age);
}

/* h, entered nowhere, is not kept. */
static void decline_locked(struct huge *h, struct list_node *gone)
{
	atomic_add_relaxed(&declined_bytes, h->mapped_bytes);
	list_push_back(gone, &h->link);
}

/* Keep no more than allows for `bytes` more, of `most` in all: the oldest go, of the last of them
 * as much as has to. They are put in `gone`. */
static void make_room_locked(size_t bytes, size_t most, struct list_node *gone)
{
	HAK_ASSERT(bytes <= most);
	while (huge_cached_bytes() + bytes > most)
		decline_locked(take_top_locked(oldest_locked(), huge_cached_bytes() + bytes - most),
			       gone);
}

/* `bytes` are freed. The clock alone would keep, in a program that frees all the time, whatever
 * page it ever touched: extents that merge with what was just freed never grow old. What
 * this costs is bounded whatever the program does: it gets one part in FREED_PER_UNMAPPED of
 * what it frees from the kernel again. What is unmapped is put in `gone`. */
static void turnover_locked(size_t bytes, struct list_node *gone)
{
	struct huge *oldest = oldest_locked();
	turnover_bytes += bytes;
	if (turnover_bytes < (size_t)FREED_PER_UNMAPPED * PURGE_STEP)
		return;
	turnover_bytes = 0;
	if (oldest != NULL)
		list_push_back(gone, &take_top_locked(oldest, PURGE_STEP)->link);
}

/* h, entered nowhere, becomes a free extent, one with those beside it. What is too much
 * is put in `gone`, for unmap_all(). */
static void release_locked(struct huge *h, struct list_node *gone)
{
	const size_t max_one = cache_max_one(); /* once: the knob may move meanwhile */
	if (h->mapped_bytes > max_one) {
		decline_locked(h, gone);
		return;
	}
	turnover_locked(h->mapped_bytes, gone);
	make_room_locked(h->mapped_bytes, cache_max_all(max_one), gone);
	merge_locked(h, extent_at_locked(h->base - 1));
	merge_locked(h, extent_at_locked(end_of(h)));
	h->freed_at_ms = os_now_ms();
	extent_enter_locked(h);
	list_push_back(&free_by_age, &h->age);
}

/* ---- making and unmaking */

/* The kernel takes nothing back now. Later it may: munmap fails where a process has too many
 * mappings, madvise where memory is locked. */
static void keep_stuck(struct huge *h)
{
	lock_acquire(&lock);
	list_push_back(&stuck, &h->link);
	stuck_bytes += h->mapped_bytes;
	lock_release(&lock);
}

/* Returns the bytes given back. */
static size_t unmap(struct huge *h)
{
	size_t bytes = h->mapped_bytes;
	/* Refused (the range is part of a larger mapping that the kernel cannot split): at
	 * least the pages go back. The addresses are lost, and stay counted as mapped. */
	if (os_unmap((void *)h->base, bytes)) {
		atomic_add_relaxed(&unmapped_bytes, bytes);
	} else if (!os_purge((void *)h->base, bytes)) {
		keep_stuck(h);
		return 0;
	}
	limit_uncharge(bytes);
	meta_pool_free(&records, h);
	return bytes;
}

static void unmap_all(struct list_node *gone)
{
	LIST_FOR_EACH_SAFE(n, gone)
		unmap(LIST_ENTRY(n, struct huge, link));
}

/* What `get`, os_map() or os_reserve(), has of the kernel, charged for so many bytes, its units
 * ready to be entered. NULL: none. */
static void *get_charged(void *(*get)(size_t bytes, size_t align), size_t bytes, size_t align,
			 size_t charge)
{
	void *p;
	if (!limit_charge(charge))
		return NULL;
	p = get(bytes, align);
	if (p != NULL && !registry_reserve((uintptr_t)p, bytes)) {
		os_unmap(p, bytes);
		p = NULL;
	}
	if (p == NULL)
		limit_uncharge(charge);
	return p;
}

static bool map_fresh(struct huge *h, size_t bytes, size_t align)
{
	h->base = (uintptr_t)get_charged(os_map, bytes, align, bytes);
	h->mapped_bytes = bytes;
	return h->base != 0;
}

static bool take_free_locked(struct huge *h, size_t bytes, size_t align)
{
	struct huge *e = best_fit_locked(bytes, align);
	if (e == NULL)
		return false;
	h->base = align_up(e->base, align);
	h->mapped_bytes = bytes;
	extent_cut_locked(e, h);
	return true;
}

static void give_up_provisional_locked(struct list_node *gone)
{
	LIST_FOR_EACH_SAFE(n, &free_by_age) {
		struct huge *e = LIST_ENTRY(n, struct huge, age);
		if (e->mapped_bytes <= CACHE_PROVISIONAL_ONE)
			continue;
		extent_remove_locked(e);
		list_push_back(gone, &e->link);
	}
}

static void give_up_provisional(void)
{
	struct list_node gone;
	list_init(&gone);
	lock_acquire(&lock);
	give_up_provisional_locked(&gone);
	lock_release(&lock);
	unmap_all(&gone);
}

/* A live block; mapped_bytes are whole units, usable_bytes whole pages. */
static struct huge *block_alloc(size_t mapped_bytes, size_t usable_bytes, size_t align,
				bool *zeroed)
{
	struct huge *h = record_alloc();
	struct list_node gone;
	bool taken;
	if (h == NULL)
		return NULL;
	list_init(&gone);
	h->usable_bytes = usable_bytes;
	h->origin = ORIGIN_MALLOC;

	lock_acquire(&lock);
	taken = take_free_locked(h, mapped_bytes, align);
	if (taken)
		live_insert_locked(h);
	else
		give_up_provisional_locked(&gone);
	lock_release(&lock);
	unmap_all(&gone);
	*zeroed = !taken;
	if (taken)
		return h;

	if (!map_fresh(h, mapped_bytes, align)) {
		meta_pool_free(&records, h);
		return NULL;
	}
	lock_acquire(&lock);
	live_insert_locked(h);
	lock_release(&lock);
	return h;
}

void *huge_alloc(size_t bytes, size_t align, bool *zeroed)
{
	struct huge *h;
	size_t units;
	if (__builtin_add_overflow(bytes, HAK_UNIT_BYTES - 1, &units))
		return NULL;
	h = block_alloc(align_down(units, HAK_UNIT_BYTES), align_up(bytes, os_page_bytes()),
			max_size(align, HAK_UNIT_BYTES), zeroed);
	return h != NULL ? (void *)h->base : NULL;
}

void huge_free(struct huge *h)
{
	struct list_node gone;
	list_init(&gone);
	lock_acquire(&lock);
	live_remove_locked(h);
	release_locked(h, &gone);
	lock_release(&lock);
	unmap_all(&gone);
}

/* Out of the list before it is unmapped, so in steps: a fork in between loses, for
 * the child, what is on its way. */
static struct huge *take_due(uint32_t delay_ms)
{
	struct huge *e;
	lock_acquire(&lock);
	e = oldest_locked();
	if (e != NULL && os_now_ms() - e->freed_at_ms < delay_ms)
		e = NULL;
	if (e != NULL) {
		e = take_top_locked(e, PURGE_STEP);
		turnover_bytes = 0;
	}
	lock_release(&lock);
	return e;
}

/* Again, each once. */
static size_t retry_stuck(void)
{
	struct list_node again;
	size_t bytes = 0;
	list_init(&again);
	lock_acquire(&lock);
	LIST_FOR_EACH_SAFE(n, &stuck) {
		list_remove(n);
		list_push_back(&again, n);
	}
	stuck_bytes = 0;
	lock_release(&lock);
	LIST_FOR_EACH_SAFE(n, &again)
		bytes += unmap(LIST_ENTRY(n, struct huge, link));
	return bytes;
}

size_t huge_purge_until(uint32_t delay_ms, uint64_t deadline_ns)
{
	size_t bytes = retry_stuck();
	for (;;) {
		struct huge *e = take_due(delay_ms);
		if (e == NULL)
			return bytes;
		bytes += unmap(e);
		if (deadline_ns != 0 && os_now_ns() >= deadline_ns)
			return bytes;
	}
}

size_t huge_purge(uint32_t delay_ms)
{
	return huge_purge_until(delay_ms, 0);
}

/* ---- resizing: the block is the caller's */

/* Take what is wanted, `least` at least, from a free extent right behind. */
static bool grow_into_free(struct huge *h, size_t least, size_t wanted)
{
	struct huge *e, part;
	lock_acquire(&lock);
	e = extent_at_locked(end_of(h));
	if (e != NULL && e->mapped_bytes < least - h->mapped_bytes)
		e = NULL;
	if (e != NULL) {
		part.base = e->base;
		part.mapped_bytes = min_size(e->mapped_bytes, wanted - h->mapped_bytes);
		h->mapped_bytes += part.mapped_bytes;
		live_bytes += part.mapped_bytes;
		extent_cut_locked(e, &part);
	}
	lock_release(&lock);
	return e != NULL;
}

static bool grow_in_place(struct huge *h, size_t bytes, bool *movable)
{
	size_t more = bytes - h->mapped_bytes;
	*movable = false;
	if (!limit_charge(more))
		return false;
	if (!os_resize_in_place((void *)h->base, h->mapped_bytes, bytes, movable)) {
		limit_uncharge(more);
		return false;
	}
	if (!registry_reserve(end_of(h), more)) {
		os_unmap((void *)end_of(h), more);
		limit_uncharge(more);
		return false;
	}
	lock_acquire(&lock);
	h->mapped_bytes = bytes;
	live_bytes += more;
	lock_release(&lock);
	return true;
}

/* Address space to move a block to, charged for `more` than what it has now. NULL: none. */
static void *reserve_target(size_t bytes, size_t more)
{
	size_t align = bytes >= HUGE_PAGES_MIN ? HAK_SUPERSLAB_BYTES : HAK_UNIT_BYTES;
	return get_charged(os_reserve, bytes, align, more);
}

static bool grow_by_moving(struct huge *h, size_t bytes)
{
	size_t more = bytes - h->mapped_bytes;
	void *target = reserve_target(bytes, more);
	bool moved;
	if (target == NULL)
		return false;
	/* Before the move: as soon as the old place is unmapped, another thread may get
	 * it and enter a block of its own there, or free one beside it. */
	lock_acquire(&lock);
	live_remove_locked(h);
	lock_release(&lock);
	moved = os_move((void *)h->base, h->mapped_bytes, target, bytes);
	if (!moved)
		limit_uncharge(more);
	lock_acquire(&lock);
	if (moved) {
		h->base = (uintptr_t)target;
		h->mapped_bytes = bytes;
	}
	live_insert_locked(h);
	lock_release(&lock);
	return moved;
}

/* The kernel does not move what lies in two mappings of its own, as a block made of
 * merged extents may. Done here, so that the copy too has room to spare. */
static struct huge *grow_by_copying(struct huge *h, size_t bytes)
{
	bool zeroed;
	struct huge *copy = block_alloc(bytes, h->usable_bytes, HAK_UNIT_BYTES, &zeroed);
	if (copy == NULL)
		return NULL;
	bulk_copy((void *)copy->base, (const void *)h->base, h->usable_bytes);
	huge_free(h);
	return copy;
}

/* A block that grows is a vector that is being filled. For all of it, so that it stays
 * one mapping of the kernel's. */
static void prefer_huge_pages(const struct huge *h)
{
	if (h->mapped_bytes >= HUGE_PAGES_MIN && knob_get(HAK_KNOB_HUGE_PAGES, 0) != HUGE_PAGES_OFF)
		os_prefer_huge_pages((void *)h->base, h->mapped_bytes, true);
}

/* The block with `least` bytes mapped, better `roomy`; NULL: not possible. */
static struct huge *grow(struct huge *h, size_t least, size_t roomy)
{
	struct huge *copy;
	bool movable;
	if (grow_into_free(h, least, roomy))
		return h;
	give_up_provisional();
	if (grow_in_place(h, roomy, &movable) || (movable && grow_by_moving(h, roomy)))
		return h;
	copy = grow_by_copying(h, roomy);
	if (copy != NULL)
		return copy;
	if (grow_in_place(h, least, &movable) || (movable && grow_by_moving(h, least)))
		return h;
	return NULL;
}

/* What is behind the first `bytes` becomes free. */
static void shrink(struct huge *h, size_t bytes)
{
	struct list_node gone;
	struct huge *tail = record_alloc();
	if (tail == NULL)
		return;
	tail->base = h->base + bytes;
	tail->mapped_bytes = h->mapped_bytes - bytes;
	list_init(&gone);
	lock_acquire(&lock);
	h->usable_bytes = min_size(h->usable_bytes, bytes);
	h->mapped_bytes = bytes;
	live_bytes -= tail->mapped_bytes;
	release_locked(tail, &gone);
	lock_release(&lock);
	unmap_all(&gone);
}

static void set_usable(struct huge *h, size_t bytes)
{
	if (h->usable_bytes == bytes)
		return;
	lock_acquire(&lock);
	h->usable_bytes = bytes;
	lock_release(&lock);
}

void *huge_resize(struct huge *h, size_t bytes)
{
	size_t usable, least;
	if (bytes > PTRDIFF_MAX)
		return NULL;
	usable = align_up(bytes, os_page_bytes());
	least = align_up(bytes, HAK_UNIT_BYTES);
	if (least > h->mapped_bytes) {
		h = grow(h, least, align_up(bytes + bytes / GROWTH_SPARE, HAK_UNIT_BYTES));
		if (h == NULL)
			return NULL;
		prefer_huge_pages(h);
	} else if (usable < h->mapped_bytes / 2 && least < h->mapped_bytes) {
		shrink(h, least);
	}
	set_usable(h, usable);
	return (void *)h->base;
}

/* ---- figures, reports, checks */

struct huge_counters huge_counters(void)
{
	struct huge_counters c;
	lock_acquire(&lock);
	c = (struct huge_counters){ .live = live_count,
				    .live_bytes = live_bytes,
				    .cached_bytes = huge_cached_bytes(),
				    .stuck_bytes = stuck_bytes };
	lock_release(&lock);
	return c;
}

static bool find_locked(uintptr_t addr, struct huge_place *place)
{
	LIST_FOR_EACH(n, &live) {
		const struct huge *h = LIST_ENTRY(n, struct huge, link);
		if (addr - h->base < h->mapped_bytes) {
			*place = (struct huge_place){ true, h->base, h->usable_bytes };
			return true;
		}
	}
	LIST_FOR_EACH(n, &free_by_age) {
		const struct huge *e = LIST_ENTRY(n, struct huge, age);
		if (addr - e->base < e->mapped_bytes) {
			*place = (struct huge_place){ false, e->base, e->mapped_bytes };
			return true;
		}
	}
	return false;
}

bool huge_find(uintptr_t addr, struct huge_place *place)
{
	bool found;
	if (!lock_try(&lock))
		return false;
	found = find_locked(addr, place);
	lock_release(&lock);
	return found;
}

static unsigned kind_at(uintptr_t addr)
{
	void *record;
	return registry_lookup(addr, &record);
}

static void check_record(const struct huge *h, uintptr_t addr, unsigned kind)
{
	void *record;
	HAK_VERIFY(registry_lookup(addr, &record) == kind && record == h);
	HAK_VERIFY(h->base % HAK_UNIT_BYTES == 0 && h->mapped_bytes % HAK_UNIT_BYTES == 0);
}

static void check_live_locked(void)
{
	size_t count = 0, bytes = 0;
	LIST_FOR_EACH(n, &live) {
		const struct huge *h = LIST_ENTRY(n, struct huge, link);
		check_record(h, h->base, UNIT_HUGE);
		HAK_VERIFY(h->mapped_bytes == HAK_UNIT_BYTES ||
			   kind_at(end_of(h) - 1) == UNIT_NONE);
		HAK_VERIFY(h->usable_bytes <= h->mapped_bytes);
		count++;
		bytes += h->mapped_bytes;
	}
	HAK_VERIFY(count == live_count && bytes == live_bytes);
}

/* Both boundary tags, no free neighbour, in order of time. Returns how many there are. */
static size_t check_extents_locked(void)
{
	size_t count = 0, bytes = 0;
	LIST_FOR_EACH(n, &free_by_age) {
		const struct huge *e = LIST_ENTRY(n, struct huge, age);
		check_record(e, e->base, UNIT_HUGE_FREE);
		check_record(e, end_of(e) - HAK_UNIT_BYTES, UNIT_HUGE_FREE);
		HAK_VERIFY(kind_at(e->base - 1) != UNIT_HUGE_FREE);
		HAK_VERIFY(kind_at(end_of(e)) != UNIT_HUGE_FREE);
		HAK_VERIFY(n->next == &free_by_age ||
			   (int32_t)(LIST_ENTRY(n->next, struct huge, age)->freed_at_ms -
				     e->freed_at_ms) >= 0);
		count++;
		bytes += e->mapped_bytes;
	}
	HAK_VERIFY(bytes == huge_cached_bytes() && bytes <= CACHE_MAX_ALL);
	return count;
}

static size_t check_bucket_locked(unsigned b)
{
	size_t count = 0;
	LIST_FOR_EACH(n, &buckets[b]) {
		HAK_VERIFY(bucket_of(LIST_ENTRY(n, struct huge, link)->mapped_bytes) == b);
		count++;
	}
	HAK_VERIFY(count > 0);
	return count;
}

void huge_check(void)
{
	size_t in_buckets = 0;
	lock_acquire(&lock);
	check_live_locked();
	for (uint64_t b = nonempty_buckets; b != 0; b &= b - 1)
		in_buckets += check_bucket_locked(bit_lowest(b));
	HAK_VERIFY(check_extents_locked() == in_buckets);
	lock_release(&lock);
}
