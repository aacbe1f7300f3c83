/*
 * fork in all the ways programs do it: with threads that allocate, from a
 * signal handler that interrupted malloc, nested, with atfork handlers that
 * allocate, and vfork and posix_spawn. Every child is waited for with a
 * deadline, so that a deadlock is a reported failure and not a test timeout.
 */
#include <pthread.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/time.h>

#include "api.h"

extern char **environ;

static unsigned child_deadline_ms(void)
{
	return test_scaled(10000, 40000);
}

/* Allocations of all kinds, contents checked. Failures go to CHECK. */
static void work_out(unsigned rounds, uint64_t seed)
{
	enum { SLOTS = 48 };
	char *p[SLOTS];
	size_t n[SLOTS];
	unsigned i, r;

	memset(p, 0, sizeof(p));
	memset(n, 0, sizeof(n));
	for (r = 0; r < rounds; r++) {
		uint64_t x = test_random(&seed);

		i = (unsigned)(x % SLOTS);
		if (p[i] && !CHECK(test_verify(p[i], n[i] < 64 ? n[i] : 64, i) ==
					   (n[i] < 64 ? n[i] : 64),
				   "block of %zu changed", n[i]))
			break;
		if (x & 4096) {
			api.free(p[i]);
			p[i] = NULL;
		}
		n[i] = (x >> 20) % ((x >> 50) % 50 == 0 ? 400000 : 2000);
		if (n[i] == 0)
			n[i] = 1;
		p[i] = api.realloc(p[i], n[i]);
		if (!CHECK(p[i] != NULL, "realloc(%zu) failed", n[i]))
			break;
		test_fill(p[i], n[i] < 64 ? n[i] : 64, i);
	}
	for (i = 0; i < SLOTS; i++)
		api.free(p[i]);
}

/* ---- threads that allocate and hand blocks to each other ---- */

enum { WORKERS = 4, HANDED = 256 };

static char *handed[HANDED];
static int stop_workers;
static char *parent_blocks[500];

static void *worker(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg * 77;
	char *keep[64];
	unsigned i;

	memset(keep, 0, sizeof(keep));
	while (!__atomic_load_n(&stop_workers, __ATOMIC_RELAXED)) {
		uint64_t x = test_random(&seed);
		char *p;

		i = (unsigned)(x % 64);
		api.free(keep[i]);
		keep[i] = api.malloc((x >> 20) %
				     ((x >> 50) % 100 == 0 ? 300000 : 3000));
		/* Another thread frees this one: remote frees cross the fork. */
		p = api.malloc(40 + x % 500);
		p = __atomic_exchange_n(&handed[(x >> 8) % HANDED], p,
					__ATOMIC_ACQ_REL);
		api.free(p);
	}
	for (i = 0; i < 64; i++)
		api.free(keep[i]);
	return NULL;
}

static void start_threads(pthread_t *t, unsigned n, void *(*body)(void *))
{
	unsigned i;

	stop_workers = 0;
	for (i = 0; i < n; i++)
		REQUIRE(pthread_create(&t[i], NULL, body,
				       (void *)(uintptr_t)(i + 1)) == 0,
			"pthread_create failed, errno %d", errno);
}

static void join_threads(pthread_t *t, unsigned n)
{
	unsigned i;

	__atomic_store_n(&stop_workers, 1, __ATOMIC_RELAXED);
	for (i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

static void *child_thread(void *arg)
{
	work_out(500, (uint64_t)(uintptr_t)arg);
	return NULL;
}

static void fill_parent_blocks(void)
{
	unsigned i;

	for (i = 0; i < 500; i++) {
		parent_blocks[i] = api.malloc(10 + i * 17);
		REQUIRE(parent_blocks[i], "malloc failed");
		test_fill(parent_blocks[i], 10 + i * 17, i);
	}
}

static void verify_parent_blocks(bool release)
{
	unsigned i;

	for (i = 0; i < 500; i++) {
		CHECK(test_verify(parent_blocks[i], 10 + i * 17, i) ==
			      10 + i * 17,
		      "block %u from before the fork changed", i);
		if (release)
			api.free(parent_blocks[i]);
	}
}

static void child_of_threads(uint64_t seed)
{
	pthread_t t;
	unsigned i;

	work_out(500, seed);
	verify_parent_blocks(true);
	/* What other threads' caches held when they ceased to exist. */
	for (i = 0; i < HANDED; i++)
		api.free(__atomic_exchange_n(&handed[i], NULL,
					     __ATOMIC_ACQUIRE));
	/* qemu-user 7.2 stops when a forked child of a threaded process makes one. */
	if (!test_under_qemu() &&
	    CHECK(pthread_create(&t, NULL, child_thread,
				 (void *)(uintptr_t)(seed + 1)) == 0,
		  "pthread_create in the child failed, errno %d", errno))
		pthread_join(t, NULL);
	work_out(500, seed + 2);
	api.trim(0);
	test_child_exit();
}

static void case_fork_with_threads(void)
{
	unsigned rounds = test_scaled(200, 15), i;
	pthread_t t[WORKERS];

	fill_parent_blocks();
	start_threads(t, WORKERS, worker);
	for (i = 0; i < rounds; i++) {
		pid_t pid = fork();

		if (pid == 0)
			child_of_threads(i);
		if (!api_expect_clean_exit(pid, child_deadline_ms(),
					   "child of 4 threads"))
			break;
		work_out(20, i);
	}
	join_threads(t, WORKERS);
	verify_parent_blocks(true);
}

/* ---- threads that are in the allocator's slow paths nearly all the time ---- */

static void *slab_churner(void *arg)
{
	enum { BLOCKS = 300, BYTES = 20000 };
	char *p[BLOCKS];
	unsigned i;

	(void)arg;
	while (!__atomic_load_n(&stop_workers, __ATOMIC_RELAXED)) {
		for (i = 0; i < BLOCKS; i++) {
			p[i] = api.malloc(BYTES);
			CHECK(p[i] != NULL, "malloc(%d) failed", BYTES);
		}
		for (i = 0; i < BLOCKS; i++)
			api.free(p[i]);
	}
	return NULL;
}

/* Their locks are hardly ever free: fork has to get in line for them. */
static void case_fork_among_busy_threads(void)
{
	enum { CHURNERS = 12 };
	unsigned rounds = test_scaled(10, 2), i;
	pthread_t t[CHURNERS];

	start_threads(t, CHURNERS, slab_churner);
	for (i = 0; i < rounds; i++) {
		pid_t pid = fork(); /* without end, if it waits for them to be free at its look */

		if (pid == 0) {
			work_out(20, i);
			test_child_exit();
		}
		if (!api_expect_clean_exit(pid, child_deadline_ms(), "child of busy threads"))
			break;
	}
	join_threads(t, CHURNERS);
}

/* Does the calling thread block SIGUSR2, and nothing else that may be looked for? */
static bool mask_is_as_set(void)
{
	sigset_t now;

	sigprocmask(SIG_SETMASK, NULL, &now);
	return sigismember(&now, SIGUSR2) && !sigismember(&now, SIGUSR1) &&
	       !sigismember(&now, SIGTERM) && !sigismember(&now, SIGALRM);
}

static void case_fork_keeps_the_signal_mask(void)
{
	sigset_t one, before;
	pid_t pid;

	sigemptyset(&one);
	sigaddset(&one, SIGUSR2);
	sigprocmask(SIG_SETMASK, &one, &before);
	pid = fork();
	if (pid == 0) {
		CHECK(mask_is_as_set(), "the child's signal mask is another one");
		test_child_exit();
	}
	CHECK(mask_is_as_set(), "the parent's signal mask is another one");
	sigprocmask(SIG_SETMASK, &before, NULL);
	api_expect_clean_exit(pid, child_deadline_ms(), "child that looks at its signal mask");
}

/* Each worker forks by itself, at the same time as the others. */
static void *forking_worker(void *arg)
{
	unsigned i, rounds = test_scaled(40, 5);

	for (i = 0; i < rounds; i++) {
		pid_t pid;

		work_out(50, i);
		pid = fork();
		if (pid == 0) {
			work_out(300, (uint64_t)(uintptr_t)arg);
			test_child_exit();
		}
		if (!api_expect_clean_exit(pid, child_deadline_ms(),
					   "concurrent fork"))
			break;
	}
	return NULL;
}

static void case_concurrent_forks(void)
{
	pthread_t t[3];
	unsigned i;

	for (i = 0; i < 3; i++)
		REQUIRE(pthread_create(&t[i], NULL, forking_worker,
				       (void *)(uintptr_t)(i + 1)) == 0,
			"pthread_create failed");
	for (i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
}

static void nested(unsigned depth)
{
	pid_t pid;

	work_out(200, depth);
	if (depth == 0)
		return;
	pid = fork();
	if (pid == 0) {
		nested(depth - 1);
		test_child_exit();
	}
	api_expect_clean_exit(pid, child_deadline_ms(), "nested fork");
	work_out(200, depth + 100);
}

static void case_nested_forks(void)
{
	nested(6);
}

static void case_fork_then_exit(void)
{
	unsigned i;

	for (i = 0; i < test_scaled(50, 10); i++) {
		pid_t pid;

		fflush(NULL);
		pid = fork();
		if (pid == 0)
			exit(0);
		if (!api_expect_clean_exit(pid, child_deadline_ms(), "exit()"))
			break;
	}
}

/* ---- fork in a signal handler that interrupted malloc or free ---- */

enum { MAX_HANDLER_CHILDREN = 64 };

static volatile sig_atomic_t handler_children;
static volatile sig_atomic_t handler_limit;
static volatile sig_atomic_t in_child;
static pid_t handler_pids[MAX_HANDLER_CHILDREN];

static void forking_handler(int sig)
{
	int saved = errno, n = handler_children;
	pid_t pid;

	(void)sig;
	if (in_child || n >= handler_limit)
		return;
	pid = fork();
	if (pid == 0) {
		in_child = 1;
	} else if (pid > 0) {
		handler_pids[n] = pid;
		handler_children = n + 1;
	}
	errno = saved;
}

/*
 * malloc and free until the handler has forked often enough. The child returns
 * from the handler into the interrupted call, allocates more, and exits.
 */
static void storm_until_forked(void)
{
	uint64_t seed = 42;
	uint64_t end = test_now_ms() + test_scaled(10000, 60000);
	char *keep[128];
	unsigned i;

	memset(keep, 0, sizeof(keep));
	while (!in_child && handler_children < handler_limit &&
	       test_now_ms() < end) {
		for (i = 0; i < 200 && !in_child; i++) {
			uint64_t x = test_random(&seed);
			unsigned k = (unsigned)(x % 128);

			api.free(keep[k]);
			keep[k] = api.malloc((x >> 20) %
					     ((x >> 50) % 30 == 0 ? 500000
								  : 3000));
			if (keep[k])
				keep[k][0] = 1;
		}
	}
	if (in_child) {
		struct itimerval none;

		memset(&none, 0, sizeof(none));
		setitimer(ITIMER_REAL, &none, NULL);
		stop_workers = 1;
		for (i = 0; i < 128; i++)
			api.free(keep[i]);
		work_out(300, 7);
		test_child_exit();
	}
	for (i = 0; i < 128; i++)
		api.free(keep[i]);
}

static void wait_for_handler_children(const char *what)
{
	int i;

	for (i = 0; i < handler_children; i++)
		if (!api_expect_clean_exit(handler_pids[i], child_deadline_ms(),
					   what))
			break;
	for (i++; i < handler_children; i++) {
		kill(handler_pids[i], SIGKILL);
		waitpid(handler_pids[i], NULL, 0);
	}
}

static void set_handler(int sig, void (*fn)(int))
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = fn;
	sa.sa_flags = SA_RESTART;
	sigaction(sig, &sa, NULL);
}

static void run_alarm_storm(const char *what)
{
	struct itimerval every;

	handler_children = 0;
	handler_limit = (sig_atomic_t)test_scaled(MAX_HANDLER_CHILDREN, 8);
	set_handler(SIGALRM, forking_handler);
	memset(&every, 0, sizeof(every));
	every.it_interval.tv_usec = (suseconds_t)test_scaled(1777, 20011);
	every.it_value = every.it_interval;
	setitimer(ITIMER_REAL, &every, NULL);
	storm_until_forked();
	memset(&every, 0, sizeof(every));
	setitimer(ITIMER_REAL, &every, NULL);
	CHECK(handler_children > 0, "%s: the handler never forked", what);
	wait_for_handler_children(what);
	set_handler(SIGALRM, SIG_IGN);
	work_out(500, 11);
}

/* A deadlock would be in the process that forks: it is a child here itself. */
static unsigned storm_deadline_ms(void)
{
	return test_scaled(25000, 150000);
}

static void sigalrm_storm(void)
{
	run_alarm_storm("fork in SIGALRM's handler");
}

static void case_fork_in_sigalrm(void)
{
	api_isolated(sigalrm_storm, storm_deadline_ms());
}

static void block_sigalrm(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(how, &set, NULL);
}

/* As above while other threads allocate, too. */
static void sigalrm_storm_with_threads(void)
{
	pthread_t t[WORKERS];

	block_sigalrm(SIG_BLOCK);
	start_threads(t, WORKERS, worker);
	block_sigalrm(SIG_UNBLOCK);
	run_alarm_storm("fork in SIGALRM's handler, with threads");
	join_threads(t, WORKERS);
}

static void case_fork_in_sigalrm_with_threads(void)
{
	api_isolated(sigalrm_storm_with_threads, storm_deadline_ms());
}

struct sender {
	pthread_t target;
	int stop;
};

static void *send_signals(void *arg)
{
	struct sender *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		pthread_kill(s->target, SIGUSR1);
		usleep((useconds_t)test_scaled(900, 20000));
	}
	return NULL;
}

static void sigusr1_storm(void)
{
	struct sender s = { pthread_self(), 0 };
	pthread_t t;

	handler_children = 0;
	handler_limit = (sig_atomic_t)test_scaled(MAX_HANDLER_CHILDREN, 8);
	set_handler(SIGUSR1, forking_handler);
	REQUIRE(pthread_create(&t, NULL, send_signals, &s) == 0,
		"pthread_create failed");
	storm_until_forked();
	__atomic_store_n(&s.stop, 1, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	CHECK(handler_children > 0, "the handler never forked");
	wait_for_handler_children("fork in SIGUSR1's handler");
	set_handler(SIGUSR1, SIG_IGN);
}

static void case_fork_in_sigusr1_from_thread(void)
{
	if (test_under_qemu()) {
		test_skip_case("a forked child's threads get no signals under qemu-user 7.2");
		return;
	}
	api_isolated(sigusr1_storm, storm_deadline_ms());
}

/* A handler that allocates: no promise of C, but it must not hang or corrupt
 * where the interrupted code was not in the allocator. */
static volatile sig_atomic_t quiet_hits;

static void allocating_handler(int sig)
{
	(void)sig;
	api.free(api.malloc(1000));
	quiet_hits++;
}

static void case_allocation_in_quiet_handler(void)
{
	unsigned i;

	quiet_hits = 0;
	set_handler(SIGUSR1, allocating_handler);
	for (i = 0; i < 1000; i++) {
		void *p = api.malloc(1000);

		raise(SIGUSR1);
		api.free(p);
	}
	CHECK_I64(quiet_hits, 1000, "handler calls");
	set_handler(SIGUSR1, SIG_IGN);
}

/* ---- atfork handlers that allocate ---- */

/* One block for each of the two registrations. */
static char *atfork_block[2];
static unsigned atfork_depth, atfork_calls;
static bool atfork_active;

static void atfork_prepare(void)
{
	if (!atfork_active)
		return;
	atfork_calls++;
	atfork_block[atfork_depth++] = api.malloc(1234);
	work_out(20, atfork_calls);
}

static void atfork_after(void)
{
	if (!atfork_active)
		return;
	work_out(20, atfork_calls + 1);
	api.free(atfork_block[--atfork_depth]);
}

/* Registered before main, thus perhaps before the allocator's own. */
__attribute__((constructor(101))) static void register_atfork_early(void)
{
	pthread_atfork(atfork_prepare, atfork_after, atfork_after);
}

static void case_atfork_handlers_allocate(void)
{
	pthread_t t[WORKERS];
	unsigned i;

	pthread_atfork(atfork_prepare, atfork_after, atfork_after);
	start_threads(t, WORKERS, worker);
	for (i = 0; i < test_scaled(50, 8); i++) {
		pid_t pid;

		atfork_active = true;
		pid = fork();
		if (pid == 0) {
			work_out(100, i);
			test_child_exit();
		}
		atfork_active = false;
		if (!api_expect_clean_exit(pid, child_deadline_ms(),
					   "fork with atfork handlers"))
			break;
	}
	join_threads(t, WORKERS);
	CHECK(atfork_calls > 0, "atfork handlers did not run");
}

/* ---- vfork and posix_spawn ---- */

static void case_vfork_exec(void)
{
	pthread_t t[WORKERS];
	unsigned i;

	if (test_under_qemu()) {
		test_skip_case("the emulator cannot exec");
		return;
	}
	start_threads(t, WORKERS, worker);
	for (i = 0; i < 50; i++) {
		pid_t pid = vfork();

		if (pid == 0) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(9);
		}
		if (!api_expect_clean_exit(pid, child_deadline_ms(), "vfork"))
			break;
		work_out(20, i);
	}
	join_threads(t, WORKERS);
}

static void case_posix_spawn(void)
{
	char name[] = "true";
	char *argv[] = { name, NULL };
	pthread_t t[WORKERS];
	unsigned i;

	if (test_under_qemu()) {
		test_skip_case("the emulator cannot exec");
		return;
	}
	start_threads(t, WORKERS, worker);
	for (i = 0; i < 50; i++) {
		pid_t pid = -1;
		FILE *f;

		CHECK_I64(posix_spawn(&pid, "/bin/true", NULL, NULL, argv,
				      environ),
			  0, "posix_spawn");
		if (!api_expect_clean_exit(pid, child_deadline_ms(), "spawn"))
			break;
		if (i % 10)
			continue;
		f = popen("echo 17", "r");
		if (CHECK(f != NULL, "popen failed")) {
			int n = 0;

			CHECK(fscanf(f, "%d", &n) == 1 && n == 17,
			      "popen: expected 17, found %d", n);
			CHECK_I64(pclose(f), 0, "pclose");
		}
	}
	join_threads(t, WORKERS);
}

static const struct test_case cases[] = {
	{ "fork_in_sigalrm", case_fork_in_sigalrm },
	{ "nested_forks", case_nested_forks },
	{ "fork_then_exit", case_fork_then_exit },
	{ "fork_with_threads", case_fork_with_threads },
	{ "fork_keeps_the_signal_mask", case_fork_keeps_the_signal_mask },
	{ "fork_among_busy_threads", case_fork_among_busy_threads },
	{ "concurrent_forks", case_concurrent_forks },
	{ "fork_in_sigalrm_with_threads", case_fork_in_sigalrm_with_threads },
	{ "fork_in_sigusr1_from_thread", case_fork_in_sigusr1_from_thread },
	{ "allocation_in_quiet_handler", case_allocation_in_quiet_handler },
	{ "atfork_handlers_allocate", case_atfork_handlers_allocate },
	{ "vfork_exec", case_vfork_exec },
	{ "posix_spawn", case_posix_spawn },
};

int main(int argc, char **argv)
{
	api_init();
	return TEST_MAIN(argc, argv, cases);
}
