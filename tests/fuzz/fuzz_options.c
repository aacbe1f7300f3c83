/* The environment, against what docs/options.md says of each kind of variable.
 *
 * Input: settings one after another, each a name without HAKMEM_, '=' and the value up to 0xff.
 * A value is either taken, and in force, or it gets one line on standard error and changes
 * nothing. What has no name of ours is ignored.
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
	MAX_VARIABLES = 64,
	MAX_SETTINGS = 64,
	SETTING_BYTES = 1200, /* longer than any path that is taken */
	NAME_BYTES = 40,
	SAID_BYTES = 32768,
	MIN_LIMIT_BYTES = 1 << 20,
};

enum kind { NUMBER, WORD, SIZE, KNOB, WORD_KNOB, PATH };

static struct options defaults;
static const struct options_entry *variables;
static unsigned variable_count;

static enum kind kind_of(const struct options_entry *v)
{
	const bool words = v->words[0] != NULL;
	if (v->path != NULL)
		return PATH;
	if (v->bytes != NULL)
		return SIZE;
	if (v->knob != 0)
		return words ? WORD_KNOB : KNOB;
	return words ? WORD : NUMBER;
}

static enum hak_knob knob_of(const struct options_entry *v)
{
	return (enum hak_knob)(v->knob - 1);
}

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

static bool is_word(const struct options_entry *v, const char *s, int64_t *out)
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
static bool expect(const struct options_entry *v, const char *s, int64_t *value)
{
	uint64_t n = 0;
	switch (kind_of(v)) {
	case NUMBER:
		*value = read_digits(s, strlen(s), &n) && n <= INT32_MAX ? (int64_t)n : -1;
		return *value >= v->min && *value <= v->max;
	case KNOB:
		if (!read_digits(s, strlen(s), &n) || !is_candidate(knob_of(v), n))
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

static int64_t value_of(const struct options_entry *v)
{
	switch (kind_of(v)) {
	case NUMBER:
	case WORD:
		return *v->value;
	case SIZE:
		return (int64_t)*v->bytes;
	case KNOB:
	case WORD_KNOB:
		return knob_get(knob_of(v), 0);
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
	const struct options_entry *variable; /* NULL: none of ours */
	char text[SETTING_BYTES];             /* as in the environment */
	const char *value;
};

static struct setting settings[MAX_SETTINGS];
static char *setting_pointers[MAX_SETTINGS + 1];

static void find_variable(struct setting *s)
{
	s->variable = NULL;
	for (unsigned i = 0; i < variable_count; i++) {
		size_t n = strlen(variables[i].name);
		if (strncmp(s->text, variables[i].name, n) == 0 && s->text[n] == '=') {
			s->variable = &variables[i];
			s->value = s->text + n + 1;
		}
	}
}

static unsigned take_settings(struct fuzz_input *in)
{
	static const char prefix[] = "HAKMEM_";
	unsigned n = 0;
	while (in->left > 0 && n < MAX_SETTINGS) {
		struct setting *s = &settings[n];
		strcpy(s->text, prefix);
		fuzz_text(in, s->text + sizeof(prefix) - 1, SETTING_BYTES - (sizeof(prefix) - 1));
		find_variable(s);
		setting_pointers[n++] = s->text;
	}
	setting_pointers[n] = NULL;
	return n;
}

/* The first of a name counts. */
static const struct setting *setting_of(const struct options_entry *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (settings[i].variable == v)
			return &settings[i];
	return NULL;
}

static void check_path(const struct options_entry *v, const struct setting *s, bool taken)
{
	const char *expected = taken ? s->value : "";
	FUZZ_REQUIRE(strcmp(v->path, expected) == 0, "%s is '%s', not '%s'", v->name, v->path,
		     expected);
}

/* Lines come in the order of the table. Returns what is behind the variable's. */
static const char *check_variable(const struct options_entry *v, const struct setting *s,
				  int64_t before, const char *said)
{
	const bool is_path = kind_of(v) == PATH;
	int64_t value = 0;
	bool taken = s != NULL && expect(v, s->value, &value);
	const char *end;
	if (is_path)
		check_path(v, s, taken);
	else if (!taken)
		value = before;
	FUZZ_REQUIRE(is_path || value_of(v) == value, "%s=%s gives %lld, not %lld", v->name,
		     s != NULL ? s->value : "", (long long)value_of(v), (long long)value);
	if (s == NULL || taken)
		return said;
	end = strchr(said, '\n');
	FUZZ_REQUIRE(end != NULL, "%s=%s: no line is said", v->name, s->value);
	check_line(said, (size_t)(end - said), v->name);
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
	int64_t before[MAX_VARIABLES];
	unsigned n;

	if (!ready) {
		hak_init_once();
		defaults = options;
		variables = options_table(&variable_count);
		FUZZ_REQUIRE(variable_count <= MAX_VARIABLES, "%u variables", variable_count);
		ready = true;
	}
	options = defaults;
	knob_reset_all();
	for (unsigned i = 0; i < variable_count; i++)
		before[i] = value_of(&variables[i]);

	n = take_settings(&in);
	environ = setting_pointers;
	fuzz_capture_begin(&capture, STDERR_FILENO);
	options_reload();
	fuzz_capture_end(&capture, said, sizeof(said));
	environ = outside;

	for (unsigned i = 0; i < variable_count; i++)
		rest = check_variable(&variables[i], setting_of(&variables[i], n), before[i], rest);
	FUZZ_REQUIRE(*rest == '\0', "it says too much: %s", rest);

	options = defaults;
	knob_reset_all();
	limit_set(0, 0);
	return 0;
}
