/* common/options.c: every variable, good values and bad ones.
 *
 * The environment is read once per process, by the library's constructor. So all
 * of this runs in a constructor that comes before that one, in a process in which
 * the allocator never starts; each value is tried in a child, which sets the
 * variable, starts the allocator and looks.
 */
#include "unit.h"

#include <limits.h>

#include "common/cgroup.h"
#include "common/knobs.h"
#include "common/options.h"

struct number_option {
	const char *name;
	const int32_t *value;
	int32_t min, max;
};

static const struct number_option numbers[] = {
	{ "HAKMEM_STATS", &options.stats_at_exit, 0, 1 },
	{ "HAKMEM_VERBOSE", &options.verbose, 0, 1 },
	{ "HAKMEM_RARE_PATHS", &options.rare_paths, 0, 1 },
	{ "HAKMEM_BACKGROUND", &options.background, 0, 1 },
	{ "HAKMEM_ACE_FAST_INTERVAL_MS", &options.ace_fast_interval_ms, 10, 60000 },
	{ "HAKMEM_ACE_SLOW_INTERVAL_S", &options.ace_slow_interval_s, 1, 3600 },
	{ "HAKMEM_ACE_LOG_LEVEL", &options.ace_log_level, 0, 2 },
	{ "HAKMEM_ACE_MAX_P99_LAT_NS", &options.ace_max_p99_lat_ns, 1000, INT32_MAX },
	{ "HAKMEM_ACE_MAX_RSS_MB", &options.ace_max_rss_mb, 1, INT32_MAX },
	{ "HAKMEM_ACE_MAX_CPU_PERCENT", &options.ace_max_cpu_percent, 1, 100 },
	{ "HAKMEM_ACE_THREAD", &options.ace_thread, 0, 1 },
};

static const struct {
	const char *name;
	enum hak_knob knob;
} knobs[] = {
	{ "HAKMEM_PURGE_DELAY_MS", HAK_KNOB_PURGE_DELAY_MS },
	{ "HAKMEM_TCACHE_CAPACITY", HAK_KNOB_TCACHE_CAPACITY },
	{ "HAKMEM_BUNDLE_WIDTH", HAK_KNOB_BUNDLE_WIDTH },
	{ "HAKMEM_DRAIN_THRESHOLD", HAK_KNOB_DRAIN_THRESHOLD },
	{ "HAKMEM_PARTIAL_RELEASE_PAGES", HAK_KNOB_PARTIAL_RELEASE_PAGES },
	{ "HAKMEM_NT_THRESHOLD", HAK_KNOB_NT_THRESHOLD },
	{ "HAKMEM_HUGE_CACHE_MB", HAK_KNOB_HUGE_CACHE_MB },
	{ "HAKMEM_IDLE_DELAY_MS", HAK_KNOB_IDLE_DELAY_MS },
};

struct attempt {
	const char *name, *text;
	const int32_t *value; /* where it lands, or NULL and: */
	enum hak_knob knob;
	int32_t expected; /* there, afterwards */
};

static void attempt_in_child(void *arg)
{
	const struct attempt *a = arg;
	int32_t found;
	setenv(a->name, a->text, 1);
	hak_init_once();
	found = a->value != NULL ? *a->value : knob_get(a->knob, 0);
	CHECK(found == a->expected, "%s=%s gives %d, not %d", a->name, a->text, found, a->expected);
	setenv(a->name, "0", 1); /* later changes are not looked at */
	options_load();
	found = a->value != NULL ? *a->value : knob_get(a->knob, 0);
	CHECK(found == a->expected, "a second look at %s", a->name);
}

static struct unit_child child;

static void good(struct attempt a)
{
	unit_child_passes(&child, attempt_in_child, &a);
	CHECK(child.length == 0, "%s=%s: standard error has \"%s\"", a.name, a.text, child.text);
}

/* The default stays, and one line names variable, value and what was wanted. */
static void bad(struct attempt a, const char *wanted)
{
	char line[512];
	snprintf(line, sizeof(line), "hakmem: %s=%s: wanted %s; the default is used\n", a.name,
		 a.text, wanted);
	unit_child_passes(&child, attempt_in_child, &a);
	CHECK(strcmp(child.text, line) == 0, "%s=%s: standard error has \"%s\", not \"%s\"", a.name,
	      a.text, child.text, line);
}

/* Never a number, whatever the range. */
static const char *const no_numbers[] = { "", "x", "1x", " 1", "1 ", "-1", "+1", "0x1", "1.0",
					  "1e0", "on", "99999999999999999999999999",
					  /* 16 and 50, but for 2^32 and 2^64 */
					  "4294967312", "4294967346", "18446744073709551632" };

static void number_options(void)
{
	for (unsigned i = 0; i < HAK_ARRAY_LEN(numbers); i++) {
		const struct number_option *o = &numbers[i];
		const int32_t inside[] = { o->min, o->max, o->min + (o->max - o->min) / 2 };
		const int64_t outside[] = { (int64_t)o->min - 1, (int64_t)o->max + 1,
					    (int64_t)o->max * 10 };
		char wanted[64], text[32];
		struct attempt a = { .name = o->name, .text = text, .value = o->value };
		for (unsigned k = 0; k < HAK_ARRAY_LEN(inside); k++) {
			snprintf(text, sizeof(text), "%d", inside[k]);
			a.expected = inside[k];
			good(a);
		}
		snprintf(wanted, sizeof(wanted), "a number from %d to %d", o->min, o->max);
		a.expected = *o->value;
		for (unsigned k = 0; k < HAK_ARRAY_LEN(outside); k++) {
			if (outside[k] < 0)
				continue;
			snprintf(text, sizeof(text), "%lld", (long long)outside[k]);
			bad(a, wanted);
		}
		for (unsigned k = 0; k < HAK_ARRAY_LEN(no_numbers); k++) {
			a.text = no_numbers[k];
			bad(a, wanted);
		}
	}
}

#define SIZE_WANTED "a size such as 512M or 2G, at least 1M, or 1% to 100% of memory"

/* Of all options, in the order in which they are read. */
static const struct {
	const char *name, *wanted;
} all_options[] = {
	{ "HAKMEM_ON_ERROR", "one of abort, report" },
	{ "HAKMEM_CHECK", "one of default, full" },
	{ "HAKMEM_WARN_MISMATCH", "a number from 0 to 1" },
	{ "HAKMEM_MTE", "one of off, sync, async" },
	{ "HAKMEM_SAMPLE_GUARD", "a number from 0 to 1000000000" },
	{ "HAKMEM_DEBUG_TRACE", "a number from 0 to 1" },
	{ "HAKMEM_STATS", "a number from 0 to 1" },
	{ "HAKMEM_STATS_PAGE", "a number from 0 to 1" },
	{ "HAKMEM_STATS_PAGE_KEEP", "a number from 0 to 2147483647" },
	{ "HAKMEM_PROFILE", "a number from 0 to 2147483647" },
	{ "HAKMEM_LEAKS", "a path of 1 to 1023 bytes" },
	{ "HAKMEM_VERBOSE", "a number from 0 to 1" },
	{ "HAKMEM_RARE_PATHS", "a number from 0 to 1" },
	{ "HAKMEM_BACKGROUND", "a number from 0 to 1" },
	{ "HAKMEM_LIMIT", SIZE_WANTED },
	{ "HAKMEM_HARD_LIMIT", SIZE_WANTED },
	{ "HAKMEM_COUNTER_THREADS", "a number from 0 to 64" },
	{ "HAKMEM_HUGE_PAGES", "one of off, filling, always" },
	{ "HAKMEM_HUGE_CACHE_MB", "one of 32, 64, 128, 256" },
	{ "HAKMEM_NT_THRESHOLD", "one of 6, 12, 25, 50, 100, 200, 100000" },
	{ "HAKMEM_PURGE_DELAY_MS", "one of 0, 10, 100, 250, 500, 1000, 10000" },
	{ "HAKMEM_IDLE_DELAY_MS", "one of 10, 100, 10000" },
	{ "HAKMEM_TCACHE_CAPACITY", "one of 4, 8, 16, 32, 64" },
	{ "HAKMEM_BUNDLE_WIDTH", "one of 16, 32, 64, 128" },
	{ "HAKMEM_DRAIN_THRESHOLD", "one of 32, 64, 128, 256, 512" },
	{ "HAKMEM_PARTIAL_RELEASE_PAGES", "one of 1, 2, 4, 8" },
	{ "HAKMEM_ACE_ENABLED", "a number from 0 to 1" },
	{ "HAKMEM_ACE_FAST_INTERVAL_MS", "a number from 10 to 60000" },
	{ "HAKMEM_ACE_SLOW_INTERVAL_S", "a number from 1 to 3600" },
	{ "HAKMEM_ACE_LOG_LEVEL", "a number from 0 to 2" },
	{ "HAKMEM_ACE_MAX_P99_LAT_NS", "a number from 1000 to 2147483647" },
	{ "HAKMEM_ACE_MAX_RSS_MB", "a number from 1 to 2147483647" },
	{ "HAKMEM_ACE_MAX_CPU_PERCENT", "a number from 1 to 100" },
	{ "HAKMEM_ACE_THREAD", "a number from 0 to 1" },
	{ "HAKMEM_ACE_LEARNER", "one of discounted, ucb1" },
	{ "HAKMEM_ACE_TRACE", "a path of 1 to 1023 bytes" },
	{ "HAKMEM_ACE_PLAYBOOK", "a path of 1 to 1023 bytes" },
};

/* An empty value is a bad one for all of them. */
static void empty_in_child(void *arg)
{
	unsigned count;
	(void)arg;
	(void)options_table(&count);
	CHECK_U64(count, HAK_ARRAY_LEN(all_options), "options");
	for (unsigned i = 0; i < HAK_ARRAY_LEN(all_options); i++)
		setenv(all_options[i].name, "", 1);
	hak_init_once();
}

static void what_is_wanted(void)
{
	static char expected[UNIT_TEXT_BYTES];
	size_t n = 0;
	for (unsigned i = 0; i < HAK_ARRAY_LEN(all_options); i++)
		n += (size_t)snprintf(expected + n, sizeof(expected) - n,
				      "hakmem: %s=: wanted %s; the default is used\n",
				      all_options[i].name, all_options[i].wanted);
	unit_child_passes(&child, empty_in_child, NULL);
	CHECK(strcmp(child.text, expected) == 0, "standard error has \"%s\", not \"%s\"",
	      child.text, expected);
}

static void size_in_child(void *arg)
{
	const struct {
		const char *text;
		uint64_t bytes;
	} *a = arg;
	setenv("HAKMEM_LIMIT", a->text, 1);
	setenv("HAKMEM_HARD_LIMIT", a->text, 1);
	hak_init_once();
	CHECK_U64(options.limit_bytes, a->bytes, a->text);
	CHECK_U64(options.hard_limit_bytes, a->bytes, a->text);
}

static void size_options(void)
{
	const uint64_t all = cgroup_memory_bytes();
	struct {
		const char *text;
		uint64_t bytes;
	} good_ones[] = {
		{ "1048576", 1 << 20 },	      { "1024K", 1 << 20 },
		{ "1M", 1 << 20 },	      { "4G", UINT64_C(4) << 30 },
		{ "17179869183G", UINT64_MAX - (UINT64_C(1) << 30) + 1 },
		{ "100%", all / 100 * 100 },  { "50%", all / 100 * 50 },
	}, bad_one = { NULL, 0 };
	static const char *const bad_ones[] = { "",    "0",    "1048575", "1023K", "0M",  "0%",
						"101%", "1m",   "1MB",	 "1 M",	  "M",	 "%",
						"-1M", "1.5G", "max",	  "17179869184G" };
	for (unsigned i = 0; i < HAK_ARRAY_LEN(good_ones); i++) {
		unit_child_passes(&child, size_in_child, &good_ones[i]);
		CHECK(child.length == 0, "%s: standard error has \"%s\"", good_ones[i].text,
		      child.text);
	}
	for (unsigned i = 0; i < HAK_ARRAY_LEN(bad_ones); i++) {
		char line[256];
		bad_one.text = bad_ones[i];
		unit_child_passes(&child, size_in_child, &bad_one);
		snprintf(line, sizeof(line),
			 "hakmem: HAKMEM_HARD_LIMIT=%s: wanted %s; the default is used\n",
			 bad_ones[i], SIZE_WANTED);
		CHECK(strstr(child.text, line) != NULL, "%s: standard error has \"%s\"",
		      bad_ones[i], child.text);
	}
}

static void knob_options(void)
{
	for (unsigned i = 0; i < HAK_ARRAY_LEN(knobs); i++) {
		const struct hak_knob_info *info = knob_info(knobs[i].knob);
		char wanted[128] = "", text[32];
		struct attempt a = { .name = knobs[i].name, .text = text, .knob = knobs[i].knob };
		for (unsigned k = 0; k < info->ncandidates; k++) {
			size_t n = strlen(wanted);
			snprintf(wanted + n, sizeof(wanted) - n, "%s%d", k == 0 ? "one of " : ", ",
				 info->candidates[k]);
			snprintf(text, sizeof(text), "%d", info->candidates[k]);
			a.expected = info->candidates[k];
			good(a);
		}
		a.expected = info->candidates[info->default_index];
		a.text = "3"; /* of none of them */
		bad(a, wanted);
		for (unsigned k = 0; k < HAK_ARRAY_LEN(no_numbers); k++) {
			a.text = no_numbers[k];
			bad(a, wanted);
		}
	}
}

static void word_options(void)
{
	struct attempt huge = { .name = "HAKMEM_HUGE_PAGES", .knob = HAK_KNOB_HUGE_PAGES };
	struct attempt error = { .name = "HAKMEM_ON_ERROR", .value = &options.on_error_report };
	static const char *const policies[] = { "off", "filling", "always" };
	static const char *const wrong[] = { "", "1", "Off", "of", "offf", "off ", "never" };
	for (int32_t i = 0; i < 3; i++) {
		huge.text = policies[i];
		huge.expected = i;
		good(huge);
	}
	error.text = "abort";
	good(error);
	error.text = "report";
	error.expected = 1;
	good(error);
	error.expected = 0;
	huge.expected = HUGE_PAGES_FILLING;
	for (unsigned i = 0; i < HAK_ARRAY_LEN(wrong); i++) {
		huge.text = error.text = wrong[i];
		bad(huge, "one of off, filling, always");
		bad(error, "one of abort, report");
	}
}

/* Paths are taken as they are, but for empty ones and those too long. What the user set
 * is remembered: ACE leaves it alone. */
static void paths_in_child(void *arg)
{
	static char long_path[OPTIONS_PATH_BYTES + 1];
	(void)arg;
	memset(long_path, 'a', OPTIONS_PATH_BYTES);
	setenv("HAKMEM_ACE_TRACE", "/some where/else", 1);
	setenv("HAKMEM_ACE_PLAYBOOK", long_path, 1);
	setenv("HAKMEM_ACE_LEARNER", "ucb1", 1);
	setenv("HAKMEM_BUNDLE_WIDTH", "16", 1);
	setenv("HAKMEM_PURGE_DELAY_MS", "7", 1);
	hak_init_once();
	CHECK(strcmp(options.ace_trace, "/some where/else") == 0, "trace \"%s\"",
	      options.ace_trace);
	CHECK(options.ace_playbook[0] == '\0', "a path too long was taken");
	CHECK_I64(options.ace_learner, ACE_LEARNER_UCB1, "learner");
	CHECK_U64(options.given_knobs, 1u << HAK_KNOB_BUNDLE_WIDTH, "knobs given");
	CHECK(!options.ace_max_rss_given, "a limit that was not given");
}

static void paths(void)
{
	unit_child_passes(&child, paths_in_child, NULL);
	CHECK(unit_count(child.text, "\n") == 2 &&
		      strstr(child.text, "wanted a path of 1 to 1023 bytes") != NULL,
	      "standard error has \"%s\"", child.text);
}

/* A name must be whole, and of two wrong values each gets its line. */
static void several_in_child(void *arg)
{
	(void)arg;
	setenv("HAKMEM_VERBOS", "1", 1);
	setenv("HAKMEM_VERBOSE_", "1", 1);
	setenv("XHAKMEM_VERBOSE", "1", 1);
	setenv("HAKMEM_STATS", "7", 1);
	setenv("HAKMEM_BACKGROUND", "no", 1);
	setenv("HAKMEM_RARE_PATHS", "1", 1);
	hak_init_once();
	CHECK_I64(options.verbose, 0, "HAKMEM_VERBOSE, which is not set");
	CHECK_I64(options.stats_at_exit, 0, "HAKMEM_STATS=7");
	CHECK_I64(options.background, 1, "HAKMEM_BACKGROUND=no");
	CHECK_I64(options.rare_paths, 1, "HAKMEM_RARE_PATHS=1 among wrong ones");
}

static void several(void)
{
	unit_child_passes(&child, several_in_child, NULL);
	CHECK(unit_count(child.text, "\n") == 2 && strstr(child.text, "HAKMEM_STATS=7") != NULL &&
		      strstr(child.text, "HAKMEM_BACKGROUND=no") != NULL,
	      "standard error has \"%s\"", child.text);
}

static void without_environment(void *arg)
{
	(void)arg;
	environ = NULL; /* as the dynamic loader has it at first */
	options_load();
	CHECK_I64(options.background, 1, "HAKMEM_BACKGROUND");
	CHECK_PTR(options_variable("HOME"), NULL, "a variable of none");
}

static void early(void)
{
	unit_child_passes(&child, without_environment, NULL);
}

static const struct test_case cases[] = {
	{ "number_options", number_options },
	{ "what_is_wanted", what_is_wanted },
	{ "size_options", size_options },
	{ "knob_options", knob_options },
	{ "word_options", word_options },
	{ "paths", paths },
	{ "several", several },
	{ "early", early },
};

/* Of the library's priority: those of the program come first in the link. */
__attribute__((constructor(101))) static void run_before_the_library(int argc, char **argv,
								     char **env)
{
	int status;
	(void)env;
	status = TEST_MAIN(argc, argv, cases);
	fflush(NULL);
	_exit(status);
}

int main(void)
{
	return 1; /* never reached */
}
