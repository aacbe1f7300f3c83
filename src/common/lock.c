#include "common/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arch/inline.h"
#include "common/thread.h"

enum { SPINS_BEFORE_SLEEP = 64, FORK_POLL_MS = 1 };

enum { FREE = 0, WAITED_FOR = 1 };

void futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t timeout_ms)
{
	int saved = errno;
	struct timespec ts = { .tv_sec = timeout_ms / 1000,
			       .tv_nsec = (long)(timeout_ms % 1000) * 1000000 };
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ms == 0 ? NULL : &ts, NULL, 0);
	errno = saved;
}

void futex_wake(_Atomic uint32_t *word, int waiters)
{
	int saved = errno;
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, waiters, NULL, NULL, 0);
	errno = saved;
}

static uint32_t held_by_me(void)
{
	return thread_number() << 1;
}

bool lock_is_mine(const struct lock *l)
{
	/* Relaxed: only this thread ever stores its own number here. */
	return (atomic_load_relaxed(&l->state) & ~(uint32_t)WAITED_FOR) == held_by_me();
}

static bool lock_take_free(struct lock *l, uint32_t held)
{
	uint32_t expected = FREE;
	return atomic_cas_acquire(&l->state, &expected, held);
}

/* Note in each lock that this thread holds what it waits for; NULL: no more. */
static void note_blocked(struct lock *on)
{
	for (struct lock *h = thread_state.held; h != NULL; h = h->outer)
		atomic_store_release(&h->blocked_on, on);
}

/* One turn of waiting for a lock that is held: mark it waited for, and sleep. */
static void sleep_on(struct lock *l, uint32_t timeout_ms)
{
	uint32_t seen = atomic_load_relaxed(&l->state);
	if (seen == FREE)
		return;
	if (seen & WAITED_FOR || atomic_cas_acquire(&l->state, &seen, seen | WAITED_FOR))
		futex_wait(&l->state, seen | WAITED_FOR, timeout_ms);
}

static HAK_NOINLINE void lock_wait(struct lock *l)
{
	for (int i = 0; i < SPINS_BEFORE_SLEEP; i++) {
		hak_cpu_relax();
		if (atomic_load_relaxed(&l->state) == FREE && lock_take_free(l, held_by_me()))
			return;
	}
	note_blocked(l);
	/* Others may wait behind us, so take it as waited for. */
	while (!lock_take_free(l, held_by_me() | WAITED_FOR))
		sleep_on(l, 0);
	note_blocked(NULL);
}

static void lock_drop(struct lock *l)
{
	if (atomic_swap_release(&l->state, FREE) & WAITED_FOR)
		futex_wake(&l->state, 1);
}

static void note_taken(struct lock *l)
{
	HAK_ASSERT(thread_state.held == NULL || thread_state.held->rank < l->rank);
	l->outer = thread_state.held;
	thread_state.held = l;
}

bool lock_try(struct lock *l)
{
	if (!lock_take_free(l, held_by_me()))
		return false;
	note_taken(l);
	return true;
}

void lock_acquire(struct lock *l)
{
	HAK_ASSERT(!lock_is_mine(l));
	if (HAK_UNLIKELY(!lock_take_free(l, held_by_me())))
		lock_wait(l);
	note_taken(l);
}

void lock_release(struct lock *l)
{
	HAK_ASSERT(lock_is_mine(l) && thread_state.held == l);
	thread_state.held = l->outer;
	lock_drop(l);
}

/* ---- fork */

/* Does l's holder wait for a lock of the calling thread? It may wait for a lock
 * whose holder waits for another, and so on; ranks rise along the way. */
static bool waits_for_me(const struct lock *l)
{
	while ((l = atomic_load_acquire(&l->blocked_on)) != NULL)
		if (lock_is_mine(l))
			return true;
	return false;
}

void lock_fork_begin(void)
{
	thread_state.fork_level++;
}

void lock_acquire_for_fork(struct lock *l)
{
	if (lock_is_mine(l))
		return;
	while (!lock_take_free(l, held_by_me() | WAITED_FOR)) {
		if (waits_for_me(l))
			return;
		note_blocked(l);
		sleep_on(l, FORK_POLL_MS); /* its holder may get blocked on ours only later */
	}
	note_blocked(NULL);
	l->fork_level = thread_state.fork_level;
	l->outer = thread_state.held;
	thread_state.held = l;
}

void lock_fork_end(void)
{
	struct lock *l;
	while ((l = thread_state.held) != NULL && l->fork_level == thread_state.fork_level) {
		thread_state.held = l->outer;
		l->fork_level = 0;
		lock_drop(l);
	}
	thread_state.fork_level--;
}

void lock_free_in_child(struct lock *l)
{
	atomic_store_relaxed(&l->blocked_on, NULL);
	if (lock_is_mine(l))
		return;
	l->fork_level = 0;
	atomic_store_relaxed(&l->state, FREE);
}
