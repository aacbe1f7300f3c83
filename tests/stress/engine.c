/* The engine of the stress programs: see engine.h.
 *
 * Only the main thread creates and joins workers and stops the world. A lane is
 * written by its worker alone; main reads or takes it over after the worker parked
 * (under `world_lock`) or was joined. Shared slots have a lock byte each.
 */
#include "engine.h"

#include "names.h"

#ifndef STRESS_LIBC
#include "common/limit.h"
#include "common/purge.h"
#include "common/sample.h"
#endif

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
	MAX_THREADS = 256,
	SHARED_SLOTS = 512,
	SMALL_RETRY_BYTES = 256,
	TICK_MS = 2,
};

enum phase { PHASE_GROW, PHASE_CHURN, PHASE_SHRINK, PHASE_IDLE, PHASE_COUNT };

enum thread_state { THREAD_RUNNING, THREAD_PARKED, THREAD_DONE };

struct worker {
	pthread_t thread;
	enum thread_state state;      /* under world_lock */
	unsigned number;
	struct rng rng;
	struct shadow_block *blocks;  /* [0, live) */
	unsigned live;
	unsigned floor;               /* what a shrink phase shrinks to */
	int floor_phase;              /* phase number that `floor` is for */
	uint64_t life_ops;            /* operations until this thread ends */
	_Atomic uint64_t ops;         /* over all threads of the lane */
	_Atomic unsigned live_shown;  /* `live`, for progress lines */
	_Atomic(const char *) doing;  /* for the watchdog */
	char pad[128];
};

struct shared_slot {
	atomic_flag busy;
	struct shadow_block block;    /* at NULL: empty */
};

static struct engine_config cfg;
static struct worker workers[MAX_THREADS + 1]; /* the last one is the chaos thread */
static struct shared_slot shared[SHARED_SLOTS];
static _Atomic size_t live_bytes;
static _Atomic uint64_t refused, handed_over, knob_moves;
static _Atomic int phase_number;
static _Atomic bool finish, world_stop;
static pthread_mutex_t world_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t world_cond = PTHREAD_COND_INITIALIZER;

/* --- sizes ------------------------------------------------------------------------- */

static size_t log_uniform(struct rng *rng, unsigned from_bits, unsigned to_bits)
{
	unsigned bits = from_bits + (unsigned)rng_below(rng, to_bits - from_bits);
	size_t size = (size_t)1 << bits;

	return size + rng_below(rng, size);
}

size_t engine_draw_size(struct rng *rng, bool big)
{
	unsigned kind = (unsigned)rng_below(rng, big ? 200 : 1000);
	size_t size;

	if (kind < 1)
		size = log_uniform(rng, 22, 26);
	else if (kind < 10)
		size = log_uniform(rng, 18, 22);
	else if (kind < 60)
		size = log_uniform(rng, 12, 18);
	else if (kind < 70)
		return 0;
	else
		size = log_uniform(rng, 0, 12);
	/* The neighbourhood of powers of two and of class ends finds rounding errors. */
	switch (rng_below(rng, 8)) {
	case 0:
		size = ((size_t)1 << (63 - __builtin_clzll(size))) + rng_below(rng, 3);
		return size - 1;
	case 1:
		return st_good_size(size) + rng_below(rng, 3);
	default:
		return size;
	}
}

/* Draw a size that keeps the total in bounds. */
static size_t bounded_size(struct worker *w)
{
	size_t size = engine_draw_size(&w->rng, cfg.big);
	size_t now = atomic_load_explicit(&live_bytes, memory_order_relaxed);

	if (now + size > cfg.max_bytes)
		size = rng_below(&w->rng, SMALL_RETRY_BYTES);
	return size;
}

/* --- one block ---------------------------------------------------------------------- */

static void doing(struct worker *w, const char *what)
{
	atomic_store_explicit(&w->doing, what, memory_order_relaxed);
}

static uint64_t op_number(const struct worker *w)
{
	return atomic_load_explicit(&w->ops, memory_order_relaxed);
}

/* An allocation returned NULL: was it allowed to? */
static void check_refusal(const char *how, size_t size)
{
	int err = errno;

	if (err != ENOMEM)
		fail("%s of %zu bytes returned NULL with errno %d (%s), expected ENOMEM", how,
		     size, err, strerror(err));
	if (!cfg.may_fail)
		fail("%s of %zu bytes returned NULL with %zu MiB live", how, size,
		     atomic_load_explicit(&live_bytes, memory_order_relaxed) >> 20);
	atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
}

static void adopt(struct worker *w, void *p, size_t size, size_t align, const char *how)
{
	struct shadow_block *b = &w->blocks[w->live];

	shadow_born(b, p, size, align, how, op_number(w), &w->rng);
	atomic_fetch_add_explicit(&live_bytes, b->usable, memory_order_relaxed);
	w->live++;
}

static void leave(const struct shadow_block *b, const char *what)
{
	shadow_leave(b, what);
	atomic_fetch_sub_explicit(&live_bytes, b->usable, memory_order_relaxed);
}

static void *alloc_aligned(struct worker *w, size_t *size, size_t *align, const char **how)
{
	static const char *const names[] = { "aligned_alloc", "posix_memalign", "memalign" };
	enum aligned_how kind = (enum aligned_how)rng_below(&w->rng, ALIGNED_HOW_COUNT);

	/* Now and then past a superslab's size. */
	*align = (size_t)1 << (3 + rng_below(&w->rng, rng_one_in(&w->rng, 16) ? 20 : 10));
	if (kind == ALIGNED_C11 && rng_one_in(&w->rng, 2))
		*size = (*size + *align - 1) & ~(*align - 1);
	*how = names[kind];
	void *p = st_aligned(kind, *align, *size);
	if (p && HAS_INTERNALS && kind == ALIGNED_MEMALIGN) {
		*how = "aligned_zalloc";
		shadow_verify_zero(p, *size, *how, &w->rng);
	}
	return p;
}

static void op_alloc(struct worker *w)
{
	const char *how = "malloc";
	size_t size = bounded_size(w), align = 16, good = 0;
	void *p;

	if (w->live == cfg.lane_blocks)
		return;
	errno = 0;
	switch (rng_below(&w->rng, 10)) {
	case 0:
	case 1:
		how = "calloc";
		size_t count = rng_below(&w->rng, 2) ? 1 : 1 + rng_below(&w->rng, 8);
		size = size / count * count;
		p = st_calloc(count, size / count);
		if (p)
			shadow_verify_zero(p, size, how, &w->rng);
		break;
	case 2:
		p = alloc_aligned(w, &size, &align, &how);
		break;
	case 3:
		how = "realloc(NULL)";
		p = st_realloc(NULL, size);
		break;
	case 4:
		how = "reallocarray(NULL)";
		p = st_reallocarray(NULL, size / 4, 4);
		size = size / 4 * 4;
		break;
	default:
		good = st_good_size(size);
		p = st_malloc(size);
	}
	if (!p) {
		check_refusal(how, size);
		return;
	}
	adopt(w, p, size, align, how);
	if (good > w->blocks[w->live - 1].usable)
		fail("good_size(%zu) is %zu, but %s gave %zu usable bytes", size, good, how,
		     w->blocks[w->live - 1].usable);
}

static void free_block(struct rng *rng, const struct shadow_block *b, const char *what)
{
	/* A sized free is for blocks of malloc, calloc and realloc (C23, 7.24.3.4); and under
	 * faults a realloc that would shrink a block may have kept it, much larger than asked. */
	bool sized = b->align == 16 && !cfg.may_fail;

	leave(b, what);
	errno = EDOM;
	switch (sized ? rng_below(rng, 6) : 2 + rng_below(rng, 4)) {
	case 0:
		st_free_sized(b->at, b->asked);
		break;
	case 1:
		st_free_sized(b->at, b->asked + rng_below(rng, b->usable - b->asked + 1));
		break;
	case 2:
		if (b->align == 16) {
			if (st_realloc(b->at, 0))
				fail("realloc(%p, 0) returned a block", (void *)b->at);
			break;
		}
		/* fall through */
	default:
		st_free(b->at);
		if (errno != EDOM)
			fail("free changed errno to %d", errno);
	}
}

static void drop_at(struct worker *w, unsigned i)
{
	w->live--;
	if (i != w->live)
		w->blocks[i] = w->blocks[w->live];
}

static void op_free(struct worker *w)
{
	if (!w->live)
		return;
	/* Newest, oldest or any: the orders that caches and slabs care about. */
	unsigned i = (unsigned)rng_below(&w->rng, w->live);
	unsigned order = (unsigned)rng_below(&w->rng, 4);
	if (order == 0)
		i = w->live - 1;
	else if (order == 1)
		i = 0;
	struct shadow_block b = w->blocks[i];
	drop_at(w, i);
	free_block(&w->rng, &b, "free");
}

static size_t draw_new_size(struct worker *w, const struct shadow_block *b)
{
	switch (rng_below(&w->rng, 6)) {
	case 0:
		return b->asked + 64 <= (size_t)64 << 20 ? b->asked + 64 : 1;
	case 1:
		if (b->asked >= (size_t)32 << 20 ||
		    atomic_load_explicit(&live_bytes, memory_order_relaxed) + b->asked >
			    cfg.max_bytes)
			return b->asked / 4 + 1;
		return b->asked * 2 + 1;
	case 2:
		return b->asked / 2 + 1;
	case 3:
		return b->usable ? b->usable : 1;
	default:
		return bounded_size(w) + 1;
	}
}

static void op_realloc(struct worker *w)
{
	if (!w->live)
		return;
	unsigned i = (unsigned)rng_below(&w->rng, w->live);
	struct shadow_block old = w->blocks[i];
	size_t size = draw_new_size(w, &old);
	bool array = rng_one_in(&w->rng, 4);
	const char *how = array ? "reallocarray" : "realloc";

	leave(&old, "realloc (before it)");
	errno = 0;
	void *p = array ? st_reallocarray(old.at, size, 1) : st_realloc(old.at, size);
	if (!p) {
		check_refusal(how, size);
		shadow_return(&old, "realloc that failed");
		atomic_fetch_add_explicit(&live_bytes, old.usable, memory_order_relaxed);
		return;
	}
	shadow_verify(&old, p, size < old.filled ? size : old.filled, "realloc (after it)");
	drop_at(w, i);
	adopt(w, p, size, 16, how);
}

static bool slot_lock(struct shared_slot *s)
{
	return !atomic_flag_test_and_set_explicit(&s->busy, memory_order_acquire);
}

static void slot_unlock(struct shared_slot *s)
{
	atomic_flag_clear_explicit(&s->busy, memory_order_release);
}

/* Swap one of our blocks with a shared slot; keep, or free at once, what comes. */
static void op_hand_over(struct worker *w)
{
	struct shared_slot *s = &shared[rng_below(&w->rng, SHARED_SLOTS)];
	struct shadow_block mine = { 0 };

	if (!slot_lock(s))
		return;
	struct shadow_block theirs = s->block;
	if (w->live && (!theirs.at || rng_one_in(&w->rng, 2))) {
		unsigned i = (unsigned)rng_below(&w->rng, w->live);
		mine = w->blocks[i];
		drop_at(w, i);
	}
	s->block = mine;
	slot_unlock(s);
	if (!theirs.at)
		return;
	atomic_fetch_add_explicit(&handed_over, 1, memory_order_relaxed);
	if (w->live == cfg.lane_blocks || rng_one_in(&w->rng, 2)) {
		free_block(&w->rng, &theirs, "free in another thread");
		return;
	}
	shadow_verify(&theirs, theirs.at, theirs.filled, "hand-over");
	w->blocks[w->live++] = theirs;
}

static void op_verify(struct worker *w)
{
	if (!w->live)
		return;
	const struct shadow_block *b = &w->blocks[rng_below(&w->rng, w->live)];
	shadow_verify(b, b->at, b->filled, "check");
	if (st_usable(b->at) != b->usable)
		fail("usable size of live block %p changed from %zu to %zu", (void *)b->at,
		     b->usable, st_usable(b->at));
}

static void expect_refusal(const void *p, const char *how)
{
	if (p)
		fail("%s returned a block: %p", how, p);
	if (errno != ENOMEM)
		fail("%s failed with errno %d, expected ENOMEM", how, errno);
}

/* Requests that must be refused, and frees of nothing. */
static void op_absurd(struct worker *w)
{
	size_t half = SIZE_MAX / 2;

	st_free(NULL);
	if (st_usable(NULL) != 0)
		fail("usable size of NULL is not 0");
	errno = 0;
	expect_refusal(st_calloc(half, 3), "calloc(SIZE_MAX / 2, 3)");
	errno = 0;
	expect_refusal(st_malloc(SIZE_MAX - rng_below(&w->rng, 4096)), "malloc(SIZE_MAX - n)");
	if (!w->live)
		return;
	const struct shadow_block *b = &w->blocks[w->live - 1];
	errno = 0;
	expect_refusal(st_reallocarray(b->at, half, 3), "reallocarray(p, SIZE_MAX / 2, 3)");
	shadow_verify(b, b->at, b->filled, "reallocarray that overflows");
}

/* --- threads ------------------------------------------------------------------------ */

static void park(struct worker *w)
{
	if (!atomic_load_explicit(&world_stop, memory_order_relaxed))
		return;
	pthread_mutex_lock(&world_lock);
	while (atomic_load_explicit(&world_stop, memory_order_relaxed)) {
		w->state = THREAD_PARKED;
		pthread_cond_broadcast(&world_cond);
		pthread_cond_wait(&world_cond, &world_lock);
	}
	w->state = THREAD_RUNNING;
	pthread_mutex_unlock(&world_lock);
}

static void worker_done(struct worker *w)
{
	pthread_mutex_lock(&world_lock);
	w->state = THREAD_DONE;
	pthread_cond_broadcast(&world_cond);
	pthread_mutex_unlock(&world_lock);
}

/* Chances of an allocation, in percent of the allocations and frees. */
static unsigned alloc_share(struct worker *w, enum phase phase, int number)
{
	if (w->floor_phase != number) {
		w->floor_phase = number;
		w->floor = w->live / 10;
	}
	switch (phase) {
	case PHASE_GROW:
		return 75;
	case PHASE_SHRINK:
		return w->live > w->floor ? 5 : 50;
	case PHASE_CHURN:
	case PHASE_IDLE:
	case PHASE_COUNT:
		break;
	}
	return 50;
}

static void step(struct worker *w)
{
	int number = atomic_load_explicit(&phase_number, memory_order_relaxed);
	enum phase phase = (enum phase)(number % PHASE_COUNT);
	unsigned kind = (unsigned)rng_below(&w->rng, 100);

	if (phase == PHASE_IDLE && !rng_one_in(&w->rng, 64)) {
		doing(w, "idle");
		sleep_ms(1);
		return;
	}
	if (kind < 74) {
		bool alloc = rng_below(&w->rng, 100) < alloc_share(w, phase, number);
		doing(w, alloc ? "alloc" : "free");
		if (alloc)
			op_alloc(w);
		else
			op_free(w);
	} else if (kind < 84) {
		doing(w, "realloc");
		op_realloc(w);
	} else if (kind < 97) {
		doing(w, "hand-over");
		op_hand_over(w);
	} else if (kind < 99) {
		doing(w, "check");
		op_verify(w);
	} else if (rng_one_in(&w->rng, cfg.big ? 4 : 64)) {
		doing(w, "purge");
		st_purge();
	} else {
		doing(w, "absurd requests");
		op_absurd(w);
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	thread_name_set("worker", w->number);
	if (cfg.thread_start)
		cfg.thread_start();
	while (!atomic_load_explicit(&finish, memory_order_relaxed) && w->life_ops--) {
		park(w);
		step(w);
		atomic_store_explicit(&w->live_shown, w->live, memory_order_relaxed);
		uint64_t n = atomic_fetch_add_explicit(&w->ops, 1, memory_order_relaxed) + 1;
		if (n % 64 == 0)
			watchdog_kick();
		if (cfg.hook && n % cfg.hook_every == 0) {
			doing(w, "hook");
			cfg.hook(&(struct engine_lane_view){ w->blocks, w->live, &w->rng });
		}
	}
	doing(w, "thread end");
	worker_done(w);
	return NULL;
}

#ifndef STRESS_LIBC
static void knob_move(enum hak_knob knob, unsigned cls, int32_t value)
{
	int err = knob_set(knob, cls, value);

	if (err)
		fail("knob_set(%s, %u, %d) returned %d", knob_info(knob)->name, cls, (int)value,
		     err);
	if (knob_get(knob, cls ? cls : knob_info(knob)->per_class) != value)
		fail("knob %s, class %u, was set to %d and reads %d", knob_info(knob)->name, cls,
		     (int)value, (int)knob_get(knob, cls));
	atomic_fetch_add_explicit(&knob_moves, 1, memory_order_relaxed);
}

/* A value which is no candidate, or a class which is none, changes nothing. */
static void knob_refuse(enum hak_knob knob)
{
	const struct hak_knob_info *info = knob_info(knob);
	unsigned cls = info->per_class;
	int32_t bad = INT32_MIN + 1, before = knob_get(knob, cls);

	if (knob_set(knob, cls, bad) != -EINVAL || knob_get(knob, cls) != before)
		fail("knob %s took the value %d, which is not a candidate", info->name, (int)bad);
	if (knob_set(knob, HAK_CLASS_COUNT + 1, before) != -EINVAL)
		fail("knob %s took a value for class %d", info->name, HAK_CLASS_COUNT + 1);
}

/* A sample may be read and is the program's. */
static void look(void *block, size_t bytes)
{
	if (bytes > 0 && hak_usable_size(block) < bytes)
		fail("sampled block %p of %zu bytes has %zu", block, bytes, hak_usable_size(block));
}

static const struct sampler_hooks looking = { .look = look };

static void chaos_step(struct worker *w)
{
	enum hak_knob knob = (enum hak_knob)rng_below(&w->rng, HAK_KNOB_COUNT);
	const struct hak_knob_info *info = knob_info(knob);
	int32_t value = info->candidates[rng_below(&w->rng, info->ncandidates)];
	unsigned cls = 0;

	if (info->per_class && !rng_one_in(&w->rng, 8))
		cls = 1 + (unsigned)rng_below(&w->rng, HAK_CLASS_COUNT);
	doing(w, "knob_set");
	knob_move(knob, cls, value);
	if (rng_one_in(&w->rng, 16))
		knob_refuse(knob);
	if (rng_one_in(&w->rng, 16))
		limit_set(rng_one_in(&w->rng, 2) ? 0 : rng_below(&w->rng, 1 << 28), 0);
	if (rng_one_in(&w->rng, 32))
		sampler_set(SAMPLER_PROFILE, &looking, (uint32_t)rng_below(&w->rng, 1000));
	if (rng_one_in(&w->rng, 32)) {
		bool more;

		doing(w, "scavenge");
		purge_scavenge(rng_below(&w->rng, 2000000), 1 + (unsigned)rng_below(&w->rng, 8),
			       &more);
	}
}

static void knobs_reset(void)
{
	limit_set(0, 0);
	sampler_set(SAMPLER_PROFILE, NULL, 0);
	knob_reset_all();
}
#else
static void chaos_step(struct worker *w)
{
	doing(w, "idle");
}

static void knobs_reset(void)
{
}
#endif

static void *chaos_main(void *arg)
{
	struct worker *w = arg;

	thread_name_set("chaos", w->number);
	while (!atomic_load_explicit(&finish, memory_order_relaxed)) {
		park(w);
		chaos_step(w);
		if (rng_one_in(&w->rng, 64)) {
			doing(w, "purge");
			st_purge();
		}
		if (rng_one_in(&w->rng, 64)) {
			doing(w, "statistics");
			st_stats();
		}
		sleep_ms((unsigned)rng_below(&w->rng, 3));
	}
	worker_done(w);
	return NULL;
}

static void start_thread(struct worker *w, void *(*entry)(void *))
{
	w->state = THREAD_RUNNING;
	w->life_ops = UINT64_MAX;
	if (cfg.turnover_ops)
		w->life_ops = cfg.turnover_ops / 2 + rng_below(&w->rng, cfg.turnover_ops);
	int err = pthread_create(&w->thread, NULL, entry, w);
	if (err)
		fail("cannot create a thread: %s", strerror(err));
}

/* --- the main thread ------------------------------------------------------------------ */

static void walk(shadow_visit_fn *visit, void *arg)
{
	for (unsigned t = 0; t < cfg.threads; t++)
		for (unsigned i = 0; i < workers[t].live; i++)
			if (visit(&workers[t].blocks[i], arg))
				return;
	for (unsigned i = 0; i < SHARED_SLOTS; i++)
		if (visit(&shared[i].block, arg))
			return;
}

void engine_describe(char *buf, size_t size)
{
	for (unsigned t = 0; t <= cfg.threads; t++) {
		struct worker *w = t < cfg.threads ? &workers[t] : &workers[MAX_THREADS];
		const char *what = atomic_load_explicit(&w->doing, memory_order_relaxed);
		int n = snprintf(buf, size, "  thread %u: op %llu, last seen at: %s\n", w->number,
				 (unsigned long long)op_number(w), what ? what : "start");
		if (n < 0 || (size_t)n >= size)
			return;
		buf += n;
		size -= (size_t)n;
	}
}

/* Join the threads whose life is over and start their successors. */
static uint64_t turn_over(void)
{
	uint64_t started = 0;

	for (unsigned t = 0; t < cfg.threads; t++) {
		pthread_mutex_lock(&world_lock);
		bool done = workers[t].state == THREAD_DONE;
		pthread_mutex_unlock(&world_lock);
		if (!done)
			continue;
		pthread_join(workers[t].thread, NULL);
		start_thread(&workers[t], worker_main);
		started++;
	}
	return started;
}

static bool all_still(void)
{
	for (unsigned t = 0; t < cfg.threads; t++)
		if (workers[t].state == THREAD_RUNNING)
			return false;
	return !cfg.chaos || workers[MAX_THREADS].state != THREAD_RUNNING;
}

/* Park everyone, walk the allocator's structures, go on. */
static uint64_t stop_world(void)
{
	bool ended[MAX_THREADS];
	uint64_t started = 0;

	pthread_mutex_lock(&world_lock);
	atomic_store_explicit(&world_stop, true, memory_order_relaxed);
	while (!all_still())
		pthread_cond_wait(&world_cond, &world_lock);
	for (unsigned t = 0; t < cfg.threads; t++)
		ended[t] = workers[t].state == THREAD_DONE;
	pthread_mutex_unlock(&world_lock);
	/* Threads that are done still run the allocator's exit code until joined. */
	for (unsigned t = 0; t < cfg.threads; t++)
		if (ended[t])
			pthread_join(workers[t].thread, NULL);
	st_check_all();
	pthread_mutex_lock(&world_lock);
	atomic_store_explicit(&world_stop, false, memory_order_relaxed);
	pthread_cond_broadcast(&world_cond);
	pthread_mutex_unlock(&world_lock);
	for (unsigned t = 0; t < cfg.threads; t++) {
		if (!ended[t])
			continue;
		start_thread(&workers[t], worker_main);
		started++;
	}
	return started;
}

static uint64_t total_ops(void)
{
	uint64_t sum = 0;

	for (unsigned t = 0; t < cfg.threads; t++)
		sum += op_number(&workers[t]);
	return sum;
}

static void progress_line(uint64_t begin_ns, const struct engine_totals *t)
{
	static const char *const names[] = { "grow", "churn", "shrink", "idle" };
	uint64_t blocks = 0;

	for (unsigned i = 0; i < cfg.threads; i++)
		blocks += atomic_load_explicit(&workers[i].live_shown, memory_order_relaxed);
	say("  %5.1f s  %-6s  %llu ops  %llu blocks  %zu MiB  %llu threads  %llu handed over"
	    "  %llu stops  %llu knob moves  %llu refused",
	    (double)(clock_ns() - begin_ns) * 1e-9,
	    names[atomic_load_explicit(&phase_number, memory_order_relaxed) % PHASE_COUNT],
	    (unsigned long long)total_ops(), (unsigned long long)blocks,
	    atomic_load_explicit(&live_bytes, memory_order_relaxed) >> 20,
	    (unsigned long long)t->threads,
	    (unsigned long long)atomic_load_explicit(&handed_over, memory_order_relaxed),
	    (unsigned long long)t->world_stops,
	    (unsigned long long)atomic_load_explicit(&knob_moves, memory_order_relaxed),
	    (unsigned long long)atomic_load_explicit(&refused, memory_order_relaxed));
}

static void set_up(const struct engine_config *config)
{
	cfg = *config;
	if (cfg.threads > MAX_THREADS)
		cfg.threads = MAX_THREADS;
	size_t table = (size_t)cfg.lane_blocks * sizeof(struct shadow_block);
	struct rng seeds = { cfg.seed };
	for (unsigned t = 0; t < cfg.threads; t++) {
		workers[t].number = t;
		workers[t].rng.state = rng_next(&seeds);
		workers[t].blocks = pages_get(table);
	}
	workers[MAX_THREADS].number = cfg.threads;
	workers[MAX_THREADS].rng.state = rng_next(&seeds);
	shadow_set_walker(walk);
	for (unsigned t = 0; t < cfg.threads; t++)
		start_thread(&workers[t], worker_main);
	if (cfg.chaos)
		start_thread(&workers[MAX_THREADS], chaos_main);
}

/* Everything that is left is freed by the main thread, which owns none of it. */
static void free_everything(void)
{
	struct rng rng = { cfg.seed ^ 1 };

	for (unsigned t = 0; t < cfg.threads; t++) {
		while (workers[t].live) {
			free_block(&rng, &workers[t].blocks[--workers[t].live], "last free");
			if (workers[t].live % 256 == 0)
				watchdog_kick();
		}
	}
	for (unsigned i = 0; i < SHARED_SLOTS; i++) {
		if (shared[i].block.at)
			free_block(&rng, &shared[i].block, "last free");
		shared[i].block.at = NULL;
	}
	size_t left = atomic_load_explicit(&live_bytes, memory_order_relaxed);
	if (left)
		fail("the model's account is off by %zu bytes", left);
}

static void run_until_done(struct engine_totals *t)
{
	uint64_t begin = clock_ns(), next_stop = begin, next_phase = begin, next_line = begin;
	uint64_t end = begin + (uint64_t)(cfg.seconds * 1e9);
	uint64_t line_every = cfg.progress ? 1000000000u : UINT64_C(60000000000);

	next_line += line_every;
	next_stop += (uint64_t)cfg.stop_every_ms * 1000000;
	next_phase += (uint64_t)cfg.phase_ms * 1000000;
	for (uint64_t now = begin; now < end; now = clock_ns()) {
		sleep_ms(TICK_MS);
		t->threads += turn_over();
		if (now >= next_phase) {
			int number = atomic_load_explicit(&phase_number, memory_order_relaxed);
			atomic_store_explicit(&phase_number, number + 1, memory_order_relaxed);
			/* An idle phase is short: it costs time and tests only the purge. */
			bool idle = (number + 1) % PHASE_COUNT == PHASE_IDLE;
			next_phase = now + (uint64_t)cfg.phase_ms * (idle ? 300000u : 1000000u);
		}
		if (now >= next_stop) {
			t->threads += stop_world();
			t->world_stops++;
			next_stop = now + (uint64_t)cfg.stop_every_ms * 1000000;
		}
		if (now >= next_line) {
			progress_line(begin, t);
			next_line += line_every;
		}
		if (cfg.ops && total_ops() >= cfg.ops)
			break;
		if (cfg.enough && cfg.enough())
			break;
	}
	progress_line(begin, t);
}

struct engine_totals engine_run(const struct engine_config *config)
{
	struct engine_totals t = { .threads = config->threads };

	set_up(config);
	run_until_done(&t);
	atomic_store_explicit(&finish, true, memory_order_relaxed);
	for (unsigned i = 0; i < cfg.threads; i++)
		pthread_join(workers[i].thread, NULL);
	if (cfg.chaos)
		pthread_join(workers[MAX_THREADS].thread, NULL);
	st_check_all();
	if (cfg.chaos)
		knobs_reset();
	free_everything();
	shadow_check_nothing_live();
	t.ops = total_ops();
	t.refused = atomic_load_explicit(&refused, memory_order_relaxed);
	t.handed_over = atomic_load_explicit(&handed_over, memory_order_relaxed);
	t.knob_moves = atomic_load_explicit(&knob_moves, memory_order_relaxed);
	return t;
}

void engine_probe(struct rng *rng)
{
	for (size_t size = 1; size <= (size_t)64 << 20; size += size / 3 + 1) {
		struct shadow_block b;
		void *p = st_malloc(size);
		if (!p)
			fail("with no fault armed any more, malloc of %zu bytes returns NULL",
			     size);
		shadow_born(&b, p, size, 16, "malloc", 0, rng);
		shadow_leave(&b, "probe");
		st_free(p);
	}
}
