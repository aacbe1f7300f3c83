#include "common/thread.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/arch.h"
#include "common/check.h"
#include "common/counters.h"
#include "common/diag.h"
#include "common/fork.h"
#include "common/guard.h"
#include "common/heap.h"
#include "common/history.h"
#include "common/knobs.h"
#include "common/leaks.h"
#include "common/lock.h"
#include "common/memtag.h"
#include "common/missrate.h"
#include "common/options.h"
#include "common/os.h"
#include "common/profile.h"
#include "common/purge.h"
#include "common/statpage.h"
#include "common/stats.h"
#include "common/tcache.h"

/* Initial-exec: one load from a fixed offset, and it counts against the static
 * TLS that the dynamic loader keeps in reserve for dlopen, hence its size. */
_Thread_local struct thread_local_state thread_state = {
	.tcache = &tcache_unborn,
};
HAK_STATIC_ASSERT(sizeof(struct thread_local_state) <= 64, "static TLS is scarce");

enum { STRAY_FREES_MAX = 32, VERBOSE_TEXT_BYTES = 1024 };

static struct lock init_lock = LOCK_INITIALIZER(LOCK_RANK_INIT);
static _Atomic bool initialised;
static pthread_key_t exit_key; /* its destructor runs when a thread with a heap ends */
static bool have_exit_key;

uint32_t thread_assign_number(void)
{
	static _Atomic uint32_t last;
	uint32_t number = 0, none = 0;
	while (number == 0) /* after 2^31 threads */
		number = (atomic_add_relaxed(&last, 1) + 1) & (UINT32_MAX >> 1);
	/* A signal handler may have been here meanwhile, and have left a heap that has its number. */
	return atomic_cas_acquire(&thread_state.number, &none, number) ? number : none;
}

uint32_t thread_os_id(void)
{
	const struct heap *h = thread_state.heap;
	return h != NULL ? atomic_load_relaxed(&h->thread_id) : (uint32_t)syscall(SYS_gettid);
}

/* ---- start-up */

static void thread_exit(void *heap)
{
	struct slow_scope scope;
	bool entered = slow_enter(&scope);
	(void)heap;
	if (entered && thread_state.heap != NULL) {
		/* Other destructors may still allocate and free: they go direct. */
		thread_state.tcache = &tcache_dead;
		heap_release(thread_state.heap);
		thread_state.heap = NULL;
		counters_stop();
	}
	slow_leave(&scope);
	if (!entered)
		return;
	/* What the thread kept is free now, and the program may never call us again: this kick must
	 * not be lost. Pairs with the fence in wait_for_work(). */
	atomic_thread_fence(memory_order_seq_cst);
	purge_kick();
}

static HAK_COLD void init_once_slow(void)
{
	bool first;
	lock_acquire(&init_lock);
	first = !atomic_load_relaxed(&initialised);
	if (first) {
		os_init();
		size_class_init();
		knob_reset_all();
		options_load();
		memtag_start();
		if (options.sample_guard > 0)
			guard_sample((uint32_t)options.sample_guard);
		have_exit_key = pthread_key_create(&exit_key, thread_exit) == 0;
		atomic_store_release(&initialised, true); /* pairs with hak_init_once() */
	}
	lock_release(&init_lock);
	/* Now, not in the constructor: libraries that are initialised before ours may
	 * install handlers too, which should run inside ours. */
	if (first)
		fork_install();
}

void hak_init_once(void)
{
	if (HAK_UNLIKELY(!atomic_load_acquire(&initialised)))
		init_once_slow();
}

static HAK_COLD void say_version(void)
{
	char buf[VERBOSE_TEXT_BYTES];
	struct text t;
	text_init(&t, buf, sizeof(buf));
	arch_text_choice(&t);
	diag_line("version %s is loaded, on %s", hak_version(), buf);
}

/* The C library is up: what could not be done at the first malloc, which the
 * dynamic loader may make long before. */
__attribute__((constructor(101))) static void library_constructor(void)
{
	hak_init_once();
	options_load();
	memtag_start();
	purge_allow_thread();
	if (options.check_full || options.sample_guard > 0 || memtag_is_on())
		guard_install_handler();
	history_start();
	if (options.ace_enabled || options.stats_page || (options.verbose && options.stats_at_exit))
		missrate_start();
	profile_start();
	/* Libraries that were initialised before may have allocated. */
	if (tcache_is_real(thread_state.tcache))
		sample_clock_follow(&thread_state.tcache->clock);
	statpage_start();
	if (options.verbose)
		say_version();
}

static void write_at_exit(void)
{
	profile_stop();
	leaks_list();
	if (options.check_full) {
		bool paused = memtag_pause();
		check_everything();
		memtag_resume(paused);
	}
	if (options.stats_at_exit)
		stats_print_to_stderr();
}

__attribute__((destructor)) static void library_destructor(void)
{
	struct slow_scope scope;
	statpage_stop();
	/* A slow path, as it takes locks. A signal handler may end the process in the middle of
	 * one, which has them. */
	if (slow_enter(&scope))
		write_at_exit();
	else if (options.stats_at_exit || options.check_full || profile_is_on())
		diag_line("exit in a signal handler, in the middle of malloc or free: neither a "
			  "profile nor statistics are written, nothing is checked");
	slow_leave(&scope);
}

/* ---- slow paths */

bool slow_enter(struct slow_scope *scope)
{
	scope->saved_errno = errno;
	hak_init_once();
	return thread_state.slow_depth++ == 0;
}

void slow_leave(const struct slow_scope *scope)
{
	thread_state.slow_depth--;
	errno = scope->saved_errno;
}

struct heap *thread_heap(void)
{
	struct heap *h;
	if (thread_state.tcache != &tcache_unborn)
		return tcache_is_real(thread_state.tcache) ? thread_state.tcache->heap : NULL;
	h = heap_acquire();
	if (h != NULL) {
		thread_state.heap = h;
		thread_state.tcache = &h->tcache;
		thread_state.exit_unset = true;
	}
	return h;
}

struct heap *thread_heap_for_free(void)
{
	if (thread_state.tcache == &tcache_unborn && thread_state.stray_frees < STRAY_FREES_MAX) {
		thread_state.stray_frees++;
		return NULL;
	}
	return thread_heap();
}

void thread_finish_attach(void)
{
	if (HAK_LIKELY(!thread_state.exit_unset) || thread_state.slow_depth > 0)
		return;
	thread_state.exit_unset = false;
	/* May allocate: from the heap that this thread has by now. If it fails, the
	 * thread's heap is lost at its end, with what it holds. */
	if (have_exit_key)
		pthread_setspecific(exit_key, thread_state.heap);
}
