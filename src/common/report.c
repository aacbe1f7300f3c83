#include "common/report.h"

#include <stdlib.h>

#include "arch/inline.h"
#include "common/atomics.h"
#include "common/check.h"
#include "common/debug_trace.h"
#include "common/diag.h"
#include "common/guard.h"
#include "common/heap.h"
#include "common/huge.h"
#include "common/large.h"
#include "common/memtag.h"
#include "common/options.h"
#include "common/registry.h"
#include "common/slab.h"
#include "common/thread.h"

enum {
	REPORTS_MAX = 16, /* with HAKMEM_ON_ERROR=report; later ones are only counted */
	REPORT_BYTES = 8192,
	REPORTS_AT_ONCE = 4,
	WARNING_BYTES = 1024,
	WARNING_FRAMES = 8, /* where the allocator is linked in, the first are its own */
};

static _Atomic uint64_t count;

uint64_t report_count(void)
{
	return atomic_load_relaxed(&count);
}

/* ---- a report under construction */

/* Not on the stack, which may be a signal handler's small one. */
static struct {
	_Atomic uint32_t taken;
	char text[REPORT_BYTES];
} buffers[REPORTS_AT_ONCE];

struct report {
	struct text text;
	_Atomic uint32_t *taken;
};

static void report_begin(struct report *r, const char *prefix)
{
	atomic_add_relaxed(&count, 1);
	*r = (struct report){ .taken = NULL };
	for (unsigned i = 0; i < REPORTS_AT_ONCE && r->taken == NULL; i++) {
		uint32_t no = 0;
		if (atomic_cas_acquire(&buffers[i].taken, &no, 1)) {
			r->taken = &buffers[i].taken;
			text_init(&r->text, buffers[i].text, REPORT_BYTES);
		}
	}
	text_printf(&r->text, "[%s] hakmem: ", prefix);
}

static void text_advice(struct text *t)
{
	text_printf(t, "  what to do: look at the code of the stacks above "
		       "(addr2line -fe MODULE OFFSET)");
	if (!options.check_full)
		text_printf(t, ". HAKMEM_CHECK=full also says where the block was allocated and "
			       "freed;\n  in production HAKMEM_SAMPLE_GUARD=100000 does so for "
			       "one block in 100000");
	if (!options.on_error_report)
		text_printf(t, ".\n  HAKMEM_ON_ERROR=report goes on after a report");
	text_printf(t, "\n");
}

/* `stack`: of the call at fault; NULL: the one that is running. */
static void report_end(struct report *r, const struct stack *stack, const struct history *h)
{
	struct stack own;
	if (stack == NULL) {
		stack_capture(&own);
		stack = &own;
	}
	text_printf(&r->text, "  call stack of thread %u:\n", thread_os_id());
	stack_text(&r->text, stack);
	if (h != NULL)
		history_text(&r->text, h);
	text_advice(&r->text);
	if (atomic_load_relaxed(&count) <= REPORTS_MAX)
		diag_write(&r->text);
	if (r->taken != NULL)
		atomic_store_release(r->taken, 0);
	if (!options.on_error_report)
		abort();
}

/* ---- evidence */

static void text_owner(struct text *t, const struct heap *owner)
{
	uint32_t thread = atomic_load_relaxed(&owner->thread_id);
	if (owner == heap_orphans())
		text_printf(t, "no thread (the one that made it has ended)");
	else if (!owner->attached)
		text_printf(t, "no thread (thread %u, the last one, has ended)", thread);
	else
		text_printf(t, "thread %u (heap %p)", thread, (const void *)owner);
}

static const char *state_name(unsigned state)
{
	switch (state) {
	case BLOCK_LIVE:
	case BLOCK_SAMPLED:
		return "live";
	case BLOCK_CACHED:
		return "free, in a thread's cache or on its way home";
	case BLOCK_FREE:
		return "free, in its slab";
	case BLOCK_QUARANTINED:
		return "freed, in quarantine";
	default:
		return "no state that exists";
	}
}

/* Where an address lies in its slab. */
struct slab_place {
	bool in_block;
	size_t before;  /* bytes, if it lies before the first block, at the slab's colour */
	uint32_t index; /* of the block; behind the last one: the capacity */
	size_t into;    /* bytes into the block */
};

static struct slab_place slab_place(uintptr_t addr, const struct slab *s)
{
	struct slab_place at = { .before = 0 };
	if (addr < s->base) {
		at.before = s->base - addr;
		return at;
	}
	at.index = slab_block_index(s, (const void *)addr);
	at.in_block = at.index < s->capacity;
	if (!at.in_block)
		at.index = s->capacity;
	at.into = addr - slab_block_start(s, at.index);
	return at;
}

static void text_slab(struct text *t, uintptr_t addr, const struct slab *s)
{
	struct slab_place at = slab_place(addr, s);
	text_printf(t, "  address %p = slab %p ", (void *)addr, (void *)s->base);
	if (at.before > 0)
		text_printf(t, "- %zu: before block 0", at.before);
	else
		text_printf(t, "+ %zu: block %u", addr - s->base, at.index);
	text_printf(t, " of %u, %zu bytes each (class %u)", s->capacity, class_bytes(s->cls),
		    s->cls);
	if (at.before == 0)
		text_printf(t, ", %zu bytes into it", at.into);
	text_printf(t, "\n");
	if (at.in_block) {
		unsigned state = atomic_load_relaxed(&s->states[at.index]);
		text_printf(t, "  the block is %s (state %u); ", state_name(state), state);
	} else {
		text_printf(t, "  ");
	}
	text_printf(t, "the slab is owned by ");
	text_owner(t, atomic_load_relaxed(&s->owner));
	text_printf(t, ", %u of its blocks are free\n", s->free_count);
}

/* Evidence for an address of any kind. */
static void text_place(struct text *t, uintptr_t addr)
{
	void *record;
	unsigned kind = registry_lookup(addr, &record);
	if (kind >= 1 && kind <= HAK_CLASS_COUNT)
		text_slab(t, addr, slab_of_block((void *)addr));
	trace_mismatch(t, addr);
}

/* What is known of the block at `block`, if anything is. */
static const struct history *find_history(uintptr_t block, struct history *out)
{
	return options.check_full && check_history(block, out) ? out : NULL;
}

/* ---- pointers */

static const char *live_or_free(const struct slab *s, uint32_t index)
{
	uint8_t state = atomic_load_relaxed(&s->states[index]);
	return state == BLOCK_LIVE || state == BLOCK_SAMPLED ? "live" : "free";
}

/* Did a large block begin at addr, where now something of others has its base? */
static bool began_here(uintptr_t addr, uintptr_t base, uint16_t former_colour)
{
	return former_colour != NO_COLOUR &&
	       addr == align_down(base, HAK_UNIT_BYTES) + former_colour;
}

static void in_slab(uintptr_t addr, const struct slab *s, const char *doing)
{
	struct slab_place at = slab_place(addr, s);
	struct history h;
	struct report r;
	const bool is_block = at.in_block && at.into == 0;
	if (!is_block && began_here(addr, s->base, s->former_colour)) {
		report_begin(&r, "TLS_SLL_DOUBLE_FREE");
		text_printf(&r.text,
			    "%s(%p): already free: its place is used again, by a slab of "
			    "class %u\n",
			    doing, (void *)addr, s->cls);
	} else if (!at.in_block) {
		report_begin(&r, "TLS_SLL_PUSH_MISALIGNED");
		text_printf(&r.text, "%s(%p): points %s block of a slab of class %u\n", doing,
			    (void *)addr, at.before > 0 ? "before the first" : "behind the last",
			    s->cls);
	} else if (at.into != 0) {
		report_begin(&r, "TLS_SLL_PUSH_MISALIGNED");
		text_printf(&r.text,
			    "%s(%p): points %zu bytes into a %s %zu-byte block that starts at %p\n",
			    doing, (void *)addr, at.into, live_or_free(s, at.index),
			    class_bytes(s->cls), (void *)(addr - at.into));
	} else {
		report_begin(&r, "TLS_SLL_DOUBLE_FREE");
		text_printf(&r.text, "%s(%p): already free\n", doing, (void *)addr);
	}
	text_place(&r.text, addr);
	report_end(&r, NULL, at.in_block ? find_history(addr - at.into, &h) : NULL);
}

/* Or before it, where a large block has a colour. */
static void interior(uintptr_t addr, uintptr_t base, size_t bytes, const struct history *h,
		     const char *doing)
{
	bool before = addr < base;
	struct report r;
	report_begin(&r, "TLS_SLL_PUSH_MISALIGNED");
	text_printf(&r.text,
		    "%s(%p): points %zu bytes %s a live %zu-byte block that starts at %p\n", doing,
		    (void *)addr, before ? base - addr : addr - base, before ? "before" : "into",
		    bytes, (void *)base);
	text_place(&r.text, addr);
	report_end(&r, NULL, h);
}

static void in_large(uintptr_t addr, const struct large_span *l, const char *doing)
{
	struct history h;
	struct report r;
	if (!began_here(addr, l->base, l->former_colour)) {
		interior(addr, l->base, l->usable_bytes, find_history(l->base, &h), doing);
		return;
	}
	report_begin(&r, "TLS_SLL_DOUBLE_FREE");
	text_printf(&r.text,
		    "%s(%p): already free: its place is used again, by a live %zu-byte block that "
		    "starts at %p\n",
		    doing, (void *)addr, l->usable_bytes, (void *)l->base);
	text_place(&r.text, addr);
	report_end(&r, NULL, find_history(addr, &h));
}

static void in_guarded(uintptr_t addr, const struct guarded *g, const char *doing)
{
	const struct history *h = &g->history;
	struct report r;
	if (!h->freed && addr > g->block && addr < g->block + h->bytes) {
		interior(addr, g->block, h->bytes, h, doing);
		return;
	}
	report_begin(&r, h->freed && addr == g->block ? "TLS_SLL_DOUBLE_FREE"
						      : "TLS_SLL_PUSH_MISALIGNED");
	text_printf(&r.text, "%s(%p): %s: it is %s a %s %zu-byte block that %s at %p\n", doing,
		    (void *)addr, addr == g->block ? "already free" : "no start of a block",
		    addr == g->block ? "the start of" : "beside or inside",
		    h->freed ? "freed" : "live", h->bytes, h->freed ? "started" : "starts",
		    (void *)g->block);
	text_place(&r.text, addr);
	report_end(&r, NULL, h);
}

/* Freed huge blocks that lie side by side are one: where each began is not known,
 * but that it was at a unit. */
static void in_freed_huge(uintptr_t addr, const struct huge_place *place, const char *doing)
{
	bool starts = addr % HAK_UNIT_BYTES == 0;
	struct report r;
	report_begin(&r, starts ? "TLS_SLL_DOUBLE_FREE" : "TLS_SLL_PUSH_MISALIGNED");
	text_printf(&r.text,
		    "%s(%p): %s: it lies in %zu bytes of freed huge blocks that start at %p\n",
		    doing, (void *)addr, starts ? "already free" : "no start of a block",
		    place->bytes, (void *)place->base);
	text_place(&r.text, addr);
	report_end(&r, NULL, NULL);
}

static void nowhere(uintptr_t addr, const char *doing)
{
	uintptr_t tag = registry_covers(addr) ? unit_tag(registry_unit_of(addr)) : 0;
	unsigned was = tag_last_kind(tag);
	struct report r;
	if (was != UNIT_NONE) {
		bool starts = addr % HAK_UNIT_BYTES == tag_colour(tag) || was <= HAK_CLASS_COUNT;
		report_begin(&r, starts ? "TLS_SLL_DOUBLE_FREE" : "TLS_SLL_PUSH_NO_SS");
		text_printf(&r.text,
			    "%s(%p): already free: memory that held %s lay here, but they are "
			    "freed and it has been given back\n",
			    doing, (void *)addr,
			    was <= HAK_CLASS_COUNT ? "small blocks" : "large blocks");
	} else {
		report_begin(&r, "TLS_SLL_PUSH_NO_SS");
		text_printf(&r.text,
			    "%s(%p): not ours: no slab, span or mapping of this allocator holds "
			    "this address or did before\n  it is a stack, global or foreign "
			    "address, or was computed wrongly\n",
			    doing, (void *)addr);
	}
	text_place(&r.text, addr);
	report_end(&r, NULL, NULL);
}

void report_bad_pointer(const void *p, const char *doing)
{
	uintptr_t addr = (uintptr_t)p;
	struct huge_place huge;
	struct history h;
	void *record;
	unsigned kind = registry_lookup(addr, &record);

	if (kind >= 1 && kind <= HAK_CLASS_COUNT) {
		in_slab(addr, slab_of_block(p), doing);
	} else if (kind == UNIT_GUARD) {
		in_guarded(addr, record, doing);
	} else if (kind == UNIT_LARGE) {
		in_large(addr, record, doing);
	} else if (huge_find(addr, &huge)) {
		if (huge.live)
			interior(addr, huge.base, huge.bytes, find_history(huge.base, &h), doing);
		else
			in_freed_huge(addr, &huge, doing);
	} else {
		nowhere(addr, doing);
	}
}

void report_double_free(const void *block, const char *doing, const char *how)
{
	struct history h;
	struct report r;
	report_begin(&r, "TLS_SLL_DOUBLE_FREE");
	text_printf(&r.text, "%s(%p): already free: %s\n", doing, block, how);
	text_place(&r.text, (uintptr_t)block);
	report_end(&r, NULL, find_history((uintptr_t)block, &h));
}

/* ---- tags */

void report_stale_pointer(const void *pointer, const char *doing)
{
	uintptr_t block = hak_untagged((uintptr_t)pointer);
	struct history h;
	struct report r;
	report_begin(&r, "TLS_SLL_DOUBLE_FREE");
	text_printf(
		&r.text,
		"%s(%p): a pointer to a former block: its tag is %u, that of the live block %p is "
		"%u\n  the block was freed and its place used again since; or the pointer has "
		"lost its tag\n",
		doing, pointer, memtag_of((uintptr_t)pointer), (void *)block, memtag_at(block));
	text_place(&r.text, block);
	report_end(&r, NULL, find_history(block, &h));
}

/* A block that an access may have been meant for, or hit. */
struct tagged_block {
	uintptr_t addr; /* 0: none there */
	size_t room, bytes;
	unsigned tag;
	bool live;
};

static struct tagged_block tagged_block(uintptr_t addr, size_t room, bool live)
{
	return (struct tagged_block){
		addr, room, memtag_bytes(addr, room), memtag_at(addr), live,
	};
}

/* Block `index` of s. */
static struct tagged_block tagged_block_of(const struct slab *s, uint32_t index)
{
	uint8_t state;
	if (index >= s->capacity) /* also before the first */
		return (struct tagged_block){ .addr = 0 };
	state = atomic_load_relaxed(&s->states[index]);
	return tagged_block(slab_block_start(s, index), class_bytes(s->cls),
			    state == BLOCK_LIVE || state == BLOCK_SAMPLED);
}

static bool is_meant(const struct tagged_block *b, unsigned tag)
{
	return b->addr != 0 && b->live && b->tag == tag;
}

/* Where the access went: beyond the live block b that the pointer is of, or, if that is not to
 * be found, into `hit`. */
static void wrong_tag_in(uintptr_t pointer, const struct tagged_block *b,
			 const struct tagged_block *hit, const struct stack *stack)
{
	uintptr_t at = hak_untagged(pointer);
	unsigned tag = memtag_of(pointer);
	struct history h;
	struct report r;
	report_begin(&r, b != NULL ? "HAK_OVERRUN" : "HAK_USE_AFTER_FREE");
	if (b != NULL && at < b->addr)
		text_printf(&r.text, "access to %p, %zu bytes before the live %zu-byte block %p\n",
			    (void *)at, b->addr - at, b->bytes, (void *)b->addr);
	else if (b != NULL)
		text_printf(&r.text,
			    "access to %p, %zu bytes past the end of the live %zu-byte block %p\n",
			    (void *)at, at - b->addr - b->bytes, b->bytes, (void *)b->addr);
	else if (!hit->live)
		text_printf(&r.text, "access to %p, %zu bytes into the freed %zu-byte block %p\n",
			    (void *)at, at - hit->addr, hit->room, (void *)hit->addr);
	else
		text_printf(&r.text,
			    "access to %p, %zu bytes into the live %zu-byte block %p, through a "
			    "pointer "
			    "to a former block there or to another block\n",
			    (void *)at, at - hit->addr, hit->bytes, (void *)hit->addr);
	text_printf(&r.text,
		    "  the pointer's tag is %u, the memory's %u; sizes are whole %u bytes\n", tag,
		    memtag_at(at), MEMTAG_GRANULE_BYTES);
	text_place(&r.text, at);
	report_end(&r, stack, find_history(b != NULL ? b->addr : hit->addr, &h));
}

static void wrong_tag_in_slab(uintptr_t pointer, const struct slab *s, const struct stack *stack)
{
	uintptr_t at = hak_untagged(pointer);
	uint32_t index = slab_block_index(s, (const void *)at);
	struct tagged_block near[] = { tagged_block_of(s, index), tagged_block_of(s, index - 1),
				       tagged_block_of(s, index + 1) };
	/* Both beside it may have the pointer's tag; then the nearer one. */
	bool second_half = at - slab_block_start(s, index) > class_bytes(s->cls) / 2;
	const unsigned order[] = { 0, second_half ? 2 : 1, second_half ? 1 : 2 };
	const struct tagged_block *meant = NULL;
	for (unsigned i = 0; i < HAK_ARRAY_LEN(order) && meant == NULL; i++)
		if (is_meant(&near[order[i]], memtag_of(pointer)))
			meant = &near[order[i]];
	if (near[0].addr == 0) /* behind the last one */
		near[0] = tagged_block(at, 0, false);
	wrong_tag_in(pointer, meant, &near[0], stack);
}

void report_wrong_tag(uintptr_t pointer, const struct stack *stack)
{
	uintptr_t at = hak_untagged(pointer);
	struct tagged_block span;
	struct report r;
	void *record;
	unsigned kind = registry_lookup(at, &record);
	if (kind >= 1 && kind <= HAK_CLASS_COUNT) {
		wrong_tag_in_slab(pointer, slab_of_block((void *)at), stack);
		return;
	}
	if (kind == UNIT_LARGE) {
		const struct large_span *l = record;
		span = tagged_block(l->base, (size_t)l->units * HAK_UNIT_BYTES, true);
		wrong_tag_in(pointer, is_meant(&span, memtag_of(pointer)) ? &span : NULL, &span,
			     stack);
		return;
	}
	report_begin(&r, "HAK_USE_AFTER_FREE");
	if (pointer == 0)
		text_printf(&r.text, "an access past a block's end, or to a freed block, was made "
				     "before this point; HAKMEM_MTE=sync says where\n");
	else
		text_printf(&r.text, "access to %p, where no block is any more\n", (void *)at);
	text_place(&r.text, at);
	report_end(&r, stack, NULL);
}

/* ---- entries of caches */

void report_bad_entry(unsigned cls, const struct cached_block *e, const char *going)
{
	uintptr_t addr = (uintptr_t)e->block;
	struct history h;
	struct report r;
	void *record;
	unsigned kind = registry_lookup(addr, &record);
	bool slab = kind >= 1 && kind <= HAK_CLASS_COUNT;
	bool other_class = slab && kind != cls;
	report_begin(&r, !slab	       ? "TLS_SLL_PUSH_NO_SS"
			 : other_class ? "TLS_SLL_PUSH_CLASS"
				       : "TLS_SLL_HDR_RESET");
	if (other_class) {
		text_printf(&r.text, "block of class %u in a slab of class %u: %p, %s\n", cls, kind,
			    e->block, going);
	} else if (!slab) {
		text_printf(&r.text, "a cache of class %u holds %p, where no slab is: %s\n", cls,
			    e->block, going);
	} else {
		const struct slab *s = slab_of_block(e->block);
		struct slab_place at = slab_place(addr, s);
		if (!at.in_block)
			text_printf(&r.text,
				    "a cache of class %u holds %p, which points %s block of a "
				    "slab: %s\n",
				    cls, e->block,
				    at.before > 0 ? "before the first" : "behind the last", going);
		else if (at.into != 0)
			text_printf(
				&r.text,
				"a cache of class %u holds %p, which points %zu bytes into a %s "
				"%zu-byte block: %s\n",
				cls, e->block, at.into, live_or_free(s, at.index), class_bytes(cls),
				going);
		else
			text_printf(&r.text,
				    "a cache of class %u holds %p, which is not free: %s\n", cls,
				    e->block, going);
		text_printf(&r.text,
			    "  expected state %u at %p, found state %u; the entry's is at %p\n",
			    BLOCK_CACHED, (void *)(uintptr_t)&s->states[at.index],
			    atomic_load_relaxed(&s->states[at.index]), (void *)(uintptr_t)e->state);
	}
	text_place(&r.text, addr);
	report_end(&r, NULL, find_history(addr, &h));
}

/* ---- wrong frees of live blocks */

void report_wrong_size(uintptr_t block, size_t have_bytes, const struct free_call *call)
{
	struct history h;
	struct report r;
	report_begin(&r, "TLS_SLL_PUSH_CLASS");
	text_printf(&r.text, "%s(%p, %zu): wrong size: this is a live %zu-byte block\n", call->name,
		    (void *)block, call->bytes, have_bytes);
	text_place(&r.text, block);
	report_end(&r, NULL, find_history(block, &h));
}

void report_wrong_origin(uintptr_t block, const struct history *h, const struct free_call *call)
{
	struct report r;
	report_begin(&r, "HAK_FREE_MISMATCH");
	text_printf(&r.text, "%s(%p): wrong function: the block comes from %s\n", call->name,
		    (void *)block, origin_name(h->origin));
	text_place(&r.text, block);
	report_end(&r, NULL, h);
}

void report_mismatch(uintptr_t block, size_t bytes, enum origin origin, const char *doing)
{
	static _Atomic uint32_t said;
	static char buf[WARNING_BYTES]; /* of whoever sets `said` */
	struct stack stack;
	struct text t;
	uint32_t no = 0;
	if (!options.warn_mismatch || !atomic_cas_acquire(&said, &no, 1))
		return;
	stack_capture(&stack);
	text_init(&t, buf, sizeof(buf));
	text_printf(&t,
		    "[HAK_FREE_MISMATCH] hakmem: %s(%p): wrong function: the live %zu-byte block "
		    "comes from %s; it is done all the same, and not said again; called at",
		    doing, (void *)block, bytes, origin_name(origin));
	stack_text_line(&t, &stack, WARNING_FRAMES);
	text_printf(&t, "; HAKMEM_CHECK=full reports each\n");
	diag_write(&t);
}

/* ---- damage */

void report_overrun(uintptr_t block, const struct history *h, uintptr_t at, const char *how)
{
	struct report r;
	report_begin(&r, "HAK_OVERRUN");
	if (at < block)
		text_printf(&r.text, "byte %zu before the live %zu-byte block %p was written: %s\n",
			    block - at, h->bytes, (void *)block, how);
	else
		text_printf(&r.text, "byte %zu of the %s %zu-byte block %p was written: %s\n",
			    at - block, h->freed ? "freed" : "live", h->bytes, (void *)block, how);
	text_printf(&r.text, "  address %p; found 0x%02x there\n", (void *)at,
		    *(const unsigned char *)at);
	text_place(&r.text, block);
	report_end(&r, NULL, h);
}

void report_use_after_free(uintptr_t block, const struct history *h, uintptr_t at, const char *how)
{
	struct report r;
	report_begin(&r, "HAK_USE_AFTER_FREE");
	text_printf(&r.text, "byte %zu of the freed %zu-byte block %p was written: %s\n",
		    at - block, h->bytes, (void *)block, how);
	text_printf(&r.text, "  address %p; found 0x%02x there\n", (void *)at,
		    *(const unsigned char *)at);
	text_place(&r.text, block);
	report_end(&r, NULL, h);
}

void report_guard_hit(uintptr_t block, const struct history *h, uintptr_t at,
		      const struct stack *stack)
{
	struct report r;
	report_begin(&r, h->freed ? "HAK_USE_AFTER_FREE" : "HAK_OVERRUN");
	if (h->freed)
		text_printf(&r.text, "access to %p, in or beside the freed %zu-byte block %p\n",
			    (void *)at, h->bytes, (void *)block);
	else if (at < block)
		text_printf(&r.text, "access to %p, %zu bytes before the live %zu-byte block %p\n",
			    (void *)at, block - at, h->bytes, (void *)block);
	else
		text_printf(&r.text,
			    "access to %p, %zu bytes past the end of the live %zu-byte block %p\n",
			    (void *)at, at - block - h->bytes, h->bytes, (void *)block);
	text_place(&r.text, at);
	report_end(&r, stack, h);
}
