/* sh8bench's access pattern, with every block's content checked.
 *
 * A program of our own after the public description of MicroQuill's sh8bench:
 * several threads, each taking blocks of 1 to 1000 bytes, small ones far more often,
 * in batches of one size, and freeing them in other orders: some at once, newest
 * first; some oldest first; every few a batch later; some left for other threads
 * to free. Blocks are kept long enough that a fault which builds up, such as a
 * pointer one stride off in a small class, meets its neighbour's content.
 */
#include "names.h"
#include "shadow.h"
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
	MIN_BYTES = 1,
	MAX_BYTES = 1000,
	BATCH_BLOCKS = 120,
	KEPT_BLOCKS = 4000,     /* of one thread, a ring: the longest-lived go first */
	EXCHANGE_SLOTS = 64,
	EXCHANGE_BLOCKS = 100,
	MAX_THREADS = 64,
};

/* A bundle of blocks on its way to another thread. */
struct bundle {
	pthread_mutex_t lock;
	unsigned count;
	struct shadow_block blocks[EXCHANGE_BLOCKS];
};

struct player {
	pthread_t thread;
	unsigned number;
	struct rng rng;
	unsigned kept_head, kept_count;
	struct shadow_block *kept;
	_Atomic uint64_t ops;
};

static struct bundle exchange[EXCHANGE_SLOTS];
static struct player players[MAX_THREADS];
static unsigned nplayers;
static _Atomic bool finish;

static void walk(shadow_visit_fn *visit, void *arg)
{
	for (unsigned t = 0; t < nplayers; t++)
		for (unsigned i = 0; i < KEPT_BLOCKS; i++)
			if (visit(&players[t].kept[i], arg))
				return;
	for (unsigned s = 0; s < EXCHANGE_SLOTS; s++)
		for (unsigned i = 0; i < exchange[s].count; i++)
			if (visit(&exchange[s].blocks[i], arg))
				return;
}

static void describe(char *buf, size_t size)
{
	(void)size;
	memcpy(buf, "  (see the threads' stacks)", sizeof("  (see the threads' stacks)"));
}

static uint64_t count_op(struct player *me)
{
	return atomic_fetch_add_explicit(&me->ops, 1, memory_order_relaxed);
}

static void take(struct player *me, struct shadow_block *b, size_t size)
{
	void *p = st_malloc(size);

	if (!p)
		fail("malloc of %zu bytes returned NULL", size);
	shadow_born(b, p, size, 16, "malloc", count_op(me), &me->rng);
}

static void give(struct player *me, struct shadow_block *b, const char *how)
{
	shadow_leave(b, how);
	st_free(b->at);
	b->at = NULL;
	count_op(me);
}

/* Half of all batches below 64 bytes, a quarter from there to 128, and so on. */
static size_t draw_size(struct rng *rng)
{
	size_t limit = 64;

	while (limit < MAX_BYTES && rng_one_in(rng, 2))
		limit *= 2;
	if (limit > MAX_BYTES)
		limit = MAX_BYTES;
	return MIN_BYTES + rng_below(rng, limit);
}

static void keep(struct player *me, const struct shadow_block *b)
{
	if (me->kept_count == KEPT_BLOCKS) {
		give(me, &me->kept[me->kept_head], "late free");
		me->kept_head = (me->kept_head + 1) % KEPT_BLOCKS;
		me->kept_count--;
	}
	me->kept[(me->kept_head + me->kept_count++) % KEPT_BLOCKS] = *b;
}

/* Leave a bundle in an empty slot, or free the one that is there. */
static void pass_on(struct player *me, struct shadow_block *blocks, unsigned n)
{
	struct bundle *x = &exchange[rng_below(&me->rng, EXCHANGE_SLOTS)];

	pthread_mutex_lock(&x->lock);
	unsigned old = x->count;
	for (unsigned i = 0; i < old; i++)
		give(me, &x->blocks[i], "free of another thread's block");
	x->count = n < EXCHANGE_BLOCKS ? n : EXCHANGE_BLOCKS;
	memcpy(x->blocks, blocks, x->count * sizeof(*blocks));
	pthread_mutex_unlock(&x->lock);
	while (n > EXCHANGE_BLOCKS)
		give(me, &blocks[--n], "free");
}

static void play_batch(struct player *me)
{
	struct shadow_block batch[BATCH_BLOCKS];
	size_t size = draw_size(&me->rng);
	unsigned n = 1 + (unsigned)rng_below(&me->rng, BATCH_BLOCKS);

	for (unsigned i = 0; i < n; i++)
		take(me, &batch[i], size);
	switch (rng_below(&me->rng, 5)) {
	case 0: /* newest first */
		while (n)
			give(me, &batch[--n], "free, newest first");
		break;
	case 1: /* oldest first */
		for (unsigned i = 0; i < n; i++)
			give(me, &batch[i], "free, oldest first");
		break;
	case 2: /* every fourth stays among freed neighbours */
		for (unsigned i = 0; i < n; i += 4)
			keep(me, &batch[i]);
		for (unsigned i = 0; i < n; i++)
			if (i % 4)
				give(me, &batch[i], "free of most");
		break;
	case 3:
		pass_on(me, batch, n);
		break;
	default:
		for (unsigned i = 0; i < n; i++)
			keep(me, &batch[i]);
	}
	watchdog_kick();
}

static void *play(void *arg)
{
	struct player *me = arg;

	thread_name_set("player", me->number);
	while (!atomic_load_explicit(&finish, memory_order_relaxed))
		play_batch(me);
	while (me->kept_count) {
		give(me, &me->kept[me->kept_head], "free at the end");
		me->kept_head = (me->kept_head + 1) % KEPT_BLOCKS;
		me->kept_count--;
	}
	return NULL;
}

static uint64_t total_ops(void)
{
	uint64_t sum = 0;

	for (unsigned t = 0; t < nplayers; t++)
		sum += atomic_load_explicit(&players[t].ops, memory_order_relaxed);
	return sum;
}

static void wait_and_tell(const struct stress_args *args)
{
	uint64_t begin = clock_ns(), last = begin;
	uint64_t every = args->progress ? 1000000000u : UINT64_C(60000000000);

	for (uint64_t now = begin; now - begin < (uint64_t)(args->seconds * 1e9);
	     now = clock_ns()) {
		sleep_ms(20);
		if (args->ops && total_ops() >= args->ops)
			break;
		if (now - last < every)
			continue;
		last = now;
		say("  %.0f s  %llu operations", (double)(now - begin) * 1e-9,
		    (unsigned long long)total_ops());
	}
}

int main(int argc, char **argv)
{
	struct stress_args args = { .program = "sh8bench_pattern", .seconds = 3, .threads = 4,
				    .max_bytes = (size_t)64 << 20 };

	args_parse(&args, argc, argv);
	nplayers = args.threads < MAX_THREADS ? args.threads : MAX_THREADS;
	struct rng seeds = { args.seed };
	for (unsigned s = 0; s < EXCHANGE_SLOTS; s++)
		pthread_mutex_init(&exchange[s].lock, NULL);
	for (unsigned t = 0; t < nplayers; t++) {
		players[t].number = t;
		players[t].rng.state = rng_next(&seeds);
		players[t].kept = pages_get(KEPT_BLOCKS * sizeof(struct shadow_block));
	}
	shadow_set_walker(walk);
	watchdog_start(describe);
	for (unsigned t = 0; t < nplayers; t++) {
		int err = pthread_create(&players[t].thread, NULL, play, &players[t]);
		if (err)
			fail("cannot create a thread: %s", strerror(err));
	}
	wait_and_tell(&args);
	atomic_store_explicit(&finish, true, memory_order_relaxed);
	for (unsigned t = 0; t < nplayers; t++)
		pthread_join(players[t].thread, NULL);
	for (unsigned s = 0; s < EXCHANGE_SLOTS; s++)
		for (unsigned i = 0; i < exchange[s].count; i++)
			give(&players[0], &exchange[s].blocks[i], "last free");
	shadow_check_nothing_live();
	say("sh8bench_pattern: %llu operations, nothing found", (unsigned long long)total_ops());
	return 0;
}
