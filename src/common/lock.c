#include "common/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arch/inline.h"
#include "common/thread.h"

enum { SPINS_BEFORE_SLEEP = 64 };

enum { FREE = 0, HELD = 1, CONTENDED = 2 };

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

bool lock_is_mine(const struct lock *l)
{
	/* Relaxed: only this thread ever stores its own identity here. */
	return atomic_load_relaxed(&l->holder) == thread_self();
}

static bool lock_take_free(struct lock *l)
{
	uint32_t expected = FREE;
	return atomic_cas_acquire(&l->state, &expected, HELD);
}

static HAK_NOINLINE void lock_wait(struct lock *l)
{
	for (int i = 0; i < SPINS_BEFORE_SLEEP; i++) {
		hak_cpu_relax();
		if (atomic_load_relaxed(&l->state) == FREE && lock_take_free(l))
			return;
	}
	/* From here on the word says CONTENDED, so that the holder wakes us. */
	while (atomic_swap_acquire(&l->state, CONTENDED) != FREE)
		futex_wait(&l->state, CONTENDED, 0);
}

static void lock_drop(struct lock *l)
{
	atomic_store_relaxed(&l->holder, 0);
	if (atomic_swap_release(&l->state, FREE) == CONTENDED)
		futex_wake(&l->state, 1);
}

static void lock_held(struct lock *l)
{
	atomic_store_relaxed(&l->holder, thread_self());
	thread_note_lock(l->rank, true);
}

bool lock_try(struct lock *l)
{
	if (!lock_take_free(l))
		return false;
	lock_held(l);
	return true;
}

void lock_acquire(struct lock *l)
{
	HAK_ASSERT(!lock_is_mine(l));
	if (HAK_UNLIKELY(!lock_take_free(l)))
		lock_wait(l);
	lock_held(l);
}

void lock_release(struct lock *l)
{
	HAK_ASSERT(lock_is_mine(l));
	thread_note_lock(l->rank, false);
	lock_drop(l);
}

void lock_acquire_for_fork(struct lock *l)
{
	if (lock_is_mine(l))
		return;
	if (!lock_take_free(l))
		lock_wait(l);
	atomic_store_relaxed(&l->holder, thread_self());
	l->held_for_fork = true;
}

void lock_release_after_fork(struct lock *l)
{
	if (!l->held_for_fork)
		return;
	l->held_for_fork = false;
	lock_drop(l);
}
