/* The stress while the kernel refuses: each wrapped system call fails in turn.
 *
 * Every case (which call, the first call that fails, the period after it) runs in
 * a child of its own, so that faults also meet an allocator which has not started.
 * While the fault is armed an allocation may return NULL with ENOMEM and nothing
 * else may go wrong; after it is disarmed every size must be had again. A case
 * whose fault was never met fails: it tested nothing.
 */
#include "engine.h"
#include "names.h"
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CASE_LIMIT_S = 60 * HAKMEM_TEST_SLOWDOWN, TICKS_UNDER_FAULT = 40 };

struct fault_case {
	const char *name;
	enum os_call call;
	unsigned nth, period;
};

static const struct fault_case *now_running;

/* Enough of a case: the fault was met, and some work done under it. */
static bool fault_met(void)
{
	static unsigned ticks_after;

	if (!os_fault_hits(now_running->call))
		return false;
	return ticks_after++ > TICKS_UNDER_FAULT;
}

static void run_case(const struct fault_case *fc, const struct stress_args *args)
{
	struct rng rng = { args->seed ^ 2 };

	now_running = fc;
	watchdog_start(engine_describe);
	os_fault_arm(fc->call, fc->nth, fc->period);
	(void)engine_run(&(struct engine_config){
		.threads = args->threads,
		.seconds = args->seconds,
		.seed = args->seed,
		.max_bytes = args->max_bytes,
		.lane_blocks = 4000,
		.may_fail = true,
		.chaos = true,
		.big = true,
		.turnover_ops = 1000,
		.stop_every_ms = 50,
		.phase_ms = 30,
		.enough = fault_met,
	});
	uint64_t hits = os_fault_hits(fc->call);
	os_fault_arm(fc->call, 0, 0);
	engine_probe(&rng);
	st_check_all();
	if (!hits)
		fail("%s:%u:%u: the fault was never met in %.1f s", fc->name, fc->nth,
		     fc->period, args->seconds);
	_exit(0);
}

static void wait_for(pid_t child, const struct fault_case *fc)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			fail("waitpid: %s", strerror(errno));
	if (WIFSIGNALED(status))
		fail("%s:%u:%u: the child died of signal %d (%s)%s", fc->name, fc->nth,
		     fc->period, WTERMSIG(status), strsignal(WTERMSIG(status)),
		     WTERMSIG(status) == SIGALRM ? ": it hung" : "");
	if (WEXITSTATUS(status))
		fail("%s:%u:%u: the child exited with %d", fc->name, fc->nth, fc->period,
		     WEXITSTATUS(status));
}

static void start_case(const struct fault_case *fc, const struct stress_args *args)
{
	pid_t child = fork();

	if (child < 0)
		fail("fork: %s", strerror(errno));
	if (child == 0) {
		alarm(CASE_LIMIT_S);
		run_case(fc, args);
	}
	wait_for(child, fc);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		enum os_call call;
	} calls[] = {
		{ "mmap", OS_MMAP },     { "munmap", OS_MUNMAP }, { "madvise", OS_MADVISE },
		{ "mremap", OS_MREMAP }, { "thread", OS_THREAD },
	};
	static const struct {
		unsigned nth, period;
	} whens[] = {
		{ 1, 0 }, { 2, 0 }, { 3, 0 }, { 5, 0 }, { 8, 0 }, { 13, 0 }, { 21, 0 },
		{ 1, 1 }, { 1, 2 }, { 1, 3 }, { 2, 7 },
	};
	struct stress_args args = { .program = "stress_faults", .seconds = 8, .threads = 3,
				    .max_bytes = (size_t)256 << 20 };
	unsigned cases = 0;

	args_parse(&args, argc, argv);
	for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
		for (size_t w = 0; w < sizeof(whens) / sizeof(whens[0]); w++) {
			struct fault_case fc = { calls[c].name, calls[c].call, whens[w].nth,
						 whens[w].period };
			/* The thread is wanted once in a process, again only after a failure. */
			if (fc.call == OS_THREAD && fc.nth > 1)
				continue;
			if (args.percent <= 10 && w % 3 != c % 3)
				continue;
			if (args.fault && strncmp(args.fault, fc.name, strlen(fc.name)) != 0)
				continue;
			/* Refused for ever, the heap can never start: no stress to run. */
			if (fc.call == OS_MMAP && fc.nth == 1 && fc.period == 1)
				continue;
			if (args.progress)
				say("  %s:%u:%u", fc.name, fc.nth, fc.period);
			start_case(&fc, &args);
			cases++;
		}
	}
	if (!cases)
		fail("no case matched");
	say("stress_faults: %u cases, nothing found", cases);
	return 0;
}
