#include "common/superslab.h"

#include "common/bits.h"
#include "common/knobs.h"
#include "common/limit.h"
#include "common/lock.h"
#include "common/meta.h"
#include "common/os.h"
#include "common/registry.h"

enum {
	/* Address space is reserved in steps of a quarter of what is held, between
	 * these bounds: few mappings for big programs, little for those under a limit. */
	RESERVE_MIN_BYTES = 4 * HAK_SUPERSLAB_BYTES,
	RESERVE_MAX_BYTES = 128 * HAK_SUPERSLAB_BYTES,

	/* With the policy "filling", superslabs beyond this many get huge pages: a
	 * program that has filled 32 MiB is taken to fill the next 2 MiB as well. */
	SMALL_PAGE_SUPERSLABS = 16,
};

#define ALL_UNITS UINT32_MAX
HAK_STATIC_ASSERT(HAK_SUPERSLAB_UNITS == 32, "unit masks are 32 bits wide");

/* Superslabs by the length of their longest run of some kind of unit; bucket 0
 * is not kept. */
struct buckets {
	uint64_t nonempty;
	struct list_node heads[HAK_SUPERSLAB_UNITS + 1];
};

static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_POOL);

/* All under lock. */
static struct {
	bool ready;
	struct buckets by_free, by_dirty;
	struct list_node all, aged;
	uintptr_t reserve_next, reserve_end; /* reserved, never used */
	size_t count;
	struct meta_pool records;
} pool;

static _Atomic size_t dirty_units; /* written under lock; read anywhere */

struct lock *superslab_lock(void)
{
	return &lock;
}

size_t superslab_dirty_bytes(void)
{
	return atomic_load_relaxed(&dirty_units) * HAK_UNIT_BYTES;
}

/* ---- buckets */

static void buckets_init(struct buckets *b)
{
	for (unsigned i = 0; i < HAK_ARRAY_LEN(b->heads); i++)
		list_init(&b->heads[i]);
}

static void buckets_remove(struct buckets *b, struct list_node *n, unsigned run)
{
	list_remove(n);
	if (run > 0 && list_is_empty(&b->heads[run]))
		b->nonempty &= ~(UINT64_C(1) << run);
}

static void buckets_insert(struct buckets *b, struct list_node *n, unsigned run)
{
	if (run == 0)
		return;
	list_push_front(&b->heads[run], n);
	b->nonempty |= UINT64_C(1) << run;
}

/* Set the masks of s and move it to the buckets and the place by age that they call
 * for. */
static void set_masks_locked(struct superslab *s, uint32_t free_mask, uint32_t dirty_mask)
{
	bool more_dirty = (dirty_mask & ~s->dirty_mask) != 0;
	HAK_ASSERT((dirty_mask & ~free_mask) == 0);
	buckets_remove(&pool.by_free, &s->free_link, mask32_longest_run(s->free_mask));
	buckets_remove(&pool.by_dirty, &s->dirty_link, mask32_longest_run(s->dirty_mask));
	atomic_add_relaxed(&dirty_units, (size_t)bit_count(dirty_mask) - bit_count(s->dirty_mask));
	s->free_mask = free_mask;
	s->dirty_mask = dirty_mask;
	s->zero_mask &= free_mask;
	buckets_insert(&pool.by_free, &s->free_link, mask32_longest_run(free_mask));
	buckets_insert(&pool.by_dirty, &s->dirty_link, mask32_longest_run(dirty_mask));
	if (dirty_mask == 0 || more_dirty)
		list_remove(&s->age_link);
	if (more_dirty) {
		s->freed_at_ms = os_now_ms();
		list_push_back(&pool.aged, &s->age_link);
	}
}

/* ---- huge pages */

static void set_huge_pages_locked(struct superslab *s, bool on)
{
	if (superslab_has_huge_pages(s) == on)
		return;
	atomic_store_relaxed(&s->huge_pages, on);
	os_prefer_huge_pages((void *)s->base, HAK_SUPERSLAB_BYTES, on);
}

void superslab_use_small_pages(struct superslab *s)
{
	if (!superslab_has_huge_pages(s))
		return;
	lock_acquire(&lock);
	set_huge_pages_locked(s, false);
	lock_release(&lock);
}

/* ---- growth */

static void pool_init_locked(void)
{
	if (pool.ready)
		return;
	buckets_init(&pool.by_free);
	buckets_init(&pool.by_dirty);
	list_init(&pool.all);
	list_init(&pool.aged);
	pool.ready = true;
}

static bool reserve_locked(void)
{
	size_t bytes = align_down(os_counters().mapped_bytes / 4, HAK_SUPERSLAB_BYTES);
	void *p = NULL;
	bytes = min_size(max_size(bytes, RESERVE_MIN_BYTES), RESERVE_MAX_BYTES);
	/* Under a limit on address space the last superslab may still fit. */
	for (; p == NULL && bytes >= HAK_SUPERSLAB_BYTES;
	     bytes = bytes > HAK_SUPERSLAB_BYTES ? HAK_SUPERSLAB_BYTES : 0) {
		p = os_map_blocks(bytes, HAK_SUPERSLAB_BYTES);
		pool.reserve_end = (uintptr_t)p + bytes;
	}
	pool.reserve_next = (uintptr_t)p;
	if (p == NULL)
		pool.reserve_end = 0;
	return p != NULL;
}

static bool newest_wants_huge_pages_locked(void)
{
	switch (knob_get(HAK_KNOB_HUGE_PAGES, 0)) {
	case HUGE_PAGES_ALWAYS:
		return true;
	case HUGE_PAGES_FILLING:
		return pool.count > SMALL_PAGE_SUPERSLABS;
	default:
		return false;
	}
}

/* Enter a superslab of which the units of present_mask are mapped. NULL: no memory
 * for its records. */
static struct superslab *superslab_enter_locked(uintptr_t base, uint32_t present_mask)
{
	struct superslab *s;
	if (!registry_reserve(base, HAK_SUPERSLAB_BYTES))
		return NULL;
	s = meta_pool_alloc(&pool.records, sizeof(*s));
	if (s == NULL)
		return NULL;
	*s = (struct superslab){
		.base = base, .present_mask = present_mask, .zero_mask = present_mask
	};
	list_init(&s->free_link);
	list_init(&s->dirty_link);
	list_init(&s->age_link);
	list_push_back(&pool.all, &s->all_link);
	pool.count++;
	set_masks_locked(s, present_mask, 0);
	return s;
}

static struct superslab *superslab_create_locked(void)
{
	struct superslab *s;
	if (pool.reserve_next == pool.reserve_end && !reserve_locked())
		return NULL;
	s = superslab_enter_locked(pool.reserve_next, ALL_UNITS);
	if (s == NULL)
		return NULL;
	pool.reserve_next += HAK_SUPERSLAB_BYTES;
	s->wants_huge_pages = newest_wants_huge_pages_locked();
	return s;
}

/* There is no room for a whole superslab: a part of one, of `units` units. */
static struct superslab *superslab_create_part_locked(unsigned units)
{
	size_t bytes = (size_t)units * HAK_UNIT_BYTES;
	/* Aligned so that it does not cross a superslab's border. */
	size_t align = (size_t)HAK_UNIT_BYTES << (units > 1 ? bit_highest(units - 1) + 1 : 0);
	uintptr_t p = (uintptr_t)os_map_blocks(bytes, align);
	uintptr_t base = align_down(p, HAK_SUPERSLAB_BYTES);
	struct superslab *s;
	if (p == 0)
		return NULL;
	s = superslab_enter_locked(base, mask32((unsigned)((p - base) / HAK_UNIT_BYTES), units));
	if (s == NULL)
		os_unmap((void *)p, bytes);
	return s;
}

/* ---- spans */

/* Starts of runs of `units` ones in mask, at multiples of align_units. */
static uint32_t aligned_runs(uint32_t mask, unsigned units, unsigned align_units)
{
	static const uint32_t multiples[] = { 0xffffffff, 0x55555555, 0x11111111,
					      0x01010101, 0x00010001, 0x00000001 };
	return mask32_runs(mask, units) & multiples[bit_lowest(align_units)];
}

/* First unit for a span in s, or -1. */
static int place_in(const struct superslab *s, unsigned units, unsigned align_units, bool dirty)
{
	uint32_t runs = aligned_runs(dirty ? s->dirty_mask : s->free_mask, units, align_units);
	return runs == 0 ? -1 : (int)bit_lowest(runs);
}

static struct superslab *find_locked(const struct buckets *b, unsigned units, unsigned align_units,
				     bool dirty, int *first)
{
	uint64_t candidates = b->nonempty >> units << units;
	while (candidates != 0) {
		unsigned run = bit_lowest(candidates);
		LIST_FOR_EACH(n, &b->heads[run]) {
			struct superslab *s = dirty ? LIST_ENTRY(n, struct superslab, dirty_link)
						    : LIST_ENTRY(n, struct superslab, free_link);
			*first = place_in(s, units, align_units, dirty);
			if (*first >= 0)
				return s;
		}
		candidates &= candidates - 1;
	}
	return NULL;
}

/* Make room for such a span. */
static bool grow_locked(unsigned units, unsigned align_units)
{
	if (superslab_create_locked() != NULL)
		return true;
	return align_units == 1 && superslab_create_part_locked(units) != NULL;
}

static bool is_clean_locked(const struct superslab *s)
{
	return s->free_mask == s->present_mask && s->dirty_mask == 0;
}

/* The first touch is going to fill all of it. */
static void begin_huge_pages_locked(struct superslab *s)
{
	set_huge_pages_locked(s, true);
	set_masks_locked(s, s->free_mask, s->free_mask);
}

static void take_units_locked(struct superslab *s, uint32_t mask)
{
	set_masks_locked(s, s->free_mask & ~mask, s->dirty_mask & ~mask);
	if (s->wants_huge_pages && s->free_mask == 0)
		set_huge_pages_locked(s, true);
}

/* The clean units that are not clean any more once those of mask are taken. */
static size_t clean_bytes_locked(const struct superslab *s, uint32_t mask)
{
	if (s->wants_huge_pages && is_clean_locked(s)) /* the first touch fills it */
		mask = s->free_mask;
	return bit_count(mask & ~s->dirty_mask) * (size_t)HAK_UNIT_BYTES;
}

/* Charge what taking the units of mask makes dirty. Below the hard limit there may be no room for a
 * superslab that is filled at once, but for these units alone. */
static bool charge_units_locked(struct superslab *s, uint32_t mask)
{
	if (limit_charge(clean_bytes_locked(s, mask)))
		return true;
	if (!s->wants_huge_pages || !is_clean_locked(s)) /* it would be the same charge again */
		return false;
	s->wants_huge_pages = false;
	if (limit_charge(clean_bytes_locked(s, mask))) {
		set_huge_pages_locked(s, false); /* it may have asked for them before */
		return true;
	}
	s->wants_huge_pages = true;
	return false;
}

/* Room for a span, charged. NULL: no memory. */
static struct superslab *find_or_grow_locked(unsigned units, unsigned align_units, int *first)
{
	struct superslab *s = find_locked(&pool.by_dirty, units, align_units, true, first);
	if (s == NULL)
		s = find_locked(&pool.by_free, units, align_units, false, first);
	if (s == NULL && grow_locked(units, align_units))
		s = find_locked(&pool.by_free, units, align_units, false, first);
	if (s == NULL || !charge_units_locked(s, mask32((unsigned)*first, units)))
		return NULL;
	return s;
}

bool span_alloc(struct span *out, unsigned units, unsigned align_units)
{
	struct superslab *s;
	uint32_t mask;
	int first = 0;
	HAK_ASSERT(units >= 1 && units <= HAK_SUPERSLAB_UNITS);
	HAK_ASSERT(is_pow2(align_units) && align_units <= HAK_SUPERSLAB_UNITS);

	lock_acquire(&lock);
	pool_init_locked();
	s = find_or_grow_locked(units, align_units, &first);
	if (s == NULL) {
		lock_release(&lock);
		return false;
	}
	mask = mask32((unsigned)first, units);
	if (s->wants_huge_pages && is_clean_locked(s))
		begin_huge_pages_locked(s);
	*out = (struct span){
		.superslab = s,
		.base = s->base + (uintptr_t)first * HAK_UNIT_BYTES,
		.first = (uint16_t)first,
		.units = (uint16_t)units,
		.zeroed = (mask & ~s->zero_mask) == 0,
	};
	take_units_locked(s, mask);
	lock_release(&lock);
	return true;
}

void span_free(struct superslab *s, unsigned first, unsigned units)
{
	uint32_t mask = mask32(first, units);
	lock_acquire(&lock);
	HAK_ASSERT((s->free_mask & mask) == 0);
	set_masks_locked(s, s->free_mask | mask, s->dirty_mask | mask);
	lock_release(&lock);
}

bool span_extend(struct superslab *s, unsigned first, unsigned units, unsigned more)
{
	uint32_t mask;
	bool ok;
	if (first + units + more > HAK_SUPERSLAB_UNITS)
		return false;
	mask = mask32(first + units, more);
	lock_acquire(&lock);
	ok = (s->free_mask & mask) == mask && limit_charge(clean_bytes_locked(s, mask));
	if (ok)
		take_units_locked(s, mask);
	lock_release(&lock);
	return ok;
}

/* ---- back to the kernel */

/* Purge the units of `mask`, run by run. Returns those for which it failed. */
static uint32_t purge_units(uintptr_t base, uint32_t mask)
{
	uint32_t failed = 0;
	while (mask != 0) {
		unsigned first = bit_lowest(mask);
		unsigned units = bit_lowest(~((uint64_t)mask >> first));
		uint32_t run = mask32(first, units);
		if (!os_purge((void *)(base + (uintptr_t)first * HAK_UNIT_BYTES),
			      (size_t)units * HAK_UNIT_BYTES))
			failed |= run;
		mask &= ~run;
	}
	return failed;
}

/* Takes the lock off for the system calls. Returns the bytes given back. */
static size_t superslab_purge_one_locked(struct superslab *s)
{
	uint32_t mask = s->dirty_mask, failed;
	if (mask != s->present_mask)
		set_huge_pages_locked(s, false);
	set_masks_locked(s, s->free_mask & ~mask, 0);
	lock_release(&lock);
	failed = purge_units(s->base, mask);
	lock_acquire(&lock);
	set_masks_locked(s, s->free_mask | mask, s->dirty_mask | failed);
	s->zero_mask |= mask & ~failed;
	limit_uncharge((size_t)bit_count(mask & ~failed) * HAK_UNIT_BYTES);
	return (size_t)bit_count(mask & ~failed) * HAK_UNIT_BYTES;
}

size_t superslab_purge(uint32_t delay_ms, uint64_t deadline_ns, bool *more)
{
	size_t purged = 0;
	size_t left;
	lock_acquire(&lock);
	pool_init_locked();
	/* Each superslab at most once, although failed ones return to the end. */
	for (left = pool.count; left > 0 && !list_is_empty(&pool.aged); left--) {
		struct superslab *s = LIST_ENTRY(pool.aged.next, struct superslab, age_link);
		if (os_now_ms() - s->freed_at_ms < delay_ms)
			break;
		purged += superslab_purge_one_locked(s);
		if (deadline_ns != 0 && os_now_ns() >= deadline_ns)
			break;
	}
	*more = !list_is_empty(&pool.aged);
	lock_release(&lock);
	return purged;
}

size_t superslab_unmap_free(void)
{
	size_t bytes = 0;
	lock_acquire(&lock);
	pool_init_locked();
	LIST_FOR_EACH_SAFE(n, &pool.all) {
		struct superslab *s = LIST_ENTRY(n, struct superslab, all_link);
		size_t mapped = (size_t)bit_count(s->present_mask) * HAK_UNIT_BYTES;
		uintptr_t start = s->base + (uintptr_t)bit_lowest(s->present_mask) * HAK_UNIT_BYTES;
		if (s->free_mask != s->present_mask || !os_unmap((void *)start, mapped))
			continue;
		limit_uncharge((size_t)bit_count(s->dirty_mask) * HAK_UNIT_BYTES);
		set_masks_locked(s, 0, 0);
		list_remove(&s->all_link);
		pool.count--;
		meta_pool_free(&pool.records, s);
		bytes += mapped;
	}
	if (pool.reserve_end != pool.reserve_next &&
	    os_unmap((void *)pool.reserve_next, pool.reserve_end - pool.reserve_next)) {
		bytes += pool.reserve_end - pool.reserve_next;
		pool.reserve_next = pool.reserve_end = 0;
	}
	lock_release(&lock);
	return bytes;
}

/* ---- figures and checks */

size_t superslab_list(struct superslab_state *out, size_t max)
{
	size_t n = 0;
	lock_acquire(&lock);
	pool_init_locked();
	LIST_FOR_EACH(node, &pool.all) {
		const struct superslab *s = LIST_ENTRY(node, struct superslab, all_link);
		if (n == max)
			break;
		out[n++] = (struct superslab_state){ .base = s->base,
						     .present_mask = s->present_mask,
						     .free_mask = s->free_mask,
						     .dirty_mask = s->dirty_mask };
	}
	lock_release(&lock);
	return n;
}

struct superslab_counters superslab_counters(void)
{
	struct superslab_counters c = { 0 };
	lock_acquire(&lock);
	pool_init_locked();
	c.superslabs = pool.count;
	LIST_FOR_EACH(n, &pool.all) {
		const struct superslab *s = LIST_ENTRY(n, struct superslab, all_link);
		c.units += bit_count(s->present_mask);
		c.free_units += bit_count(s->free_mask);
		c.dirty_units += bit_count(s->dirty_mask);
	}
	lock_release(&lock);
	return c;
}

static void check_one(const struct superslab *s)
{
	HAK_VERIFY(s->base % HAK_SUPERSLAB_BYTES == 0);
	HAK_VERIFY((s->free_mask & ~s->present_mask) == 0);
	HAK_VERIFY((s->dirty_mask & ~s->free_mask) == 0);
	HAK_VERIFY((s->zero_mask & ~s->free_mask) == 0);
	HAK_VERIFY((s->dirty_mask == 0) == list_is_empty(&s->age_link));
	HAK_VERIFY((s->free_mask == 0) == list_is_empty(&s->free_link));
	HAK_VERIFY(s->wants_huge_pages || !superslab_has_huge_pages(s));
	for (unsigned i = 0; i < HAK_SUPERSLAB_UNITS; i++) {
		uintptr_t addr = s->base + (uintptr_t)i * HAK_UNIT_BYTES;
		if (s->free_mask >> i & 1)
			HAK_VERIFY(tag_kind(unit_tag(registry_unit_of(addr))) == UNIT_NONE);
	}
}

void superslab_check(void)
{
	size_t dirty = 0, count = 0;
	lock_acquire(&lock);
	pool_init_locked();
	LIST_FOR_EACH(n, &pool.all) {
		const struct superslab *s = LIST_ENTRY(n, struct superslab, all_link);
		check_one(s);
		dirty += bit_count(s->dirty_mask);
		count++;
	}
	HAK_VERIFY(dirty == atomic_load_relaxed(&dirty_units));
	HAK_VERIFY(count == pool.count);
	for (unsigned run = 1; run <= HAK_SUPERSLAB_UNITS; run++)
		LIST_FOR_EACH(n, &pool.by_free.heads[run])
			HAK_VERIFY(mask32_longest_run(LIST_ENTRY(n, struct superslab, free_link)
							      ->free_mask) == run);
	lock_release(&lock);
}
