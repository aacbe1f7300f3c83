#include "common/fork.h"

#include <pthread.h>

#include "common/heap.h"
#include "common/huge.h"
#include "common/lock.h"
#include "common/meta.h"
#include "common/purge.h"
#include "common/superslab.h"
#include "common/tcache.h"
#include "common/thread.h"

/* NULL: the thread has none. */
static const struct heap *my_heap(void)
{
	const struct tcache *tc = thread_state.tcache;
	return tcache_is_real(tc) ? tc->heap : NULL;
}

/* Every lock, in the order of ranks. */
static void for_each_lock(void (*visit)(struct lock *))
{
	visit(purge_lock());
	heap_for_each_lock(visit);
	visit(superslab_lock());
	visit(huge_lock());
	visit(meta_lock());
}

static void fork_prepare(void)
{
	lock_fork_begin();
	for_each_lock(lock_acquire_for_fork);
}

static void fork_child(void)
{
	heap_after_fork(my_heap());
	purge_after_fork();
	for_each_lock(lock_free_in_child);
	lock_fork_end();
}

void fork_install(void)
{
	pthread_atfork(fork_prepare, lock_fork_end, fork_child);
}
