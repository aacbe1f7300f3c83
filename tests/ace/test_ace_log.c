/* ace/ace_log.c: the lines as they are promised, and the ring. */
#include "ace/ace_log.h"
#include "testing.h"

static char buf[ACE_LINE_BYTES];
static struct text line;

static void begin(void)
{
	text_init(&line, buf, sizeof(buf));
}

static void is(const char *expected)
{
	CHECK(strcmp(buf, expected) == 0, "expected \"%s\", found \"%s\"", expected, buf);
}

static struct ace_decision decision(uint32_t what, uint32_t cls, int32_t from, int32_t to,
				    enum ace_reason reason)
{
	return (struct ace_decision){ .what = what, .cls = cls, .old_value = from, .new_value = to,
				      .reason = reason };
}

/* The three lines of the specification, letter by letter. */
static void promised_lines(void)
{
	struct ace_sample s = { .llc_miss_ppm = 120000, .backlog = 45 };
	struct ace_decision diet =
		decision(HAK_KNOB_DIET_FACTOR, 0, 100, 75, ACE_BECAUSE_LLC_MISSES);
	struct ace_decision drain = decision(HAK_KNOB_DRAIN_THRESHOLD, 3, 128, 64,
					     ACE_BECAUSE_HIGH_BACKLOG);
	begin();
	ace_log_fast_line(&line, &s, 850000);
	is("[ACE] Fast loop: reward=0.85, llc_miss=0.12, backlog=45\n");
	begin();
	ace_log_diet_line(&line, &diet, 2, 32);
	is("[ACE] Adjusting TLS cap[2]: 32 → 24 (diet factor=0.75)\n");
	begin();
	ace_log_line(&line, &drain);
	is("[ACE] Drain threshold[3]: 128 → 64 (high backlog)\n");
}

static void other_lines(void)
{
	struct ace_sample s = { .llc_miss_ppm = -1, .frag_ppm = 1000000, .rss_bytes = 7 << 20,
				.pressure_ppm = 4999 };
	struct ace_decision d = decision(HAK_KNOB_BUNDLE_WIDTH, 0, 32, 64, ACE_BECAUSE_LOCK_WAIT);
	begin();
	ace_log_fast_line(&line, &s, -1);
	is("[ACE] Fast loop: reward=n/a, llc_miss=n/a, backlog=0\n");
	begin();
	ace_log_slow_line(&line, &s);
	is("[ACE] Slow loop: fragmentation=1.00, rss_mb=7, pressure=0.00\n");
	begin();
	ace_log_line(&line, &d);
	is("[ACE] Bundle width: 32 → 64 (lock wait)\n");
	d = decision(HAK_KNOB_TCACHE_CAPACITY, 0, 64, 32, ACE_BECAUSE_TRIAL);
	begin();
	ace_log_line(&line, &d);
	is("[ACE] Adjusting TLS cap[0]: 64 → 32 (trial)\n");
	d = decision(ACE_SCAVENGE, 0, 0, 5000, ACE_BECAUSE_IDLE);
	begin();
	ace_log_line(&line, &d);
	is("[ACE] Scavenge: up to 5 ms (idle)\n");
}

/* Every knob and reason has words. */
static void complete(void)
{
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		struct ace_decision d = decision(k, 0, 1, 2, ACE_BECAUSE_TRIAL);
		begin();
		ace_log_line(&line, &d);
		CHECK(buf[6] >= 'A' && buf[6] <= 'Z', "%s has no title: %s", ace_knob_name(k), buf);
	}
	for (unsigned r = 0; r < ACE_BECAUSE_COUNT; r++)
		CHECK(ace_reason_text((enum ace_reason)r) != NULL, "reason %u has no words", r);
}

static void ring(void)
{
	static struct ace_ring r;
	for (uint32_t i = 0; i < 3 * ACE_RING_DECISIONS + 5; i++) {
		struct ace_decision d = { .time_ns = i };
		ace_ring_add(&r, &d);
		CHECK_U64(r.count, i + 1u, "count");
		CHECK_U64(r.decisions[i % ACE_RING_DECISIONS].time_ns, i, "last decision");
	}
}

static const struct test_case cases[] = {
	{ "promised_lines", promised_lines },
	{ "other_lines", other_lines },
	{ "complete", complete },
	{ "ring", ring },
};

int main(int argc, char **argv)
{
	return TEST_MAIN(argc, argv, cases);
}
