/* ACE in a real process, on the allocator's own figures: what CMakeLists.txt sets in the
 * environment is in force before main. Each program runs one case, named in ARGS. Loops
 * end when what they wait for has come, or fail after much work in vain.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>

#include "ace/ace.h"
#include "ace/ace_trace.h"
#include "common/knobs.h"
#include "common/options.h"
#include "common/thread.h"
#include "hakmem/hakmem.h"
#include "testing.h"

enum { TEXT_BYTES = 1 << 20, PATIENCE_MS = 10000, SLOW_PATIENCE_MS = 20000 };

static int caught[2];
static char text[TEXT_BYTES];
static size_t text_bytes;

/* Standard error of the library goes into a pipe; the test's own comes after main. */
static int saved_stderr;
__attribute__((constructor(101))) static void catch_standard_error(void)
{
	if (pipe(caught) != 0)
		_exit(1);
	fcntl(caught[0], F_SETFL, O_NONBLOCK);
	saved_stderr = dup(STDERR_FILENO);
	dup2(caught[1], STDERR_FILENO);
}

static void collect(void)
{
	ssize_t n;
	while (text_bytes < sizeof(text) - 1 &&
	       (n = read(caught[0], text + text_bytes, sizeof(text) - 1 - text_bytes)) > 0)
		text_bytes += (size_t)n;
	text[text_bytes] = '\0';
}

/* From here on standard error is the test's; what was said is in text[]. */
static void stop_catching(void)
{
	collect();
	dup2(saved_stderr, STDERR_FILENO);
}

/* Work for the allocator: hits, refills, flushes, large and huge blocks. */
static void churn(void)
{
	void *p[200];
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 200; i++) {
			p[i] = hak_malloc(16 + (i * 37 + round * 101) % 2000);
			if (p[i] != NULL)
				memset(p[i], 1, 16);
		}
		for (unsigned i = 0; i < 200; i++)
			hak_free(p[i]);
	}
	hak_free(hak_malloc(300000));
}

/* By processor time: on a busy machine a step takes as long as the others let it. */
static uint64_t deadline;

static uint64_t cpu_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool waiting(void)
{
	if (deadline == 0)
		deadline = cpu_now_ms() + test_scaled(PATIENCE_MS, SLOW_PATIENCE_MS);
	return cpu_now_ms() < deadline;
}

static unsigned count(const char *needle)
{
	unsigned n = 0;
	for (const char *s = text; (s = strstr(s, needle)) != NULL; s++)
		n++;
	return n;
}

static void churn_until(const char *words, unsigned times)
{
	do {
		churn();
		collect();
	} while (count(words) < times && waiting());
	CHECK(count(words) >= times, "\"%s\" %u times; standard error has:\n%.900s", words,
	      count(words), text);
}

static void all_at_default(void)
{
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		const struct hak_knob_info *info = knob_info((enum hak_knob)k);
		for (unsigned c = 0; c <= (info->per_class ? HAK_CLASS_COUNT : 0u); c++)
			CHECK_I64(knob_get((enum hak_knob)k, c),
				  info->candidates[info->default_index], info->name);
	}
}

/* ---- the trace of this process repeats */

static struct ace_controller replayed;
static char trace_name[64];

static void trace_repeats(void)
{
	static char trace[TEXT_BYTES];
	struct ace_replay r;
	size_t n = 0;
	ssize_t got;
	int fd;
	churn_until("[ACE] Fast loop: reward=", 40);
	stop_catching();
	snprintf(trace_name, sizeof(trace_name), "ace-trace.%d", (int)getpid());
	fd = open(trace_name, O_RDONLY);
	REQUIRE(fd >= 0, "no trace; standard error had:\n%.900s", text);
	while ((got = read(fd, trace + n, sizeof(trace) - n)) > 0)
		n += (size_t)got;
	close(fd);
	unlink(trace_name);
	while (n > 0 && trace[n - 1] != '\n')
		n--;
	CHECK(ace_replay(&r, &replayed, trace, n), "line %llu: %s, %s", (unsigned long long)r.line,
	      r.error, r.found);
	CHECK(r.samples >= 40, "%llu samples", (unsigned long long)r.samples);
	CHECK(count("[ACE] Fast loop: reward=0.") > 0, "nothing was judged:\n%.900s", text);
}

/* ---- the promised line about a drain threshold, for real */

enum { GIVEN = 5000, GIVEN_BYTES = 48 };
static void *given[GIVEN];

static void *free_given(void *arg)
{
	for (unsigned i = 0; i < GIVEN; i++)
		hak_free(given[i]);
	return arg;
}

/* No block of that class: its inbox is looked at by nobody. */
static void work_on_others(unsigned steps)
{
	unsigned before = count("[ACE] Fast loop: ");
	do {
		for (unsigned i = 0; i < 10000; i++)
			hak_free(hak_malloc(200));
		hak_free(hak_malloc(300000));
		collect();
	} while (count("[ACE] Fast loop: ") < before + steps && waiting());
}

static void high_backlog(void)
{
	const char *line = "\n[ACE] Drain threshold[3]: 64 → 32 (high backlog)\n";
	do {
		pthread_t thread;
		for (unsigned i = 0; i < GIVEN; i++)
			given[i] = hak_malloc(GIVEN_BYTES);
		REQUIRE(pthread_create(&thread, NULL, free_given, NULL) == 0, "no thread");
		pthread_join(thread, NULL);
		work_on_others(5);
	} while (count(line) == 0 && waiting());
	stop_catching();
	CHECK(count(line) > 0, "no \"%s\"; standard error has:\n%.900s", line + 1, text);
}

/* ---- guards */

static void stopped_by(const char *words)
{
	churn_until("[ACE] Stopped: ", 1);
	for (unsigned i = 0; i < 50; i++)
		churn();
	stop_catching();
	CHECK(count("[ACE] Stopped: ") == 1 && count(words) == 1,
	      "expected one \"%s\"; found:\n%.900s", words, text);
	all_at_default();
}

static void rss_guard(void)
{
	const size_t bytes = 8 << 20;
	memset(hak_malloc(bytes), 1, bytes); /* not freed */
	stopped_by("MB is above the limit of 1 (HAKMEM_ACE_MAX_RSS_MB)");
}

/* Slow paths of over a microsecond, all of them: blocks that are mapped each time. */
static void latency_guard(void)
{
	hak_free(hak_malloc(16)); /* only threads with a heap are timed */
	do {
		hak_free(hak_malloc((size_t)300 << 20));
		collect();
	} while (count("[ACE] Stopped: ") == 0 && waiting());
	stopped_by("ns is above the limit of 1000 (HAKMEM_ACE_MAX_P99_LAT_NS)");
}

/* Each heap is a lock and a sum for ACE; so many, so often, are over 1 % of a processor. */
static pthread_barrier_t all_there;
static void *heap_of_its_own(void *arg)
{
	hak_free(hak_malloc(100));
	pthread_barrier_wait(&all_there);
	pthread_barrier_wait(&all_there);
	return arg;
}

static void cpu_guard(void)
{
	enum { THREADS = 300 };
	static pthread_t threads[THREADS];
	pthread_barrier_init(&all_there, NULL, THREADS + 1);
	for (unsigned i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, heap_of_its_own, NULL) == 0, "no thread");
	pthread_barrier_wait(&all_there);
	stopped_by("% is above the limit of 1 (HAKMEM_ACE_MAX_CPU_PERCENT)");
	pthread_barrier_wait(&all_there);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* ---- the user's shortest run of pages holds for what ACE asks back, too */

static void given_runs_hold(void)
{
	enum { BLOCKS = 4000, BYTES = 4096, LOOKS = 4000, MAX_PURGED = 1 << 20 };
	const struct timespec pause = { .tv_nsec = 5000000 };
	static void *p[BLOCKS];
	struct hak_stats before = { .struct_bytes = sizeof(before) }, after = before;
	for (unsigned i = 0; i < BLOCKS; i++)
		memset(p[i] = hak_malloc(BYTES), 1, BYTES);
	for (unsigned i = 0; i < BLOCKS; i++)
		if ((uintptr_t)p[i] / BYTES % 2 == 1)
			hak_free(p[i]);
	hak_stats_get(&before);
	for (unsigned i = 0; i < LOOKS && count("[ACE] Scavenge: ") < 3; i++) {
		nanosleep(&pause, NULL);
		collect();
	}
	stop_catching();
	hak_stats_get(&after);
	CHECK(count("[ACE] Scavenge: up to 5 ms (idle)") >= 3, "standard error has:\n%.900s", text);
	CHECK(after.purged_bytes_total - before.purged_bytes_total < MAX_PURGED,
	      "%llu bytes went back, in runs of a page",
	      (unsigned long long)(after.purged_bytes_total - before.purged_bytes_total));
}

/* ---- fork: the child's ACE goes on, its trace does not */

static void in_child(void)
{
	size_t before = text_bytes;
	do {
		churn();
		collect();
	} while (strstr(text + before, "[ACE] Fast loop") == NULL && waiting());
	_exit(strstr(text + before, "[ACE] Fast loop") != NULL ? 0 : 1);
}

static void survives_fork(void)
{
	int status = -1;
	pid_t pid;
	churn_until("[ACE] Fast loop", 3);
	/* The parent's thread may have the last word in the pipe that both share: the child
	 * has one of its own. */
	pid = fork();
	if (pid == 0) {
		if (pipe(caught) != 0)
			_exit(2);
		fcntl(caught[0], F_SETFL, O_NONBLOCK);
		dup2(caught[1], STDERR_FILENO);
		in_child();
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	stop_catching();
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child's wait status %#x",
	      (unsigned)status);
}

/* Not asked for, not there. */
static void off_by_default(void)
{
	uint64_t end = test_now_ms() + 100;
	while (test_now_ms() < end)
		churn();
	stop_catching();
	CHECK(text_bytes == 0, "standard error has:\n%.900s", text);
	CHECK_U64(knob_epoch() - HAK_KNOB_COUNT, 0, "knobs moved since they were set");
}

static const struct test_case cases[] = {
	{ "trace_repeats", trace_repeats },
	{ "high_backlog", high_backlog },
	{ "rss_guard", rss_guard },
	{ "latency_guard", latency_guard },
	{ "cpu_guard", cpu_guard },
	{ "given_runs_hold", given_runs_hold },
	{ "survives_fork", survives_fork },
	{ "off_by_default", off_by_default },
};

int main(int argc, char **argv)
{
	/* Or the linker leaves ACE and its constructor out. */
	uint32_t (*volatile needed)(void) = ace_tick;
	(void)needed;
	if (argc < 2) {
		stop_catching();
		test_skip("one case at a time: %s CASE", argv[0]);
	}
	return TEST_MAIN(argc, argv, cases);
}
