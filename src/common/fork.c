#include "common/fork.h"

#include <pthread.h>
#include <signal.h>

#include "arch/arch.h"
#include "common/check.h"
#include "common/guard.h"
#include "common/cgroup.h"
#include "common/counters.h"
#include "common/heap.h"
#include "common/huge.h"
#include "common/lock.h"
#include "common/meta.h"
#include "common/missrate.h"
#include "common/profile.h"
#include "common/purge.h"
#include "common/statpage.h"
#include "common/superslab.h"
#include "common/ticker.h"

/* Every lock, in the order of ranks, until visit() says false. */
static bool for_each_lock(bool (*visit)(struct lock *l, void *arg), void *arg)
{
	return visit(ticker_lock(), arg) && visit(purge_lock(), arg) &&
	       visit(statpage_lock(), arg) && heap_for_each_lock(visit, arg) &&
	       visit(superslab_lock(), arg) && visit(huge_lock(), arg) &&
	       visit(guard_lock(), arg) && visit(check_lock(), arg) && visit(meta_lock(), arg) &&
	       visit(arch_lock(), arg) && visit(cgroup_lock(), arg) && visit(profile_lock(), arg);
}

/* glibc's fork takes its lock of open streams after the handlers, and code that
 * holds it allocates: it has to be taken before ours. Absent elsewhere. */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
extern void _IO_list_resetlock(void) __attribute__((weak));

static bool take(struct lock *l, void *refused)
{
	if (lock_take_for_fork(l))
		return true;
	*(struct lock **)refused = l;
	return false;
}

/* One fork at a time. */
static struct lock turn = LOCK_INITIALIZER(LOCK_RANK_FORK);
static sigset_t signals_before; /* of the thread that holds turn, before it took it */

/* The fork whose turn it is holds the lock of streams, so a fork that waits for that waits for its
 * turn. Not the other way round: code that holds it may be interrupted by a handler that forks. */
static void take_streams(void)
{
	const struct lock_notes before = lock_fork_wait_begin(&turn);
	if (_IO_list_lock)
		_IO_list_lock();
	lock_fork_wait_end(before);
}

/* False: one has to be waited for while none is held. */
static bool take_all(struct lock **refused)
{
	return take(&turn, refused) && for_each_lock(take, refused);
}

/* But those of faults, which a fork handler of the program may meet and mend. */
static void block_signals(sigset_t *before)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS };
	sigset_t most;
	sigfillset(&most);
	for (unsigned i = 0; i < HAK_ARRAY_LEN(faults); i++)
		sigdelset(&most, faults[i]);
	pthread_sigmask(SIG_BLOCK, &most, before);
}

/* No signal handler runs while locks are taken and until the fork is over: it might fork or
 * allocate, and find a lock half taken. Nor before the streams are given up for another fork: its
 * own fork would keep them. */
static void fork_prepare(void)
{
	struct lock *refused;
	sigset_t before;
	lock_fork_begin();
	for (;;) {
		take_streams();
		block_signals(&before);
		if (take_all(&refused))
			break;
		lock_fork_drop();
		if (_IO_list_unlock)
			_IO_list_unlock();
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		lock_wait_for_fork(refused);
	}
	if (lock_is_taken_for_fork(&turn)) /* or one around this fork has saved them */
		signals_before = before;
}

static void end(void (*streams_unlock)(void))
{
	const bool has_signals = lock_is_taken_for_fork(&turn);
	const sigset_t before = signals_before;
	lock_fork_end();
	if (streams_unlock)
		streams_unlock();
	if (has_signals)
		pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void fork_parent(void)
{
	end(_IO_list_unlock);
}

static bool free_in_child(struct lock *l, void *arg)
{
	(void)arg;
	lock_free_in_child(l);
	return true;
}

static void fork_child(void)
{
	heap_after_fork();
	purge_after_fork();
	statpage_after_fork();
	ticker_after_fork();
	counters_after_fork();
	missrate_after_fork();
	for_each_lock(free_in_child, NULL);
	end(_IO_list_resetlock);
}

void fork_install(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}
