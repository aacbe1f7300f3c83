/* common/counters.c and perf_event.c: what happens where events are refused, in whatever way, and
 * with events that any kernel has, in place of the hardware's: they are read by descriptor.
 * Reading in user space: test_perf_page, and tests/system with a kernel and a CPU that have it. */
#include "unit.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "common/atomics.h"
#include "common/counters.h"
#include "common/options.h"
#include "common/perf_event.h"
#include "hakmem/hakmem.h"

/* Page faults stand for cycles, and so on: things that a test can bring about. */
static const struct perf_spec software[COUNTER_COUNT] = {
	[COUNTER_CYCLES] = { PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, 0 },
	[COUNTER_INSTRUCTIONS] = { PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, 0 },
	[COUNTER_LLC_LOADS] = { PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, 0 },
	[COUNTER_LLC_MISSES] = { PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MIN, 0 },
};

static bool have_software_events;

static unsigned open_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void touch_pages(unsigned n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, n * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(p != MAP_FAILED, "no memory");
	for (unsigned i = 0; i < n; i++)
		p[i * page] = 1;
	munmap(p, n * page);
}

/* What the kernel says beside: more than a test brings about, where a sanitizer takes memory
 * too. */
static uint64_t all_faults(void)
{
	struct rusage u;
	getrusage(RUSAGE_THREAD, &u);
	return (uint64_t)(u.ru_minflt + u.ru_majflt);
}

static uint64_t faults(struct hak_counters *c)
{
	CHECK(counters_read(c), "no counters");
	return c->value[COUNTER_CYCLES];
}

static void start(unsigned set)
{
	int why = 0;
	REQUIRE(counters_start(set, &why), "counters_start: %d", why);
}

/* ---- refusals */

struct refusal {
	int err;
	bool for_all; /* not asked again */
	const char *words;
};

/* In a child: what it says goes to the parent. */
static void be_refused(void *arg)
{
	const struct refusal *r = arg;
	struct hak_counters c;
	unsigned fds = open_fds();
	options.verbose = 1;
	perf_fault_arm(r->err);
	for (unsigned i = 0; i < 3; i++) {
		int why = 0;
		errno = 4711;
		CHECK(!counters_start(COUNTERS_ALL, &why), "started");
		CHECK_I64(why, r->for_all ? -r->err : -EAGAIN, "why");
		CHECK(!counters_read(&c), "read");
	}
	counter_source_step_down(COUNTER_SOURCE_SOFTWARE, -r->err);
	counter_source_step_down(COUNTER_SOURCE_SOFTWARE, -r->err);
	CHECK_U64(open_fds(), fds, "descriptors");
	if (have_software_events) {
		int why = 0;
		perf_fault_arm(0);
		CHECK(counters_start(COUNTERS_ALL, &why) == !r->for_all, "after the refusal: %d",
		      why);
	}
	counters_stop();
}

static void refused(void)
{
	static const struct refusal refusals[] = {
		{ EACCES, true, "not permitted" }, { EPERM, true, "not permitted" },
		{ ENOENT, true, "no such event" }, { ENOSYS, true, "the kernel has none" },
		{ EINVAL, true, "no such event" }, { EMFILE, false, "too many open files" },
		{ ENOMEM, false, "refused" },
	};
	static struct unit_child child;
	for (unsigned i = 0; i < HAK_ARRAY_LEN(refusals); i++) {
		struct refusal r = refusals[i];
		counters_reset(have_software_events ? software : NULL);
		unit_child_passes(&child, be_refused, &r);
		CHECK(unit_count(child.text, "next source: software") == 1 &&
			      strstr(child.text, r.words) != NULL,
		      "errno %d: \"%s\" is to be said once; said:\n%s", r.err, r.words, child.text);
	}
}

static void say_nothing(void *arg)
{
	int why;
	(void)arg;
	options.verbose = 0;
	perf_fault_arm(EACCES);
	CHECK(!counters_start(COUNTERS_ALL, &why), "started");
	counter_source_step_down(COUNTER_SOURCE_SOFTWARE, why);
}

/* Nobody asked for lines. */
static void refused_in_silence(void)
{
	static struct unit_child child;
	counters_reset(NULL);
	unit_child_passes(&child, say_nothing, NULL);
	CHECK(child.text[0] == '\0', "it says:\n%s", child.text);
}

/* The machine as it is, whatever it has: no error, no leak, and no going back. */
static void as_it_is(void)
{
	unsigned fds = open_fds();
	struct hak_counters c = { .value = { 0 } }, next;
	int why = 0;
	counters_reset(NULL);
	if (counters_start(COUNTERS_ALL, &why)) {
		for (unsigned i = 0; i < 1000; i++) {
			REQUIRE(counters_read(&next), "no counters");
			for (unsigned k = 0; k < COUNTER_COUNT; k++)
				CHECK(next.value[k] >= c.value[k], "counter %u goes back", k);
			c = next;
		}
		for (unsigned k = 0; k < COUNTER_COUNT; k++)
			test_say("counter %u: %s, %llu", k, counter_source_name(c.source[k]),
				 (unsigned long long)c.value[k]);
	} else {
		test_say("none: %d", why);
		CHECK(why != -EAGAIN, "why");
	}
	counters_stop();
	counters_stop();
	CHECK(!counters_read(&c), "read after the end");
	CHECK_U64(open_fds(), fds, "descriptors at the end");
}

/* ---- events of the kernel */

static bool need_software_events(void)
{
	counters_reset(software);
	if (!have_software_events)
		test_skip_case("this kernel has no perf events, or does not let us");
	return have_software_events;
}

static void by_descriptor(void)
{
	struct hak_counters a, b;
	unsigned fds = open_fds();
	uint64_t before, all;
	if (!need_software_events())
		return;
	start(COUNTERS_ALL);
	all = all_faults();
	before = faults(&a);
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		CHECK(a.source[i] == COUNTER_SOURCE_FD, "source %s",
		      counter_source_name(a.source[i]));
	touch_pages(100);
	before = faults(&b) - before;
	all = all_faults() - all;
	CHECK(before >= 100 && before <= all, "%llu page faults of %llu, 100 at least",
	      (unsigned long long)before, (unsigned long long)all);
	CHECK(b.value[COUNTER_INSTRUCTIONS] > a.value[COUNTER_INSTRUCTIONS], "no time has passed");
	CHECK(open_fds() == fds + COUNTER_COUNT, "descriptors");
	counters_stop();
	CHECK_U64(open_fds(), fds, "descriptors at the end");
	/* Only what is asked for. */
	start(COUNTERS_LLC);
	CHECK(faults(&a) == 0 && a.source[COUNTER_CYCLES] == COUNTER_SOURCE_NONE, "cycles unasked");
	CHECK(a.source[COUNTER_LLC_MISSES] == COUNTER_SOURCE_FD, "no misses");
	counters_stop();
}

static void growth(void)
{
	struct hak_counters c;
	uint64_t all;
	if (!need_software_events())
		return;
	start(COUNTERS_ALL);
	CHECK(!counters_growth(1000000, &c), "too soon");
	all = all_faults();
	REQUIRE(counters_growth(0, &c), "no growth");
	touch_pages(50);
	REQUIRE(counters_growth(0, &c), "no growth");
	CHECK(c.value[COUNTER_CYCLES] >= 50 && c.value[COUNTER_CYCLES] <= all_faults() - all,
	      "50 page faults are %llu", (unsigned long long)c.value[COUNTER_CYCLES]);
	all = all_faults();
	REQUIRE(counters_growth(0, &c), "no growth");
	REQUIRE(counters_growth(0, &c), "no growth");
	CHECK(c.value[COUNTER_CYCLES] <= all_faults() - all, "%llu page faults out of nothing",
	      (unsigned long long)c.value[COUNTER_CYCLES]);
	counters_stop();
}

/* The program closes every descriptor and opens its own. */
static void descriptors_taken_away(void)
{
	uint64_t last, end = test_now_ms() + 20000;
	struct hak_counters c;
	char byte = 0;
	int pipes[2], high;
	if (!need_software_events())
		return;
	start(1 << COUNTER_CYCLES);
	last = faults(&c);
	for (high = 1023; fcntl(high, F_GETFD) < 0; high--)
		;
	REQUIRE(pipe(pipes) == 0 && write(pipes[1], "x", 1) == 1, "no pipe");
	REQUIRE(dup2(pipes[0], high) == high, "dup2"); /* closes ours */
	while (c.value[COUNTER_CYCLES] == last && test_now_ms() < end) {
		touch_pages(1);
		(void)faults(&c);
		sched_yield();
	}
	CHECK(c.value[COUNTER_CYCLES] > last, "from %llu to %llu", (unsigned long long)last,
	      (unsigned long long)c.value[COUNTER_CYCLES]);
	last = c.value[COUNTER_CYCLES];
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	CHECK(read(pipes[0], &byte, 1) == 1 && byte == 'x', "the program's data was read");
	touch_pages(100);
	CHECK(faults(&c) >= last + 100, "no new event: %llu",
	      (unsigned long long)(faults(&c) - last));
	counters_stop();
	CHECK(fcntl(high, F_GETFD) >= 0, "the program's descriptor is closed");
	close(high);
	close(pipes[0]);
	close(pipes[1]);
}

static void in_child(void *arg)
{
	struct hak_counters c;
	unsigned *fds = arg;
	CHECK(!counters_read(&c), "the child reads its parent's counters");
	CHECK_U64(open_fds(), *fds, "descriptors in the child");
	start(COUNTERS_ALL);
	touch_pages(100);
	CHECK(faults(&c) >= 100 && c.value[COUNTER_CYCLES] <= all_faults(),
	      "page faults of the child: %llu", (unsigned long long)c.value[COUNTER_CYCLES]);
}

static void forked(void)
{
	static struct unit_child child;
	struct hak_counters c;
	unsigned fds = open_fds();
	uint64_t before;
	pid_t pid;
	int status = -1;
	if (!need_software_events())
		return;
	start(COUNTERS_ALL);
	before = faults(&c);
	unit_child_passes(&child, in_child, &fds);
	/* Without fork()'s handlers: nothing is read, nothing is started. */
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		int why;
		_exit(counters_read(&c) || counters_start(COUNTERS_ALL, &why));
	}
	waitpid(pid, &status, 0);
	CHECK_I64(status, 0, "status of a child without handlers");
	touch_pages(100);
	CHECK(faults(&c) - before >= 100, "the parent's counters stand still");
	counters_stop();
}

static struct {
	pthread_barrier_t all_started, all_seen;
	_Atomic unsigned started;
} together;

static void *one_of_many(void *arg)
{
	int why = 0;
	bool mine = counters_start(COUNTERS_ALL, &why);
	(void)arg;
	CHECK(mine || why == -EAGAIN, "why: %d", why);
	if (mine)
		atomic_add_relaxed(&together.started, 1);
	pthread_barrier_wait(&together.all_started);
	pthread_barrier_wait(&together.all_seen);
	counters_stop();
	return NULL;
}

static void many(unsigned threads, unsigned at_least, unsigned at_most)
{
	pthread_t t[40];
	unsigned fds = open_fds();
	REQUIRE(threads <= HAK_ARRAY_LEN(t), "%u threads", threads);
	together.started = 0;
	pthread_barrier_init(&together.all_started, NULL, threads + 1);
	pthread_barrier_init(&together.all_seen, NULL, threads + 1);
	for (unsigned i = 0; i < threads; i++)
		t[i] = unit_thread(one_of_many, NULL);
	pthread_barrier_wait(&together.all_started);
	CHECK(together.started >= at_least && together.started <= at_most,
	      "%u threads have counters, not %u to %u", together.started, at_least, at_most);
	CHECK_U64(open_fds(), fds + together.started * COUNTER_COUNT, "descriptors");
	pthread_barrier_wait(&together.all_seen);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	CHECK_U64(open_fds(), fds, "descriptors at the end");
}

static void bounded(void)
{
	int why = 0;
	if (!need_software_events())
		return;
	options.counter_threads = 3;
	many(10, 3, 3);
	options.counter_threads = 64;
	many(40, 8, 16); /* 64 descriptors; who meets another at the end of them gets none */
	options.counter_threads = 0;
	CHECK(!counters_start(COUNTERS_ALL, &why) && why == -EPERM, "switched off, and: %d", why);
	options.counter_threads = 64;
}

/* At the end of a thread that does not stop them. The allocator knows the end of threads that
 * have a heap. */
static void *end_with_counters(void *arg)
{
	(void)arg;
	hak_free(hak_malloc(100));
	start(COUNTERS_ALL);
	return NULL;
}

static void ends(void)
{
	unsigned fds = open_fds();
	if (!need_software_events())
		return;
	for (unsigned i = 0; i < 3; i++)
		pthread_join(unit_thread(end_with_counters, NULL), NULL);
	CHECK_U64(open_fds(), fds, "descriptors after the threads' ends");
}

static const struct test_case cases[] = {
	{ "refused", refused },
	{ "refused_in_silence", refused_in_silence },
	{ "as_it_is", as_it_is },
	{ "by_descriptor", by_descriptor },
	{ "growth", growth },
	{ "descriptors_taken_away", descriptors_taken_away },
	{ "forked", forked },
	{ "bounded", bounded },
	{ "ends", ends },
};

int main(int argc, char **argv)
{
	int why = 0;
	hak_init_once();
	counters_reset(software);
	have_software_events = counters_start(COUNTERS_ALL, &why);
	counters_stop();
	return TEST_MAIN(argc, argv, cases);
}
