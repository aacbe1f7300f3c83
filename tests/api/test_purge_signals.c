/*
 * Signal handlers that allocate, while the program's own threads do the
 * maintenance (no thread for it) and each freed page goes back at once: the
 * handler interrupts purges again and again and must never wait for one. It may
 * be refused memory then, but what it gets is its own. Its size is not that of
 * the program's blocks: malloc is no async-signal-safe function, and the same
 * size in both would ask it to be.
 * CTest sets HAKMEM_BACKGROUND=0 and HAKMEM_PURGE_DELAY_MS=0.
 */
#include <sys/time.h>

#include "api.h"

enum {
	MAIN_BLOCKS = 20000,
	MAIN_BYTES = 1000,
	HANDLER_BLOCKS = 100,
	HANDLER_BYTES = 3000,
	RUN_MS = 2000,
};

static char *blocks[MAIN_BLOCKS];
static unsigned handled;

static void handler(int sig)
{
	char *p[HANDLER_BLOCKS];
	unsigned i;

	(void)sig;
	for (i = 0; i < HANDLER_BLOCKS; i++) {
		p[i] = api.malloc(HANDLER_BYTES);
		if (p[i])
			p[i][0] = p[i][HANDLER_BYTES - 1] = (char)i;
	}
	while (i-- > 0) {
		CHECK(!p[i] || (p[i][0] == (char)i &&
				p[i][HANDLER_BYTES - 1] == (char)i),
		      "block %u of the handler changed", i);
		api.free(p[i]);
	}
	__atomic_add_fetch(&handled, 1, __ATOMIC_RELAXED);
}

static void set_timer(suseconds_t us)
{
	struct itimerval it;

	memset(&it, 0, sizeof(it));
	it.it_value.tv_usec = us;
	it.it_interval.tv_usec = us;
	REQUIRE(setitimer(ITIMER_REAL, &it, NULL) == 0, "setitimer, errno %d",
		errno);
}

static void allocate_and_free(void)
{
	unsigned i;

	for (i = 0; i < MAIN_BLOCKS; i++) {
		blocks[i] = api.malloc(MAIN_BYTES);
		REQUIRE(blocks[i], "malloc failed");
		memset(blocks[i], (int)i, MAIN_BYTES);
	}
	for (i = 0; i < MAIN_BLOCKS; i++) {
		CHECK(blocks[i][0] == (char)i &&
			      blocks[i][MAIN_BYTES - 1] == (char)i,
		      "block %u changed", i);
		api.free(blocks[i]);
	}
}

static void work_under_signals(void)
{
	uint64_t end = test_now_ms() + RUN_MS;
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = handler;
	sa.sa_flags = SA_RESTART;
	REQUIRE(sigaction(SIGALRM, &sa, NULL) == 0, "sigaction");
	set_timer((suseconds_t)test_scaled(300, 10000));
	do {
		allocate_and_free();
	} while (test_now_ms() < end);
	set_timer(0);
	CHECK(handled >= 10, "expected >= 10 signals, found %u", handled);
}

/* In a child, so that a handler which waits for ever is told as a hang. */
static void case_handlers_interrupt_purges(void)
{
	api_isolated(work_under_signals, test_scaled(10000, 60000));
}

static const struct test_case cases[] = {
	{ "handlers_interrupt_purges", case_handlers_interrupt_purges },
};

int main(int argc, char **argv)
{
	api_init();
	return TEST_MAIN(argc, argv, cases);
}
