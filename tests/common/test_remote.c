/* common/remote.c: an inbox that many threads push to and one empties: nothing is
 * lost, nothing comes twice, and the figures agree. Blocks here are numbers, since
 * an inbox touches none. */
#include "unit.h"

#include "common/remote.h"
#include "common/size_class.h"

enum { PRODUCERS = 3, CLASS = 9, BATCHES_EACH = 4000, BLOCKS_EACH = BATCHES_EACH * BATCH_BLOCKS };

static struct inbox inbox;
static unsigned char seen[PRODUCERS][BLOCKS_EACH];
static _Atomic bool go;

struct producer {
	struct batch *batches[BATCHES_EACH];
	unsigned nbatches, blocks;
	_Atomic bool done;
};

static struct producer producers[PRODUCERS];

static void *block_of(unsigned id, unsigned n)
{
	return (void *)(((uintptr_t)(id + 1) << 32) + ((uintptr_t)n << 4));
}

/* Batches are made before, so that the pushes come thick and fast. */
static void prepare(unsigned id, unsigned nbatches, uint64_t *rng)
{
	struct producer *p = &producers[id];
	p->nbatches = nbatches;
	p->blocks = 0;
	atomic_store_relaxed(&p->done, false);
	memset(seen[id], 0, sizeof(seen[id]));
	for (unsigned i = 0; i < nbatches; i++) {
		unsigned want = 1 + unit_below(rng, BATCH_BLOCKS);
		struct batch *b = batch_alloc(CLASS, want);
		REQUIRE(b != NULL && b->count == 0, "a new batch is there, and empty");
		while (b->count < want)
			b->blocks[b->count++] = block_of(id, p->blocks++);
		p->batches[i] = b;
	}
}

static void *produce(void *arg)
{
	struct producer *p = arg;
	while (!atomic_load_acquire(&go))
		sched_yield();
	for (unsigned i = 0; i < p->nbatches; i++)
		inbox_push(&inbox, p->batches[i]);
	atomic_store_release(&p->done, true);
	return NULL;
}

/* Returns the blocks of all batches. */
static unsigned look_at(struct batch *taken)
{
	struct batch *next;
	unsigned n = 0;
	for (struct batch *b = taken; b != NULL; b = next) {
		next = b->next;
		CHECK(b->count >= 1 && b->count <= BATCH_BLOCKS && b->cls == CLASS,
		      "a batch of %u blocks", b->count);
		for (unsigned i = 0; i < b->count; i++) {
			uintptr_t block = (uintptr_t)b->blocks[i];
			uintptr_t id = (block >> 32) - 1, number = (block & UINT32_MAX) >> 4;
			if (!CHECK(id < PRODUCERS && number < producers[id].blocks,
				   "a block of nobody's: %#zx", block))
				continue;
			CHECK(seen[id][number]++ == 0, "block %zu of producer %zu came twice",
			      number, id);
		}
		n += b->count;
		batch_free(b);
	}
	return n;
}

static bool all_done(void)
{
	bool done = true;
	for (unsigned i = 0; i < PRODUCERS; i++)
		done &= atomic_load_acquire(&producers[i].done);
	return done;
}

/* All batches, or now and then the newest alone. */
static struct batch *take_some(unsigned turn)
{
	struct batch *b = turn % 2 == 0 ? inbox_take(&inbox) : inbox_take_one(&inbox);
	if (turn % 2 != 0 && b != NULL)
		b->next = NULL; /* it is still in the inbox */
	return b;
}

static void one_round(uint64_t *rng)
{
	static struct batch *taken[PRODUCERS * BATCHES_EACH + 1];
	uint64_t sent = remote_batches_sent();
	size_t bytes = remote_bytes();
	unsigned nbatches = test_scaled(BATCHES_EACH, BATCHES_EACH / 20), ntaken = 0, blocks = 0,
		 all = 0, turn = 0;
	pthread_t threads[PRODUCERS];
	struct batch *b;
	bool done;
	atomic_store_relaxed(&go, false);
	for (unsigned i = 0; i < PRODUCERS; i++) {
		prepare(i, nbatches, rng);
		all += producers[i].blocks;
		threads[i] = unit_thread(produce, &producers[i]);
	}
	atomic_store_release(&go, true);
	do {
		done = all_done();
		b = take_some(turn++);
		if (b != NULL)
			taken[ntaken++] = b;
		CHECK(inbox_backlog(&inbox) <= all, "a backlog of %u blocks",
		      inbox_backlog(&inbox));
	} while (!done || b != NULL);
	for (unsigned i = 0; i < PRODUCERS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < ntaken; i++)
		blocks += look_at(taken[i]);
	CHECK_U64(blocks, all, "blocks taken");
	for (unsigned i = 0; i < PRODUCERS; i++)
		for (unsigned n = 0; n < producers[i].blocks; n++)
			CHECK(seen[i][n] == 1, "block %u of producer %u came %u times", n, i,
			      seen[i][n]);
	CHECK_U64(inbox_backlog(&inbox), 0, "backlog at the end");
	CHECK_U64(remote_bytes(), bytes, "bytes under way at the end");
	CHECK_U64(remote_batches_sent() - sent, (uint64_t)PRODUCERS * nbatches, "batches sent");
}

static void many_producers(void)
{
	uint64_t rng = unit_seed();
	for (unsigned i = 0; i < test_scaled(20, 5); i++)
		one_round(&rng);
}

static void figures(void)
{
	static struct inbox in;
	size_t bytes = remote_bytes();
	struct batch *b[3], *taken;
	CHECK_PTR(inbox_take(&in), NULL, "batches of an empty inbox");
	for (unsigned i = 0; i < 3; i++) {
		b[i] = batch_alloc(CLASS, 10 + i);
		REQUIRE(b[i] != NULL, "no memory");
		b[i]->count = 10 + i;
		inbox_push(&in, b[i]);
	}
	CHECK_U64(inbox_backlog(&in), 33, "backlog");
	CHECK_U64(remote_bytes() - bytes, 33 * class_bytes(CLASS), "bytes under way");
	taken = inbox_take(&in);
	CHECK(taken == b[2] && taken->next == b[1] && b[1]->next == b[0] && b[0]->next == NULL,
	      "the newest batch comes first");
	CHECK_U64(inbox_backlog(&in), 0, "backlog when taken");
	CHECK_U64(remote_bytes(), bytes, "bytes under way when taken");
	CHECK_PTR(inbox_take(&in), NULL, "batches of an inbox that is empty again");
	for (unsigned i = 0; i < 3; i++)
		inbox_push(&in, b[i]);
	CHECK_PTR(inbox_take_one(&in), b[2], "the newest batch alone");
	CHECK_U64(inbox_backlog(&in), 21, "backlog of the others");
	CHECK_U64(remote_bytes() - bytes, 21 * class_bytes(CLASS), "bytes of the others");
	CHECK_PTR(inbox_take_one(&in), b[1], "the second");
	CHECK_PTR(inbox_take_one(&in), b[0], "the oldest");
	CHECK_PTR(inbox_take_one(&in), NULL, "one of an empty inbox");
	CHECK_U64(inbox_backlog(&in), 0, "backlog at the end");
	for (unsigned i = 0; i < 3; i++)
		batch_free(b[i]);
	taken = batch_alloc(CLASS, 10);
	CHECK(taken != NULL && taken->count == 0, "a batch used before is empty");
	batch_free(taken);
}

static const struct test_case cases[] = {
	{ "figures", figures },
	{ "many_producers", many_producers },
};

UNIT_MAIN(cases)
