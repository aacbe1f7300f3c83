/* Remote frees: blocks on their way to the heap that owns their slab.
 *
 * They travel in batches, records of pointers, so that a block is not touched
 * and one atomic operation serves a whole batch. Each heap has an inbox per size
 * class: a stack that any thread pushes to (release) and that the holder of the
 * heap's lock takes whole (acquire). Treiber's stack (1986); taking all at once
 * leaves no ABA.
 */
#ifndef HAK_COMMON_REMOTE_H
#define HAK_COMMON_REMOTE_H

#include "common/atomics.h"
#include "common/base.h"

enum { BATCH_BLOCKS = 62 }; /* a batch is 512 bytes */

struct batch {
	struct batch *next;
	uint32_t cls;
	uint32_t count;
	void *blocks[BATCH_BLOCKS];
};
HAK_STATIC_ASSERT(sizeof(struct batch) == 512, "a batch fills whole cache lines");

struct inbox {
	_Atomic(struct batch *) head;
	_Atomic uint32_t backlog; /* blocks, about: added before the push, taken off after the take */
	bool stale;               /* maintenance only: there was a backlog at its last pass */
};

/* NULL: no memory. Thread-safe. */
struct batch *batch_alloc(void);
void batch_free(struct batch *b);

/* Any thread. */
void inbox_push(struct inbox *in, struct batch *b);

/* All batches, linked by `next`; NULL: none. The holder of the heap's lock. */
struct batch *inbox_take(struct inbox *in);

/* The batch pushed last; NULL: none. The holder of the heap's lock. */
struct batch *inbox_take_one(struct inbox *in);

HAK_INLINE uint32_t inbox_backlog(const struct inbox *in)
{
	return atomic_load_relaxed(&in->backlog);
}

/* Bytes of the blocks in all inboxes, about. */
size_t remote_bytes(void);

/* Batches sent so far, by all threads. */
uint64_t remote_batches_sent(void);

#endif
