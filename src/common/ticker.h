/* The hook of the control loop: how code above the allocator is called now and then,
 * without the allocator knowing what it is.
 *
 * One function may be registered, at start-up. It is called by the maintenance thread, or,
 * without that, by slow paths of the program's threads; one call at a time, and never
 * during a fork, which takes the lock that calls run under, and not inside a slow path. It
 * must not allocate.
 */
#ifndef HAK_COMMON_TICKER_H
#define HAK_COMMON_TICKER_H

#include "common/atomics.h"
#include "common/base.h"

struct ticker {
	/* Do what is due. Returns after how many ms, > 0, it wants to be called again. */
	uint32_t (*tick)(void);
	/* In the child of a fork. May be NULL. */
	void (*after_fork)(void);
	bool in_thread; /* the maintenance thread is to be started for it */
};

/* Once, before there is a second thread. `t` is kept. */
void ticker_register(const struct ticker *t);

extern _Atomic(const struct ticker *) ticker_registered; /* NULL: none */

HAK_INLINE bool ticker_exists(void)
{
	return atomic_load_relaxed(&ticker_registered) != NULL;
}

/* Is the maintenance thread wanted for it? */
bool ticker_wants_thread(void);

/* Call it if its time has come and nobody else does. Returns the ms to its next time. */
uint32_t ticker_run(void);

/* Has its time come? */
bool ticker_is_due(void);

void ticker_after_fork(void);

struct lock;
struct lock *ticker_lock(void); /* for fork: held during a call */

#endif
