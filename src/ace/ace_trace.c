#include "ace/ace_trace.h"

#include <string.h>

/* ---- writing */

void ace_trace_header(struct text *t, const struct ace_config *config,
		      const struct ace_settings *settings)
{
	const struct ace_limits *l = &config->limits;
	text_printf(t, "hakmem-ace-trace %d\n", ACE_TRACE_VERSION);
	text_printf(t, "config %lu %d %lu %lu %u %d\n", (unsigned long)config->slow_interval_ns,
		    config->discount_ppm, (unsigned long)l->max_p99_ns,
		    (unsigned long)l->max_rss_mb, l->max_cpu_percent, l->rss_is_default);
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++)
		text_printf(t, "knob %s %d %d\n", ace_knob_name(k), settings->start[k],
			    settings->pinned[k]);
}

void ace_trace_adopt(struct text *t, enum hak_knob k, int32_t value)
{
	text_printf(t, "adopt %s %d\n", ace_knob_name(k), value);
}

void ace_trace_learnt(struct text *t, enum hak_knob k, uint32_t arm, int64_t weight_ppm,
		      int64_t reward_ppm)
{
	text_printf(t, "learnt %s %u %ld %ld\n", ace_knob_name(k), arm, (long)weight_ppm,
		    (long)reward_ppm);
}

void ace_trace_sample(struct text *t, uint64_t now_ns, const struct ace_sample *sample)
{
	text_printf(t, "sample %lu", (unsigned long)now_ns);
#define FIELD(name, type) text_printf(t, " %ld", (long)sample->name);
	ACE_SAMPLE_FIELDS(FIELD)
#undef FIELD
	for (unsigned c = 1; c < ACE_CLASSES; c++)
		if (sample->class_backlog[c] > 0)
			text_printf(t, " %u:%u", c, sample->class_backlog[c]);
	text_printf(t, "\n");
}

/* ---- reading */

struct reader {
	const char *at, *end;
	uint64_t line; /* of `at`, from 1 */
	struct ace_replay *result;
	void (*repeated)(const struct ace_decision *d);
};

static void fail(struct reader *r, const char *error)
{
	if (r->result->error != NULL)
		return;
	r->result->error = error;
	r->result->line = r->line;
}

static bool at_word(const struct reader *r, const char *word)
{
	size_t n = strlen(word);
	return (size_t)(r->end - r->at) > n && memcmp(r->at, word, n) == 0 && r->at[n] == ' ';
}

/* Go past `word` and its blank; the line must begin with it. */
static bool take_word(struct reader *r, const char *word)
{
	if (!at_word(r, word)) {
		fail(r, "an unexpected line");
		return false;
	}
	r->at += strlen(word) + 1;
	return true;
}

/* A number of min to max, or else min. */
static int64_t take_number(struct reader *r, int64_t min, int64_t max)
{
	uint64_t v = 0;
	int64_t number;
	bool negative = false;
	while (r->at < r->end && *r->at == ' ')
		r->at++;
	if (r->at < r->end && *r->at == '-') {
		negative = true;
		r->at++;
	}
	if (r->at == r->end || *r->at < '0' || *r->at > '9') {
		fail(r, "a number is missing");
		return min;
	}
	for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
		v = v * 10 + (uint64_t)(*r->at - '0');
		if (v > ACE_MAX_NUMBER) {
			fail(r, "a number too large");
			return min;
		}
	}
	number = negative ? -(int64_t)v : (int64_t)v;
	if (number >= min && number <= max)
		return number;
	fail(r, "a number out of range");
	return min;
}

static uint64_t take_figure(struct reader *r)
{
	return (uint64_t)take_number(r, 0, ACE_MAX_NUMBER);
}

static bool take_flag(struct reader *r)
{
	return take_number(r, 0, 1) != 0;
}

static int32_t take_candidate(struct reader *r, enum hak_knob k)
{
	const struct hak_knob_info *info = knob_info(k);
	int32_t value = (int32_t)take_number(r, INT32_MIN, INT32_MAX);
	if (ace_candidate_index(k, value) < info->ncandidates)
		return value;
	fail(r, "a value that the knob has not");
	return info->candidates[info->default_index];
}

static void take_line_end(struct reader *r)
{
	if (r->at == r->end || *r->at != '\n') {
		fail(r, "a line has more than it should");
		return;
	}
	r->at++;
	r->line++;
}

static bool take_knob_name(struct reader *r, enum hak_knob *out)
{
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		if (at_word(r, ace_knob_name(k))) {
			*out = (enum hak_knob)k;
			return take_word(r, ace_knob_name(k));
		}
	}
	fail(r, "a knob that this version has not");
	return false;
}

static void take_config(struct reader *r, struct ace_config *c)
{
	if (!take_word(r, "config"))
		return;
	c->slow_interval_ns = take_figure(r);
	c->discount_ppm = (int32_t)take_number(r, 1, PPM);
	c->limits.max_p99_ns = take_figure(r);
	c->limits.max_rss_mb = take_figure(r);
	c->limits.max_cpu_percent = (uint32_t)take_number(r, 0, UINT32_MAX);
	c->limits.rss_is_default = take_flag(r);
	take_line_end(r);
}

static void take_knobs(struct reader *r, int32_t *start, bool *pinned)
{
	enum hak_knob k;
	while (r->result->error == NULL && at_word(r, "knob")) {
		if (!take_word(r, "knob") || !take_knob_name(r, &k))
			return;
		start[k] = take_candidate(r, k);
		pinned[k] = take_flag(r);
		take_line_end(r);
	}
}

static void take_adoption(struct reader *r, struct ace_controller *a)
{
	enum hak_knob k;
	int32_t value;
	if (!take_word(r, "adopt") || !take_knob_name(r, &k))
		return;
	value = take_candidate(r, k);
	take_line_end(r);
	if (r->result->error == NULL)
		ace_explorer_adopt(&a->explorer, &a->settings, k, ace_candidate_index(k, value));
}

static void take_learnt(struct reader *r, struct ace_controller *a)
{
	enum hak_knob k;
	uint32_t arm;
	int64_t weight_ppm, reward_ppm;
	if (!take_word(r, "learnt") || !take_knob_name(r, &k))
		return;
	arm = (uint32_t)take_number(r, 0, knob_info(k)->ncandidates - 1);
	weight_ppm = (int64_t)take_figure(r);
	reward_ppm = (int64_t)take_figure(r);
	take_line_end(r);
	if (r->result->error == NULL)
		ace_explorer_recall(&a->explorer, k, arm, weight_ppm, reward_ppm);
}

static uint64_t take_sample(struct reader *r, struct ace_sample *s)
{
	uint64_t now_ns;
	*s = (struct ace_sample){ 0 };
	if (!take_word(r, "sample"))
		return 0;
	now_ns = take_figure(r);
	/* Of all that has a sign, -1 is "not known". */
#define IS_SIGNED(type) ((type)-1 < (type)1)
#define MAX_OF(type)                                                                               \
	(sizeof(type) == 8 ? (int64_t)ACE_MAX_NUMBER : IS_SIGNED(type) ? INT32_MAX : UINT32_MAX)
#define FIELD(name, type)                                                                          \
	s->name = (type)take_number(r, IS_SIGNED(type) ? -1 : 0, MAX_OF(type));
	ACE_SAMPLE_FIELDS(FIELD)
#undef FIELD
#undef MAX_OF
#undef IS_SIGNED
	while (r->at < r->end && *r->at == ' ') {
		uint64_t cls = take_figure(r);
		if (r->at == r->end || *r->at != ':' || cls == 0 || cls >= ACE_CLASSES) {
			fail(r, "a class that cannot be");
			return 0;
		}
		r->at++;
		s->class_backlog[cls] = (uint32_t)take_number(r, 0, UINT32_MAX);
	}
	take_line_end(r);
	return now_ns;
}

/* ---- replaying */

static void replay_set(void *context, enum hak_knob k, unsigned cls, int32_t value)
{
	(void)context, (void)k, (void)cls, (void)value;
}

static void replay_scavenge(void *context, uint64_t budget_ns)
{
	(void)context, (void)budget_ns;
}

/* A decision was made: the trace's next line must be the same. */
static void replay_decided(void *context, const struct ace_decision *d)
{
	struct reader *r = context;
	char buf[ACE_LINE_BYTES];
	struct text line;
	if (r->result->error != NULL)
		return;
	text_init(&line, buf, sizeof(buf));
	ace_log_record(&line, d);
	if ((size_t)(r->end - r->at) < line.length || memcmp(r->at, buf, line.length) != 0) {
		memcpy(r->result->found, buf, sizeof(buf));
		fail(r, "a decision differs");
		return;
	}
	r->at += line.length;
	r->line++;
	r->result->decisions++;
	if (r->repeated != NULL)
		r->repeated(d);
}

static void take_step(struct reader *r, struct ace_controller *a)
{
	struct ace_sample sample;
	uint64_t now_ns = take_sample(r, &sample);
	if (r->result->error != NULL)
		return;
	r->result->samples++;
	ace_step(a, now_ns, &sample);
}

bool ace_replay_each(struct ace_replay *result, struct ace_controller *a, const char *trace,
		     size_t length, void (*repeated)(const struct ace_decision *d))
{
	struct reader r = { .at = trace, .end = trace + length, .line = 1, .result = result,
			    .repeated = repeated };
	struct ace_ports ports = { &r, replay_set, replay_scavenge, replay_decided };
	struct ace_config config = { 0 };
	int32_t start[HAK_KNOB_COUNT];
	bool pinned[HAK_KNOB_COUNT] = { false };

	*result = (struct ace_replay){ 0 };
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		const struct hak_knob_info *info = knob_info((enum hak_knob)k);
		start[k] = info->candidates[info->default_index];
	}
	if (take_word(&r, "hakmem-ace-trace") && take_figure(&r) != ACE_TRACE_VERSION)
		fail(&r, "a trace of another version");
	if (result->error == NULL)
		take_line_end(&r);
	if (result->error == NULL)
		take_config(&r, &config);
	take_knobs(&r, start, pinned);
	ace_controller_init(a, &config, &ports, start, pinned);
	while (result->error == NULL && r.at < r.end) {
		if (at_word(&r, "adopt"))
			take_adoption(&r, a);
		else if (at_word(&r, "learnt"))
			take_learnt(&r, a);
		else
			take_step(&r, a);
	}
	return result->error == NULL;
}

bool ace_replay(struct ace_replay *result, struct ace_controller *a, const char *trace,
		size_t length)
{
	return ace_replay_each(result, a, trace, length, NULL);
}
