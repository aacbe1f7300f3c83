/* common/perf_page.c against a fake kernel: a signal handler on the same thread, which moves
 * the event to another counter, folds its count, and takes it away, as the kernel does
 * when it interrupts a thread between any two instructions.
 *
 * The program is built three times: with the source as it is, where no read may be wrong, and
 * with two mutants of it, which must be caught: then the test can fail.
 *
 *	test_perf_page -- SECONDS right|wrong
 */
#include "unit.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>

#include "common/atomics.h"
#include "common/perf_page.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum {
	COUNTERS = 6,
	PERIOD_NS = 20000,
	ENOUGH_WRONG = 10,
	READS_PER_LOOK = 1000, /* at the clock */
};

/* The one thing that moves. What the event has counted is `truth`; what the hardware's
 * counter shows follows from it, so the model has no race of its own. */
static volatile uint64_t truth;
static volatile struct {
	uint32_t index;      /* of the counter the event is in; 0: none */
	uint64_t base;       /* its value when the kernel last set it */
	uint64_t base_truth; /* and truth at that time */
	unsigned width;
} hardware;
static struct perf_event_mmap_page page;
static uint64_t kernel_rng = 1;
static volatile uint64_t interrupts;

static uint64_t mask(unsigned width)
{
	return width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
}

static int64_t signed_value(uint64_t raw, unsigned width)
{
	return raw & UINT64_C(1) << (width - 1) ? (int64_t)(raw | ~mask(width)) : (int64_t)raw;
}

/* What the counter is set to: so that it overflows after a while, hence a negative number. */
static void kernel(int signal)
{
	static const unsigned widths[] = { 32, 40, 48, 64 };
	volatile struct perf_event_mmap_page *p = &page;
	(void)signal;
	interrupts = interrupts + 1;
	hardware.width = widths[test_random(&kernel_rng) % HAK_ARRAY_LEN(widths)];
	hardware.index = (uint32_t)(test_random(&kernel_rng) % COUNTERS);
	hardware.base =
		(test_random(&kernel_rng) >> 34) * (test_random(&kernel_rng) & 1 ? -1ull : 1);
	hardware.base &= mask(hardware.width);
	hardware.base_truth = truth;

	p->lock = p->lock + 1;
	p->index = hardware.index;
	p->pmc_width = (uint16_t)hardware.width;
	p->offset = (int64_t)truth - signed_value(hardware.base, hardware.width);
	p->time_running = test_random(&kernel_rng) >> 8;
	p->time_enabled = 3 * p->time_running + 1;
	p->lock = p->lock + 1;
}

/* The instruction that reads a counter, and the program that makes it count. */
static bool read_counter(uint32_t index, uint64_t *raw)
{
	truth = truth + 1 + (truth & 63);
	if (index != hardware.index) /* another event's */
		*raw = index * UINT64_C(0x9e3779b97f4a7c15) & mask(hardware.width);
	else
		*raw = (hardware.base + (truth - hardware.base_truth)) & mask(hardware.width);
	return true;
}

static void timer(long period_ns)
{
	static timer_t id;
	static bool made;
	struct sigaction action = { .sa_handler = kernel, .sa_flags = SA_RESTART };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	const struct itimerspec every = { { 0, period_ns }, { 0, period_ns } };
	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	sigaction(SIGUSR1, &action, NULL);
	if (!made)
		REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &id) == 0, "no timer: %s",
			strerror(errno));
	made = true;
	timer_settime(id, 0, &every, NULL);
}

struct outcome {
	uint64_t reads, refused, wrong_count, wrong_time;
};

static void read_once(struct outcome *o)
{
	struct perf_reading r;
	uint64_t before = truth;
	if (!perf_page_read(&page, read_counter, &r)) {
		o->refused++;
		return;
	}
	o->reads++;
	o->wrong_count += r.count < before || r.count > truth;
	o->wrong_time += r.enabled_ns != 3 * r.running_ns + 1;
}

static void against_interrupts(void)
{
	uint64_t seconds = test_extra_argc > 0 ? strtoull(test_extra_argv[0], NULL, 10) : 1;
	bool must_fail = test_extra_argc > 1 && strcmp(test_extra_argv[1], "wrong") == 0;
	uint64_t end = test_now_ms() + seconds * 1000;
	struct outcome o = { 0 };
	page.cap_user_rdpmc = 1;
	kernel(SIGUSR1);
	timer(PERIOD_NS);
	do {
		for (unsigned i = 0; i < READS_PER_LOOK; i++)
			read_once(&o);
	} while (test_now_ms() < end && (!must_fail || o.wrong_count < ENOUGH_WRONG));
	timer(0);
	test_say("%llu reads, %llu while in no counter, %llu interrupts; wrong: %llu counts, %llu "
		 "times",
		 (unsigned long long)o.reads, (unsigned long long)o.refused,
		 (unsigned long long)interrupts, (unsigned long long)o.wrong_count,
		 (unsigned long long)o.wrong_time);
	if (must_fail) {
		CHECK(o.wrong_count > 0, "this mutant passes for right: the test tests nothing");
	} else {
		CHECK(interrupts > 10 && o.reads > 1000, "nothing was tested");
		CHECK_U64(o.wrong_count, 0, "wrong counts");
		CHECK_U64(o.wrong_time, 0, "wrong times");
	}
}

static bool refuse(uint32_t index, uint64_t *raw)
{
	(void)index;
	*raw = 0;
	return false;
}

static bool move_away(uint32_t index, uint64_t *raw)
{
	*raw = index;
	page.lock++;
	return true;
}

/* What must not be read is not read, and a page that never comes to rest is given up. */
static void refusals(void)
{
	const struct perf_event_mmap_page good = { .cap_user_rdpmc = 1,
						   .index = 1,
						   .pmc_width = 48,
						   .time_enabled = 2,
						   .time_running = 2 };
	struct perf_reading r;
	hardware.index = 1;
	hardware.width = 48;
	page = good;
	CHECK(perf_page_read(&page, read_counter, &r), "a good page");
	page.index = 0;
	CHECK(!perf_page_read(&page, read_counter, &r), "an event in no counter");
	page = good;
	page.cap_user_rdpmc = 0;
	CHECK(!perf_page_read(&page, read_counter, &r), "without permission");
	page = good;
	page.pmc_width = 0;
	CHECK(!perf_page_read(&page, read_counter, &r), "no width");
	page.pmc_width = 65;
	CHECK(!perf_page_read(&page, read_counter, &r), "too wide");
	page = good;
	CHECK(!perf_page_read(&page, refuse, &r), "a CPU that refuses");
	CHECK(!perf_page_read(&page, move_away, &r), "a page that does not rest");
}

static const struct test_case right[] = {
	{ "refusals", refusals },
	{ "against_interrupts", against_interrupts },
};
static const struct test_case mutant[] = {
	{ "against_interrupts", against_interrupts },
};

int main(int argc, char **argv)
{
	bool wrong = argc > 1 && strcmp(argv[argc - 1], "wrong") == 0;
	hak_init_once();
	return wrong ? TEST_MAIN(argc, argv, mutant) : TEST_MAIN(argc, argv, right);
}
