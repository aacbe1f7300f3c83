#include "common/ticker.h"

#include "common/lock.h"
#include "common/os.h"

_Atomic(const struct ticker *) ticker_registered;

static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_TICKER);
/* The last call, and how long after it the next one comes: not when, or nobody could tell what is
 * to come from what was to come weeks ago. */
static _Atomic uint32_t called_ms, wait_ms;

struct lock *ticker_lock(void)
{
	return &lock;
}

void ticker_register(const struct ticker *t)
{
	/* Pairs with the acquires below: who sees it sees what it needs. */
	atomic_store_release(&ticker_registered, t);
}

bool ticker_wants_thread(void)
{
	const struct ticker *t = atomic_load_acquire(&ticker_registered);
	return t != NULL && t->in_thread;
}

static uint32_t ms_left(void)
{
	uint32_t called = atomic_load_relaxed(&called_ms), wait = atomic_load_relaxed(&wait_ms);
	uint32_t passed = os_now_ms() - called;
	return passed < wait ? wait - passed : 0;
}

bool ticker_is_due(void)
{
	return ticker_exists() && ms_left() == 0;
}

uint32_t ticker_run(void)
{
	enum { BUSY_MS = 10 }; /* another thread calls it right now */
	const struct ticker *t = atomic_load_acquire(&ticker_registered);
	uint32_t left = ms_left();
	if (left > 0)
		return left;
	if (!lock_try(&lock))
		return BUSY_MS;
	left = ms_left(); /* may have been called meanwhile */
	if (left == 0) {
		left = t->tick();
		atomic_store_relaxed(&called_ms, os_now_ms());
		atomic_store_relaxed(&wait_ms, left);
	}
	lock_release(&lock);
	return left;
}

void ticker_after_fork(void)
{
	const struct ticker *t = atomic_load_acquire(&ticker_registered);
	if (t != NULL && t->after_fork != NULL)
		t->after_fork();
}
