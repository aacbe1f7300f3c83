#include "common/entry.h"

#include "arch/inline.h"
#include "common/bulk.h"
#include "common/check.h"
#include "common/emergency.h"
#include "common/guard.h"
#include "common/heap.h"
#include "common/huge.h"
#include "common/large.h"
#include "common/limit.h"
#include "common/memtag.h"
#include "common/options.h"
#include "common/os.h"
#include "common/profile.h"
#include "common/purge.h"
#include "common/report.h"
#include "common/superslab.h"
#include "common/ticker.h"

static _Atomic uint64_t heapless_ops;

uint64_t entry_heapless_ops(void)
{
	return atomic_load_relaxed(&heapless_ops);
}

/* ---- the gate, for what is no hit */

/* What starts at an address. */
struct place {
	unsigned kind;          /* of unit; UNIT_NONE: nothing does */
	void *record;           /* of a large, huge or guarded block; a slab's states */
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
	case UNIT_GUARD:
		starts = guard_starts(at.record, (uintptr_t)p);
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

/* Has the block that starts at p tags, and if so, what does memtag.h need of it? */
struct tagged_room {
	size_t bytes; /* 0: it has none */
	uint32_t index;
};

static struct tagged_room tagged_room(const struct place *at, const void *p)
{
	struct tagged_room room = { 0, 0 };
	if (at->kind == UNIT_LARGE) {
		room.bytes =
			((const struct large_span *)at->record)->units * (size_t)HAK_UNIT_BYTES;
	} else if (at->state != NULL) {
		room.bytes = class_bytes(at->kind);
		room.index = slab_block_index(slab_of_block(p), p);
	}
	return room;
}

static HAK_COLD void *tag_out(void *p, size_t bytes)
{
	struct place at = locate(p);
	struct tagged_room room = tagged_room(&at, p);
	return room.bytes != 0 ? memtag_out((uintptr_t)p, bytes, room.bytes, room.index) : p;
}

static HAK_COLD void tag_in(const void *p, const struct place *at)
{
	struct tagged_room room = tagged_room(at, p);
	if (room.bytes != 0)
		memtag_in((uintptr_t)p, room.bytes, room.index);
}

/* Has the block, which is live, a tag, and the program's pointer another? */
static HAK_COLD bool tag_is_stale(const struct place *at, const void *p, uintptr_t pointer)
{
	unsigned tag = tagged_room(at, p).bytes != 0 ? memtag_at((uintptr_t)p) : 0;
	return tag != 0 && tag != memtag_of(pointer);
}

/* Bytes of a block that are the program's, as the layers below have it. */
static size_t place_bytes(const struct place *at, const void *p)
{
	switch (at->kind) {
	case UNIT_LARGE:
		return ((const struct large_span *)at->record)->usable_bytes;
	case UNIT_HUGE:
		return ((const struct huge *)at->record)->usable_bytes;
	case UNIT_GUARD:
		return ((const struct guarded *)at->record)->history.bytes;
	case UNIT_EMERGENCY:
		return emergency_usable((uintptr_t)p);
	default:
		return class_bytes(at->kind);
	}
}

enum origin *entry_origin(unsigned kind, void *record)
{
	switch (kind) {
	case UNIT_LARGE:
		return &((struct large_span *)record)->origin;
	case UNIT_HUGE:
		return &((struct huge *)record)->origin;
	case UNIT_GUARD:
		return &((struct guarded *)record)->history.origin;
	default:
		return NULL;
	}
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

/* A block with a record of its own, of an operator: records begin as malloc's. */
static HAK_COLD void note_origin(const void *p)
{
	struct place at = locate(p);
	*entry_origin(at.kind, at.record) = (enum origin)thread_state.origin;
}

static void *alloc_once(size_t bytes, size_t align, bool *zeroed)
{
	unsigned cls = align <= HAK_MIN_ALIGN && bytes <= HAK_SMALL_MAX
			       ? size_class(bytes)
			       : size_class_aligned(bytes, align);
	size_t large_bytes;
	void *p;
	*zeroed = false;
	if (bytes == 0)
		bytes = 1;
	if (cls != 0)
		return alloc_small(cls);
	/* With tags there is something behind each block. */
	large_bytes = bytes + (memtag_is_on() ? MEMTAG_GRANULE_BYTES : 0);
	if (large_bytes <= LARGE_MAX && align <= HAK_SUPERSLAB_BYTES)
		p = large_alloc(large_bytes, align, zeroed);
	else
		p = huge_alloc(bytes, align, zeroed);
	if (thread_state.origin != ORIGIN_MALLOC && p != NULL)
		note_origin(p);
	return p;
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
	if (!entry_size_is_possible(bytes) || !entry_size_is_possible(align))
		return NULL;
	p = alloc_once(bytes, align, zeroed);
	if (HAK_UNLIKELY(p == NULL)) {
		reclaim();
		p = alloc_once(bytes, align, zeroed);
	}
	return p;
}

/* What full checking has to know of a block. */
static struct checked_block checked_block(const struct place *at, const void *p)
{
	struct checked_block b = { .addr = (uintptr_t)p, .usable_bytes = place_bytes(at, p) };
	if (at->state != NULL) {
		const struct slab *s = slab_of_block(p);
		const uint32_t index = slab_block_index(s, p);
		b.serial = s->serial;
		b.before = index > 0 ? slab_block_start(s, index - 1) : 0;
	}
	return b;
}

/* Under full checking. */
static HAK_COLD void *alloc_checked(size_t bytes, size_t align, bool *zeroed)
{
	enum origin origin = (enum origin)thread_state.origin;
	void *p = bytes > HAK_SMALL_MAX ? guard_alloc(bytes, align, false, origin) : NULL;
	*zeroed = true;
	if (p != NULL || !entry_size_is_possible(bytes))
		return p;
	p = alloc_any(bytes + CHECK_TAIL_BYTES, align, zeroed);
	if (p != NULL) {
		struct place at = locate(p);
		struct checked_block b = checked_block(&at, p);
		check_out(&b, bytes, origin);
	}
	return p;
}

static void *alloc_block(size_t bytes, size_t align, bool *zeroed)
{
	return HAK_UNLIKELY(options.check_full) ? alloc_checked(bytes, align, zeroed)
						: alloc_any(bytes, align, zeroed);
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
		p = alloc_block(bytes, align, zeroed);
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

static void *alloc_slow(size_t bytes, size_t align, enum origin origin, bool *zeroed)
{
	struct slow_scope scope;
	struct tcache *tc = thread_state.tcache;
	bool paused = memtag_pause(), entered = slow_enter(&scope);
	void *p;
	if (HAK_LIKELY(entered)) /* not before: a handler's malloc is malloc's */
		thread_state.origin = (uint8_t)origin;
	if (HAK_UNLIKELY(!entered)) {
		p = alloc_reentered(tc, bytes, align, zeroed);
	} else if (HAK_LIKELY(tcache_is_real(tc))) {
		p = alloc_observed(tc, bytes, align, zeroed);
	} else {
		atomic_add_relaxed(&heapless_ops, 1);
		p = alloc_block(bytes, align, zeroed);
		if (profile_is_on() && p != NULL)
			profile_consider(p, bytes, false);
	}
	if (memtag_is_on() && p != NULL)
		p = tag_out(p, bytes);
	slow_leave(&scope);
	memtag_resume(paused);
	thread_finish_attach();
	if (limit_is_due())
		purge_for_limit();
	/* Nothing was freed: only the ticker may be waiting. */
	if (HAK_UNLIKELY(ticker_exists()) && thread_state.slow_depth == 0)
		purge_kick_ticker();
	return p;
}

void *entry_alloc_slow(size_t bytes, size_t align, bool *zeroed)
{
	return alloc_slow(bytes, align, ORIGIN_MALLOC, zeroed);
}

void *entry_alloc_for(size_t bytes, size_t align, enum origin origin)
{
	bool zeroed;
	return alloc_slow(bytes, max_size(align, HAK_MIN_ALIGN), origin, &zeroed);
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

/* Where a block of a slab lies that is free; NULL: the program has it. */
static const char *where_free(const _Atomic uint8_t *state)
{
	switch (atomic_load_relaxed(state)) {
	case BLOCK_LIVE:
	case BLOCK_SAMPLED:
		return NULL;
	case BLOCK_CACHED:
		return "it is in a thread's cache";
	case BLOCK_QUARANTINED:
		return "it is in quarantine";
	default:
		return "it is in its slab";
	}
}

static const struct free_call plain_free = { .name = "free" };
/* Of what a signal handler freed: by which function is not known any more. */
static const struct free_call deferred_free = { .name = "free", .origin = ORIGIN_ANY };

/* If the heap profile knows the block, it is an ordinary one from now on. */
static void forget_sample(const void *p, const struct place *at)
{
	if (at->state == NULL) {
		if (profile_has_spans())
			profile_forget(p);
	} else if (atomic_load_relaxed(at->state) == BLOCK_SAMPLED) {
		profile_forget(p);
		atomic_store_relaxed(at->state, BLOCK_LIVE);
	}
}

/* Free what starts at p and is no longer the program's. */
static void release(void *p, const struct place *at, const struct free_call *call)
{
	struct heap *h;
	if (memtag_is_on())
		tag_in(p, at);
	switch (at->kind) {
	case UNIT_LARGE:
		large_free(at->record);
		return;
	case UNIT_HUGE:
		huge_free(at->record);
		return;
	case UNIT_GUARD:
		guard_free(at->record, call);
		return;
	case UNIT_EMERGENCY:
		return;
	default:
		break;
	}
	h = thread_heap_for_free();
	if (h == NULL) {
		struct cached_block one = { at->state, p };
		atomic_store_relaxed(at->state, BLOCK_CACHED);
		heap_put(NULL, at->kind, &one, 1);
	} else {
		tcache_put_slow(&h->tcache, at->kind, p, at->state);
	}
}

/* Under full checking: p waits, and others have waited long enough. */
static HAK_COLD void free_checked(void *p, const struct place *at, const struct free_call *call)
{
	struct checked_block b = checked_block(at, p);
	uintptr_t next;
	if (!check_in(&b, call))
		return;
	if (memtag_is_on())
		tag_in(p, at);
	if (at->state != NULL)
		atomic_store_relaxed(at->state, BLOCK_QUARANTINED);
	check_quarantine(b.addr, b.usable_bytes);
	while ((next = check_quarantine_leave()) != 0) {
		struct place was = locate((void *)next);
		if (was.state != NULL)
			atomic_store_relaxed(was.state, BLOCK_LIVE);
		release((void *)next, &was, call);
	}
}

/* Can a block of `usable` bytes be what this call takes it for? A sized delete names the
 * size that new got. The C forms may name any size that fits: a block for an alignment, or
 * one that a realloc has shrunk, is larger than what was asked for. */
static bool size_is_plausible(const struct free_call *call, size_t usable)
{
	size_t aligned = align_up(max_size(call->bytes, 1), call->align); /* 0: it wraps */
	if (call->bytes > usable)
		return false;
	return call->origin == ORIGIN_MALLOC || call->origin == ORIGIN_ANY ||
	       aligned >= usable / 2 || usable <= 4 * HAK_MIN_ALIGN;
}

/* Freed by a function of another family than made it? But for full checking that is only said: the
 * block is known, and no less free for it. */
static void look_at_origin(const void *p, const struct place *at, const struct free_call *call)
{
	const enum origin *origin = entry_origin(at->kind, at->record);
	if (origin != NULL && !options.check_full && !origin_fits(*origin, call->origin))
		report_mismatch((uintptr_t)p, place_bytes(at, p), *origin, call->name);
}

/* The pointer as the program has it. */
static void free_any(void *pointer, const struct free_call *call)
{
	void *p = (void *)hak_untagged((uintptr_t)pointer);
	struct place at = locate(p);
	const char *where = at.state != NULL ? where_free(at.state) : NULL;
	if (where == NULL)
		forget_sample(p, &at);
	if (at.kind == UNIT_NONE) {
		report_bad_pointer(p, call->name);
	} else if (where != NULL) {
		report_double_free(p, call->name, where);
	} else if (memtag_is_on() && tag_is_stale(&at, p, (uintptr_t)pointer)) {
		report_stale_pointer(pointer, call->name);
	} else if (HAK_UNLIKELY(options.check_full) && at.kind != UNIT_GUARD &&
		   at.kind != UNIT_EMERGENCY) {
		free_checked(p, &at, call);
	} else if (call->sized && !size_is_plausible(call, place_bytes(&at, p))) {
		report_wrong_size((uintptr_t)p, place_bytes(&at, p), call);
	} else {
		look_at_origin(p, &at, call);
		release(p, &at, call);
	}
}

static void free_with_deferred(void *p, const struct free_call *call)
{
	void *deferred = emergency_take_deferred();
	free_any(p, call);
	if (HAK_UNLIKELY(deferred != NULL))
		free_any(deferred, &deferred_free);
}

/* The free of a thread that has a cache is counted and timed. */
static void free_observed(void *p, const struct free_call *call)
{
	struct tcache *tc = thread_state.tcache;
	uint64_t begin;
	if (HAK_UNLIKELY(!tcache_is_real(tc))) {
		free_with_deferred(p, call);
		return;
	}
	begin = latency_begin(&tc->latency.frees);
	free_with_deferred(p, call);
	latency_end(&tc->latency, begin);
}

void entry_free_call(void *p, const struct free_call *call)
{
	struct slow_scope scope;
	bool entered, paused;
	if (p == NULL)
		return;
	paused = memtag_pause();
	entered = slow_enter(&scope);
	if (HAK_LIKELY(entered)) {
		free_observed(p, call);
	} else {
		emergency_defer_free(p);
	}
	slow_leave(&scope);
	memtag_resume(paused);
	thread_finish_attach();
	if (entered)
		purge_kick();
}

void entry_free_slow(void *p)
{
	entry_free_call(p, &plain_free);
}

void entry_free_sized_slow(void *p, size_t bytes, size_t align)
{
	const struct free_call call = {
		.name = "free_sized", .sized = true, .bytes = bytes, .align = align
	};
	entry_free_call(p, &call);
}

/* ---- sizes */

/* Under full checking. In a signal handler that interrupted a slow path the notes may be locked:
 * then as if the block were not known. */
static HAK_COLD size_t bytes_asked_for(uintptr_t p, size_t usable)
{
	struct slow_scope scope;
	size_t bytes = slow_enter(&scope) ? check_bytes(p, usable) : usable;
	slow_leave(&scope);
	return bytes;
}

size_t entry_usable_bytes(const void *p, const char *doing)
{
	uintptr_t pointer = (uintptr_t)p;
	struct place at;
	p = (const void *)hak_untagged(pointer);
	at = locate(p);
	if (at.kind == UNIT_NONE || (at.state != NULL && where_free(at.state) != NULL)) {
		report_bad_pointer(p, doing);
		return 0;
	}
	if (memtag_is_on() && tag_is_stale(&at, p, pointer)) {
		report_stale_pointer((const void *)pointer, doing);
		return 0;
	}
	if (HAK_UNLIKELY(options.check_full))
		return bytes_asked_for((uintptr_t)p, place_bytes(&at, p));
	if (memtag_is_on() && tagged_room(&at, p).bytes != 0 && memtag_at((uintptr_t)p) != 0)
		return memtag_bytes((uintptr_t)p, tagged_room(&at, p).bytes);
	return place_bytes(&at, p);
}

size_t entry_good_bytes(size_t bytes)
{
	hak_init_once();
	if (options.check_full)
		return max_size(bytes, 1);
	if (memtag_is_on() && bytes <= LARGE_MAX - MEMTAG_GRANULE_BYTES)
		return align_up(max_size(bytes, 1), MEMTAG_GRANULE_BYTES);
	if (bytes <= HAK_SMALL_MAX)
		return class_bytes(size_class(bytes));
	return entry_size_is_possible(bytes) ? align_up(bytes, os_page_bytes()) : bytes;
}
