#include "common/entry.h"

#include "common/bulk.h"
#include "common/emergency.h"
#include "common/heap.h"
#include "common/huge.h"
#include "common/large.h"
#include "common/limit.h"
#include "common/os.h"
#include "common/profile.h"
#include "common/purge.h"
#include "common/report.h"
#include "common/superslab.h"

static _Atomic uint64_t heapless_ops;

uint64_t entry_heapless_ops(void)
{
	return atomic_load_relaxed(&heapless_ops);
}

/* ---- allocation */

static void *alloc_small(unsigned cls)
{
	struct heap *h = thread_heap();
	void *p;
	if (h == NULL)
		return heap_orphans_take_one(cls);
	p = tcache_pop(&h->tcache, cls);
	return p != NULL ? p : tcache_refill(&h->tcache, cls);
}

static void *alloc_once(size_t bytes, size_t align, bool *zeroed)
{
	unsigned cls = align <= HAK_MIN_ALIGN && bytes <= HAK_SMALL_MAX
			       ? size_class(bytes)
			       : size_class_aligned(bytes, align);
	*zeroed = false;
	if (bytes == 0)
		bytes = 1;
	if (cls != 0)
		return alloc_small(cls);
	if (bytes <= LARGE_MAX && align <= HAK_SUPERSLAB_BYTES)
		return large_alloc(bytes, align, zeroed);
	return huge_alloc(bytes, align, zeroed);
}

/* Let go of all that is kept for speed: it may hold the memory, or the address
 * space, that is missing. */
static HAK_COLD void reclaim(void)
{
	struct heap *h = thread_heap();
	huge_purge(0);
	if (h != NULL)
		heap_reclaim(h);
	if (limit_is_hard()) /* which counts free units that are not given back */
		purge_everything();
	superslab_unmap_free();
}

static void *alloc_any(size_t bytes, size_t align, bool *zeroed)
{
	void *p;
	if (!entry_size_is_possible(bytes) || align > PTRDIFF_MAX)
		return NULL;
	p = alloc_once(bytes, align, zeroed);
	if (HAK_UNLIKELY(p == NULL)) {
		reclaim();
		p = alloc_once(bytes, align, zeroed);
	}
	return p;
}

/* An allocation of a thread that has a cache: it is counted, timed, and perhaps looked
 * at. */
static void *alloc_observed(struct tcache *tc, size_t bytes, size_t align, bool *zeroed)
{
	uint64_t begin = latency_begin(&tc->latency.allocs);
	unsigned due = sample_count_slow(&tc->clock);
	void *p = HAK_UNLIKELY(due != 0) ? sample_provide(due, bytes, align) : NULL;
	*zeroed = false;
	if (HAK_LIKELY(p == NULL)) {
		p = alloc_any(bytes, align, zeroed);
		if (HAK_UNLIKELY(due != 0) && p != NULL)
			sample_look(due, p, bytes);
		if (profile_is_on() && p != NULL)
			profile_consider(p, bytes, due >> SAMPLER_PROFILE & 1);
	}
	latency_end(&tc->latency, begin);
	return p;
}

/* In a signal handler that interrupted a slow path: a hit whose turn it is to be looked at
 * is a hit all the same. */
static void *alloc_reentered(struct tcache *tc, size_t bytes, size_t align, bool *zeroed)
{
	unsigned cls = size_class_aligned(bytes, align);
	void *p = NULL;
	if (tcache_is_real(tc)) {
		(void)sample_count_slow(&tc->clock);
		p = tcache_pop(tc, cls);
	}
	*zeroed = p == NULL;
	return p != NULL ? p : emergency_alloc(bytes, align);
}

void *entry_alloc_slow(size_t bytes, size_t align, bool *zeroed)
{
	struct slow_scope scope;
	struct tcache *tc = thread_state.tcache;
	void *p;
	if (HAK_UNLIKELY(!slow_enter(&scope))) {
		p = alloc_reentered(tc, bytes, align, zeroed);
	} else if (HAK_LIKELY(tcache_is_real(tc))) {
		p = alloc_observed(tc, bytes, align, zeroed);
	} else {
		atomic_add_relaxed(&heapless_ops, 1);
		p = alloc_any(bytes, align, zeroed);
		if (profile_is_on() && p != NULL)
			profile_consider(p, bytes, false);
	}
	slow_leave(&scope);
	thread_finish_attach();
	if (limit_is_due())
		purge_for_limit();
	return p;
}

void *entry_malloc_slow(size_t bytes)
{
	bool zeroed;
	return entry_alloc_slow(bytes, HAK_MIN_ALIGN, &zeroed);
}

void *entry_zalloc(size_t bytes)
{
	bool zeroed = false;
	void *p = bytes <= HAK_SMALL_MAX ? entry_malloc(bytes)
					 : entry_alloc_slow(bytes, HAK_MIN_ALIGN, &zeroed);
	if (p != NULL && !zeroed)
		bulk_clear(p, bytes);
	return p;
}

/* ---- free */

/* What starts at an address. */
struct place {
	unsigned kind;          /* of unit; UNIT_NONE: nothing does */
	void *record;           /* of a large or huge block */
	_Atomic uint8_t *state; /* of a block of a slab */
};

static struct place locate(const void *p)
{
	struct place at = { .kind = UNIT_NONE };
	const struct registry_unit *unit;
	uintptr_t tag;
	bool starts;
	if (!registry_covers((uintptr_t)p))
		return at;
	unit = registry_unit_of((uintptr_t)p);
	tag = unit_tag(unit);
	at.kind = tag_kind(tag);
	at.record = unit_record(unit);
	switch (at.kind) {
	case UNIT_LARGE:
	case UNIT_HUGE:
		starts = tag_base(tag) == (uintptr_t)p;
		break;
	case UNIT_EMERGENCY: /* keeps no account of its blocks */
		starts = true;
		break;
	case UNIT_NONE:
	case UNIT_HUGE_FREE:
		starts = false;
		break;
	default:
		starts = entry_locate(p, unit, tag, class_inverse[at.kind], &at.state);
		break;
	}
	if (!starts)
		at.kind = UNIT_NONE;
	return at;
}

/* Where a block of a slab lies that is free; NULL: the program has it. */
static const char *where_free(const _Atomic uint8_t *state)
{
	switch (atomic_load_relaxed(state)) {
	case BLOCK_LIVE:
	case BLOCK_SAMPLED:
		return NULL;
	case BLOCK_CACHED:
		return "it is in a thread's cache";
	default:
		return "it is in its slab";
	}
}

static void free_block(unsigned cls, void *p, _Atomic uint8_t *state)
{
	struct heap *h = thread_heap_for_free();
	const char *where = where_free(state);
	if (where == NULL && atomic_load_relaxed(state) == BLOCK_SAMPLED) {
		profile_forget(p);
		atomic_store_relaxed(state, BLOCK_LIVE);
	}
	if (where != NULL) {
		report_double_free(p, where);
	} else if (h == NULL) {
		struct cached_block one = { state, p };
		atomic_store_relaxed(state, BLOCK_CACHED);
		heap_put(NULL, cls, &one, 1);
	} else {
		tcache_put_slow(&h->tcache, cls, p, state);
	}
}

static void free_any(void *p)
{
	struct place at = locate(p);
	switch (at.kind) {
	case UNIT_NONE:
		report_bad_pointer(p, "free");
		break;
	case UNIT_LARGE:
		if (profile_has_spans())
			profile_forget(p);
		large_free(at.record);
		break;
	case UNIT_HUGE:
		if (profile_has_spans())
			profile_forget(p);
		huge_free(at.record);
		break;
	case UNIT_EMERGENCY:
		break;
	default:
		free_block(at.kind, p, at.state);
		break;
	}
}

static void free_with_deferred(void *p)
{
	void *deferred = emergency_take_deferred();
	free_any(p);
	if (HAK_UNLIKELY(deferred != NULL))
		free_any(deferred);
}

/* The free of a thread that has a cache is counted and timed. */
static void free_observed(void *p)
{
	struct tcache *tc = thread_state.tcache;
	uint64_t begin;
	if (HAK_UNLIKELY(!tcache_is_real(tc))) {
		free_with_deferred(p);
		return;
	}
	begin = latency_begin(&tc->latency.frees);
	free_with_deferred(p);
	latency_end(&tc->latency, begin);
}

void entry_free_slow(void *p)
{
	struct slow_scope scope;
	bool entered;
	if (p == NULL)
		return;
	entered = slow_enter(&scope);
	if (HAK_LIKELY(entered)) {
		free_observed(p);
	} else {
		emergency_defer_free(p);
	}
	slow_leave(&scope);
	thread_finish_attach();
	if (entered)
		purge_kick();
}

/* ---- sizes */

size_t entry_usable_bytes(const void *p, const char *doing)
{
	struct place at = locate(p);
	switch (at.kind) {
	case UNIT_NONE:
		break;
	case UNIT_LARGE:
		return ((const struct large_span *)at.record)->usable_bytes;
	case UNIT_HUGE:
		return ((const struct huge *)at.record)->usable_bytes;
	case UNIT_EMERGENCY:
		return emergency_usable((uintptr_t)p);
	default:
		if (HAK_LIKELY(where_free(at.state) == NULL))
			return class_bytes(at.kind);
		break;
	}
	report_bad_pointer(p, doing);
	return 0;
}

size_t entry_good_bytes(size_t bytes)
{
	hak_init_once();
	if (bytes <= HAK_SMALL_MAX)
		return class_bytes(size_class(bytes));
	return entry_size_is_possible(bytes) ? align_up(bytes, os_page_bytes()) : bytes;
}
