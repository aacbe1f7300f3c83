/* Signal storm: a timer interrupts the stress every 200 us, wherever it is.
 *
 * The handler allocates nothing in the interrupted process, but now and then
 * forks; the child exits at once or, with --child-alloc, first allocates and frees
 * (which the interrupted call must not be able to block). A child or a parent
 * that hangs is the failure looked for.
 */
#include "engine.h"
#include "names.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TICK_US = 200, FORK_EVERY = 7, CHILD_LIMIT_S = 20, MAX_CHILDREN = 4 };

/* What a handler that interrupted an allocation may count on is not much. */
enum { CHILD_ALLOC_BYTES = 4096 };

static _Atomic unsigned signals, forks, children;
static bool child_alloc;

static _Noreturn void child(void)
{
	signal(SIGALRM, SIG_DFL);
	sigset_t alarms;
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &alarms, NULL);
	alarm(CHILD_LIMIT_S);
	for (size_t size = 1; child_alloc && size < CHILD_ALLOC_BYTES; size += size / 4 + 1) {
		unsigned char *p = st_malloc(size);
		if (!p)
			_exit(3);
		memset(p, 0x5a, size);
		st_free(p);
	}
	_exit(0);
}

static void on_alarm(int sig)
{
	int kept = errno;
	unsigned n = atomic_fetch_add_explicit(&signals, 1, memory_order_relaxed);

	(void)sig;
	if (n % FORK_EVERY == 0 &&
	    atomic_load_explicit(&children, memory_order_relaxed) < MAX_CHILDREN) {
		pid_t pid = fork();
		if (pid == 0)
			child();
		if (pid > 0) {
			atomic_fetch_add_explicit(&children, 1, memory_order_relaxed);
			atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
		}
	}
	errno = kept;
}

static void alarms_mask(int how)
{
	sigset_t alarms;

	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	pthread_sigmask(how, &alarms, NULL);
}

static void let_alarms_in(void)
{
	alarms_mask(SIG_UNBLOCK);
}

/* Collect the children that ended; called by the main thread every few ms. */
static bool reap(void)
{
	int status;

	while (waitpid(-1, &status, WNOHANG) > 0) {
		atomic_fetch_sub_explicit(&children, 1, memory_order_relaxed);
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
			fail("a child forked by the handler hung for %d s", CHILD_LIMIT_S);
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			fail("a child forked by the handler ended with wait status %#x",
			     (unsigned)status);
	}
	return false;
}

static void timer(long us)
{
	struct itimerval every = { .it_interval.tv_usec = us, .it_value.tv_usec = us };

	if (setitimer(ITIMER_REAL, &every, NULL))
		fail("setitimer: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	struct stress_args args = { .program = "storm_signal", .seconds = 3, .threads = 4,
				    .max_bytes = (size_t)64 << 20 };

	args_parse(&args, argc, argv);
	child_alloc = args.child_alloc;
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	if (sigaction(SIGALRM, &action, NULL))
		fail("sigaction: %s", strerror(errno));
	/* Workers let alarms in for themselves: the storm is theirs alone. */
	alarms_mask(SIG_BLOCK);
	watchdog_start(engine_describe);
	timer(args.percent <= 10 ? TICK_US * 10 : TICK_US);
	struct engine_totals t = engine_run(&(struct engine_config){
		.threads = args.threads,
		.seconds = args.seconds,
		.seed = args.seed,
		.max_bytes = args.max_bytes,
		.lane_blocks = 2000,
		.chaos = true,
		.progress = args.progress,
		.turnover_ops = 20000,
		.stop_every_ms = 400,
		.phase_ms = 130,
		.thread_start = let_alarms_in,
		.enough = reap,
	});
	timer(0);
	for (int i = 0; i < CHILD_LIMIT_S * 100 && children; i++) {
		(void)reap();
		sleep_ms(10);
		watchdog_kick();
	}
	(void)reap();
	if (children || !signals || !forks)
		fail("%u signals, %u forks, %u children left", signals, forks, children);
	say("storm_signal: %llu operations, %u signals, %u forks, nothing found",
	    (unsigned long long)t.ops, signals, forks);
	return 0;
}
