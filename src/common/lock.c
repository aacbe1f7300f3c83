#include "common/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arch/inline.h"
#include "common/os.h"
#include "common/thread.h"

enum { SPINS_BEFORE_SLEEP = 64, SPINS_FOR_FORK = 1000, FORK_POLL_MS = 1, CHAIN_MAX = 1000 };

enum { FREE = 0, WAITED_FOR = 1 };

static _Atomic uint64_t wait_count, wait_ns; /* statistics */

struct lock_waits lock_waits(void)
{
	return (struct lock_waits){ atomic_load_relaxed(&wait_count),
				    atomic_load_relaxed(&wait_ns) };
}

void futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t timeout_ms)
{
	int saved = errno;
	struct timespec ts = { .tv_sec = timeout_ms / 1000,
			       .tv_nsec = (long)(timeout_ms % 1000) * 1000000 };
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ms == 0 ? NULL : &ts, NULL,
		0);
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

void futex_sleep_ms(uint32_t ms)
{
	static _Atomic uint32_t never;
	futex_wait(&never, 0, ms);
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

/* From here to change_end() a signal handler of this thread finds l in
 * thread_state.changing: it may be this thread's and not in the list of those held, and
 * a wake may be owed to those who sleep for it. Returns what change_end() wants. */
static struct lock *change_begin(struct lock *l)
{
	struct lock *interrupted = thread_state.changing;
	thread_state.changing = l;
	atomic_signal_fence(memory_order_seq_cst);
	return interrupted;
}

static void change_end(struct lock *interrupted)
{
	atomic_signal_fence(memory_order_seq_cst);
	thread_state.changing = interrupted;
}

/* Note in each lock that this thread holds what it waits for; NULL: no more. */
static void note_blocked(struct lock *on)
{
	for (struct lock *h = thread_state.held; h != NULL; h = h->outer)
		atomic_store_release(&h->blocked_on, on);
}

/* One turn of waiting for a lock that is held: mark it waited for, and sleep. */
static void sleep_on(struct lock *l)
{
	uint32_t seen = atomic_load_relaxed(&l->state);
	if (seen == FREE)
		return;
	if (seen & WAITED_FOR || atomic_cas_acquire(&l->state, &seen, seen | WAITED_FOR))
		futex_wait(&l->state, seen | WAITED_FOR, 0);
}

/* Wait until l could be taken. */
static void wait_and_take(struct lock *l)
{
	for (int i = 0; i < SPINS_BEFORE_SLEEP; i++) {
		hak_cpu_relax();
		if (atomic_load_relaxed(&l->state) == FREE && lock_take_free(l, held_by_me()))
			return;
	}
	note_blocked(l);
	/* Others may wait behind us, so take it as waited for. */
	while (!lock_take_free(l, held_by_me() | WAITED_FOR))
		sleep_on(l);
	note_blocked(NULL);
}

/* False: the lock is this thread's already, for a fork, and counts as nested. */
static HAK_NOINLINE bool lock_wait(struct lock *l)
{
	uint64_t begin;
	if (HAK_UNLIKELY(lock_is_mine(l))) {
		HAK_VERIFY(l->fork_level != 0);
		l->nested++;
		return false;
	}
	begin = os_now_ns();
	wait_and_take(l);
	atomic_add_relaxed(&wait_ns, os_now_ns() - begin);
	atomic_add_relaxed(&wait_count, 1);
	return true;
}

static void lock_drop(struct lock *l)
{
	if (atomic_swap_release(&l->state, FREE) & WAITED_FOR)
		futex_wake(&l->state, 1);
}

static void note_held(struct lock *l)
{
	l->outer = thread_state.held;
	thread_state.held = l;
}

static void note_taken(struct lock *l)
{
	HAK_ASSERT(thread_state.held == NULL || thread_state.held->rank < l->rank);
	note_held(l);
}

bool lock_try(struct lock *l)
{
	struct lock *interrupted = change_begin(l);
	bool taken = lock_take_free(l, held_by_me());
	if (taken)
		note_taken(l);
	change_end(interrupted);
	return taken;
}

void lock_acquire(struct lock *l)
{
	struct lock *interrupted = change_begin(l);
	if (HAK_LIKELY(lock_take_free(l, held_by_me())) || lock_wait(l))
		note_taken(l);
	change_end(interrupted);
}

void lock_release(struct lock *l)
{
	if (HAK_UNLIKELY(l->nested > 0)) {
		l->nested--;
		return;
	}
	HAK_ASSERT(lock_is_mine(l) && thread_state.held == l);
	struct lock *interrupted = change_begin(l);
	thread_state.held = l->outer;
	lock_drop(l);
	change_end(interrupted);
}

/* ---- fork */

/* Does l's holder wait for a lock of the calling thread? It may wait for a lock
 * whose holder waits for another, and so on. False also where the way leads into a ring
 * of others, of whom one, at its next look, finds that it waits for itself. */
static bool waits_for_me(const struct lock *l)
{
	for (int i = 0; i < CHAIN_MAX; i++) {
		l = atomic_load_acquire(&l->blocked_on);
		if (l == NULL)
			return false;
		if (lock_is_mine(l))
			return true;
	}
	return false;
}

void lock_fork_begin(void)
{
	struct lock *changing = thread_state.changing;
	thread_state.fork_level++;
	/* A signal handler that forks may have come after the wake for which the code that
	 * it interrupted slept, or between that code's release of a lock and the wake due
	 * then. The lock is free, and those that sleep for it are woken by nobody: not
	 * before the handler returns, which may have to wait for them. So the wake comes
	 * from here. */
	if (changing != NULL)
		futex_wake(&changing->state, 1);
}

bool lock_try_for_fork(struct lock *l)
{
	if (lock_is_mine(l))
		return true;
	for (int i = 0; !lock_take_free(l, held_by_me()); i++) {
		if (waits_for_me(l))
			return true;
		if (i == SPINS_FOR_FORK)
			return false;
		hak_cpu_relax();
	}
	l->fork_level = thread_state.fork_level;
	note_held(l);
	return true;
}

void lock_wait_for_fork(struct lock *l)
{
	/* The code that a signal handler interrupted may have been waiting itself. */
	struct lock *held = thread_state.held, *changing = thread_state.changing;
	struct lock *before = held == NULL ? NULL : atomic_load_relaxed(&held->blocked_on);
	note_blocked(l);
	if (changing != NULL && lock_is_mine(changing))
		atomic_store_release(&changing->blocked_on, l);
	/* By polling: its holder may get blocked on a lock of ours only later, and a wake
	 * that came here would be lost for those who want the lock. */
	while (atomic_load_relaxed(&l->state) != FREE && !waits_for_me(l))
		futex_sleep_ms(FORK_POLL_MS);
	note_blocked(before);
	if (changing != NULL && lock_is_mine(changing))
		atomic_store_release(&changing->blocked_on, NULL);
}

void lock_fork_drop(void)
{
	struct lock *l;
	while ((l = thread_state.held) != NULL && l->fork_level == thread_state.fork_level) {
		thread_state.held = l->outer;
		l->fork_level = 0;
		lock_drop(l);
	}
}

void lock_fork_end(void)
{
	lock_fork_drop();
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
