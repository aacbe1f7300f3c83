/* common/idle.c: a process that sleeps is idle, one of which another thread works is not, and what
 * the looking thread does itself does not count. */
#include "unit.h"

#include "common/idle.h"
#include "common/os.h"

#include <pthread.h>
#include <time.h>

enum { WORK_NS = 20000000, TRIES = 200 };

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static void *work(void *arg)
{
	const uint64_t begin = os_thread_cpu_ns();
	while (os_thread_cpu_ns() - begin < WORK_NS)
		;
	return arg;
}

static void first_look(void)
{
	idle_forget();
	sleep_ms(5);
	CHECK(!idle_look(), "idle without a look before");
	CHECK(!idle_look(), "idle after no time");
}

static void sleeps(void)
{
	bool idle = false;
	/* The looks themselves may take long on a busy machine. */
	for (unsigned i = 0; i < TRIES && !idle; i++) {
		idle_look();
		sleep_ms(5);
		idle = idle_look();
	}
	CHECK(idle, "a process that sleeps is not idle");
	idle_forget();
	sleep_ms(5);
	CHECK(!idle_look(), "idle after it was forgotten");
}

static void own_work(void)
{
	bool idle = false;
	for (unsigned i = 0; i < TRIES && !idle; i++) {
		idle_look();
		work(NULL);
		idle = idle_look();
	}
	CHECK(idle, "what the looking thread does counts");
}

static void others_work(void)
{
	bool busy = false;
	for (unsigned i = 0; i < TRIES && !busy; i++) {
		pthread_t thread;
		idle_look();
		REQUIRE(pthread_create(&thread, NULL, work, NULL) == 0, "no thread");
		pthread_join(thread, NULL);
		busy = !idle_look();
	}
	CHECK(busy, "a process that works is idle");
}

static const struct test_case cases[] = {
	{ "first_look", first_look },
	{ "sleeps", sleeps },
	{ "own_work", own_work },
	{ "others_work", others_work },
};

UNIT_MAIN(cases)
