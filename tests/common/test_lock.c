/* common/lock.c: exclusion, ownership, ranks, and what fork does with the locks.
 *
 * Where a test needs another thread to be asleep on a lock, it waits, yielding,
 * for the mark that such a thread leaves, so that nothing depends on time.
 */
#include "unit.h"

#include "common/atomics.h"
#include "common/lock.h"
#include "common/thread.h"

enum { THREADS = 4 };

static struct lock low, middle, high;

static void setup(void)
{
	low = (struct lock)LOCK_INITIALIZER(LOCK_RANK_HEAP);
	middle = (struct lock)LOCK_INITIALIZER(LOCK_RANK_POOL);
	high = (struct lock)LOCK_INITIALIZER(LOCK_RANK_HUGE);
}

static bool is_free(const struct lock *l)
{
	return atomic_load_relaxed(&l->state) == 0;
}

static void wait_until_waited_for(struct lock *l)
{
	while (!(atomic_load_relaxed(&l->state) & 1))
		sched_yield();
}

static void wait_until_blocked(struct lock *holds, const struct lock *on)
{
	while (atomic_load_acquire(&holds->blocked_on) != on)
		sched_yield();
}

/* ---- exclusion */

static struct {
	uint64_t outer, inner; /* plain: the locks must do */
	unsigned inside;
} shared;
static unsigned rounds;

static void *count_under_locks(void *arg)
{
	uint64_t rng = *(uint64_t *)arg;
	for (unsigned i = 0; i < rounds; i++) {
		lock_acquire(&low);
		CHECK(shared.inside++ == 0, "two threads are inside");
		shared.outer++;
		if (unit_below(&rng, 2) == 0 || lock_try(&high) == false)
			lock_acquire(&high);
		shared.inner++;
		lock_release(&high);
		if (unit_below(&rng, 64) == 0)
			sched_yield(); /* so that others pile up */
		shared.inside--;
		lock_release(&low);

		lock_acquire(&high);
		shared.inner++;
		lock_release(&high);
	}
	return NULL;
}

static void exclusion(void)
{
	uint64_t seed = unit_seed(), seeds[THREADS];
	setup();
	rounds = test_scaled(40000, 4000);
	for (unsigned i = 0; i < THREADS; i++)
		seeds[i] = seed + i;
	unit_threads(THREADS, count_under_locks, seeds, sizeof(seeds[0]));
	CHECK_U64(shared.outer, (uint64_t)THREADS * rounds, "counted under one lock");
	CHECK_U64(shared.inner, (uint64_t)THREADS * rounds * 2, "counted under two");
	CHECK(is_free(&low) && is_free(&high), "both are free at the end");
	CHECK_PTR(thread_state.held, NULL, "locks of this thread");
}

/* ---- ownership */

static void *look_at_low(void *arg)
{
	(void)arg;
	CHECK(!lock_is_mine(&low), "another thread's lock counts as ours");
	CHECK(!lock_try(&low), "another thread's lock could be taken");
	CHECK(!lock_is_mine(&low), "a refused lock counts as ours");
	CHECK_PTR(thread_state.held, NULL, "locks held after a refusal");
	return NULL;
}

static void *take_low(void *arg)
{
	(void)arg;
	lock_acquire(&low);
	CHECK(lock_is_mine(&low), "a lock waited for is ours in the end");
	lock_release(&low);
	return NULL;
}

static void ownership(void)
{
	pthread_t t;
	setup();
	CHECK(!lock_is_mine(&low), "a free lock is nobody's");
	CHECK(lock_try(&low), "a free lock can be taken");
	CHECK(lock_is_mine(&low), "it is ours");
	CHECK_PTR(thread_state.held, &low, "lock taken last");
	CHECK(!lock_try(&low), "our own lock cannot be taken again");
	pthread_join(unit_thread(look_at_low, NULL), NULL);

	t = unit_thread(take_low, NULL);
	wait_until_waited_for(&low);
	CHECK(lock_is_mine(&low), "a lock that another waits for is still ours");
	lock_acquire(&high);
	CHECK(thread_state.held == &high && high.outer == &low, "chain of locks held");
	lock_release(&high);
	CHECK_PTR(thread_state.held, &low, "lock held after the inner one's release");
	lock_release(&low);
	pthread_join(t, NULL); /* hangs if nobody woke it */
	CHECK(is_free(&low) && thread_state.held == NULL, "free at the end");
}

static void *number_of_thread(void *arg)
{
	*(uint32_t *)arg = thread_number();
	CHECK_U64(thread_number(), *(uint32_t *)arg, "a thread's second look at its number");
	return NULL;
}

static void numbers(void)
{
	uint32_t n[UNIT_MAX_THREADS];
	unit_threads(UNIT_MAX_THREADS, number_of_thread, n, sizeof(n[0]));
	for (unsigned i = 0; i < UNIT_MAX_THREADS; i++) {
		CHECK(n[i] > 0 && n[i] < UINT32_C(1) << 31, "number %u is outside the range", n[i]);
		CHECK(n[i] != thread_number(), "number %u is the main thread's", n[i]);
		for (unsigned j = 0; j < i; j++)
			CHECK(n[i] != n[j], "number %u is used twice", n[i]);
	}
}

/* ---- ranks; dev builds abort */

static void falling_ranks(void *arg)
{
	(void)arg;
	lock_acquire(&high);
	lock_acquire(&low);
}

static void falling_try(void *arg)
{
	(void)arg;
	lock_acquire(&high);
	lock_try(&low);
}

static void equal_ranks(void *arg)
{
	struct lock twin = LOCK_INITIALIZER(LOCK_RANK_HUGE);
	(void)arg;
	lock_acquire(&high);
	lock_acquire(&twin);
}

static void twice(void *arg)
{
	(void)arg;
	lock_acquire(&low);
	lock_acquire(&low);
}

static void release_of_free(void *arg)
{
	(void)arg;
	lock_release(&low);
}

static void release_out_of_order(void *arg)
{
	(void)arg;
	lock_acquire(&low);
	lock_acquire(&high);
	lock_release(&low);
}

static void rising_ranks(void *arg)
{
	(void)arg;
	lock_acquire(&low);
	lock_acquire(&middle);
	lock_acquire(&high);
	lock_release(&high);
	lock_release(&middle);
	lock_release(&low);
}

static void ranks(void)
{
	static void (*const bad[])(void *) = { falling_ranks, falling_try, equal_ranks,
					       release_of_free, release_out_of_order };
	static struct unit_child child;
	setup();
	unit_child_passes(&child, rising_ranks, NULL);
	unit_child_aborts(twice, NULL, "internal check failed"); /* in every build: it would hang */
	if (!HAKMEM_DEV) {
		test_skip_case("ranks are checked in dev builds only");
		return;
	}
	for (unsigned i = 0; i < HAK_ARRAY_LEN(bad); i++)
		unit_child_aborts(bad[i], NULL, "internal check failed");
}

/* ---- futexes */

static void futexes(void)
{
	_Atomic uint32_t word = 5;
	errno = 4711;
	futex_wait(&word, 4, 0); /* it is not 4: no sleep */
	CHECK_I64(errno, 4711, "errno after a wait for another value");
	futex_wait(&word, 5, 1);
	CHECK_I64(errno, 4711, "errno after a wait that timed out");
	futex_wake(&word, 1);
	CHECK_I64(errno, 4711, "errno after a wake");
}

/* ---- fork */

/* As fork does it with one lock. */
static void for_fork(struct lock *l)
{
	while (!lock_take_for_fork(l))
		lock_wait_for_fork(l);
}

static void fork_takes_and_drops(void)
{
	setup();
	lock_fork_begin();
	CHECK_U64(thread_state.fork_level, 1, "level");
	for_fork(&low);
	for_fork(&high);
	CHECK(lock_is_mine(&low) && lock_is_mine(&high), "both are taken");
	lock_fork_begin(); /* a signal handler that forks as well */
	for_fork(&low);
	for_fork(&middle);
	CHECK(lock_is_mine(&middle), "the inner fork takes what was free");
	lock_fork_drop();
	CHECK(is_free(&middle) && thread_state.fork_level == 2, "dropped, to be tried again");
	for_fork(&middle);
	lock_fork_end();
	CHECK(is_free(&middle), "the inner fork drops what it took");
	CHECK(lock_is_mine(&low) && lock_is_mine(&high), "and nothing else");
	lock_fork_end();
	CHECK(is_free(&low) && is_free(&high), "the outer fork drops its own");
	CHECK(thread_state.held == NULL && thread_state.fork_level == 0, "nothing is left");
	CHECK(low.fork_level == 0 && middle.fork_level == 0 && high.fork_level == 0,
	      "levels of locks");
}

/* Fork handlers of the program may run while the locks are held, and allocate. */
static void fork_lets_handlers_in(void)
{
	setup();
	lock_fork_begin();
	for_fork(&low);
	for_fork(&middle);
	lock_acquire(&low);
	lock_acquire(&middle);
	lock_acquire(&low);
	lock_release(&low);
	CHECK(lock_is_mine(&low) && lock_is_mine(&middle), "still held inside");
	lock_release(&middle);
	lock_release(&low);
	CHECK(lock_is_mine(&low) && lock_is_mine(&middle), "held for the fork until its end");
	lock_acquire(&high); /* one that the fork has not taken */
	lock_release(&high);
	CHECK(is_free(&high), "and that is not held on to");
	lock_fork_end();
	CHECK(is_free(&low) && is_free(&middle) && thread_state.held == NULL, "free at the end");
}

static void fork_leaves_own_locks(void)
{
	setup();
	lock_acquire(&middle); /* the code that the forking handler interrupted */
	lock_fork_begin();
	for_fork(&low);
	for_fork(&middle);
	for_fork(&high);
	lock_free_in_child(&middle);
	CHECK(lock_is_mine(&middle), "the child keeps what its thread holds");
	lock_fork_end();
	CHECK(is_free(&low) && is_free(&high), "taken for the fork, and dropped");
	CHECK(lock_is_mine(&middle) && thread_state.held == &middle, "held before, and still");
	lock_release(&middle);
	CHECK(is_free(&middle), "free at the end");
}

/* A handler that comes while `middle` is held and `high` waited for. */
static void fork_keeps_what_was_waited_for(void)
{
	setup();
	lock_acquire(&middle);
	middle.blocked_on = &high;
	low.state = (thread_number() + 1) << 1;
	lock_fork_begin();
	lock_wait_for_fork(&low);
	CHECK_PTR(atomic_load_relaxed(&middle.blocked_on), &high, "after a pause");
	CHECK(!lock_take_for_fork(&low), "another's lock");
	CHECK_PTR(atomic_load_relaxed(&middle.blocked_on), &high, "after waiting in line");
	lock_fork_end();
	middle.blocked_on = NULL;
	lock_release(&middle);
}

struct hold {
	_Atomic bool holds, tried;
};

static void *hold_until_tried(void *arg)
{
	struct hold *h = arg;
	lock_acquire(&low);
	atomic_store_release(&h->holds, true);
	while (!atomic_load_acquire(&h->tried))
		sched_yield();
	lock_release(&low);
	return NULL;
}

static void fork_waits_for_holders(void)
{
	struct hold h = { false, false };
	pthread_t t;
	setup();
	t = unit_thread(hold_until_tried, &h);
	while (!atomic_load_acquire(&h.holds))
		sched_yield();
	lock_fork_begin();
	CHECK(!lock_take_for_fork(&low), "a lock that is held for more than a second");
	CHECK(!lock_is_mine(&low) && thread_state.held == NULL, "is not taken");
	atomic_store_release(&h.tried, true);
	for_fork(&low);
	CHECK(lock_is_mine(&low), "a holder that does not wait for us lets go");
	lock_fork_end();
	pthread_join(t, NULL);
	CHECK(is_free(&low), "free at the end");
}

static void *take_middle_then_high(void *arg)
{
	(void)arg;
	lock_acquire(&middle);
	lock_acquire(&high);
	lock_release(&high);
	lock_release(&middle);
	return NULL;
}

static void *take_low_then_middle(void *arg)
{
	(void)arg;
	lock_acquire(&low);
	lock_acquire(&middle);
	lock_release(&middle);
	lock_release(&low);
	return NULL;
}

static void in_child_of_storm(void *arg)
{
	(void)arg;
	lock_free_in_child(&low);
	lock_free_in_child(&middle);
	lock_free_in_child(&high);
	CHECK(is_free(&low) && is_free(&middle),
	      "locks of threads that do not exist here are free");
	CHECK(lock_is_mine(&high), "our own is still ours");
	CHECK(atomic_load_relaxed(&low.blocked_on) == NULL, "nobody waits");
	lock_fork_end();
	lock_release(&high);
	lock_acquire(&low);
	lock_acquire(&middle);
	lock_release(&middle);
	lock_release(&low);
	CHECK(is_free(&low) && is_free(&middle) && is_free(&high), "all can be used");
}

/* This thread holds `high`; one that holds `middle` waits for it, and one that holds
 * `low` for `middle`: fork must wait for neither. */
static void fork_skips_the_waiting(void)
{
	static struct unit_child child;
	pthread_t direct, indirect;
	setup();
	lock_acquire(&high);
	direct = unit_thread(take_middle_then_high, NULL);
	wait_until_blocked(&middle, &high);
	indirect = unit_thread(take_low_then_middle, NULL);
	wait_until_blocked(&low, &middle);

	lock_fork_begin();
	for_fork(&low); /* hangs if it waits */
	for_fork(&middle);
	for_fork(&high);
	CHECK(!lock_is_mine(&low) && !lock_is_mine(&middle), "locks of the waiting are left alone");
	unit_child_passes(&child, in_child_of_storm, NULL);
	lock_fork_end();
	CHECK(lock_is_mine(&high), "ours is still ours");
	lock_release(&high);
	pthread_join(direct, NULL);
	pthread_join(indirect, NULL);
	CHECK(atomic_load_relaxed(&low.blocked_on) == NULL &&
		      atomic_load_relaxed(&middle.blocked_on) == NULL,
	      "who has got its lock waits no more");
	CHECK(is_free(&low) && is_free(&middle) && is_free(&high), "free at the end");
}

/* A handler that comes after a wake, and before the woken code takes the lock. */
static _Atomic bool in_handler, wake_lost;

static void fork_in_handler(int sig)
{
	(void)sig;
	atomic_store_release(&in_handler, true);
	while (!atomic_load_acquire(&wake_lost))
		sched_yield();
	lock_fork_begin();
	lock_wait_for_fork(&middle); /* hangs if its holder is not woken */
	lock_fork_end();
}

/* As its holder's lock_release(), whose wake has gone to the interrupted thread. */
static void release_without_wake(struct lock *l)
{
	thread_state.held = l->outer;
	atomic_store_release(&l->state, 0);
}

enum { FALL_ASLEEP_MS = 20 }; /* not before that a wake would be missed */

static void *take_low_then_high(void *arg)
{
	(void)arg;
	lock_acquire(&low);
	lock_acquire(&high);
	lock_release(&high);
	lock_release(&low);
	return NULL;
}

static void fork_hands_on_a_wake(void)
{
	struct sigaction action = { .sa_handler = fork_in_handler };
	pthread_t interrupted, sleeper;
	setup();
	sigaction(SIGUSR1, &action, NULL);
	lock_acquire(&high);
	interrupted = unit_thread(take_low_then_high, NULL);
	wait_until_blocked(&low, &high);
	sleeper = unit_thread(take_middle_then_high, NULL);
	wait_until_blocked(&middle, &high);
	futex_sleep_ms(FALL_ASLEEP_MS);
	pthread_kill(interrupted, SIGUSR1);
	while (!atomic_load_acquire(&in_handler))
		sched_yield();
	release_without_wake(&high);
	atomic_store_release(&wake_lost, true);
	pthread_join(sleeper, NULL);
	pthread_join(interrupted, NULL);
	CHECK(is_free(&low) && is_free(&middle) && is_free(&high), "free at the end");
}

/* A handler that comes when lock_release() has made the lock free, and before its wake. */
static void fork_wakes_in_place_of_a_release(void)
{
	pthread_t sleeper;
	setup();
	lock_acquire(&high);
	sleeper = unit_thread(take_middle_then_high, NULL);
	wait_until_blocked(&middle, &high);
	futex_sleep_ms(FALL_ASLEEP_MS);
	thread_state.changing = &high;
	release_without_wake(&high);
	lock_fork_begin();
	for_fork(&middle); /* hangs if its holder is not woken */
	lock_fork_end();
	thread_state.changing = NULL;
	pthread_join(sleeper, NULL);
	CHECK(is_free(&middle) && is_free(&high), "free at the end");
}

/* A handler that comes when lock_release(mine) has taken it from the list of locks held,
 * and before it is free; its fork wants a lock of another thread like this one. */
static void fork_while_releasing(struct lock *mine, struct lock *other)
{
	thread_state.changing = mine;
	thread_state.held = mine->outer;
	lock_fork_begin();
	for_fork(other); /* hangs if neither knows what the other waits for */
	lock_fork_end();
	CHECK_PTR(atomic_load_relaxed(&mine->blocked_on), NULL, "no longer waits");
	thread_state.changing = NULL;
	atomic_store_release(&mine->state, 0);
}

static _Atomic bool middle_is_held;

static void *fork_while_releasing_middle(void *arg)
{
	(void)arg;
	lock_acquire(&middle);
	atomic_store_release(&middle_is_held, true);
	fork_while_releasing(&middle, &high);
	return NULL;
}

static void fork_sees_a_lock_being_released(void)
{
	pthread_t other;
	setup();
	lock_acquire(&high);
	other = unit_thread(fork_while_releasing_middle, NULL);
	while (!atomic_load_acquire(&middle_is_held))
		sched_yield();
	fork_while_releasing(&high, &middle);
	pthread_join(other, NULL);
	CHECK(is_free(&middle) && is_free(&high), "free at the end");
}

/* Two others wait for each other: one of them will see it and go on, but not before it runs. */
static void fork_leaves_a_ring_of_others(void)
{
	const uint32_t another = (thread_number() + 1) << 1;
	setup();
	low.state = middle.state = another;
	low.blocked_on = &middle;
	middle.blocked_on = &low;
	lock_fork_begin();
	CHECK(!lock_take_for_fork(&low), "a ring of others is none of ours"); /* or hangs */
	lock_fork_end();
}

/* ---- a storm: forks in the handlers of several threads, wherever they are */

static struct {
	struct lock turn, locks[5];
	pthread_mutex_t streams; /* as the C library's lock of them */
	bool has_streams;
	_Atomic unsigned forks, out_of_turn, left_alone;
	_Atomic bool over;
} storm;

static bool storm_take_all(struct lock **refused)
{
	*refused = &storm.turn;
	if (!lock_take_for_fork(&storm.turn))
		return false;
	for (unsigned i = 0; i < HAK_ARRAY_LEN(storm.locks); i++) {
		*refused = &storm.locks[i];
		if (!lock_take_for_fork(&storm.locks[i]))
			return false;
	}
	return true;
}

/* What fork does with locks. */
static void storm_fork(void)
{
	struct lock *refused;
	const bool interrupts = thread_state.held != NULL || thread_state.changing != NULL;
	lock_fork_begin();
	for (;;) {
		const struct lock_notes before = lock_fork_wait_begin(&storm.turn);
		if (storm.has_streams)
			pthread_mutex_lock(&storm.streams);
		lock_fork_wait_end(before);
		if (storm_take_all(&refused))
			break;
		lock_fork_drop();
		if (storm.has_streams)
			pthread_mutex_unlock(&storm.streams);
		lock_wait_for_fork(refused);
	}
	if (!lock_is_mine(&storm.turn))
		atomic_add_relaxed(&storm.out_of_turn, 1);
	for (unsigned i = 0; i < HAK_ARRAY_LEN(storm.locks) && !interrupts; i++)
		if (!lock_is_mine(&storm.locks[i]))
			atomic_add_relaxed(&storm.left_alone, 1);
	lock_fork_end();
	if (storm.has_streams)
		pthread_mutex_unlock(&storm.streams);
	atomic_add_relaxed(&storm.forks, 1);
}

static void storm_fork_in_handler(int sig)
{
	int saved = errno;
	(void)sig;
	storm_fork();
	errno = saved;
}

/* Some of the locks, one inside the other. */
static void storm_nest(uint64_t *rng, unsigned first)
{
	for (unsigned i = first; i < HAK_ARRAY_LEN(storm.locks); i++) {
		if (unit_below(rng, 3) != 0)
			continue;
		lock_acquire(&storm.locks[i]);
		if (unit_below(rng, 2) == 0)
			storm_nest(rng, i + 1);
		for (volatile unsigned n = unit_below(rng, 200); n > 0; n--)
			continue;
		lock_release(&storm.locks[i]);
	}
}

static void *storm_worker(void *arg)
{
	while (!atomic_load_relaxed(&storm.over))
		storm_nest(arg, 0);
	return NULL;
}

static void *storm_forker(void *arg)
{
	(void)arg;
	while (!atomic_load_relaxed(&storm.over)) {
		storm_fork();
		futex_sleep_ms(1);
	}
	return NULL;
}

/* Ends by the number of forks; hangs if some wait for each other. */
static void run_storm(bool has_streams)
{
	enum { WORKERS = 7, FORKING = 6, TICK_US = 50 };
	struct sigaction action = { .sa_handler = storm_fork_in_handler };
	uint64_t seed = unit_seed(), seeds[UNIT_MAX_THREADS];
	pthread_t threads[UNIT_MAX_THREADS];
	const unsigned enough = test_scaled(10000, 1000);
	for (unsigned i = 0; i < HAK_ARRAY_LEN(storm.locks); i++)
		storm.locks[i] = (struct lock)LOCK_INITIALIZER((uint8_t)(LOCK_RANK_HEAP + i));
	storm.turn = (struct lock)LOCK_INITIALIZER(LOCK_RANK_FORK);
	pthread_mutex_init(&storm.streams, NULL);
	storm.has_streams = has_streams;
	storm.forks = 0;
	storm.over = false;
	sigaction(SIGUSR1, &action, NULL);
	for (unsigned i = 0; i < UNIT_MAX_THREADS; i++) {
		seeds[i] = seed + i;
		threads[i] = unit_thread(i < WORKERS ? storm_worker : storm_forker, &seeds[i]);
	}
	while (atomic_load_relaxed(&storm.forks) < enough) {
		for (unsigned i = 0; i < FORKING; i++)
			pthread_kill(threads[i], SIGUSR1);
		usleep(TICK_US);
	}
	atomic_store_relaxed(&storm.over, true);
	for (unsigned i = 0; i < UNIT_MAX_THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < HAK_ARRAY_LEN(storm.locks); i++)
		CHECK(is_free(&storm.locks[i]), "lock %u is free at the end", i);
	CHECK_U64(storm.out_of_turn, 0, "forks at the same time as another");
	CHECK_U64(storm.left_alone, 0, "locks left alone by forks that interrupted nothing");
}

static void fork_storm(void)
{
	run_storm(true);
}

static void fork_storm_without_streams(void)
{
	run_storm(false);
}

static const struct test_case cases[] = {
	{ "ownership", ownership },
	{ "numbers", numbers },
	{ "ranks", ranks },
	{ "futexes", futexes },
	{ "exclusion", exclusion },
	{ "fork_takes_and_drops", fork_takes_and_drops },
	{ "fork_lets_handlers_in", fork_lets_handlers_in },
	{ "fork_leaves_own_locks", fork_leaves_own_locks },
	{ "fork_keeps_what_was_waited_for", fork_keeps_what_was_waited_for },
	{ "fork_waits_for_holders", fork_waits_for_holders },
	{ "fork_skips_the_waiting", fork_skips_the_waiting },
	{ "fork_hands_on_a_wake", fork_hands_on_a_wake },
	{ "fork_wakes_in_place_of_a_release", fork_wakes_in_place_of_a_release },
	{ "fork_sees_a_lock_being_released", fork_sees_a_lock_being_released },
	{ "fork_leaves_a_ring_of_others", fork_leaves_a_ring_of_others },
	{ "fork_storm", fork_storm },
	{ "fork_storm_without_streams", fork_storm_without_streams },
};

UNIT_MAIN(cases)
