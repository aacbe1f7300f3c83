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

/* Give back what is free, however long it has been, until the time is over. Takes the
 * lock of purge_lock(). */
void purge_scavenge(uint64_t budget_ns);

/* Give back everything now: free pages of slabs, free units, free extents.
 * Returns the bytes. */
size_t purge_everything(void);

/* In the child: the thread is gone. */
void purge_after_fork(void);

struct lock *purge_lock(void); /* for fork: held during a pass */

#endif
