/* The maintenance thread: it starts when there is enough to give back, gives back,
 * sleeps, and wakes for more. The test waits for what must come, yielding. */
#include "unit.h"

#include "common/huge.h"
#include "common/knobs.h"
#include "common/lock.h"
#include "common/os.h"
#include "common/purge.h"
#include "common/stats.h"
#include "common/superslab.h"
#include "common/ticker.h"
#include "hakmem/hakmem.h"

#include <dlfcn.h>
#include <time.h>

enum { MIB = 1 << 20 };

/* Under the lock: while an extent is cut, huge_cached_bytes() is 0 for a moment. */
static bool nothing_left(void)
{
	return superslab_dirty_bytes() == 0 && huge_counters().cached_bytes == 0;
}

static void give_back(void)
{
	uint64_t deadline = test_now_ms() + test_scaled(10000, 60000);
	unsigned char *large[8], *huge = hak_malloc(5 * MIB), *live = hak_malloc(5 * MIB);
	for (unsigned i = 0; i < 8; i++) {
		large[i] = hak_malloc(MIB);
		REQUIRE(large[i] != NULL && huge != NULL && live != NULL, "no memory");
		memset(large[i], 1, MIB);
	}
	test_fill(live, 5 * MIB, 1);
	for (unsigned i = 0; i < 8; i++)
		hak_free(large[i]);
	hak_free(huge);
	while (!nothing_left() && test_now_ms() < deadline) {
		purge_kick();
		sched_yield();
	}
	CHECK(nothing_left(), "%zu bytes dirty, %zu cached, and no thread gives them back",
	      superslab_dirty_bytes(), huge_cached_bytes());
	CHECK_U64(test_verify(live, 5 * MIB, 1), 5 * MIB, "content of a live block");
	hak_free(live);
}

static void rest(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
}

static HAK_NOINLINE void free_much(void)
{
	unsigned char *p[8];
	for (unsigned i = 0; i < 8; i++) {
		p[i] = hak_malloc(MIB);
		REQUIRE(p[i] != NULL, "no memory");
		memset(p[i], 1, MIB);
	}
	for (unsigned i = 0; i < 8; i++)
		hak_free(p[i]);
}

/* On this memory, but another process: the thread would end with it, and be missed here. */
static void not_by_a_vfork_child(void)
{
	pid_t pid = vfork();
	int status;
	if (pid == 0) {
		free_much();
		_exit(0);
	}
	REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid, "no child");
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child's wait status %#x",
	      (unsigned)status);
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 0);
	give_back();
}

static bool interrupt_clone;
static pid_t made_by_handler = -1;

/* In place of the C library's: a signal comes once the thread is there. */
int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	int (*real)(int (*)(void *), void *, int, void *, ...);
	va_list more;
	void *tls;
	int tid;
	*(void **)&real = dlsym(RTLD_NEXT, "clone");
	REQUIRE(real != NULL, "no clone()");
	va_start(more, arg);
	(void)va_arg(more, void *);
	tls = va_arg(more, void *);
	va_end(more);
	tid = real(fn, stack, flags, arg, NULL, tls, NULL);
	if (interrupt_clone)
		raise(SIGUSR1);
	interrupt_clone = false;
	return tid;
}

static void fork_in_handler(int sig)
{
	(void)sig;
	made_by_handler = fork();
}

/* The child goes on where its parent was interrupted, without the thread. */
static void interrupted_in_child(void *arg)
{
	int status = -1;
	(void)arg;
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 0);
	signal(SIGUSR1, fork_in_handler);
	interrupt_clone = true;
	give_back();
	CHECK(made_by_handler != -1, "no thread was started, or no child");
	if (made_by_handler > 0)
		CHECK(waitpid(made_by_handler, &status, 0) == made_by_handler && status == 0,
		      "the handler's child: wait status %#x", (unsigned)status);
}

static void interrupted_start(void)
{
	static struct unit_child child;
	if (test_under_qemu()) {
		test_skip_case("the emulator fails at a thread of a child whose parent had "
			       "several");
		return;
	}
	unit_child_passes(&child, interrupted_in_child, NULL);
}

/* A pass has done with huge blocks, if it had the time, and wants to look at units, which the test
 * has locked. */
static bool waits_for_units(void)
{
	enum { WAITED_FOR = 1 }; /* see struct lock */
	return (atomic_load_relaxed(&superslab_lock()->state) & WAITED_FOR) != 0;
}

/* What becomes free behind a pass, too late for it and before the thread sleeps, with no
 * other call after it. */
static void late_work(void)
{
	uint64_t deadline = test_now_ms() + test_scaled(10000, 60000);
	unsigned char *early = hak_malloc(5 * MIB), *late = hak_malloc(5 * MIB);
	REQUIRE(early != NULL && late != NULL, "no memory");
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 0);
	lock_acquire(superslab_lock());
	hak_free(early);
	while (!waits_for_units() && test_now_ms() < deadline) {
		purge_kick();
		sched_yield();
	}
	CHECK(waits_for_units(), "no pass came");
	hak_free(late);
	lock_release(superslab_lock());
	while (!nothing_left() && test_now_ms() < deadline)
		rest();
	CHECK(nothing_left(), "%zu bytes are kept while the thread sleeps", huge_cached_bytes());
}

/* A second thread is never asked for. */
static void once(void)
{
	os_fault_arm(OS_THREAD, 1, 1);
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 0);
	for (unsigned i = 0; i < 5 && test_failures == 0; i++)
		give_back();
	CHECK_U64(os_fault_hits(OS_THREAD), 0, "further threads asked for");
	os_fault_arm(OS_THREAD, 0, 0);
	hak_check_all();
}

static void starts(void)
{
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 0);
	give_back();
	hak_check_all();
}

/* Long before the purge delay is over, as the process does nothing but wait. */
static void idle_is_early(void)
{
	const uint64_t before = purge_early_bytes();
	uint64_t deadline = test_now_ms() + 60000;
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 10000);
	knob_set(HAK_KNOB_IDLE_DELAY_MS, 0, 10);
	free_much();
	purge_kick();
	while (!nothing_left() && test_now_ms() < deadline)
		rest();
	CHECK(nothing_left(), "%zu bytes dirty", superslab_dirty_bytes());
	CHECK(purge_early_bytes() - before > 0, "nothing went back early");
	knob_reset_all();
}

static uint32_t soon_again(void)
{
	return 5;
}

/* The process was stopped for a month, as its thread, between ticks, waits for memory to be due.
 * The last case. */
static void stopped_for_a_month(void)
{
	static const struct ticker ticker = { .tick = soon_again };
	uint64_t deadline = test_now_ms() + test_scaled(10000, 60000);
	knob_set(HAK_KNOB_PURGE_DELAY_MS, 0, 10000);
	ticker_register(&ticker);
	free_much();
	purge_kick();
	rest();
	CHECK(!nothing_left(), "it was given back before its time");
	os_clock_advance_ms(30u * 24 * 3600 * 1000);
	while (!nothing_left() && test_now_ms() < deadline)
		rest();
	CHECK(nothing_left(), "%zu bytes dirty after a month", superslab_dirty_bytes());
}

static const struct test_case cases[] = {
	{ "interrupted_start", interrupted_start },
	{ "not_by_a_vfork_child", not_by_a_vfork_child },
	{ "starts", starts },
	{ "once", once },
	{ "late_work", late_work },
	{ "idle_is_early", idle_is_early },
	{ "stopped_for_a_month", stopped_for_a_month },
};

int main(int argc, char **argv)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	test_skip("the thread is not one that a sanitizer knows");
#endif
	hak_init_once();
	return TEST_MAIN(argc, argv, cases);
}
