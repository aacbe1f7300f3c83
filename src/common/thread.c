#include "common/thread.h"

#include <errno.h>
#include <pthread.h>

#include "common/fork.h"
#include "common/heap.h"
#include "common/knobs.h"
#include "common/lock.h"
#include "common/options.h"
#include "common/os.h"
#include "common/purge.h"
#include "common/stats.h"
#include "common/tcache.h"

/* Initial-exec: one load from a fixed offset, and it counts against the static
 * TLS that the dynamic loader keeps in reserve for dlopen, hence its size. */
_Thread_local struct thread_local_state thread_state = {
	.tcache = TCACHE_UNBORN,
};
HAK_STATIC_ASSERT(sizeof(struct thread_local_state) <= 64, "static TLS is scarce");

static struct lock init_lock = LOCK_INITIALIZER(LOCK_RANK_INIT);
static _Atomic bool initialised;
static pthread_key_t exit_key; /* its destructor runs when a thread with a heap ends */
static bool have_exit_key;

uint32_t thread_assign_number(void)
{
	static _Atomic uint32_t last;
	uint32_t number = 0;
	while (number == 0) /* after 2^31 threads */
		number = (atomic_add_relaxed(&last, 1) + 1) & (UINT32_MAX >> 1);
	thread_state.number = number;
	return number;
}

/* ---- start-up */

static void thread_exit(void *heap)
{
	struct slow_scope scope;
	(void)heap;
	if (slow_enter(&scope) && thread_state.tcache != TCACHE_DEAD) {
		struct heap *h = thread_state.tcache->heap;
		/* Other destructors may still allocate and free: they go direct. */
		thread_state.tcache = TCACHE_DEAD;
		heap_release(h);
	}
	slow_leave(&scope);
}

static HAK_COLD void init_once_slow(void)
{
	lock_acquire(&init_lock);
	if (!atomic_load_relaxed(&initialised)) {
		os_init();
		size_class_init();
		knob_reset_all();
		options_load();
		have_exit_key = pthread_key_create(&exit_key, thread_exit) == 0;
		atomic_store_release(&initialised, true); /* pairs with hak_init_once() */
	}
	lock_release(&init_lock);
}

void hak_init_once(void)
{
	if (HAK_UNLIKELY(!atomic_load_acquire(&initialised)))
		init_once_slow();
}

/* The C library is up: what could not be done at the first malloc, which the
 * dynamic loader may make long before. */
__attribute__((constructor)) static void library_constructor(void)
{
	hak_init_once();
	options_load();
	fork_install();
	purge_allow_thread();
}

__attribute__((destructor)) static void library_destructor(void)
{
	if (options.stats_at_exit)
		stats_print_to_stderr();
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
	struct tcache *tc = thread_state.tcache;
	struct heap *h;
	if (tc == TCACHE_DEAD)
		return NULL;
	if (tc != TCACHE_UNBORN)
		return tc->heap;
	h = heap_acquire();
	if (h != NULL) {
		thread_state.tcache = &h->tcache;
		thread_state.exit_unset = true;
	}
	return h;
}

void thread_finish_attach(void)
{
	if (HAK_LIKELY(!thread_state.exit_unset) || thread_state.slow_depth > 0)
		return;
	thread_state.exit_unset = false;
	/* May allocate: from the heap that this thread has by now. If it fails, the
	 * thread's heap is lost at its end, with what it holds. */
	if (have_exit_key)
		pthread_setspecific(exit_key, thread_state.tcache->heap);
}
