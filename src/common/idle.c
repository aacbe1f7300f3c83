#include "common/idle.h"

#include "common/os.h"

enum {
	MIN_LOOK_NS = 1000000,
	/* A program that wakes up now and then, only to look, is idle. */
	IDLE_PART = 20,
};

static uint64_t last_ns, last_cpu_ns; /* last_ns 0: no look yet */

void idle_forget(void)
{
	last_ns = 0;
}

bool idle_look(void)
{
	const uint64_t now_ns = os_now_ns(), cpu_ns = os_process_cpu_ns() - os_thread_cpu_ns();
	const uint64_t passed_ns = now_ns - last_ns;
	/* The clocks are not read at one moment: of a process that does nothing it may be below
	 * 0. */
	const int64_t used_ns = (int64_t)(cpu_ns - last_cpu_ns);
	const bool usable = last_ns != 0 && passed_ns >= MIN_LOOK_NS;
	last_ns = now_ns;
	last_cpu_ns = cpu_ns;
	return usable && used_ns < (int64_t)(passed_ns / IDLE_PART);
}
