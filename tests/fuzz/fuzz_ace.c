/* ACE's controller on samples that the input makes up: every figure that a sample can hold.
 *
 * Knobs stay at candidates, and the trace that is recorded on the way replays to the same
 * decisions. Input: the limits, the knobs that are pinned, then the samples: for each which
 * figures change, and to what.
 */
#include <string.h>

#include "ace/ace_trace.h"
#include "fuzz.h"
#include "fuzz_ace.h"

enum { TRACE_BYTES = 1 << 20, MAX_SAMPLES = 400, STEP_NS = 500000000, FRESH_BIT = 15 };

static char trace[TRACE_BYTES];
static struct text recorded;
static struct ace_controller ace, replayed;
static struct ace_replay result;

static void set(void *context, enum hak_knob k, unsigned cls, int32_t value)
{
	(void)context;
	FUZZ_REQUIRE(fuzz_is_candidate(k, value), "%s of class %u goes to %d", ace_knob_name(k),
		     cls, value);
}

static void scavenge(void *context, uint64_t budget_ns)
{
	(void)context;
	FUZZ_REQUIRE(budget_ns > 0 && budget_ns < 1000000000, "a scavenge pass of %llu ns",
		     (unsigned long long)budget_ns);
}

static void decided(void *context, const struct ace_decision *d)
{
	char buf[ACE_LINE_BYTES];
	struct text line;
	(void)context;
	ace_log_record(&recorded, d);
	text_init(&line, buf, sizeof(buf));
	ace_log_line(&line, d);
	FUZZ_REQUIRE(line.length < sizeof(buf), "a line of %zu bytes", line.length);
}

/* Any magnitude: a byte of mantissa, shifted, up to what a trace can hold. */
static uint64_t take_figure(struct fuzz_input *in)
{
	uint64_t mantissa = fuzz_byte(in);
	return mantissa << fuzz_byte(in) % 52;
}

static void take_sample(struct fuzz_input *in, struct ace_sample *s)
{
	uint32_t changed = (uint32_t)fuzz_number(in, 2);
	unsigned field = 0;
	s->interval_ns = STEP_NS;
#define FIELD(name, type)                                                                          \
	if (changed >> field++ & 1)                                                                \
		s->name = (type)(take_figure(in) >> (sizeof(type) == 4 ? 28 : 0));
	ACE_SAMPLE_FIELDS(FIELD)
#undef FIELD
	if (changed >> FRESH_BIT & 1) {
		unsigned cls = 1 + fuzz_byte(in) % (ACE_CLASSES - 1);
		s->class_backlog[cls] = (uint32_t)(take_figure(in) >> 28);
		s->llc_miss_ppm = fuzz_byte(in) % 2 != 0 ? -1 : s->llc_miss_ppm;
		s->pressure_ppm = fuzz_byte(in) % 2 != 0 ? -1 : s->pressure_ppm;
	}
}

static void start(struct fuzz_input *in)
{
	const struct ace_ports ports = { NULL, set, scavenge, decided };
	struct ace_config config = {
		.slow_interval_ns = (1 + (uint64_t)fuzz_byte(in)) * STEP_NS,
		.discount_ppm = fuzz_byte(in) % 2 != 0 ? PPM : ACE_DISCOUNT_DEFAULT,
		.limits = { .max_p99_ns = UINT64_C(1000) << fuzz_byte(in) % 22,
			    .max_rss_mb = UINT64_C(1) << fuzz_byte(in) % 31,
			    .max_cpu_percent = 1 + fuzz_byte(in) % 100u,
			    .rss_is_default = fuzz_byte(in) % 2 },
	};
	uint32_t pins = fuzz_byte(in);
	int32_t begin[HAK_KNOB_COUNT];
	bool pinned[HAK_KNOB_COUNT];
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		const struct hak_knob_info *info = knob_info((enum hak_knob)k);
		begin[k] = info->candidates[info->default_index];
		pinned[k] = pins >> k & 1;
	}
	ace_controller_init(&ace, &config, &ports, begin, pinned);
	ace_trace_header(&recorded, &config, &ace.settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct ace_sample sample;
	uint64_t now_ns = 0, samples = 0;
	memset(&sample, 0, sizeof(sample));
	text_init(&recorded, trace, sizeof(trace));
	start(&in);
	while (in.left > 0 && samples < MAX_SAMPLES) {
		/* The same sample some times: many rules want a signal that lasts. */
		unsigned repeats = 1 + fuzz_byte(&in) % 8;
		take_sample(&in, &sample);
		for (unsigned i = 0; i < repeats; i++, samples++) {
			now_ns += STEP_NS;
			ace_trace_sample(&recorded, now_ns, &sample);
			ace_step(&ace, now_ns, &sample);
		}
		fuzz_check_controller(&ace);
	}
	FUZZ_REQUIRE(recorded.length < sizeof(trace), "a trace of %zu bytes", recorded.length);
	FUZZ_REQUIRE(ace_replay(&result, &replayed, trace, recorded.length),
		     "replay: line %llu: %s; found %s", (unsigned long long)result.line,
		     result.error, result.found);
	FUZZ_REQUIRE(result.samples == samples, "%llu samples of %llu are replayed",
		     (unsigned long long)result.samples, (unsigned long long)samples);
	return 0;
}
