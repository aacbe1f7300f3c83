/* Locks of the allocator: a futex mutex that knows its rank, its holder, and what
 * its holder waits for.
 *
 * Ranks order the locks: a thread takes them in rising rank, which dev builds
 * check, and fork takes all of them in that order. A lock is waited for only
 * where the data under the locks already held is consistent.
 *
 * That is what makes fork work in a signal handler that interrupted the allocator. One
 * fork at a time takes the locks, in order of rank, and waits for each in line with
 * others, holding those before it; they get fewer and fewer who could hold it up. But
 * the holder of a lock may wait, directly or through others,
 * - for a lock H of the code that the fork interrupted: it waits for ever, as that code
 *   goes on only after the fork. But its data is consistent, it cannot move meanwhile,
 *   and does not exist in the child: fork goes on without its lock, and the child makes
 *   it free;
 * - for this fork: then it forks itself, in a handler that came in the middle of a
 *   change. It has to go first, and this fork drops all that it took.
 * One case has no good end: two threads, both interrupted in the middle of a change, both
 * forking in their handlers. One goes first, and its child may find the other's change
 * half made; the alternative were to hang both. (Also if one of them was interrupted while
 * it waited for the other's lock: that it waits for its fork hides that.)
 *
 * Algorithm: Drepper, "Futexes Are Tricky" (2011), mutex 2, with the holder in the
 * word as in the kernel's PI futexes.
 */
#ifndef HAK_COMMON_LOCK_H
#define HAK_COMMON_LOCK_H

#include "common/atomics.h"
#include "common/base.h"

enum lock_rank {
	LOCK_RANK_FORK, /* one fork at a time */
	LOCK_RANK_INIT,
	LOCK_RANK_TICKER,
	LOCK_RANK_MAINTENANCE,
	LOCK_RANK_STATPAGE,
	LOCK_RANK_HEAPS,   /* the list of all heaps */
	LOCK_RANK_HEAP,    /* one heap */
	LOCK_RANK_ORPHANS, /* the heap of slabs whose thread is gone */
	LOCK_RANK_POOL,    /* superslabs and spans */
	LOCK_RANK_HUGE,
	LOCK_RANK_GUARD,   /* freed guarded blocks */
	LOCK_RANK_CHECK,   /* notes of full checking, and its quarantine */
	LOCK_RANK_META,
	LOCK_RANK_ARCH,
	LOCK_RANK_CGROUP,
	LOCK_RANK_PROFILE,
};

struct lock {
	/* 0: free. Else twice the holder's thread_number(), plus 1 if it is waited for.
	 * One word, so that there is no moment at which a lock is held by nobody. */
	_Atomic uint32_t state;
	uint8_t rank;        /* constant */
	uint8_t fork_level;  /* holder only: thread_state.fork_level if taken for that fork, or 0 */
	uint16_t nested;     /* holder only: times acquired by fork handlers of the program */
	struct lock *outer;  /* holder only: the lock that it took before */
	_Atomic(struct lock *) blocked_on; /* the lock that the holder waits for now */
};

#define LOCK_INITIALIZER(r) { .rank = (r) }

/* Waits for any lock, of all threads, and the time they took. */
struct lock_waits {
	uint64_t count, ns;
};
struct lock_waits lock_waits(void);

void lock_acquire(struct lock *l);
bool lock_try(struct lock *l);
void lock_release(struct lock *l);

/* Does the calling thread hold l? */
bool lock_is_mine(const struct lock *l);

/* For fork, which takes every lock, that of LOCK_RANK_FORK first. Forks may nest, by
 * signals and by fork handlers of the program. While the thread holds locks for a fork, it
 * may acquire them as if they were free: such fork handlers may allocate. */
void lock_fork_begin(void);
/* Take l, waiting for it. Left alone, and true: a lock that the calling thread holds
 * already, as the code that its signal handler interrupted goes on in parent and child;
 * and, but for that of LOCK_RANK_FORK, one whose holder waits for one of these. False: all
 * that was taken for the fork has to be dropped, for another fork to go first or because a
 * second has passed. */
bool lock_take_for_fork(struct lock *l);
/* Has it been taken for this very fork, and not for one around it? */
bool lock_is_taken_for_fork(const struct lock *l);
/* Between these the thread waits for l by other means. end() wants what begin() returned. */
struct lock_notes {
	struct lock *held, *changing; /* what they were blocked on */
};
struct lock_notes lock_fork_wait_begin(struct lock *l);
void lock_fork_wait_end(struct lock_notes before);
/* A pause, after false; nothing taken for the fork is held. */
void lock_wait_for_fork(struct lock *l);
/* Drop what was taken for the fork, in parent and child. */
void lock_fork_drop(void);
void lock_fork_end(void);
/* In the child, before lock_fork_drop(), for every lock: free it if its holder is a
 * thread that does not exist here. */
void lock_free_in_child(struct lock *l);

/* Sleep until *word is no longer `expected`, a wake comes, or timeout_ms has
 * passed (0: no limit). May return early. errno is kept. */
void futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t timeout_ms);
void futex_wake(_Atomic uint32_t *word, int waiters);

/* Sleep about that long, ms > 0. errno is kept. */
void futex_sleep_ms(uint32_t ms);

#endif
