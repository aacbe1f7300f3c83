#include "common/guard.h"

#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "arch/context.h"
#include "arch/inline.h"
#include "common/atomics.h"
#include "common/lock.h"
#include "common/memtag.h"
#include "common/meta.h"
#include "common/os.h"
#include "common/registry.h"
#include "common/report.h"
#include "common/sample.h"
#include "common/thread.h"

enum {
	FILL_BYTE = 0xca,
	EXPOSE_TAG_BITS = 0x800, /* SA_EXPOSE_TAGBITS, which older headers do not have */
};

static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_GUARD);
static struct meta_pool records;
/* Under the lock: live regions, in no order; freed ones, oldest first. */
static struct guarded *live;
static struct guarded *oldest, *youngest;
static size_t freed_count;
static _Atomic size_t live_count, sampled_count;

struct lock *guard_lock(void)
{
	return &lock;
}

size_t guard_count(void)
{
	return atomic_load_relaxed(&live_count);
}

/* ---- allocation */

static void fill(uintptr_t from, uintptr_t to)
{
	memset((void *)from, FILL_BYTE, to - from);
}

/* Map g's region; align is at most a page. */
static bool map_region(struct guarded *g, size_t bytes, size_t align)
{
	size_t page = os_page_bytes();
	size_t data = align_up(align_up(bytes, align), page);
	g->region_bytes = align_up(data + 2 * page, HAK_UNIT_BYTES);
	g->region = (uintptr_t)os_reserve(g->region_bytes, HAK_UNIT_BYTES);
	if (g->region == 0)
		return false;
	g->first = g->region + page;
	g->end = g->first + data;
	g->block = align_down(g->end - bytes, align);
	if (registry_reserve(g->region, g->region_bytes) &&
	    os_protect((void *)g->first, data, OS_READ_WRITE))
		return true;
	os_unmap((void *)g->region, g->region_bytes);
	return false;
}

static void live_push(struct guarded *g)
{
	lock_acquire(&lock);
	g->prev = NULL;
	g->next = live;
	if (live != NULL)
		live->prev = g;
	live = g;
	lock_release(&lock);
}

static void live_remove_locked(struct guarded *g)
{
	if (g->next != NULL)
		g->next->prev = g->prev;
	if (g->prev != NULL)
		g->prev->next = g->next;
	else
		live = g->next;
}

void guard_each_live(void (*visit)(const struct history *h, void *arg), void *arg)
{
	lock_acquire(&lock);
	for (const struct guarded *g = live; g != NULL; g = g->next)
		visit(&g->history, arg);
	lock_release(&lock);
}

static void count(const struct guarded *g, size_t change)
{
	atomic_add_relaxed(&live_count, change);
	if (g->sampled)
		atomic_add_relaxed(&sampled_count, change);
}

void *guard_alloc(size_t bytes, size_t align, bool sampled, enum origin origin)
{
	struct guarded *g;
	align = max_size(align, HAK_MIN_ALIGN);
	if (align > os_page_bytes() || bytes > PTRDIFF_MAX / 2 ||
	    atomic_load_relaxed(&live_count) >= GUARD_LIVE_MAX ||
	    (sampled && atomic_load_relaxed(&sampled_count) >= GUARD_SAMPLED_MAX))
		return NULL;
	bytes = max_size(bytes, 1);
	g = meta_pool_alloc(&records, sizeof(*g));
	if (g == NULL)
		return NULL;
	if (!map_region(g, bytes, align)) {
		meta_pool_free(&records, g);
		return NULL;
	}
	g->sampled = sampled;
	g->quarantined = false;
	fill(g->first, g->block);
	fill(g->block + bytes, g->end);
	history_begin(&g->history, bytes, origin);
	count(g, 1);
	live_push(g);
	registry_set(g->region, (unsigned)(g->region_bytes / HAK_UNIT_BYTES), UNIT_GUARD, g);
	return (void *)g->block;
}

static void *sampled_alloc(size_t bytes, size_t align)
{
	if (bytes > GUARD_SAMPLED_MAX_BYTES)
		return NULL;
	return guard_alloc(bytes, align, true, (enum origin)thread_state.origin);
}

void guard_sample(uint32_t every)
{
	static const struct sampler_hooks hooks = { .provide = sampled_alloc };
	sampler_set(SAMPLER_GUARD, &hooks, every);
}

/* ---- free */

bool guard_starts(const struct guarded *g, uintptr_t p)
{
	return p == g->block && !g->history.freed;
}

/* The first byte of [from, to) that was overwritten; 0: none. */
static uintptr_t first_changed(uintptr_t from, uintptr_t to)
{
	for (; from < to; from++)
		if (*(const unsigned char *)from != FILL_BYTE)
			return from;
	return 0;
}

static bool surroundings_are_intact(struct guarded *g, const char *doing)
{
	uintptr_t before = first_changed(g->first, g->block);
	uintptr_t behind = first_changed(g->block + g->history.bytes, g->end);
	if (before == 0 && behind == 0)
		return true;
	report_overrun(g->block, &g->history, behind != 0 ? behind : before, doing);
	return false;
}

static void forget(struct guarded *g)
{
	registry_clear(g->region, (unsigned)(g->region_bytes / HAK_UNIT_BYTES));
	if (os_unmap((void *)g->region, g->region_bytes))
		meta_pool_free(&records, g);
	/* Else it stays as it is, untouchable and unknown. */
}

/* Put g at the end of the freed ones. The oldest, if they are too many; else NULL. */
static struct guarded *freed_push(struct guarded *g)
{
	struct guarded *old = NULL;
	lock_acquire(&lock);
	g->next = NULL;
	if (youngest != NULL)
		youngest->next = g;
	else
		oldest = g;
	youngest = g;
	if (++freed_count > GUARD_FREED_MAX) {
		old = oldest;
		oldest = old->next;
		freed_count--;
	}
	lock_release(&lock);
	return old;
}

void guard_free(struct guarded *g, const struct free_call *call)
{
	struct guarded *old;
	bool twice;
	if (!history_allows(&g->history, g->block, call))
		return;
	if (!surroundings_are_intact(g, call->name))
		g->quarantined = true;
	lock_acquire(&lock);
	twice = g->history.freed;
	if (!twice) {
		history_end(&g->history);
		live_remove_locked(g);
	}
	lock_release(&lock);
	if (twice) { /* by another thread, since the gate looked */
		report_bad_pointer((const void *)g->block, call->name);
		return;
	}
	count(g, (size_t)-1);
	/* Pages first, then their protection: of the two only the second may be refused. */
	os_purge((void *)g->first, g->end - g->first);
	(void)os_protect((void *)g->first, g->end - g->first, OS_NO_ACCESS);
	if (g->quarantined)
		return;
	old = freed_push(g);
	if (old != NULL)
		forget(old);
}

/* ---- faults */

static struct sigaction before_ours;

/* Let the access pass that was reported. */
static bool open_page(struct guarded *g, uintptr_t addr)
{
	g->quarantined = true;
	return os_protect((void *)align_down(addr, os_page_bytes()), os_page_bytes(),
			  OS_READ_WRITE);
}

static bool fault_is_ours(uintptr_t addr, const ucontext_t *context)
{
	struct stack at;
	void *record;
	struct guarded *g;
	if (registry_lookup(addr, &record) != UNIT_GUARD)
		return false;
	g = record;
	stack_capture_from(&at, hak_context_pc(context), hak_context_frame(context));
	report_guard_hit(g->block, &g->history, addr, &at);
	return open_page(g, addr);
}

static bool fault_is_of_a_tag(uintptr_t pointer, int code, const ucontext_t *context)
{
	struct stack at;
	bool late;
	if (!memtag_is_fault(code, &late))
		return false;
	stack_capture_from(&at, hak_context_pc(context), hak_context_frame(context));
	report_wrong_tag(late ? 0 : pointer, &at);
	memtag->disable(); /* of this thread: the access is made again, and has to pass */
	return true;
}

static void chain(int sig, siginfo_t *info, void *context)
{
	bool sent = info->si_code <= 0; /* by a process, not by the CPU */
	if (before_ours.sa_flags & SA_SIGINFO) {
		before_ours.sa_sigaction(sig, info, context);
	} else if (before_ours.sa_handler != SIG_DFL && before_ours.sa_handler != SIG_IGN) {
		before_ours.sa_handler(sig);
	} else if (!sent || before_ours.sa_handler == SIG_DFL) {
		/* The access is made again, and ends the process as it would have. */
		signal(sig, SIG_DFL);
		if (sent)
			raise(sig);
	}
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	uintptr_t pointer = (uintptr_t)info->si_addr, addr = hak_untagged(pointer);
	if (info->si_code > 0 &&
	    (fault_is_of_a_tag(pointer, info->si_code, context) || fault_is_ours(addr, context)))
		return;
	if ((before_ours.sa_flags & EXPOSE_TAG_BITS) == 0 && info->si_code > 0)
		info->si_addr = (void *)addr;
	chain(sig, info, context);
}

void guard_install_handler(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	if (memtag_is_on())
		action.sa_flags |= EXPOSE_TAG_BITS;
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGSEGV, &action, &before_ours) != 0)
		before_ours.sa_handler = SIG_DFL;
}
