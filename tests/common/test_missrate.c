/* common/timed_loads.c and missrate.c: estimates against made-up CPUs whose latencies and clocks
 * are known, and on this machine, whatever it can do. */
#include "unit.h"

#include <linux/perf_event.h>
#include <sys/mman.h>

#include "arch/pmu.h"
#include "common/counters.h"
#include "common/missrate.h"
#include "common/options.h"
#include "common/perf_event.h"
#include "common/timed_loads.h"

/* ---- a CPU: an address is a hit unless it was flushed, or lies in `cold` */

enum { COLD_BYTES = 1 << 16, HIT_PS = 20000, MISS_PS = 110000, PS_PER_US = 1000000 };

static struct {
	uint64_t tick_ps; /* of its clock */
	bool flush_works;
	const void *flushed;
	uint64_t rng;
	uint64_t now_ps;
	uint64_t stall_ps; /* the next load takes so much longer */
} cpu;
static char cold[COLD_BYTES];

static bool is_cold(const void *p)
{
	return (const char *)p >= cold && (const char *)p < cold + COLD_BYTES;
}

static uint32_t timed_load(const void *p)
{
	bool miss = is_cold(p) || (cpu.flush_works && p == cpu.flushed);
	uint64_t start = cpu.now_ps, took = (miss ? MISS_PS : HIT_PS) + cpu.stall_ps;
	took += test_random(&cpu.rng) % (took / 4); /* jitter, the same share for both */
	cpu.now_ps += took;
	cpu.flushed = NULL;
	cpu.stall_ps = 0;
	start /= cpu.tick_ps;
	took = cpu.now_ps / cpu.tick_ps - start;
	cpu.now_ps += test_random(&cpu.rng) % PS_PER_US; /* the clock's phase is random */
	return (uint32_t)took;
}

static void flush_line(const void *p)
{
	cpu.flushed = p;
}

static const struct hak_pmu fake = { .timed_load = timed_load, .flush_line = flush_line };

static void make_cpu(uint64_t tick_ps)
{
	cpu = (__typeof__(cpu)){ .tick_ps = tick_ps, .flush_works = true, .rng = 1 };
}

static uint32_t estimate(const struct timed_loads *t, unsigned loads, unsigned miss_percent)
{
	struct timed_sum sum = { 0 };
	static char hot[64];
	for (unsigned i = 0; i < loads; i++)
		(void)timed_loads_add(t, &fake, i % 100 < miss_percent ? cold : hot, &sum);
	return timed_loads_ppm(t, &sum);
}

static void clock_of(uint64_t tick_ps, bool by_mean, uint32_t tolerance_ppm)
{
	struct timed_loads t;
	make_cpu(tick_ps);
	REQUIRE(timed_loads_calibrate(&t, &fake), "a clock of %llu ps: not calibrated",
		(unsigned long long)tick_ps);
	CHECK(t.by_mean == by_mean, "a clock of %llu ps: by mean: %d", (unsigned long long)tick_ps,
	      t.by_mean);
	for (unsigned percent = 0; percent <= 100; percent += 10) {
		uint32_t ppm = estimate(&t, 20000, percent), expected = percent * 10000;
		CHECK(ppm <= expected + tolerance_ppm && ppm + tolerance_ppm >= expected,
		      "a clock of %llu ps: %u %% of misses are %u ppm", (unsigned long long)tick_ps,
		      percent, ppm);
	}
}

static void fine_clocks(void)
{
	clock_of(385, false, 0);  /* 2.6 GHz */
	clock_of(1000, false, 0); /* 1 GHz, as new Arm CPUs have */
	clock_of(5000, false, 0);
}

static void coarse_clocks(void)
{
	clock_of(10000, true, 30000); /* 100 MHz */
	clock_of(16000, true, 30000); /* 62.5 MHz */
	clock_of(40000, true, 30000); /* 25 MHz */
}

/* What is far beyond a miss is not one: a page fault, an interrupt. */
static void clipped(void)
{
	struct timed_loads t;
	struct timed_sum sum = { 0 };
	make_cpu(385);
	REQUIRE(timed_loads_calibrate(&t, &fake), "not calibrated");
	cpu.stall_ps = PS_PER_US;
	CHECK(!timed_loads_add(&t, &fake, cold, &sum) && sum.loads == 0, "a page fault is a miss");
	CHECK(timed_loads_add(&t, &fake, cold, &sum) && sum.loads == 1 && sum.misses == 1,
	      "a miss");
	CHECK(timed_loads_add(&t, &fake, &t, &sum) && sum.loads == 2 && sum.misses == 1, "a hit");
}

/* Hits and misses alike, as under an emulator; and a machine that has nothing. */
static void useless(void)
{
	static const struct hak_pmu nothing = { 0 };
	static const uint64_t ticks_ps[] = { 385, 16000, 40000 };
	struct timed_loads t;
	for (unsigned i = 0; i < HAK_ARRAY_LEN(ticks_ps); i++)
		for (uint64_t seed = 1; seed <= 50; seed++) {
			make_cpu(ticks_ps[i]);
			cpu.flush_works = false;
			cpu.rng = seed;
			CHECK(!timed_loads_calibrate(&t, &fake),
			      "seed %llu, a clock of %llu ps: calibrated on nothing",
			      (unsigned long long)seed, (unsigned long long)ticks_ps[i]);
		}
	CHECK(!timed_loads_calibrate(&t, &nothing), "calibrated without a clock");
	CHECK(!timed_loads_calibrate(&t, &pmu_generic), "calibrated on the generic machine");
}

/* ---- the process's rate */

static void sample(unsigned n, unsigned miss_percent)
{
	static uint64_t hot;
	for (unsigned i = 0; i < n; i++)
		missrate_sample(i % 100 < miss_percent ? (const void *)cold : &hot);
}

static void software(void)
{
	struct missrate r;
	make_cpu(385);
	missrate_reset(&fake);
	counters_reset(NULL);
	perf_fault_arm(EACCES);
	r = missrate_take();
	CHECK(r.ppm == -1 && r.source == COUNTER_SOURCE_NONE && r.samples == 0,
	      "before the first sample");
	sample(2, 0); /* the first finds that there are no counters, the second calibrates */
	r = missrate_take();
	CHECK(r.ppm == -1 && r.source == COUNTER_SOURCE_SOFTWARE, "before the first load: %d by %s",
	      r.ppm, counter_source_name(r.source));
	sample(1000, 30);
	r = missrate_take();
	CHECK_I64(r.ppm, 300000, "30 % of misses");
	CHECK_U64(r.samples, 1000, "samples");
	CHECK(r.error_ppm > 25000 && r.error_ppm < 33000, "error %u ppm",
	      r.error_ppm); /* 2 * 0.01449 */
	sample(100, 0);
	r = missrate_take();
	CHECK_I64(r.ppm, 0, "since the last call");
	CHECK(r.error_ppm > 10000 && r.error_ppm < 50000, "error %u ppm of no miss in 100",
	      r.error_ppm);
	r = missrate_take();
	CHECK_I64(r.ppm, -1, "no sample since the last call");
	r = missrate_total();
	CHECK_U64(r.samples, 1100, "samples of all time");
	CHECK(r.ppm > 272000 && r.ppm < 273000, "misses of all time: %d", r.ppm);
	perf_fault_arm(0);
}

static void nothing_works(void)
{
	struct missrate r;
	make_cpu(385);
	cpu.flush_works = false;
	missrate_reset(&fake);
	counters_reset(NULL);
	perf_fault_arm(ENOSYS);
	sample(100, 50);
	r = missrate_take();
	CHECK(r.ppm == -1 && r.source == COUNTER_SOURCE_NONE, "%d by %s", r.ppm,
	      counter_source_name(r.source));
	perf_fault_arm(0);
}

/* Page faults in place of loads, and small ones in place of misses: all are small. */
static void counted(void)
{
	static const struct perf_spec specs[COUNTER_COUNT] = {
		[COUNTER_LLC_LOADS] = { PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, 0 },
		[COUNTER_LLC_MISSES] = { PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MIN, 0 },
	};
	uint64_t end = test_now_ms() + 20000;
	struct missrate r;
	make_cpu(385);
	missrate_reset(&fake);
	counters_reset(specs);
	sample(1, 0);
	do {
		size_t n = (size_t)sysconf(_SC_PAGESIZE);
		char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		*p = 1;
		munmap(p, n);
		sample(1, 0);
		r = missrate_total();
	} while (r.source != COUNTER_SOURCE_SOFTWARE && r.samples == 0 && test_now_ms() < end);
	counters_stop();
	if (r.source == COUNTER_SOURCE_SOFTWARE) {
		test_skip_case("this kernel has no perf events, or does not let us");
		return;
	}
	CHECK(r.source == COUNTER_SOURCE_FD, "source %s", counter_source_name(r.source));
	CHECK(r.ppm > 900000, "%d ppm", r.ppm);
	CHECK(r.samples > 0 && r.error_ppm == 0, "%llu loads", (unsigned long long)r.samples);
}

static void silent_body(void *arg)
{
	/* Opens, and counts nothing: we never wait for these. */
	static const struct perf_spec specs[COUNTER_COUNT] = {
		[COUNTER_LLC_LOADS] = { PERF_TYPE_SOFTWARE, PERF_COUNT_SW_EMULATION_FAULTS, 0 },
		[COUNTER_LLC_MISSES] = { PERF_TYPE_SOFTWARE, PERF_COUNT_SW_EMULATION_FAULTS, 0 },
	};
	uint64_t end = test_now_ms() + 20000;
	(void)arg;
	options.verbose = 1;
	make_cpu(385);
	missrate_reset(&fake);
	counters_reset(specs);
	do {
		sample(1, 0);
	} while (missrate_total().source != COUNTER_SOURCE_SOFTWARE && test_now_ms() < end);
	CHECK(missrate_total().source == COUNTER_SOURCE_SOFTWARE, "source %s",
	      counter_source_name(missrate_total().source));
	sample(100, 40);
	CHECK_I64(missrate_take().ppm, 400000, "by timed loads");
}

static void silent_event(void)
{
	static struct unit_child c;
	counters_reset(NULL);
	unit_child_passes(&c, silent_body, NULL);
	CHECK(unit_count(c.text, "next source: software") == 1, "it says:\n%s", c.text);
}

/* Four threads at once, one calibration. */
static void *sampling_thread(void *arg)
{
	static uint64_t hot;
	(void)arg;
	for (unsigned i = 0; i < 1000; i++)
		missrate_sample(&hot);
	return NULL;
}

static void this_machine(void)
{
	struct missrate r;
	char args[4];
	missrate_reset(NULL);
	counters_reset(NULL);
	options.verbose = 1;
	unit_threads(4, sampling_thread, args, 1);
	options.verbose = 0;
	r = missrate_take();
	test_say("source %s: %d ppm, of %llu loads, %u ps per operation",
		 counter_source_name(r.source), r.ppm, (unsigned long long)r.samples,
		 r.overhead_ps_per_op);
	if (r.source == COUNTER_SOURCE_SOFTWARE)
		CHECK(r.ppm >= 0 && r.ppm <= 1000000 && r.samples <= 4000, "%d ppm of %llu", r.ppm,
		      (unsigned long long)r.samples);
	if (r.source == COUNTER_SOURCE_NONE)
		CHECK_I64(r.ppm, -1, "no source");
}

static const struct test_case cases[] = {
	{ "fine_clocks", fine_clocks },
	{ "coarse_clocks", coarse_clocks },
	{ "clipped", clipped },
	{ "useless", useless },
	{ "software", software },
	{ "nothing_works", nothing_works },
	{ "counted", counted },
	{ "silent_event", silent_event },
	{ "this_machine", this_machine },
};

UNIT_MAIN(cases)
