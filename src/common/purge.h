/* Free memory goes back to the kernel, while the program is busy or idle, by a
 * maintenance thread that works in passes with a time budget. It is started when
 * there is enough to give back, never before main's constructors, and again in a
 * forked child when that needs it. Without it (HAKMEM_BACKGROUND=0, or the system
 * refuses a thread) slow paths of free do a pass now and then.
 *
 * The thread is one that the C library does not know of; see background.h. */
#ifndef HAK_COMMON_PURGE_H
#define HAK_COMMON_PURGE_H

#include "common/base.h"

struct lock;

/* From now on the thread may be started. */
void purge_allow_thread(void);

/* After a slow path, outside of slow_enter .. slow_leave: see whether the thread should be
 * started or woken, and whether the ticker wants to be called. errno is kept. */
void purge_kick(void);

/* The same after one that freed nothing, for the ticker alone. */
void purge_kick_ticker(void);

/* Give back everything now: free pages of slabs, free units, free extents.
 * Returns the bytes. */
size_t purge_everything(void);

/* Give free pages of partly used slabs back, in runs of at least min_run_pages, without regard to
 * how long they have been free, for budget_ns at most, but one step, of well below a
 * millisecond, at least. The next call, or pass, goes on where this one left off. Returns the
 * bytes; *more: the time was up. Outside of slow_enter .. slow_leave. */
size_t purge_scavenge(uint64_t budget_ns, unsigned min_run_pages, bool *more);

/* limit_is_due(): give back all that can be now, until the heap is below the soft limit. Outside of
 * slow_enter .. slow_leave. */
void purge_for_limit(void);

enum { PURGE_BUCKETS = 32 };

/* Passes so far, by their length: bucket i from 2^i ns on. By the clock, which counts also what
 * others made it wait, and by processor time. */
struct purge_counters {
	uint64_t passes, longest_ns, longest_cpu_ns;
	uint64_t by_ns[PURGE_BUCKETS], by_cpu_ns[PURGE_BUCKETS];
};
struct purge_counters purge_counters(void);

/* Bytes that went back earlier than their purge delay says, since the process was idle. */
uint64_t purge_early_bytes(void);

/* In the child: the thread is gone. */
void purge_after_fork(void);

struct lock *purge_lock(void); /* for fork: held during a pass */

#endif
