/* A thread's life as the allocator sees it: its few bytes of static TLS, taking
 * a heap at its first slow path, giving it back at its end; and the start-up of
 * the whole library.
 *
 * The cache pointer starts at an empty cache, never written, whose bins fail into the
 * slow path, so "first call of the thread", "library not initialised" and
 * "thread already torn down" cost the hot path nothing.
 */
#ifndef HAK_COMMON_THREAD_H
#define HAK_COMMON_THREAD_H

#include "common/atomics.h"
#include "common/base.h"

struct heap;
struct lock;
struct tcache;

struct thread_local_state {
	struct tcache *tcache;   /* never NULL */
	struct heap *heap;       /* until it is idle again; NULL: none */
	struct lock *held;       /* the lock taken last, of those held */
	struct lock *changing;   /* the lock that it is taking or releasing now, or NULL */
	_Atomic uint32_t number; /* 0: not assigned yet; see thread_number() */
	uint16_t slow_depth;     /* slow paths of this thread that are running */
	uint8_t fork_level;      /* forks that are between their prepare and end */
	uint8_t stray_frees;     /* before the thread had a heap */
	uint8_t origin;          /* enum origin of the slow allocation that is running */
	bool exit_unset;         /* has a heap, but thread_exit() is not yet arranged */
	uint8_t counter_slot;    /* of counters.c; 0: none */
};

extern _Thread_local struct thread_local_state thread_state;

/* A number > 0, below 2^31, that no other live thread has (unless a process makes
 * 2^31 of them). The child of a fork keeps it. */
uint32_t thread_assign_number(void);
HAK_INLINE uint32_t thread_number(void)
{
	uint32_t number = atomic_load_relaxed(&thread_state.number);
	return HAK_LIKELY(number != 0) ? number : thread_assign_number();
}

/* The calling thread as the kernel numbers it. */
uint32_t thread_os_id(void);

/* Slow paths run between these two. They keep errno, which the slow path may
 * clobber, and detect re-entry: slow_enter() returns false when this thread's
 * interrupted code is inside a slow path already, that is, in a signal handler.
 * The caller must then use emergency.h and still call slow_leave(). */
struct slow_scope {
	int saved_errno;
};
bool slow_enter(struct slow_scope *scope);
void slow_leave(const struct slow_scope *scope);

/* The calling thread's heap, taking one if it has none yet. NULL: the thread is
 * past its end, or no memory; use the orphans' heap. Between slow_enter and
 * slow_leave only. */
struct heap *thread_heap(void);

/* As thread_heap(), for a free: a thread that has only ever freed a few blocks gets
 * NULL. The C library frees on behalf of threads that are past their end and never
 * allocated; a heap taken then would never be given back. */
struct heap *thread_heap_for_free(void);

/* After slow_leave: arrange that the heap is given back at the thread's end. May
 * allocate. */
void thread_finish_attach(void);

/* Once per process, at the first slow path. Thread-safe, allocates nothing from
 * the heap. */
void hak_init_once(void);

#endif
