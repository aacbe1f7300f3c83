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

/* A thread without a heap of its own has this instead. */
static const struct heap *my_heap(void)
{
	const struct tcache *tc = thread_state.tcache;
	if (tc == (void *)tcache_unborn || tc == (void *)tcache_dead)
		return NULL;
	return tc->heap;
}

static void fork_prepare(void)
{
	lock_acquire_for_fork(purge_lock());
	heap_lock_all();
	lock_acquire_for_fork(superslab_lock());
	lock_acquire_for_fork(huge_lock());
	lock_acquire_for_fork(meta_lock());
}

static void fork_unlock(void)
{
	lock_release_after_fork(meta_lock());
	lock_release_after_fork(huge_lock());
	lock_release_after_fork(superslab_lock());
	heap_unlock_all();
	lock_release_after_fork(purge_lock());
}

static void fork_child(void)
{
	heap_after_fork(my_heap());
	purge_after_fork();
	fork_unlock();
}

void fork_install(void)
{
	pthread_atfork(fork_prepare, fork_unlock, fork_child);
}
