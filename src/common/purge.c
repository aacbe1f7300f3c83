#include "common/purge.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "common/background.h"
#include "common/bits.h"
#include "common/heap.h"
#include "common/huge.h"
#include "common/idle.h"
#include "common/knobs.h"
#include "common/limit.h"
#include "common/lock.h"
#include "common/options.h"
#include "common/os.h"
#include "common/remote.h"
#include "common/statpage.h"
#include "common/superslab.h"
#include "common/thread.h"
#include "common/ticker.h"

enum {
	/* A process with less to give back than this never gets the thread. */
	START_BYTES = 4 << 20,
	/* A pass lasts so long at most: when all but a millisecond is over, it ends with the step
	 * it is in and one of each other kind, all well below that. */
	PASS_BUDGET_NS = 5000000,
	LAST_STEPS_NS = 1000000,
	PAUSE_BUSY_MS = 10,     /* between passes while more is due */
	PAUSE_WAITING_MS = 100, /* while something will be due */
	LOOK_MS = 50,           /* between looks whether the process is idle, if that matters */
	RETRY_START_MS = 10000, /* after the system refused a thread */
	BARREN_MAX = 8,         /* passes for the limit that give nothing back */
	/* Above the soft limit less is worth a pass. */
	PRESSED_START_BYTES = START_BYTES / 16,
};

enum { THREAD_NONE, THREAD_STARTING, THREAD_RUNNING };

static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_MAINTENANCE);
static _Atomic int thread_status;
static _Atomic uint32_t asleep;       /* futex: 1 while the thread waits for work */
static _Atomic uint32_t next_pass_ms; /* by a slow path, without the thread */
static _Atomic uint32_t start_not_before_ms;
static _Atomic bool thread_allowed;
static _Atomic pid_t process; /* that the thread may be of */
static _Atomic uint64_t early_bytes;

struct lock *purge_lock(void)
{
	return &lock;
}

void purge_allow_thread(void)
{
	atomic_store_relaxed(&start_not_before_ms, os_now_ms());
	atomic_store_relaxed(&next_pass_ms, os_now_ms());
	atomic_store_relaxed(&process, getpid());
	atomic_store_relaxed(&thread_allowed, true);
}

/* About what there is to give back. */
static size_t pending_bytes(void)
{
	return superslab_dirty_bytes() + huge_cached_bytes() + heap_release_pending_bytes() +
	       remote_bytes();
}

/* ---- passes */

/* What a pass left undone. */
enum pass_rest { REST_NONE, REST_LATER, REST_NOW };

/* Passes by one kind of length. Written under lock. */
struct histogram {
	_Atomic uint64_t longest_ns;
	_Atomic uint64_t buckets[PURGE_BUCKETS];
};
static struct histogram by_clock, by_cpu;

static void count_in_locked(struct histogram *h, uint64_t ns)
{
	unsigned bucket = ns == 0 ? 0 : bit_highest(ns);
	atomic_add_relaxed(&h->buckets[bucket < PURGE_BUCKETS ? bucket : PURGE_BUCKETS - 1], 1);
	if (ns > atomic_load_relaxed(&h->longest_ns))
		atomic_store_relaxed(&h->longest_ns, ns);
}

struct purge_counters purge_counters(void)
{
	struct purge_counters c = {
		.longest_ns = atomic_load_relaxed(&by_clock.longest_ns),
		.longest_cpu_ns = atomic_load_relaxed(&by_cpu.longest_ns),
	};
	for (unsigned i = 0; i < PURGE_BUCKETS; i++) {
		c.by_ns[i] = atomic_load_relaxed(&by_clock.buckets[i]);
		c.by_cpu_ns[i] = atomic_load_relaxed(&by_cpu.buckets[i]);
		c.passes += c.by_ns[i];
	}
	return c;
}

/* The pass that has begun then is over. */
static void count_pass_locked(uint64_t begin_ns, uint64_t begin_cpu_ns)
{
	count_in_locked(&by_clock, os_now_ns() - begin_ns);
	count_in_locked(&by_cpu, os_thread_cpu_ns() - begin_cpu_ns);
}

/* When a pass that begins now has to come to its end. */
static uint64_t deadline_ns(uint64_t now_ns, uint64_t budget_ns)
{
	return now_ns + budget_ns - (budget_ns < LAST_STEPS_NS ? budget_ns : LAST_STEPS_NS);
}

enum phase { PHASE_HUGE, PHASE_HEAPS, PHASE_UNITS, PHASE_COUNT };

/* Returns whether something is left for later. */
static bool phase_run_locked(enum phase phase, const struct heap_maintenance *how)
{
	bool more;
	switch (phase) {
	case PHASE_HUGE:
		huge_purge_until(how->delay_ms, how->deadline_ns);
		/* Under the lock: while an extent is cut there seems to be less. */
		return huge_counters().cached_bytes > 0;
	case PHASE_HEAPS:
		heap_maintain_all(how, &more);
		return more;
	default:
		superslab_purge(how->delay_ms, how->deadline_ns, &more);
		return more;
	}
}

/* All phases, each for one step at least, beginning with that in which the last pass ran out of
 * time. */
static enum pass_rest phases_locked(const struct heap_maintenance *how)
{
	static unsigned first; /* under lock */
	unsigned begin = first, phase = first;
	bool more = false, in_time = true;
	do {
		more |= phase_run_locked((enum phase)phase, how);
		if (in_time && os_now_ns() >= how->deadline_ns) {
			in_time = false;
			first = phase;
		}
		phase = (phase + 1) % PHASE_COUNT;
	} while (phase != begin);
	if (!in_time)
		return REST_NOW;
	return more ? REST_LATER : REST_NONE;
}

/* Does memory go back earlier while the process is idle? */
static bool watches_idle(void)
{
	return knob_get(HAK_KNOB_IDLE_DELAY_MS, 0) < knob_get(HAK_KNOB_PURGE_DELAY_MS, 0);
}

/* As the knobs say; while there is pressure, all at once. */
static struct heap_maintenance how_to_maintain(bool early)
{
	enum hak_knob delay = early ? HAK_KNOB_IDLE_DELAY_MS : HAK_KNOB_PURGE_DELAY_MS;
	if (limit_update_pressure())
		return (struct heap_maintenance){ .min_run_pages = 1 };
	return (struct heap_maintenance){
		.delay_ms = (uint32_t)knob_get(delay, 0),
		.min_run_pages = (uint32_t)knob_get(HAK_KNOB_PARTIAL_RELEASE_PAGES, 0),
	};
}

static uint64_t returned_bytes(void)
{
	return os_counters().purged_bytes + huge_unmapped_bytes();
}

uint64_t purge_early_bytes(void)
{
	return atomic_load_relaxed(&early_bytes);
}

static enum pass_rest pass(struct heap_maintenance how)
{
	uint64_t begin, begin_cpu = os_thread_cpu_ns();
	enum pass_rest rest;
	lock_acquire(&lock);
	begin = os_now_ns();
	how.deadline_ns = deadline_ns(begin, PASS_BUDGET_NS);
	rest = phases_locked(&how);
	count_pass_locked(begin, begin_cpu);
	lock_release(&lock);
	return rest;
}

/* early: by the delay of an idle process. */
static enum pass_rest maintenance_pass(bool early)
{
	const bool counts = early && !limit_pressure();
	const uint64_t before = returned_bytes();
	enum pass_rest rest = pass(how_to_maintain(early));
	if (counts)
		atomic_add_relaxed(&early_bytes, returned_bytes() - before);
	/* Under pressure there is always something to look after: when it ends. */
	return rest == REST_NONE && limit_pressure() ? REST_LATER : rest;
}

size_t purge_scavenge(uint64_t budget_ns, unsigned min_run_pages, bool *more)
{
	struct heap_maintenance how = { .min_run_pages = min_run_pages };
	struct slow_scope scope;
	size_t bytes = 0;
	*more = false;
	if (slow_enter(&scope)) {
		uint64_t begin, begin_cpu = os_thread_cpu_ns();
		lock_acquire(&lock);
		begin = os_now_ns();
		how.deadline_ns = deadline_ns(begin, budget_ns);
		bytes = heap_maintain_all(&how, more);
		count_pass_locked(begin, begin_cpu);
		lock_release(&lock);
	}
	slow_leave(&scope);
	return bytes;
}

/* Passes one after the other. What there is now is enough: others may free more all the time. */
static void give_back_for_limit(void)
{
	const struct heap_maintenance all = { .min_run_pages = 1 };
	const uint64_t enough = returned_bytes() + pending_bytes();
	uint64_t before, after = returned_bytes();
	unsigned barren = 0; /* passes in a row that gave nothing back */
	enum pass_rest rest;
	do {
		before = after;
		rest = pass(all);
		after = returned_bytes();
		barren = after > before ? 0 : barren + 1;
	} while (limit_is_due() && rest == REST_NOW && barren < BARREN_MAX && after < enough);
}

void purge_for_limit(void)
{
	struct slow_scope scope;
	if (slow_enter(&scope)) {
		limit_update_pressure();
		if (limit_is_due())
			give_back_for_limit();
		limit_looked();
	}
	slow_leave(&scope);
}

/* ---- the thread */

/* A thread that only hits would not look at the knobs for long. */
static void notify_of_knobs(void)
{
	static uint32_t notified; /* the epoch; of the thread alone */
	const uint32_t epoch = knob_epoch();
	if (epoch != notified)
		heap_notify_knobs();
	notified = epoch;
}

/* Do what is due beside maintenance. Returns when it is due again, in ms; 0: never. */
static uint32_t serve_others(void)
{
	uint32_t tick_ms = ticker_exists() ? ticker_run() : 0, page_ms = statpage_period_ms();
	statpage_tick();
	notify_of_knobs();
	return tick_ms == 0 || (page_ms != 0 && page_ms < tick_ms) ? page_ms : tick_ms;
}

/* Sleep for `ms`, but for calls of the ticker when they are due. */
static void pause_ms(uint32_t ms)
{
	const uint32_t begin = os_now_ms();
	for (;;) {
		uint32_t tick_ms = serve_others();
		uint32_t passed = os_now_ms() - begin;
		if (passed >= ms)
			return;
		if (tick_ms == 0 || tick_ms >= ms - passed) {
			futex_sleep_ms(ms - passed);
			return;
		}
		futex_sleep_ms(tick_ms);
	}
}

static bool is_worth_a_pass(void)
{
	return pending_bytes() >= (limit_pressure() ? PRESSED_START_BYTES : START_BYTES);
}

/* Wait until purge_kick() sees work. */
static void wait_for_work(void)
{
	atomic_store_relaxed(&asleep, 1);
	/* What the last pass had passed by already did not kick. Pairs with the fence in
	 * thread_exit(): either that kick sees `asleep`, or its work is seen here. */
	atomic_thread_fence(memory_order_seq_cst);
	if (is_worth_a_pass())
		atomic_store_relaxed(&asleep, 0);
	while (atomic_load_relaxed(&asleep) == 1)
		futex_wait(&asleep, 1, serve_others());
	idle_forget();
}

/* The next pass comes early if the process is idle. Passes over a busy heap cost its threads
 * something, looks do not. Returns whether it is idle. */
static bool pause_until_idle(void)
{
	uint32_t look_ms = watches_idle() ? LOOK_MS : PAUSE_WAITING_MS;
	bool idle = false;
	for (uint32_t waited_ms = 0; !idle && waited_ms < PAUSE_WAITING_MS; waited_ms += look_ms) {
		pause_ms(look_ms);
		idle = idle_look();
	}
	return idle;
}

static void maintenance_main(void)
{
	bool idle = idle_look();
	for (;;) {
		switch (maintenance_pass(idle && watches_idle())) {
		case REST_NOW:
			pause_ms(PAUSE_BUSY_MS);
			idle = idle_look();
			break;
		case REST_LATER:
			idle = pause_until_idle();
			break;
		case REST_NONE:
			wait_for_work();
			idle = idle_look();
			break;
		}
	}
}

/* Times are RETRY_START_MS ahead at most. One that seems to be further is past: a process may come
 * here for the first time after weeks, and the clock goes round in seven. */
static bool has_come(uint32_t time_ms)
{
	return time_ms - os_now_ms() - 1 >= RETRY_START_MS;
}

static bool may_start_thread(void)
{
	return options.background && atomic_load_relaxed(&thread_allowed) &&
	       has_come(atomic_load_relaxed(&start_not_before_ms));
}

/* Not in the child of a vfork(), which runs on its parent's memory: the thread would be the
 * child's, end with it, and leave the parent its locks. */
static bool is_own_process(void)
{
	return atomic_load_relaxed(&process) == getpid();
}

static void start_thread_blocked(void)
{
	int none = THREAD_NONE;
	if (!atomic_cas_acq_rel(&thread_status, &none, THREAD_STARTING))
		return;
	if (background_start(maintenance_main) == 0) {
		atomic_store_relaxed(&thread_status, THREAD_RUNNING);
		return;
	}
	atomic_store_relaxed(&start_not_before_ms, os_now_ms() + RETRY_START_MS);
	atomic_store_release(&thread_status, THREAD_NONE); /* with what background_start() keeps */
}

/* A signal handler that forks comes before it all or after it: a child that went on in the middle
 * would take the parent's thread for its own, or start two. */
static void start_thread(void)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	start_thread_blocked();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* No thread: the program's own thread does a pass, one at a time. */
static void pass_by_caller(void)
{
	struct slow_scope scope;
	if (!has_come(atomic_load_relaxed(&next_pass_ms)))
		return;
	if (slow_enter(&scope)) {
		atomic_store_relaxed(&next_pass_ms, os_now_ms() + PAUSE_WAITING_MS);
		maintenance_pass(false);
		statpage_tick();
	}
	slow_leave(&scope);
}

/* The maintenance thread sees to the ticker. */
static bool ticker_has_thread(void)
{
	return atomic_load_relaxed(&thread_status) == THREAD_RUNNING && ticker_wants_thread();
}

void purge_kick(void)
{
	int saved = errno;
	switch (atomic_load_relaxed(&thread_status)) {
	case THREAD_RUNNING:
		if (atomic_load_relaxed(&asleep) == 1 && is_worth_a_pass()) {
			atomic_store_relaxed(&asleep, 0);
			futex_wake(&asleep, 1);
		}
		break;
	case THREAD_NONE:
		if (may_start_thread() &&
		    (ticker_wants_thread() || statpage_is_due() || is_worth_a_pass()) &&
		    is_own_process())
			start_thread();
		else if (is_worth_a_pass() || statpage_is_due())
			pass_by_caller();
		break;
	default:
		break;
	}
	/* No thread: the ticker's time may have come. */
	if (!ticker_has_thread() && ticker_is_due() &&
	    !(ticker_wants_thread() && may_start_thread()))
		(void)ticker_run();
	errno = saved;
}

void purge_kick_ticker(void)
{
	if (HAK_UNLIKELY(!ticker_has_thread()))
		purge_kick();
}

size_t purge_everything(void)
{
	const struct heap_maintenance all = { .min_run_pages = 1 };
	bool more;
	size_t bytes;
	lock_acquire(&lock);
	bytes = huge_purge(0);
	bytes += heap_maintain_all(&all, &more);
	bytes += superslab_purge(0, 0, &more);
	lock_release(&lock);
	return bytes;
}

void purge_after_fork(void)
{
	atomic_store_relaxed(&thread_status, THREAD_NONE);
	atomic_store_relaxed(&asleep, 0);
	atomic_store_relaxed(&process, getpid());
}
