#include "common/purge.h"

#include <errno.h>

#include "common/background.h"
#include "common/heap.h"
#include "common/huge.h"
#include "common/knobs.h"
#include "common/lock.h"
#include "common/options.h"
#include "common/os.h"
#include "common/remote.h"
#include "common/statpage.h"
#include "common/superslab.h"
#include "common/thread.h"

enum {
	/* A process with less to give back than this never gets the thread. */
	START_BYTES = 4 << 20,
	PASS_BUDGET_NS = 5000000,  /* at most, per pass */
	PAUSE_BUSY_MS = 10,        /* between passes while more is due */
	PAUSE_WAITING_MS = 100,    /* while something will be due */
	RETRY_START_MS = 10000,    /* after the system refused a thread */
};

enum { THREAD_NONE, THREAD_STARTING, THREAD_RUNNING };

static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_MAINTENANCE);
static _Atomic int thread_status;
static _Atomic uint32_t asleep;       /* futex: 1 while the thread waits for work */
static _Atomic uint32_t next_pass_ms; /* by a slow path, without the thread */
static _Atomic uint32_t start_not_before_ms;
static _Atomic bool thread_allowed;

struct lock *purge_lock(void)
{
	return &lock;
}

void purge_allow_thread(void)
{
	atomic_store_relaxed(&start_not_before_ms, os_now_ms());
	atomic_store_relaxed(&next_pass_ms, os_now_ms());
	atomic_store_relaxed(&thread_allowed, true);
}

/* About what there is to give back. */
static size_t pending_bytes(void)
{
	return superslab_dirty_bytes() + huge_cached_bytes() + heap_release_pending_bytes() +
	       remote_bytes();
}

/* What a pass left undone. */
enum pass_rest { REST_NONE, REST_LATER, REST_NOW };

static enum pass_rest maintenance_pass(void)
{
	uint32_t delay_ms = (uint32_t)knob_get(HAK_KNOB_PURGE_DELAY_MS, 0);
	uint64_t deadline = os_now_ns() + PASS_BUDGET_NS;
	bool more_slabs, more_units, in_time;
	lock_acquire(&lock);
	huge_purge_until(delay_ms, deadline);
	heap_maintain_all(delay_ms, deadline, &more_slabs);
	superslab_purge(delay_ms, deadline, &more_units);
	lock_release(&lock);
	in_time = os_now_ns() < deadline;
	if (!in_time)
		return REST_NOW;
	return more_slabs || more_units || huge_cached_bytes() > 0 ? REST_LATER : REST_NONE;
}

/* Wait until purge_kick() sees work; write the statistics page meanwhile. */
static void wait_for_work(void)
{
	atomic_store_relaxed(&asleep, 1);
	/* What came in between is small, or its next slow path kicks. */
	while (atomic_load_relaxed(&asleep) == 1) {
		futex_wait(&asleep, 1, statpage_period_ms());
		statpage_tick();
	}
}

static void maintenance_main(void)
{
	for (;;) {
		enum pass_rest rest = maintenance_pass();
		statpage_tick();
		switch (rest) {
		case REST_NOW:
			futex_sleep_ms(PAUSE_BUSY_MS);
			break;
		case REST_LATER:
			futex_sleep_ms(PAUSE_WAITING_MS);
			break;
		case REST_NONE:
			wait_for_work();
			break;
		}
	}
}

static bool has_come(uint32_t time_ms)
{
	return (int32_t)(os_now_ms() - time_ms) >= 0;
}

static bool may_start_thread(void)
{
	return options.background && atomic_load_relaxed(&thread_allowed) &&
	       has_come(atomic_load_relaxed(&start_not_before_ms));
}

static void start_thread(void)
{
	int none = THREAD_NONE;
	if (!atomic_cas_acq_rel(&thread_status, &none, THREAD_STARTING))
		return;
	if (background_start(maintenance_main) == 0) {
		atomic_store_relaxed(&thread_status, THREAD_RUNNING);
		return;
	}
	atomic_store_relaxed(&start_not_before_ms, os_now_ms() + RETRY_START_MS);
	atomic_store_relaxed(&thread_status, THREAD_NONE);
}

/* No thread: the program's own thread does a pass, one at a time. */
static void pass_by_caller(void)
{
	struct slow_scope scope;
	if (!has_come(atomic_load_relaxed(&next_pass_ms)))
		return;
	if (slow_enter(&scope)) {
		atomic_store_relaxed(&next_pass_ms, os_now_ms() + PAUSE_WAITING_MS);
		maintenance_pass();
		statpage_tick();
	}
	slow_leave(&scope);
}

void purge_kick(void)
{
	int saved = errno;
	switch (atomic_load_relaxed(&thread_status)) {
	case THREAD_RUNNING:
		if (atomic_load_relaxed(&asleep) == 1 && pending_bytes() >= START_BYTES) {
			atomic_store_relaxed(&asleep, 0);
			futex_wake(&asleep, 1);
		}
		break;
	case THREAD_NONE:
		if (pending_bytes() < START_BYTES && !statpage_is_due())
			break;
		if (may_start_thread())
			start_thread();
		else
			pass_by_caller();
		break;
	default:
		break;
	}
	errno = saved;
}

size_t purge_everything(void)
{
	bool more;
	size_t bytes;
	lock_acquire(&lock);
	bytes = huge_purge(0);
	bytes += heap_maintain_all(0, 0, &more);
	bytes += superslab_purge(0, 0, &more);
	lock_release(&lock);
	return bytes;
}

void purge_after_fork(void)
{
	atomic_store_relaxed(&thread_status, THREAD_NONE);
	atomic_store_relaxed(&asleep, 0);
}
