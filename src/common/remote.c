#include "common/remote.h"

#include "common/meta.h"
#include "common/size_class.h"

static struct meta_pool batches[BATCH_SIZES];
/* Pushes that are done. */
static _Atomic uint64_t sent;
/* Bytes of blocks under way, and above them, modulo 2^20, the pushes that have begun: one addition
 * for both. After a fork these and those that are done differ in a child whose parent's threads
 * were at it. */
enum { BEGUN_SHIFT = 44 };
#define BEGUN (UINT64_C(1) << BEGUN_SHIFT)
static _Atomic uint64_t begun_and_bytes;

size_t remote_bytes(void)
{
	return atomic_load_relaxed(&begun_and_bytes) % BEGUN;
}

static size_t batch_bytes(unsigned size)
{
	return (size_t)BATCH_MIN_BYTES << size;
}

struct batch *batch_alloc(unsigned cls, unsigned blocks)
{
	const size_t bytes = sizeof(struct batch) + blocks * sizeof(void *);
	unsigned size = 0;
	struct batch *b;
	HAK_ASSERT(blocks <= BATCH_BLOCKS);
	while (batch_bytes(size) < bytes)
		size++;
	b = meta_pool_alloc(&batches[size], batch_bytes(size));
	if (b != NULL) {
		b->cls = (uint16_t)cls;
		b->size = (uint16_t)size;
		b->count = 0;
	}
	return b;
}

void batch_free(struct batch *b)
{
	meta_pool_free(&batches[b->size], b);
}

void inbox_push(struct inbox *in, struct batch *b)
{
	struct batch *head = atomic_load_relaxed(&in->head);
	atomic_add_relaxed(&begun_and_bytes, BEGUN + b->count * class_bytes(b->cls));
	atomic_add_relaxed(&in->backlog, b->count);
	/* Release: the taker sees the batch and all that was written to its blocks'
	 * states. Pairs with the acquire in inbox_take(). */
	do {
		b->next = head;
	} while (!atomic_cas_weak_release(&in->head, &head, b));
	atomic_add_relaxed(&sent, 1);
}

static void count_taken(struct inbox *in, uint32_t blocks, size_t bytes)
{
	atomic_sub_relaxed(&in->backlog, blocks);
	atomic_sub_relaxed(&begun_and_bytes, bytes);
}

struct batch *inbox_take(struct inbox *in)
{
	struct batch *taken;
	uint32_t blocks = 0;
	size_t bytes = 0;
	if (atomic_load_relaxed(&in->head) == NULL)
		return NULL;
	taken = atomic_swap_acquire(&in->head, NULL);
	for (struct batch *b = taken; b != NULL; b = b->next) {
		blocks += b->count;
		bytes += b->count * class_bytes(b->cls);
	}
	count_taken(in, blocks, bytes);
	return taken;
}

struct batch *inbox_take_one(struct inbox *in)
{
	/* Only takers remove batches and there is one at a time: the head that is seen
	 * stays in the stack, with its `next`, until it is taken here. */
	struct batch *b = atomic_load_acquire(&in->head);
	while (b != NULL && !atomic_cas_acq_rel(&in->head, &b, b->next))
		;
	if (b != NULL)
		count_taken(in, b->count, b->count * class_bytes(b->cls));
	return b;
}

bool remote_begin_recount(void)
{
	const uint64_t done = atomic_load_relaxed(&sent) << BEGUN_SHIFT;
	if (HAK_LIKELY(atomic_load_relaxed(&begun_and_bytes) / BEGUN == done / BEGUN))
		return false;
	atomic_store_relaxed(&begun_and_bytes, done);
	return true;
}

void inbox_recount(struct inbox *in)
{
	uint32_t blocks = 0;
	for (const struct batch *b = atomic_load_relaxed(&in->head); b != NULL; b = b->next) {
		blocks += b->count;
		atomic_add_relaxed(&begun_and_bytes, b->count * class_bytes(b->cls));
	}
	if (inbox_backlog(in) != blocks)
		atomic_store_relaxed(&in->backlog, blocks);
}

uint64_t remote_batches_sent(void)
{
	return atomic_load_relaxed(&sent);
}
