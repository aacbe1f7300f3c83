#include "common/options.h"

#include <limits.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "common/cgroup.h"
#include "common/diag.h"
#include "common/knobs.h"
#include "common/limit.h"
#include "common/os.h"
#include "common/scan.h"

/* A limit below this is a mistake: nothing runs in it. */
enum { LIMIT_MIN_BYTES = 1 << 20 };

struct options options = {
	.warn_mismatch = 1,
	.background = 1,
	.counter_threads = 64,
	.ace_fast_interval_ms = 500,
	.ace_slow_interval_s = 30,
	.ace_max_p99_lat_ns = 10000000,
	.ace_max_rss_mb = 16384,
	.ace_max_cpu_percent = 5,
	.ace_thread = 1,
};

static const struct options_entry table[] = {
	{ .name = "HAKMEM_ON_ERROR",
	  .value = &options.on_error_report,
	  .words = { "abort", "report" } },
	{ .name = "HAKMEM_CHECK", .value = &options.check_full, .words = { "default", "full" } },
	{ .name = "HAKMEM_WARN_MISMATCH", .value = &options.warn_mismatch, .max = 1 },
	{ .name = "HAKMEM_MTE", .value = &options.mte, .words = { "off", "sync", "async" } },
	{ .name = "HAKMEM_SAMPLE_GUARD", .value = &options.sample_guard, .max = 1000000000 },
	{ .name = "HAKMEM_DEBUG_TRACE", .value = &options.debug_trace, .max = 1 },
	{ .name = "HAKMEM_STATS", .value = &options.stats_at_exit, .max = 1 },
	{ .name = "HAKMEM_STATS_PAGE", .value = &options.stats_page, .max = 1 },
	{ .name = "HAKMEM_STATS_PAGE_KEEP", .value = &options.stats_page_keep, .max = INT32_MAX },
	{ .name = "HAKMEM_PROFILE", .value = &options.profile_rate, .max = INT32_MAX },
	{ .name = "HAKMEM_LEAKS", .path = options.leaks },
	{ .name = "HAKMEM_VERBOSE", .value = &options.verbose, .max = 1 },
	{ .name = "HAKMEM_RARE_PATHS", .value = &options.rare_paths, .max = 1 },
	{ .name = "HAKMEM_BACKGROUND", .value = &options.background, .max = 1 },
	{ .name = "HAKMEM_LIMIT", .bytes = &options.limit_bytes },
	{ .name = "HAKMEM_HARD_LIMIT", .bytes = &options.hard_limit_bytes },
	{ .name = "HAKMEM_COUNTER_THREADS", .value = &options.counter_threads, .max = 64 },
	{ .name = "HAKMEM_HUGE_PAGES",
	  .words = { "off", "filling", "always" },
	  .knob = 1 + HAK_KNOB_HUGE_PAGES },
	{ .name = "HAKMEM_HUGE_CACHE_MB", .max = INT32_MAX, .knob = 1 + HAK_KNOB_HUGE_CACHE_MB },
	{ .name = "HAKMEM_NT_THRESHOLD", .max = INT32_MAX, .knob = 1 + HAK_KNOB_NT_THRESHOLD },
	{ .name = "HAKMEM_PURGE_DELAY_MS", .max = INT32_MAX, .knob = 1 + HAK_KNOB_PURGE_DELAY_MS },
	{ .name = "HAKMEM_IDLE_DELAY_MS", .max = INT32_MAX, .knob = 1 + HAK_KNOB_IDLE_DELAY_MS },
	{ .name = "HAKMEM_TCACHE_CAPACITY",
	  .max = INT32_MAX,
	  .knob = 1 + HAK_KNOB_TCACHE_CAPACITY },
	{ .name = "HAKMEM_BUNDLE_WIDTH", .max = INT32_MAX, .knob = 1 + HAK_KNOB_BUNDLE_WIDTH },
	{ .name = "HAKMEM_DRAIN_THRESHOLD",
	  .max = INT32_MAX,
	  .knob = 1 + HAK_KNOB_DRAIN_THRESHOLD },
	{ .name = "HAKMEM_PARTIAL_RELEASE_PAGES",
	  .max = INT32_MAX,
	  .knob = 1 + HAK_KNOB_PARTIAL_RELEASE_PAGES },
	{ .name = "HAKMEM_ACE_ENABLED", .value = &options.ace_enabled, .max = 1 },
	{ .name = "HAKMEM_ACE_FAST_INTERVAL_MS",
	  .value = &options.ace_fast_interval_ms,
	  .min = 10,
	  .max = 60000 },
	{ .name = "HAKMEM_ACE_SLOW_INTERVAL_S",
	  .value = &options.ace_slow_interval_s,
	  .min = 1,
	  .max = 3600 },
	{ .name = "HAKMEM_ACE_LOG_LEVEL", .value = &options.ace_log_level, .max = 2 },
	{ .name = "HAKMEM_ACE_MAX_P99_LAT_NS",
	  .value = &options.ace_max_p99_lat_ns,
	  .min = 1000,
	  .max = INT32_MAX },
	{ .name = "HAKMEM_ACE_MAX_RSS_MB",
	  .value = &options.ace_max_rss_mb,
	  .min = 1,
	  .max = INT32_MAX,
	  .given = &options.ace_max_rss_given },
	{ .name = "HAKMEM_ACE_MAX_CPU_PERCENT",
	  .value = &options.ace_max_cpu_percent,
	  .min = 1,
	  .max = 100 },
	{ .name = "HAKMEM_ACE_THREAD", .value = &options.ace_thread, .max = 1 },
	{ .name = "HAKMEM_ACE_LEARNER",
	  .value = &options.ace_learner,
	  .words = { "discounted", "ucb1" } },
	{ .name = "HAKMEM_ACE_TRACE", .path = options.ace_trace },
	{ .name = "HAKMEM_ACE_PLAYBOOK", .path = options.ace_playbook },
};

/* getenv() without its later surprises: no lock, and callable from the first malloc on. */
const char *options_variable(const char *name)
{
	size_t n = strlen(name);
	for (char **e = environ; e != NULL && *e != NULL; e++) /* clearenv() leaves none */
		if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
			return *e + n + 1;
	return NULL;
}

bool options_want_leaks(void)
{
	return options.leaks[0] != '\0' && strcmp(options.leaks, "0") != 0;
}

static bool parse_number(const char *s, int32_t *out)
{
	uint64_t v;
	s = scan_u64(s, &v);
	if (s == NULL || *s != '\0' || v > INT32_MAX)
		return false;
	*out = (int32_t)v;
	return true;
}

/* Bytes, or with a suffix: K, M, G, or % of the memory there is. */
static bool parse_bytes(const char *s, uint64_t *out)
{
	static const struct {
		const char *suffix;
		uint64_t factor;
	} units[] = { { "", 1 }, { "K", UINT64_C(1) << 10 }, { "M", UINT64_C(1) << 20 },
		      { "G", UINT64_C(1) << 30 } };
	uint64_t n, bytes = 0;
	s = scan_u64(s, &n);
	if (s == NULL)
		return false;
	if (strcmp(s, "%") == 0 && n <= 100)
		bytes = cgroup_memory_bytes() / 100 * n;
	for (unsigned i = 0; i < HAK_ARRAY_LEN(units); i++)
		if (strcmp(s, units[i].suffix) == 0 &&
		    __builtin_mul_overflow(n, units[i].factor, &bytes))
			return false;
	if (bytes < LIMIT_MIN_BYTES)
		return false;
	*out = bytes;
	return true;
}

static bool parse_word(const struct options_entry *o, const char *s, int32_t *out)
{
	for (unsigned i = 0; i < HAK_ARRAY_LEN(o->words) && o->words[i] != NULL; i++) {
		if (strcmp(s, o->words[i]) == 0) {
			*out = (int32_t)i;
			return true;
		}
	}
	return false;
}

static bool apply_path(char *path, const char *s)
{
	size_t n = strlen(s);
	if (n == 0 || n >= OPTIONS_PATH_BYTES)
		return false;
	memcpy(path, s, n + 1);
	return true;
}

static bool apply_knob(enum hak_knob k, int32_t value)
{
	if (knob_set(k, 0, value) != 0)
		return false;
	options.given_knobs |= 1u << k;
	return true;
}

static bool option_apply(const struct options_entry *o, const char *s)
{
	int32_t v;
	if (o->path != NULL)
		return apply_path(o->path, s);
	if (o->bytes != NULL)
		return parse_bytes(s, o->bytes);
	if (!(o->words[0] != NULL ? parse_word(o, s, &v) : parse_number(s, &v)))
		return false;
	if (o->knob != 0)
		return apply_knob((enum hak_knob)(o->knob - 1), v);
	if (o->words[0] == NULL && (v < o->min || v > o->max))
		return false;
	*o->value = v;
	if (o->given != NULL)
		*o->given = true;
	return true;
}

enum { SHOWN_BYTES = 100 }; /* of a bad value */

/* The value on one line: what is long must not push what was wanted off it, and what
 * controls a terminal, in whatever encoding, or begins a new line is shown as '?'. */
static void show_value(char buf[SHOWN_BYTES], const char *s)
{
	static const char rest[] = "...";
	size_t n = strnlen(s, SHOWN_BYTES);
	bool whole = n < SHOWN_BYTES;
	if (!whole)
		n = SHOWN_BYTES - sizeof(rest);
	for (size_t i = 0; i < n; i++)
		buf[i] = (unsigned char)s[i] < ' ' || (unsigned char)s[i] >= 0x7f ? '?' : s[i];
	memcpy(buf + n, whole ? "" : rest, whole ? 1 : sizeof(rest));
}

static void explain_bad_value(const struct options_entry *o, const char *s)
{
	char shown[SHOWN_BYTES];
	char buf[128];
	struct text wanted;
	text_init(&wanted, buf, sizeof(buf));
	if (o->words[0] != NULL) {
		for (unsigned i = 0; i < HAK_ARRAY_LEN(o->words) && o->words[i] != NULL; i++)
			text_printf(&wanted, "%s%s", i == 0 ? "one of " : ", ", o->words[i]);
	} else if (o->path != NULL) {
		text_printf(&wanted, "a path of 1 to %d bytes", OPTIONS_PATH_BYTES - 1);
	} else if (o->knob != 0) {
		const struct hak_knob_info *info = knob_info((enum hak_knob)(o->knob - 1));
		for (unsigned i = 0; i < info->ncandidates; i++)
			text_printf(&wanted, "%s%d", i == 0 ? "one of " : ", ",
				    info->candidates[i]);
	} else if (o->bytes != NULL) {
		text_printf(&wanted,
			    "a size such as 512M or 2G, at least 1M, or 1%% to 100%% of memory");
	} else {
		text_printf(&wanted, "a number from %d to %d", o->min, o->max);
	}
	show_value(shown, s);
	diag_line("%s=%s: wanted %s; the default is used", o->name, shown, buf);
}

static void read_environment(void)
{
	for (unsigned i = 0; i < HAK_ARRAY_LEN(table); i++) {
		const char *s = options_variable(table[i].name);
		if (s != NULL && !option_apply(&table[i], s))
			explain_bad_value(&table[i], s);
	}
	limit_set(options.limit_bytes, options.hard_limit_bytes);
	if (options.ace_enabled && !HAKMEM_WITH_ACE)
		diag_line("HAKMEM_ACE_ENABLED=1: this build has no ACE; knobs keep their settings");
}

void options_load(void)
{
	static bool loaded;
	if (loaded || environ == NULL)
		return;
	loaded = true;
	if (getauxval(AT_SECURE) == 0)
		read_environment();
	if (!HAKMEM_TESTING)
		os_seal(&options, sizeof(options));
}

#if HAKMEM_TESTING
const struct options_entry *options_table(unsigned *count)
{
	*count = HAK_ARRAY_LEN(table);
	return table;
}

void options_reload(void)
{
	read_environment();
}
#endif
