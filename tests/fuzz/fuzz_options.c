/* The environment, against what docs/options.md says of each variable.
 *
 * Input: settings one after another, each a byte that chooses the variable and the value up to
 * 0xff. A value is either taken, and in force, or it gets one line on standard error and
 * changes nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cgroup.h"
#include "common/knobs.h"
#include "common/limit.h"
#include "common/options.h"
#include "common/thread.h"
#include "fuzz.h"

enum {
	MAX_SETTINGS = 8,
	VALUE_BYTES = 1200, /* longer than any path that is taken */
	NAME_BYTES = 40,
	SAID_BYTES = 8192,
	MIN_LIMIT_BYTES = 1 << 20,
};

enum kind { NUMBER, WORD, SIZE, KNOB, WORD_KNOB, PATH };

static const struct variable {
	const char *name;
	enum kind kind;
	const void *where;    /* what it sets: int32_t, uint64_t or char[] */
	int64_t min, max;     /* NUMBER */
	const char *words[4]; /* WORD, WORD_KNOB: for 0, 1, ... */
	enum hak_knob knob;
} variables[] = {
	/* in the order in which they are read */
	{ .name = "ON_ERROR",
	  .kind = WORD,
	  .where = &options.on_error_report,
	  .words = { "abort", "report" } },
	{ .name = "CHECK",
	  .kind = WORD,
	  .where = &options.check_full,
	  .words = { "default", "full" } },
	{ .name = "SAMPLE_GUARD",
	  .kind = NUMBER,
	  .where = &options.sample_guard,
	  .max = 1000000000 },
	{ .name = "DEBUG_TRACE", .kind = NUMBER, .where = &options.debug_trace, .max = 1 },
	{ .name = "STATS", .kind = NUMBER, .where = &options.stats_at_exit, .max = 1 },
	{ .name = "STATS_PAGE", .kind = NUMBER, .where = &options.stats_page, .max = 1 },
	{ .name = "STATS_PAGE_KEEP", .kind = NUMBER,
	  .where = &options.stats_page_keep, .max = INT32_MAX },
	{ .name = "PROFILE", .kind = NUMBER,
	  .where = &options.profile_rate, .max = INT32_MAX },
	{ .name = "LEAKS", .kind = PATH, .where = options.leaks },
	{ .name = "VERBOSE", .kind = NUMBER, .where = &options.verbose, .max = 1 },
	{ .name = "RARE_PATHS", .kind = NUMBER, .where = &options.rare_paths, .max = 1 },
	{ .name = "BACKGROUND", .kind = NUMBER, .where = &options.background, .max = 1 },
	{ .name = "LIMIT", .kind = SIZE, .where = &options.limit_bytes },
	{ .name = "HARD_LIMIT", .kind = SIZE, .where = &options.hard_limit_bytes },
	{ .name = "COUNTER_THREADS", .kind = NUMBER, .where = &options.counter_threads, .max = 64 },
	{ .name = "HUGE_PAGES",
	  .kind = WORD_KNOB,
	  .words = { "off", "filling", "always" },
	  .knob = HAK_KNOB_HUGE_PAGES },
	{ .name = "NT_THRESHOLD", .kind = KNOB, .knob = HAK_KNOB_NT_THRESHOLD },
	{ .name = "PURGE_DELAY_MS", .kind = KNOB, .knob = HAK_KNOB_PURGE_DELAY_MS },
	{ .name = "TCACHE_CAPACITY", .kind = KNOB, .knob = HAK_KNOB_TCACHE_CAPACITY },
	{ .name = "BUNDLE_WIDTH", .kind = KNOB, .knob = HAK_KNOB_BUNDLE_WIDTH },
	{ .name = "DRAIN_THRESHOLD", .kind = KNOB, .knob = HAK_KNOB_DRAIN_THRESHOLD },
	{ .name = "PARTIAL_RELEASE_PAGES", .kind = KNOB, .knob = HAK_KNOB_PARTIAL_RELEASE_PAGES },
	{ .name = "ACE_ENABLED", .kind = NUMBER, .where = &options.ace_enabled, .max = 1 },
	{ .name = "ACE_FAST_INTERVAL_MS",
	  .kind = NUMBER,
	  .where = &options.ace_fast_interval_ms,
	  .min = 10,
	  .max = 60000 },
	{ .name = "ACE_SLOW_INTERVAL_S",
	  .kind = NUMBER,
	  .where = &options.ace_slow_interval_s,
	  .min = 1,
	  .max = 3600 },
	{ .name = "ACE_LOG_LEVEL", .kind = NUMBER, .where = &options.ace_log_level, .max = 2 },
	{ .name = "ACE_MAX_P99_LAT_NS",
	  .kind = NUMBER,
	  .where = &options.ace_max_p99_lat_ns,
	  .min = 1000,
	  .max = INT32_MAX },
	{ .name = "ACE_MAX_RSS_MB",
	  .kind = NUMBER,
	  .where = &options.ace_max_rss_mb,
	  .min = 1,
	  .max = INT32_MAX },
	{ .name = "ACE_MAX_CPU_PERCENT",
	  .kind = NUMBER,
	  .where = &options.ace_max_cpu_percent,
	  .min = 1,
	  .max = 100 },
	{ .name = "ACE_THREAD", .kind = NUMBER, .where = &options.ace_thread, .max = 1 },
	{ .name = "ACE_LEARNER",
	  .kind = WORD,
	  .where = &options.ace_learner,
	  .words = { "discounted", "ucb1" } },
	{ .name = "ACE_TRACE", .kind = PATH, .where = options.ace_trace },
	{ .name = "ACE_PLAYBOOK", .kind = PATH, .where = options.ace_playbook },
	{ .name = "IDLE_DELAY_MS", .kind = KNOB, .knob = HAK_KNOB_IDLE_DELAY_MS },
};
enum { VARIABLES = sizeof(variables) / sizeof(variables[0]) };

static struct options defaults;

/* ---- what a value means, by the document */

/* Decimal digits alone, of a number that an unsigned long holds. */
static bool read_digits(const char *s, size_t n, uint64_t *out)
{
	unsigned __int128 v = 0;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		v = v * 10 + (unsigned)(s[i] - '0');
		if (v > UINT64_MAX)
			return false;
	}
	*out = (uint64_t)v;
	return n > 0;
}

static bool is_word(const struct variable *v, const char *s, int64_t *out)
{
	for (*out = 0; *out < 4 && v->words[*out] != NULL; ++*out)
		if (strcmp(v->words[*out], s) == 0)
			return true;
	return false;
}

static bool is_candidate(enum hak_knob k, uint64_t value)
{
	const struct hak_knob_info *info = knob_info(k);
	for (unsigned i = 0; i < info->ncandidates; i++)
		if (value == (uint64_t)info->candidates[i])
			return true;
	return false;
}

static bool is_size(const char *s, uint64_t *bytes)
{
	size_t n = strlen(s);
	char last = n > 0 ? s[n - 1] : '\0';
	unsigned shift = last == 'K' ? 10 : last == 'M' ? 20 : last == 'G' ? 30 : 0;
	if (!read_digits(s, n - (shift > 0 || last == '%'), bytes))
		return false;
	if (last == '%') {
		if (*bytes > 100)
			return false;
		*bytes *= cgroup_memory_bytes() / 100;
	} else if (*bytes > UINT64_MAX >> shift) {
		return false;
	} else {
		*bytes <<= shift;
	}
	return *bytes >= MIN_LIMIT_BYTES;
}

/* Is it taken? Then *value is what the variable's place holds; not for paths. */
static bool expect(const struct variable *v, const char *s, int64_t *value)
{
	uint64_t n = 0;
	switch (v->kind) {
	case NUMBER:
		*value = read_digits(s, strlen(s), &n) && n <= INT32_MAX ? (int64_t)n : -1;
		return *value >= v->min && *value <= v->max;
	case KNOB:
		if (!read_digits(s, strlen(s), &n) || !is_candidate(v->knob, n))
			return false;
		break;
	case SIZE:
		if (!is_size(s, &n))
			return false;
		break;
	case WORD:
	case WORD_KNOB:
		return is_word(v, s, value);
	case PATH:
		return s[0] != '\0' && strlen(s) < OPTIONS_PATH_BYTES;
	}
	*value = (int64_t)n;
	return true;
}

/* ---- what is there */

static int64_t value_of(const struct variable *v)
{
	switch (v->kind) {
	case NUMBER:
	case WORD:
		return *(const int32_t *)v->where;
	case SIZE:
		return (int64_t) * (const uint64_t *)v->where;
	case KNOB:
	case WORD_KNOB:
		return knob_get(v->knob, 0);
	case PATH:
		break;
	}
	return 0;
}

static void check_line(const char *line, size_t n, const char *name)
{
	static const char end[] = "; the default is used";
	char start[NAME_BYTES + 16];
	int k = snprintf(start, sizeof(start), "hakmem: %s=", name);
	FUZZ_REQUIRE(n > (size_t)k + sizeof(end) && memcmp(line, start, (size_t)k) == 0 &&
			     memcmp(line + n - (sizeof(end) - 1), end, sizeof(end) - 1) == 0,
		     "of %s it says: %.*s", name, (int)n, line);
	for (size_t i = 0; i < n; i++)
		FUZZ_REQUIRE((unsigned char)line[i] >= ' ' && line[i] != 0x7f,
			     "control character %d in what is said of %s", line[i], name);
}

/* ---- one input */

struct setting {
	const struct variable *variable;
	char text[NAME_BYTES + VALUE_BYTES]; /* as in the environment */
	const char *value;
};

static struct setting settings[MAX_SETTINGS];
static char *setting_pointers[MAX_SETTINGS + 1];

static unsigned take_settings(struct fuzz_input *in)
{
	unsigned n = 0;
	while (in->left > 0 && n < MAX_SETTINGS) {
		struct setting *s = &settings[n];
		int k;
		s->variable = &variables[fuzz_byte(in) % VARIABLES];
		k = snprintf(s->text, NAME_BYTES, "HAKMEM_%s=", s->variable->name);
		s->value = s->text + k;
		fuzz_text(in, s->text + k, VALUE_BYTES);
		setting_pointers[n++] = s->text;
	}
	setting_pointers[n] = NULL;
	return n;
}

/* The first of a name counts. */
static const struct setting *setting_of(const struct variable *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (settings[i].variable == v)
			return &settings[i];
	return NULL;
}

static void check_path(const struct variable *v, const struct setting *s, bool taken)
{
	const char *expected = taken ? s->value : "";
	FUZZ_REQUIRE(strcmp(v->where, expected) == 0, "%s is '%s', not '%s'", v->name,
		     (const char *)v->where, expected);
}

/* Lines come in the order of the table. Returns what is behind the variable's. */
static const char *check_variable(const struct variable *v, const struct setting *s,
				  int64_t before, const char *said)
{
	int64_t value = 0;
	bool taken = s != NULL && expect(v, s->value, &value);
	char name[NAME_BYTES];
	const char *end;
	if (v->kind == PATH)
		check_path(v, s, taken);
	else if (!taken)
		value = before;
	FUZZ_REQUIRE(v->kind == PATH || value_of(v) == value, "HAKMEM_%s=%s gives %lld, not %lld",
		     v->name, s != NULL ? s->value : "", (long long)value_of(v), (long long)value);
	if (s == NULL || taken)
		return said;
	snprintf(name, sizeof(name), "HAKMEM_%s", v->name);
	end = strchr(said, '\n');
	FUZZ_REQUIRE(end != NULL, "HAKMEM_%s=%s: no line is said", v->name, s->value);
	check_line(said, (size_t)(end - said), name);
	return end + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char said[SAID_BYTES];
	static bool ready;
	struct fuzz_input in = { data, size };
	struct fuzz_capture capture;
	char **outside = environ;
	const char *rest = said;
	int64_t before[VARIABLES];
	unsigned n;

	if (!ready) {
		hak_init_once();
		defaults = options;
		ready = true;
	}
	options = defaults;
	knob_reset_all();
	for (unsigned i = 0; i < VARIABLES; i++)
		before[i] = value_of(&variables[i]);

	n = take_settings(&in);
	environ = setting_pointers;
	fuzz_capture_begin(&capture, STDERR_FILENO);
	options_reload();
	fuzz_capture_end(&capture, said, sizeof(said));
	environ = outside;

	for (unsigned i = 0; i < VARIABLES; i++)
		rest = check_variable(&variables[i], setting_of(&variables[i], n), before[i], rest);
	FUZZ_REQUIRE(*rest == '\0', "it says too much: %s", rest);

	options = defaults;
	knob_reset_all();
	limit_set(0, 0);
	return 0;
}
