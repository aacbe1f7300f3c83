/* ace/ace_trace.c: a recorded run gives the same decisions again, byte for byte, here and
 * on every other machine (golden.trace is committed), and a damaged trace is refused
 * with the line.
 *
 *	test_ace_trace -- golden.trace            check it
 *	test_ace_trace -- --write golden.trace    make it anew, after a change of the logic
 */
#include <fcntl.h>

#include "ace/ace_trace.h"
#include "sim.h"

enum { TRACE_BYTES = 512 * 1024 };

static struct sim w;
static struct ace_controller replayed;
static char trace[TRACE_BYTES];
static struct text recorded;

static void record_decision(struct sim *s, const struct ace_decision *d)
{
	(void)s;
	ace_log_record(&recorded, d);
}

static void step(uint64_t ops, int32_t misses, uint64_t locks, uint32_t frag, uint64_t rss_mb)
{
	struct ace_sample *s = &w.sample;
	struct ace_sample now;
	s->ops_per_s = s->ops_per_cpu_s =
		(uint64_t)ppm_mul((int64_t)ops, ppm_mul(sim_speed(&w), PPM + sim_noise(&w, 40000)));
	s->llc_miss_ppm = misses;
	s->lock_wait_ns_per_s = locks;
	s->frag_ppm = frag;
	s->cgroup_limit_bytes = 1 << 30;
	s->rss_bytes = rss_mb << 20;
	s->backlog = s->class_backlog[3] + s->class_backlog[9];
	w.now_ns += SIM_STEP_NS;
	now = *s;
	ace_trace_sample(&recorded, w.now_ns, &now);
	ace_step(&w.ace, w.now_ns, &now);
}

/* A program that meets every rule: learning, misses, locks, backlog, idleness,
 * fragmentation, pressure, a change, blocks that come and go, and in the end a guard. */
static void record(void)
{
	static const bool pinned[HAK_KNOB_COUNT];
	struct ace_config config;
	text_init(&recorded, trace, sizeof(trace));
	sim_limits(&config);
	config.slow_interval_ns = 10 * (uint64_t)SIM_STEP_NS;
	sim_init_with(&w, 42, 40000, &config, pinned);
	w.decided = record_decision;
	w.speed_ppm[HAK_KNOB_HUGE_PAGES][HUGE_PAGES_ALWAYS] = 1300000;
	w.speed_ppm[HAK_KNOB_DIET_FACTOR][3] = 1200000;
	w.speed_ppm[HAK_KNOB_BUNDLE_WIDTH][2] = 1200000;
	ace_trace_header(&recorded, &w.ace.config, &w.ace.settings);
	ace_trace_learnt(&recorded, HAK_KNOB_PURGE_DELAY_MS, 3, 5 * PPM, 3 * PPM);
	ace_explorer_recall(&w.ace.explorer, HAK_KNOB_PURGE_DELAY_MS, 3, 5 * PPM, 3 * PPM);
	ace_trace_adopt(&recorded, HAK_KNOB_PURGE_DELAY_MS, 250);
	ace_explorer_adopt(&w.ace.explorer, &w.ace.settings, HAK_KNOB_PURGE_DELAY_MS, 3);
	for (unsigned n = 0; n < 300; n++)
		step(10000000, -1, 0, 100000, 100);
	for (unsigned n = 0; n < 150; n++) {
		w.sample.class_backlog[3] = n % 20 < 10 ? 3000 : 20;
		w.sample.class_backlog[9] = n < 3 ? 1000 : 10;
		step(10000000, 350000, 50000000, 100000, 100);
	}
	w.sample.class_backlog[3] = w.sample.class_backlog[9] = 0;
	for (unsigned n = 0; n < 50; n++)
		step(10000000, 50000, 0, 100000, 100);
	for (unsigned n = 0; n < 300 && w.ace.explorer.trial.phase != ACE_TRYING; n++)
		step(10000000, 50000, 0, 100000, 100);
	for (unsigned n = 0; n < 20; n++)
		step(3000000, 20000, 0, 100000, 100);
	w.sample.declined_bytes_per_s = 1 << 30;
	for (unsigned n = 0; n < 12; n++)
		step(3000000, 20000, 0, 100000, 100);
	w.sample.declined_bytes_per_s = 0;
	w.sample.returned_bytes_per_s = 20 << 20;
	for (unsigned n = 0; n < 12; n++) {
		w.sample.faults_per_s = w.value[HAK_KNOB_PURGE_DELAY_MS][0] == 10 ? 200000 : 0;
		step(3000000, 20000, 0, 100000, 100);
	}
	w.sample.faults_per_s = 0;
	w.sample.returned_bytes_per_s = 0;
	w.sample.waste_bytes = 50 << 20;
	w.sample.cached_bytes = 20 << 20;
	for (unsigned n = 0; n < 20; n++) {
		w.sample.faults_per_s = n > 3 ? 50000 : 0;
		step(2000, 20000, 0, 100000, 100);
	}
	w.sample.faults_per_s = 0;
	w.sample.early_bytes_per_s = 10 << 20;
	for (unsigned n = 0; n < 20; n++) {
		w.sample.returned_bytes_per_s = n > 10 ? 10 << 20 : 0;
		step(n % 2 * 500, 20000, 0, 600000, 500);
	}
	for (unsigned n = 0; n < 2; n++)
		step(3000000, 20000, 0, 600000, 500);
	w.sample.returned_bytes_per_s = w.sample.early_bytes_per_s = 0;
	for (unsigned n = 0; n < 200; n++)
		step(3000000, 20000, 0, 600000, 300 + n);
	for (unsigned n = 0; n < 20; n++)
		step(3000000, 20000, 0, 600000, 800);
	for (unsigned n = 0; n < 50; n++)
		step(3000000, 20000, 0, 200000, 300);
	w.sample.returned_bytes_per_s = 20 << 20;
	for (unsigned n = 0; n < 4; n++)
		step(0, 20000, 0, 200000, 300);
	step(3000000, 20000, 0, 200000, 2000);
	REQUIRE(recorded.length < sizeof(trace), "the trace needs %zu bytes", recorded.length);
}

static void replays(const char *text, size_t length)
{
	struct ace_replay r;
	ace_replay(&r, &replayed, text, length);
	CHECK(r.error == NULL, "line %llu: %s; made instead: %s", (unsigned long long)r.line,
	      r.error, r.found);
	CHECK(r.samples > 500 && r.decisions > 100, "%llu samples, %llu decisions",
	      (unsigned long long)r.samples, (unsigned long long)r.decisions);
}

static void fresh(void)
{
	record();
	replays(trace, recorded.length);
	for (unsigned reason = 0; reason < ACE_BECAUSE_COUNT; reason++) {
		char needle[32];
		bool met = false;
		const char *p = trace;
		snprintf(needle, sizeof(needle), " %u ", reason);
		for (; (p = strstr(p, "decision ")) != NULL && !met; p++) {
			unsigned found = 0;
			sscanf(p, "decision %*u %*s %*u %*d %*d %u", &found);
			met = found == reason;
		}
		CHECK(met, "no decision because of \"%s\"",
		      ace_reason_text((enum ace_reason)reason));
	}
}

static size_t read_file(const char *name)
{
	int fd = open(name, O_RDONLY);
	size_t length = 0;
	ssize_t n;
	REQUIRE(fd >= 0, "no %s", name);
	while ((n = read(fd, trace + length, sizeof(trace) - length)) > 0)
		length += (size_t)n;
	close(fd);
	return length;
}

static void golden(void)
{
	REQUIRE(test_extra_argc >= 1, "the trace's name is missing");
	if (strcmp(test_extra_argv[0], "--write") == 0) {
		int fd = open(test_extra_argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0644);
		record();
		CHECK(write(fd, trace, recorded.length) == (ssize_t)recorded.length, "not written");
		close(fd);
		return;
	}
	replays(trace, read_file(test_extra_argv[0]));
}

static void refused(size_t length, const char *why)
{
	struct ace_replay r;
	CHECK(!ace_replay(&r, &replayed, trace, length), "%s: accepted", why);
	CHECK(r.error != NULL && r.line > 0, "%s: no words", why);
}

static void damaged(void)
{
	static char whole[3000];
	uint64_t rng = 1;
	char *digit;
	record();
	trace[strlen("hakmem-ace-trace ")] = '9';
	refused(recorded.length, "another version");
	record();
	refused(recorded.length - 1, "the last line is not whole");
	digit = strstr(trace, "decision ");
	digit = strchr(digit, '\n') - 1;
	*digit = *digit == '1' ? '2' : '1';
	refused(recorded.length, "a decision differs");
	record();
	digit = strstr(strstr(trace, "decision "), "\ndecision ");
	memcpy(digit + 1, "xecision", 8);
	refused(recorded.length, "a word that is none");
	/* Anything at all: no crash, under the sanitizers above all. */
	record();
	memcpy(whole, trace, sizeof(whole));
	for (unsigned n = 0; n < test_scaled(1000, 100); n++) {
		struct ace_replay r;
		memcpy(trace, whole, sizeof(whole));
		for (unsigned i = 0; i < 5; i++)
			trace[test_random(&rng) % sizeof(whole)] =
				(char)(test_random(&rng) % 2 ? '9' : ' ' + test_random(&rng) % 90);
		ace_replay(&r, &replayed, trace, sizeof(whole));
	}
}

static const struct test_case cases[] = {
	{ "fresh", fresh }, { "golden", golden }, { "damaged", damaged }
};

int main(int argc, char **argv)
{
	return TEST_MAIN(argc, argv, cases);
}
