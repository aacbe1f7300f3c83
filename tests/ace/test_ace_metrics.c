/* ace/ace_metrics.c: rates out of counters, with made-up figures. */
#include "ace/ace_metrics.h"
#include "testing.h"

static struct ace_meter meter;
static struct hak_metrics at;
static struct ace_sample s;

static void begin(void)
{
	meter = (struct ace_meter){ .started = false };
	at = (struct hak_metrics){ .now_ns = 1000, .llc_miss_ppm = -1 };
	CHECK(!ace_sample_make(&s, &meter, &at, 0, 0), "the first figures make no sample");
	at.now_ns += 500000000;
}

static void rates(void)
{
	begin();
	CHECK(ace_sample_make(&s, &meter, &at, 0, 0), "no sample");
	CHECK_U64(s.ops_per_s, 0, "operations of an idle program");
	CHECK_U64(s.ops_per_cpu_s, 0, "the same per CPU second");
	at.now_ns += 250000000;
	at.ops += 1000;
	at.lock_wait_ns += 5000000;
	at.llc_miss_ppm = 120000;
	at.llc_confidence = 90;
	at.kept_bytes = 30;
	at.live_bytes = 10;
	at.class_backlog[7] = 3;
	CHECK(ace_sample_make(&s, &meter, &at, 125000000, 2500000), "no sample");
	CHECK_U64(s.interval_ns, 250000000, "interval");
	CHECK_U64(s.ops_per_s, 4000, "operations per second");
	CHECK_U64(s.ops_per_cpu_s, 8000, "operations per CPU second");
	CHECK_U64(s.lock_wait_ns_per_s, 20000000, "lock wait");
	CHECK_U64(s.ace_cpu_ppm, 10000, "ACE's CPU");
	CHECK_I64(s.llc_miss_ppm, 120000, "misses");
	CHECK_U64(s.waste_bytes, 20, "waste");
	CHECK_U64(s.class_backlog[7], 3, "backlog of a class");
	CHECK(!ace_sample_make(&s, &meter, &at, 125000000, 0), "no time has passed");
	at.now_ns += 1;
	at.llc_confidence = 10;
	ace_sample_make(&s, &meter, &at, 125000000, 0);
	CHECK_I64(s.llc_miss_ppm, -1, "misses that are a guess");
}

/* Of 1000 operations 10 may be above the 99th percentile. */
static void percentile(void)
{
	begin();
	at.ops = 1000;
	at.latency[latency_bucket(1 << 20)] = 10;
	at.latency[latency_bucket(1 << 10)] = 500;
	ace_sample_make(&s, &meter, &at, 0, 0);
	CHECK_U64(s.p99_ns, 1 << 10, "p99, ten above");
	begin();
	at.ops = 1000;
	at.latency[latency_bucket(1 << 20)] = 11;
	ace_sample_make(&s, &meter, &at, 0, 0);
	CHECK_U64(s.p99_ns, 1 << 20, "p99, eleven above");
	/* Near enough to be held against a limit of 10 ms. */
	begin();
	at.ops = 1000;
	at.latency[latency_bucket(11000000)] = 11;
	ace_sample_make(&s, &meter, &at, 0, 0);
	CHECK(s.p99_ns > 10000000 && s.p99_ns <= 11000000, "p99 of 11 ms: %llu ns",
	      (unsigned long long)s.p99_ns);
	begin();
	at.ops = 1000;
	at.latency[latency_bucket(9999999)] = 11;
	ace_sample_make(&s, &meter, &at, 0, 0);
	CHECK(s.p99_ns < 10000000 && s.p99_ns > 7500000, "p99 of just below 10 ms: %llu ns",
	      (unsigned long long)s.p99_ns);
	at.now_ns += 1;
	at.ops += 1000;
	ace_sample_make(&s, &meter, &at, 0, 0);
	CHECK_U64(s.p99_ns, 0, "p99 of hits only: the old slow ones do not count again");
}

static void cgroup_limits(void)
{
	begin();
	at.cgroup = (struct cgroup_figures){ .memory_max = 5, .memory_high = 3, .psi_some_ppm = 7 };
	ace_sample_make(&s, &meter, &at, 0, 0);
	CHECK_U64(s.cgroup_limit_bytes, 0, "limit without a cgroup");
	CHECK_I64(s.pressure_ppm, -1, "pressure without a cgroup");
	at.now_ns += 1;
	at.cgroup.found = true;
	ace_sample_make(&s, &meter, &at, 0, 0);
	CHECK_U64(s.cgroup_limit_bytes, 3, "the lower of the two");
	CHECK_I64(s.pressure_ppm, 7, "pressure");
	at.now_ns += 1;
	at.cgroup.memory_max = at.cgroup.memory_high = CGROUP_NO_LIMIT;
	ace_sample_make(&s, &meter, &at, 0, 0);
	CHECK_U64(s.cgroup_limit_bytes, 0, "no limit");
}

static const struct test_case cases[] = {
	{ "rates", rates }, { "percentile", percentile }, { "cgroup_limits", cgroup_limits }
};

int main(int argc, char **argv)
{
	return TEST_MAIN(argc, argv, cases);
}
