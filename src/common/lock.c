#include "common/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arch/inline.h"
#include "common/os.h"
#include "common/thread.h"

enum {
	SPINS_BEFORE_SLEEP = 64,
	FORK_POLL_MS = 1,
	FORK_PATIENCE_MS = 1000, /* for one lock, while those before it are held */
	FORK_PAUSE_MS = 10,
	CHAIN_MAX = 1000,
};

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
	atomic_compiler_fence();
	return interrupted;
}

static void change_end(struct lock *interrupted)
{
	atomic_compiler_fence();
	thread_state.changing = interrupted;
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

static bool spin_and_take(struct lock *l)
{
	for (int i = 0; i < SPINS_BEFORE_SLEEP; i++) {
		hak_cpu_relax();
		if (atomic_load_relaxed(&l->state) == FREE && lock_take_free(l, held_by_me()))
			return true;
	}
	return false;
}

/* Wait until l could be taken. */
static void wait_and_take(struct lock *l)
{
	if (spin_and_take(l))
		return;
	note_blocked(l);
	/* Others may wait behind us, so take it as waited for. */
	while (!lock_take_free(l, held_by_me() | WAITED_FOR))
		sleep_on(l, 0);
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

static bool is_taken_for_this_fork(const struct lock *l)
{
	return l->fork_level == thread_state.fork_level;
}

/* What l's holder waits for: it may be a lock whose holder waits for another, and so on. */
enum wait_end { WAIT_ELSEWHERE, WAIT_FOR_MINE, WAIT_FOR_FORK };

/* WAIT_ELSEWHERE also where the way leads into a ring of others, of whom one, at its next
 * look, finds that it waits for itself. */
static enum wait_end wait_end(const struct lock *l)
{
	for (int i = 0; i < CHAIN_MAX; i++) {
		l = atomic_load_acquire(&l->blocked_on);
		if (l == NULL)
			return WAIT_ELSEWHERE;
		if (lock_is_mine(l))
			return is_taken_for_this_fork(l) ? WAIT_FOR_FORK : WAIT_FOR_MINE;
	}
	return WAIT_ELSEWHERE;
}

/* The lock that the code waits for which the fork interrupted. */
static struct lock *interrupted_wait(void)
{
	const struct lock *h = thread_state.held;
	while (h != NULL && is_taken_for_this_fork(h))
		h = h->outer;
	return h == NULL ? NULL : atomic_load_relaxed(&h->blocked_on);
}

/* The interrupted code may have been taking or releasing a lock: is that its own now? */
static struct lock *own_changing(void)
{
	struct lock *l = thread_state.changing;
	return l != NULL && lock_is_mine(l) ? l : NULL;
}

struct lock_notes lock_fork_wait_begin(struct lock *l)
{
	struct lock *changing = own_changing();
	struct lock_notes before = { .held = interrupted_wait() };
	if (changing != NULL)
		before.changing = atomic_load_relaxed(&changing->blocked_on);
	note_blocked(l);
	if (changing != NULL)
		atomic_store_release(&changing->blocked_on, l);
	return before;
}

void lock_fork_wait_end(struct lock_notes before)
{
	struct lock *changing = own_changing();
	for (struct lock *h = thread_state.held; h != NULL; h = h->outer)
		atomic_store_release(&h->blocked_on,
				     is_taken_for_this_fork(h) ? NULL : before.held);
	if (changing != NULL)
		atomic_store_release(&changing->blocked_on, before.changing);
}

/* Does fork go on without l? */
static bool is_left_alone(const struct lock *l, enum wait_end end)
{
	return end == WAIT_FOR_MINE && l->rank != LOCK_RANK_FORK;
}

/* Wait until l could be taken, or is not to be waited for: false. */
static bool take_in_line(struct lock *l, enum wait_end *end)
{
	const struct lock_notes before = lock_fork_wait_begin(l);
	const uint32_t begin = os_now_ms();
	bool taken;
	*end = WAIT_ELSEWHERE;
	while (!(taken = lock_take_free(l, held_by_me() | WAITED_FOR))) {
		*end = wait_end(l);
		if (*end == WAIT_FOR_FORK || is_left_alone(l, *end) ||
		    os_now_ms() - begin >= FORK_PATIENCE_MS)
			break;
		/* Not for long: its holder may get blocked on a lock of ours only later. */
		sleep_on(l, FORK_POLL_MS);
	}
	if (!taken) /* a wake that came here is another's */
		futex_wake(&l->state, 1);
	lock_fork_wait_end(before);
	return taken;
}

bool lock_take_for_fork(struct lock *l)
{
	enum wait_end end;
	if (lock_is_mine(l))
		return true;
	if (!lock_take_free(l, held_by_me()) && !spin_and_take(l) && !take_in_line(l, &end))
		return is_left_alone(l, end);
	l->fork_level = thread_state.fork_level;
	note_held(l);
	return true;
}

void lock_wait_for_fork(struct lock *l)
{
	const struct lock_notes before = lock_fork_wait_begin(l);
	for (int ms = 0; ms < FORK_PAUSE_MS; ms += FORK_POLL_MS) {
		/* Before the first look: so long the others see what this one waits for. */
		futex_sleep_ms(FORK_POLL_MS);
		if (atomic_load_relaxed(&l->state) == FREE || wait_end(l) != WAIT_ELSEWHERE)
			break;
	}
	lock_fork_wait_end(before);
}

bool lock_is_taken_for_fork(const struct lock *l)
{
	return lock_is_mine(l) && is_taken_for_this_fork(l);
}

void lock_fork_drop(void)
{
	struct lock *l;
	while ((l = thread_state.held) != NULL && is_taken_for_this_fork(l)) {
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
	l->nested = 0;
	atomic_store_relaxed(&l->state, FREE);
}
