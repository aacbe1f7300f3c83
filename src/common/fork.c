#include "common/fork.h"

#include <pthread.h>

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
	if (lock_try_for_fork(l))
		return true;
	*(struct lock **)refused = l;
	return false;
}

/* All or nothing: the holder of a lock may be a thread whose signal handler forks
 * too and waits for the lock of streams. */
static void fork_prepare(void)
{
	struct lock *refused;
	lock_fork_begin();
	for (;;) {
		if (_IO_list_lock)
			_IO_list_lock();
		if (for_each_lock(take, &refused))
			return;
		lock_fork_drop();
		if (_IO_list_unlock)
			_IO_list_unlock();
		lock_wait_for_fork(refused);
	}
}

static void fork_parent(void)
{
	lock_fork_end();
	if (_IO_list_unlock)
		_IO_list_unlock();
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
	lock_fork_end();
	if (_IO_list_resetlock)
		_IO_list_resetlock();
}

void fork_install(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}
