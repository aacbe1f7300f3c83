/* Locks of the allocator: a futex mutex that knows its rank and its holder.
 *
 * Ranks order the locks: a thread takes them in rising rank, which dev builds
 * check, and fork takes all of them in that order. The holder is known so that
 * code which interrupts its own thread (a signal handler that forks) can tell a
 * lock that it would wait for forever from one that another thread will release.
 * Algorithm: Drepper, "Futexes Are Tricky" (2011), mutex 2.
 */
#ifndef HAK_COMMON_LOCK_H
#define HAK_COMMON_LOCK_H

#include "common/atomics.h"
#include "common/base.h"

enum lock_rank {
	LOCK_RANK_INIT,
	LOCK_RANK_MAINTENANCE,
	LOCK_RANK_HEAPS,   /* the list of all heaps */
	LOCK_RANK_HEAP,    /* one heap */
	LOCK_RANK_ORPHANS, /* the heap of slabs whose thread is gone */
	LOCK_RANK_POOL,    /* superslabs and spans */
	LOCK_RANK_HUGE,
	LOCK_RANK_BATCHES,
	LOCK_RANK_META,
	LOCK_RANK_ARCH,
};

struct lock {
	_Atomic uint32_t state;    /* 0 free, 1 held, 2 held and waited for */
	uint32_t rank;             /* constant */
	_Atomic uintptr_t holder;  /* thread_self() of the holder, or 0 */
	bool held_for_fork;        /* taken by lock_acquire_for_fork() */
};

#define LOCK_INITIALIZER(r) { .rank = (r) }

void lock_acquire(struct lock *l);
bool lock_try(struct lock *l);
void lock_release(struct lock *l);

/* Does the calling thread hold l? */
bool lock_is_mine(const struct lock *l);

/* For fork, which takes every lock: a lock that the calling thread holds already
 * is left alone by both (a signal handler forks and interrupted the code that
 * holds it, which goes on in parent and child). Ranks are not checked. */
void lock_acquire_for_fork(struct lock *l);
void lock_release_after_fork(struct lock *l);

/* Sleep until *word is no longer `expected`, a wake comes, or timeout_ms has
 * passed (0: no limit). May return early. errno is kept. */
void futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t timeout_ms);
void futex_wake(_Atomic uint32_t *word, int waiters);

#endif
