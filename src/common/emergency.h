/* For a signal handler that calls the allocator while it interrupts the same
 * thread inside a slow path. The interrupted code may hold any lock, so nothing
 * here waits for one: blocks come from a small region by one atomic step and are
 * never used again; frees of other blocks are noted and done later.
 *
 * This keeps such a handler from hanging. It does not make malloc safe in signal
 * handlers, which POSIX does not ask for: a handler that interrupts the few
 * instructions of a hot path and keeps a block may be given one twice. */
#ifndef HAK_COMMON_EMERGENCY_H
#define HAK_COMMON_EMERGENCY_H

#include "common/base.h"

/* align <= 4096. Zeroed. NULL: the region is used up. */
void *emergency_alloc(size_t bytes, size_t align);

/* Usable bytes of a block of this region. */
size_t emergency_usable(uintptr_t block);

/* Keep p to be freed at the thread's or another's next slow free. If there is no
 * room for it, it is lost. */
void emergency_defer_free(void *p);

/* A block kept so, or NULL. */
void *emergency_take_deferred(void);

#endif
