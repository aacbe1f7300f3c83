/* Services of the stress programs which stay clear of the allocator: see support.h.
 *
 * Reports are formatted on the stack and leave in one write(2), so that they come
 * out whole from a process whose heap is broken.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Children of threaded programs may start threads here: the allocator's own, at
 * least. The race detector reads this and dies of such a thread by default. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

enum { REPORT_BYTES = 4096, HANG_S = 20 * HAKMEM_TEST_SLOWDOWN, WATCHDOG_TURN_MS = 200 };

static const char *program_name = "stress";
static uint64_t run_seed;
static _Thread_local char this_thread[32] = "main";

static void write_all(const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(STDERR_FILENO, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static size_t clip(int len, size_t room)
{
	if (len < 0)
		return 0;
	return (size_t)len < room ? (size_t)len : room - 1;
}

void say(const char *fmt, ...)
{
	char text[REPORT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	size_t len = clip(vsnprintf(text, sizeof(text) - 1, fmt, ap), sizeof(text) - 1);
	va_end(ap);
	text[len++] = '\n';
	write_all(text, len);
}

void fail(const char *fmt, ...)
{
	static atomic_flag reported = ATOMIC_FLAG_INIT;
	char text[REPORT_BYTES];
	va_list ap;

	while (atomic_flag_test_and_set(&reported))
		sleep_ms(1000);
	size_t len = clip(snprintf(text, sizeof(text), "FAIL %s [seed %llu, thread %s, pid %d]: ",
				   program_name, (unsigned long long)run_seed, this_thread,
				   (int)getpid()),
			  sizeof(text));
	va_start(ap, fmt);
	len += clip(vsnprintf(text + len, sizeof(text) - 1 - len, fmt, ap),
		    sizeof(text) - 1 - len);
	va_end(ap);
	text[len++] = '\n';
	write_all(text, len);
	signal(SIGABRT, SIG_DFL);
	abort();
}

void *pages_get(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		fail("the test's own mmap of %zu bytes: %s", bytes, strerror(errno));
	return p;
}

uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void sleep_ms(unsigned ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&ts, NULL);
}

void thread_name_set(const char *kind, unsigned number)
{
	(void)snprintf(this_thread, sizeof(this_thread), "%s %u", kind, number);
}

const char *thread_name(void)
{
	return this_thread;
}

static _Atomic uint64_t kicks;
static void (*watchdog_describe)(char *buf, size_t size);

/* The first line of /proc/self/task/NAME/FILE. */
static void task_line(const char *name, const char *file, char *line, size_t size)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/task/%s/%s", name, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, line, size - 1);
	if (fd >= 0)
		close(fd);
	line[n > 0 ? n : 0] = 0;
	line[strcspn(line, "\n")] = 0;
}

/* What the kernel says of each thread: asleep (S) and in which call, which a deadlock is, or
 * runnable (R) and starved. */
static void say_tasks(void)
{
	struct {
		uint64_t ino, off;
		unsigned short len;
		unsigned char type;
		char name[];
	} *entry;
	_Alignas(8) char entries[2048];
	char stat[512], wchan[64], call[160];
	long n;
	int fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && (n = syscall(SYS_getdents64, fd, entries, sizeof(entries))) > 0)
		for (long at = 0; at < n; at += entry->len) {
			entry = (void *)(entries + at);
			if (entry->name[0] == '.')
				continue;
			task_line(entry->name, "stat", stat, sizeof(stat));
			task_line(entry->name, "wchan", wchan, sizeof(wchan));
			task_line(entry->name, "syscall", call, sizeof(call));
			const char *state = strrchr(stat, ')');
			say("  task %s: %c, %s, system call %s", entry->name,
			    state ? state[2] : '?', wchan, call);
		}
	if (fd >= 0)
		close(fd);
}

static void *watchdog_main(void *unused)
{
	char state[2048] = "";
	uint64_t seen = 0;
	unsigned idle_turns = 0;

	(void)unused;
	thread_name_set("watchdog", 0);
	for (;;) {
		/* By its own turns: a process that is stopped, or gets no processor, does not
		 * hang. */
		sleep_ms(WATCHDOG_TURN_MS);
		uint64_t count = atomic_load_explicit(&kicks, memory_order_relaxed);
		if (count != seen) {
			seen = count;
			idle_turns = 0;
		}
		if (++idle_turns < HANG_S * 1000 / WATCHDOG_TURN_MS)
			continue;
		if (watchdog_describe)
			watchdog_describe(state, sizeof(state));
		say_tasks();
		fail("hang: no progress for %d s\n%s", HANG_S, state);
	}
	return NULL;
}

void watchdog_start(void (*describe)(char *buf, size_t size))
{
	sigset_t all, before;
	pthread_t thread;

	watchdog_describe = describe;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int err = pthread_create(&thread, NULL, watchdog_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		fail("cannot start the watchdog: %s", strerror(err));
	pthread_detach(thread);
}

void watchdog_kick(void)
{
	atomic_fetch_add_explicit(&kicks, 1, memory_order_relaxed);
}

static _Noreturn void usage(const struct stress_args *args, const char *bad)
{
	say("%s: bad argument '%s'\n"
	    "usage: %s [--seconds S] [--threads N] [--seed N] [--ops N] [--max-bytes N[K|M|G]]\n"
	    "       [--percent P] [--progress] [--child-alloc] [--child-alone]\n"
	    "       [--fault mmap|munmap|madvise|mremap|thread:NTH:PERIOD]\n"
	    "HAKMEM_RARE_PATHS=1 in the environment makes the allocator's rare paths frequent.",
	    args->program, bad, args->program);
	exit(2);
}

static uint64_t number(const struct stress_args *args, const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 0);

	switch (*end) {
	case 'G':
		n <<= 10;
		/* fall through */
	case 'M':
		n <<= 10;
		/* fall through */
	case 'K':
		n <<= 10;
		end++;
	}
	if (end == text || *end)
		usage(args, text);
	return n;
}

void args_parse(struct stress_args *args, int argc, char **argv)
{
	program_name = args->program;
	if (!args->seed)
		args->seed = mix64(clock_ns() ^ (uint64_t)getpid()) >> 32;
	if (!args->percent)
		args->percent = 100 / HAKMEM_TEST_SLOWDOWN;
	args->progress = isatty(STDERR_FILENO);
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i];
		if (!strcmp(name, "--progress")) {
			args->progress = true;
			continue;
		}
		if (!strcmp(name, "--child-alloc")) {
			args->child_alloc = true;
			continue;
		}
		if (!strcmp(name, "--child-alone")) {
			args->child_alone = true;
			continue;
		}
		if (++i == argc)
			usage(args, name);
		if (!strcmp(name, "--seconds"))
			args->seconds = strtod(argv[i], NULL);
		else if (!strcmp(name, "--threads"))
			args->threads = (unsigned)number(args, argv[i]);
		else if (!strcmp(name, "--seed"))
			args->seed = number(args, argv[i]);
		else if (!strcmp(name, "--ops"))
			args->ops = number(args, argv[i]);
		else if (!strcmp(name, "--max-bytes"))
			args->max_bytes = number(args, argv[i]);
		else if (!strcmp(name, "--percent"))
			args->percent = (unsigned)number(args, argv[i]);
		else if (!strcmp(name, "--fault"))
			args->fault = argv[i];
		else
			usage(args, name);
	}
	if (!args->threads || args->threads > 256)
		usage(args, "--threads (1 to 256)");
	run_seed = args->seed;
	say("%s: seed %llu, %u threads, %.1f s, at most %zu MiB live", args->program,
	    (unsigned long long)args->seed, args->threads, args->seconds, args->max_bytes >> 20);
}
