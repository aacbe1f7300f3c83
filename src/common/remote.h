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

/* Batches come in sizes, as an inbox may hold many of a few blocks each. */
enum {
	BATCH_MIN_BYTES = 64,
	BATCH_SIZES = 4, /* each twice the one before */
	BATCH_MAX_BYTES = BATCH_MIN_BYTES << (BATCH_SIZES - 1),
};

struct batch {
	struct batch *next;
	uint16_t cls;
	uint16_t size;  /* constant; 0 .. BATCH_SIZES - 1 */
	uint32_t count;
	void *blocks[];
};
enum { BATCH_BLOCKS = (BATCH_MAX_BYTES - sizeof(struct batch)) / sizeof(void *) };

struct inbox {
	_Atomic(struct batch *) head;
	_Atomic uint32_t backlog; /* blocks, about: added before the push, off after the take */
	bool stale;               /* maintenance only: there was a backlog at its last pass */
};

/* An empty one with room for `blocks` <= BATCH_BLOCKS. NULL: no memory. Thread-safe. */
struct batch *batch_alloc(unsigned cls, unsigned blocks);
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

/* In the child of a fork, where this thread is at no inbox and is the only one: has another, of the
 * parent's, counted what it did not push any more? Then every inbox is to be counted anew. */
bool remote_begin_recount(void);
void inbox_recount(struct inbox *in);

/* Bytes of the blocks in all inboxes, about. */
size_t remote_bytes(void);

/* Batches sent so far, by all threads. */
uint64_t remote_batches_sent(void);

#endif
