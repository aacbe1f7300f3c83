/* common/counters.c on a kernel that lets user space read counters, and is ours to set up: this
 * program is its /init. It runs the cases, says "RESULT 0" if they pass, and powers off.
 *
 * Words on the kernel's command line: `exact` says that the emulator counts instructions, and
 * so has an event for them. */
#include "../common/unit.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/counters.h"
#include "common/missrate.h"
#include "common/options.h"
#include "hakmem/hakmem.h"

static bool exact;

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return done;
}

static void user_access(bool on)
{
	REQUIRE(write_file("/proc/sys/kernel/perf_user_access", on ? "1" : "0"),
		"perf_user_access: %s", strerror(errno));
}

static void start(unsigned set)
{
	int why = 0;
	REQUIRE(counters_start(set, &why), "counters_start: %d", why);
}

static uint64_t cycles(enum counter_source expected)
{
	struct hak_counters c;
	REQUIRE(counters_read(&c), "no counters");
	CHECK(c.source[COUNTER_CYCLES] == expected, "cycles by %s, not %s",
	      counter_source_name(c.source[COUNTER_CYCLES]), counter_source_name(expected));
	return c.value[COUNTER_CYCLES];
}

static void work(uint64_t n)
{
	for (volatile uint64_t i = 0; i < n; i = i + 1)
		;
}

/* An event of the test's own, read by read(2). */
static int kernel_event(uint64_t config)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.config = config,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	REQUIRE(fd >= 0, "perf_event_open: %s", strerror(errno));
	return fd;
}

static uint64_t kernel_count(int fd)
{
	uint64_t count = 0;
	REQUIRE(read(fd, &count, sizeof(count)) == sizeof(count), "read: %s", strerror(errno));
	return count;
}

/* What is counted between two calls of the inner must be no more than what is counted
 * between two calls of the outer, and nearly all of it. */
static void compare(enum counter which, int fd, uint64_t loops)
{
	struct hak_counters a, b;
	uint64_t user, kernel, outer, inner;

	counters_read(&a);
	inner = kernel_count(fd);
	work(loops);
	inner = kernel_count(fd) - inner;
	counters_read(&b);
	user = b.value[which] - a.value[which];

	outer = kernel_count(fd);
	counters_read(&a);
	work(loops);
	counters_read(&b);
	outer = kernel_count(fd) - outer;
	kernel = b.value[which] - a.value[which];

	test_say("counter %u: user %llu around read(2) %llu; read(2) %llu around user %llu", which,
		 (unsigned long long)user, (unsigned long long)inner, (unsigned long long)outer,
		 (unsigned long long)kernel);
	CHECK(inner > 0 && inner <= user, "counter %u: %llu in %llu", which,
	      (unsigned long long)inner, (unsigned long long)user);
	CHECK(kernel > 0 && kernel <= outer, "counter %u: %llu in %llu", which,
	      (unsigned long long)kernel, (unsigned long long)outer);
	/* Without counted instructions, cycles are the time of a busy host. */
	if (exact)
		CHECK(user - inner <= inner / 100 && outer - kernel <= kernel / 100,
		      "counter %u: they are far apart", which);
}

/* ---- cases, in the order in which they depend on the settings */

static void without_permission(void)
{
	uint64_t last = 0;
	user_access(false);
	start(COUNTERS_ALL);
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t now = cycles(COUNTER_SOURCE_FD);
		CHECK(now > last, "from %llu to %llu", (unsigned long long)last,
		      (unsigned long long)now);
		last = now;
	}
	counters_stop();
}

static void as_nobody(void *paranoid)
{
	int why = 0;
	REQUIRE(write_file("/proc/sys/kernel/perf_event_paranoid", paranoid),
		"perf_event_paranoid");
	REQUIRE(setgid(65534) == 0 && setuid(65534) == 0, "setuid: %s", strerror(errno));
	options.verbose = 1;
	if (strcmp(paranoid, "2") == 0) {
		start(COUNTERS_ALL);
		(void)cycles(COUNTER_SOURCE_FD);
		return;
	}
	CHECK(!counters_start(COUNTERS_ALL, &why) && why == -EACCES, "why: %d", why);
	missrate_sample(&why);
}

static void unprivileged(void)
{
	static struct unit_child child;
	static char refuses[] = "3", allows[] = "2";
	counters_reset(NULL);
	unit_child_passes(&child, as_nobody, refuses);
	CHECK(unit_count(child.text, "next source: software") == 1, "it says:\n%s", child.text);
	unit_child_passes(&child, as_nobody, allows);
}

static void agreement(void)
{
	int fd;
	user_access(true);
	/* Who comes first gets the counter made for cycles, the other one of the rest. */
	fd = kernel_event(PERF_COUNT_HW_CPU_CYCLES);
	start(1 << COUNTER_CYCLES);
	(void)cycles(COUNTER_SOURCE_USER);
	compare(COUNTER_CYCLES, fd, 200000);
	close(fd);
	fd = kernel_event(PERF_COUNT_HW_CPU_CYCLES);
	compare(COUNTER_CYCLES, fd, 200000);
	counters_stop();
	start(1 << COUNTER_CYCLES);
	compare(COUNTER_CYCLES, fd, 200000);
	counters_stop();
	close(fd);
}

static void instructions(void)
{
	struct hak_counters c;
	int fd;
	start(1 << COUNTER_CYCLES | 1 << COUNTER_INSTRUCTIONS);
	REQUIRE(counters_read(&c), "no counters");
	if (!exact) {
		CHECK(c.source[COUNTER_INSTRUCTIONS] == COUNTER_SOURCE_NONE, "by %s",
		      counter_source_name(c.source[COUNTER_INSTRUCTIONS]));
		counters_stop();
		test_skip_case("this emulator counts no instructions");
		return;
	}
	CHECK(c.source[COUNTER_INSTRUCTIONS] == COUNTER_SOURCE_USER, "by %s",
	      counter_source_name(c.source[COUNTER_INSTRUCTIONS]));
	fd = kernel_event(PERF_COUNT_HW_INSTRUCTIONS);
	compare(COUNTER_INSTRUCTIONS, fd, 200000);
	close(fd);
	counters_stop();
}

/* Others want more counters than there are: each gets its turn. */
static void taking_turns(void)
{
	enum { OTHERS = 12 };
	int fds[OTHERS];
	uint64_t last = 0, first = 0;
	for (unsigned i = 0; i < OTHERS; i++)
		fds[i] = kernel_event(PERF_COUNT_HW_CPU_CYCLES);
	start(1 << COUNTER_CYCLES | 1 << COUNTER_INSTRUCTIONS);
	for (unsigned i = 0; i < 1000; i++) {
		struct hak_counters c;
		CHECK(counters_read(&c) && c.value[COUNTER_CYCLES] >= last, "it goes back");
		last = c.value[COUNTER_CYCLES];
		if (i == 0)
			first = last;
		work(1000);
	}
	test_say("%llu cycles, among %u other events", (unsigned long long)(last - first), OTHERS);
	CHECK(last > first, "the counter stands still");
	counters_stop();
	for (unsigned i = 0; i < OTHERS; i++)
		close(fds[i]);
}

static void run_on(unsigned cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	REQUIRE(sched_setaffinity(0, sizeof(set), &set) == 0, "sched_setaffinity: %s",
		strerror(errno));
}

static void *migrate(void *arg)
{
	uint64_t last = 0, back = 0;
	unsigned first = *(unsigned *)arg;
	start(1 << COUNTER_CYCLES);
	for (unsigned i = 0; i < 200; i++) {
		run_on((first + i) % 2);
		for (unsigned k = 0; k < 50; k++) {
			uint64_t now = cycles(COUNTER_SOURCE_USER);
			back += now < last;
			last = now;
		}
	}
	CHECK_U64(back, 0, "readings that go back");
	counters_stop();
	return NULL;
}

static void migrations(void)
{
	unsigned cpus[2] = { 0, 1 };
	unit_threads(2, migrate, cpus, sizeof(cpus[0]));
}

static void *on_a_cpu_that_goes(void *arg)
{
	uint64_t last = 0;
	_Atomic bool *stop = arg;
	run_on(1);
	start(1 << COUNTER_CYCLES);
	while (!*stop) {
		uint64_t now = cycles(COUNTER_SOURCE_USER);
		CHECK(now >= last, "from %llu to %llu", (unsigned long long)last,
		      (unsigned long long)now);
		last = now;
		work(100);
	}
	counters_stop();
	return NULL;
}

static void hotplug(void)
{
	static const char online[] = "/sys/devices/system/cpu/cpu1/online";
	_Atomic bool stop = false;
	pthread_t t = unit_thread(on_a_cpu_that_goes, &stop);
	for (unsigned i = 0; i < 2; i++) {
		usleep(20000);
		if (!CHECK(write_file(online, "0"), "offline: %s", strerror(errno)))
			break;
		usleep(20000);
		CHECK(write_file(online, "1"), "online: %s", strerror(errno));
	}
	stop = true;
	pthread_join(t, NULL);
}

static void in_child(void *arg)
{
	struct hak_counters c;
	(void)arg;
	CHECK(!counters_read(&c), "the child reads its parent's page");
	start(1 << COUNTER_CYCLES);
	work(1000);
	CHECK(cycles(COUNTER_SOURCE_USER) > 1000, "the child's cycles");
}

static void forked(void)
{
	static struct unit_child child;
	uint64_t before;
	pid_t pid;
	int status = -1;
	start(1 << COUNTER_CYCLES);
	before = cycles(COUNTER_SOURCE_USER);
	unit_child_passes(&child, in_child, NULL);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); /* no handlers */
	if (pid == 0) {
		struct hak_counters c;
		_exit(counters_read(&c));
	}
	waitpid(pid, &status, 0);
	CHECK_I64(status, 0, "status of a child without handlers");
	CHECK(cycles(COUNTER_SOURCE_USER) > before, "the parent's counters");
	counters_stop();
}

/* The administrator takes the right away from a running program. */
static void switched_off(void)
{
	uint64_t last, now, end = test_now_ms() + 20000;
	struct hak_counters c;
	start(1 << COUNTER_CYCLES);
	last = cycles(COUNTER_SOURCE_USER);
	user_access(false);
	do {
		REQUIRE(counters_read(&c), "no counters");
		now = c.value[COUNTER_CYCLES];
		CHECK(now >= last, "from %llu to %llu", (unsigned long long)last,
		      (unsigned long long)now);
		last = now;
	} while (c.source[COUNTER_CYCLES] == COUNTER_SOURCE_USER && test_now_ms() < end);
	last = cycles(COUNTER_SOURCE_FD);
	work(10000);
	CHECK(cycles(COUNTER_SOURCE_FD) > last + 10000, "no cycles by the next source");
	counters_stop();
	user_access(true);
}

/* No event of the last level cache here. */
static void miss_rate(void)
{
	struct missrate r;
	options.verbose = 1;
	for (unsigned i = 0; i < 1000; i++)
		missrate_sample(&r);
	options.verbose = 0;
	r = missrate_take();
	test_say("miss rate: %d ppm of %llu loads by %s", r.ppm, (unsigned long long)r.samples,
		 counter_source_name(r.source));
	CHECK(r.source == COUNTER_SOURCE_SOFTWARE || r.source == COUNTER_SOURCE_NONE, "source");
}

static const struct test_case cases[] = {
	{ "without_permission", without_permission },
	{ "unprivileged", unprivileged },
	{ "agreement", agreement },
	{ "instructions", instructions },
	{ "taking_turns", taking_turns },
	{ "migrations", migrations },
	{ "hotplug", hotplug },
	{ "forked", forked },
	{ "switched_off", switched_off },
	{ "miss_rate", miss_rate },
};

/* The command line of a run that counts instructions. */
static char program[] = "init", agree[] = "agreement", instruct[] = "instructions";

static void set_up(void)
{
	static char line[4096];
	int fd;
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, line, sizeof(line) - 1) <= 0)
		test_say("no /proc/cmdline");
	close(fd);
	exact = strstr(line, " exact") != NULL;
}

int main(void)
{
	char *counting[] = { program, agree, instruct, NULL };
	if (getpid() != 1)
		test_skip(
			"this is the first program of a kernel of its own; see aarch64_kernel.sh");
	set_up();
	hak_init_once();
	/* Time is dear where instructions are counted: what they are not needed for is left out. */
	test_say("RESULT %d",
		 exact ? TEST_MAIN(3, counting, cases) : TEST_MAIN(1, counting, cases));
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
