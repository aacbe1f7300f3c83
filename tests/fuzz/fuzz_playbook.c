/* Playbook files: read or refused; what is recalled from one is what it says, can be
 * replayed as a trace, and is the same after it was saved and read again.
 *
 * Input: a byte, then the file. Bit 0 of the byte: the rest lies between the right header and
 * the right checksum, where random bytes seldom get by themselves.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ace/ace_playbook.h"
#include "ace/ace_trace.h"
#include "fuzz.h"
#include "fuzz_ace.h"

static const char key[] = "program.m10.t2.r0"; /* in the dictionary */
static const char header[] = "hakmem-playbook 1\n";

enum { TRACE_BYTES = 1 << 20 };

static struct ace_playbook book, again;
static struct ace_controller told, replayed, told_again;
static struct ace_replay result;
static char trace[TRACE_BYTES];
static struct text recorded;

static void nothing_set(void *context, enum hak_knob k, unsigned cls, int32_t value)
{
	(void)context, (void)k, (void)cls, (void)value;
}

static void nothing_scavenged(void *context, uint64_t budget_ns)
{
	(void)context, (void)budget_ns;
}

static void record_decision(void *context, const struct ace_decision *d)
{
	if (context != NULL)
		ace_log_record(context, d);
}

static void record_line(const struct text *line)
{
	text_printf(&recorded, "%s", line->buf);
}

static void ignore_line(const struct text *line)
{
	(void)line;
}

static void init(struct ace_controller *a, struct text *record)
{
	const struct ace_ports ports = { record, nothing_set, nothing_scavenged, record_decision };
	const struct ace_config config = { .slow_interval_ns = 1,
					   .discount_ppm = ACE_DISCOUNT_DEFAULT };
	static const bool pinned[HAK_KNOB_COUNT];
	int32_t start[HAK_KNOB_COUNT];
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		const struct hak_knob_info *info = knob_info((enum hak_knob)k);
		start[k] = info->candidates[info->default_index];
	}
	ace_controller_init(a, &config, &ports, start, pinned);
	if (record != NULL)
		ace_trace_header(record, &config, &a->settings);
}

static size_t seal(const uint8_t *body, size_t size)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	const size_t room =
		sizeof(book.text) - sizeof(header) - sizeof("checksum 0123456789abcdef\n");
	size_t n = sizeof(header) - 1;
	if (size > room)
		size = room;
	memcpy(book.text, header, n);
	memcpy(book.text + n, body, size);
	n += size;
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)book.text[i]) * UINT64_C(0x100000001b3);
	return n + (size_t)snprintf(book.text + n, sizeof(book.text) - n, "checksum %016llx\n",
				    (unsigned long long)hash);
}

static size_t take_file(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		return seal(data + 1, size - 1);
	size = size - 1 < sizeof(book.text) ? size - 1 : sizeof(book.text);
	memcpy(book.text, data + 1, size);
	return size;
}

static void same_learnt(const struct ace_controller *a, const struct ace_controller *b,
			const char *how)
{
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		const struct ace_learner *x = &a->explorer.learners[k],
					 *y = &b->explorer.learners[k];
		FUZZ_REQUIRE(x->arm == y->arm, "%s: %s is at %u, not %u", how, ace_knob_name(k),
			     y->arm, x->arm);
		for (unsigned arm = 0; arm < x->ucb.narms; arm++)
			FUZZ_REQUIRE(x->ucb.weight[arm] == y->ucb.weight[arm] &&
					     x->ucb.reward[arm] == y->ucb.reward[arm],
				     "%s: %s, arm %u: %lld of %lld", how, ace_knob_name(k), arm,
				     (long long)y->ucb.reward[arm], (long long)y->ucb.weight[arm]);
	}
}

/* Does the file say that this value is to be adopted? */
static bool says_adopt(unsigned k, int32_t value)
{
	char line[ACE_LINE_BYTES];
	size_t n = (size_t)snprintf(line, sizeof(line), "adopt %s %s ", key, ace_knob_name(k));
	const char *end = book.text + book.length, *at = book.text;
	while ((at = memmem(at, (size_t)(end - at), line, n)) != NULL) {
		at += n;
		/* A line's end follows. */
		if (strtol(at, NULL, 10) == value)
			return true;
	}
	return false;
}

/* A value that is no candidate must not put another in force. */
static void adopts_what_it_says(void)
{
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		const struct hak_knob_info *info = knob_info((enum hak_knob)k);
		const int32_t value = info->candidates[told.explorer.learners[k].arm];
		if (value != info->candidates[info->default_index])
			FUZZ_REQUIRE(says_adopt(k, value), "%s is %d, which is not in the file",
				     ace_knob_name(k), value);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[300];
	const char *wrong = ace_playbook_take(&book, take_file(data, size));
	int err;
	if (wrong != NULL) {
		FUZZ_REQUIRE(book.length == 0 && wrong[0] != '\0', "refused, and not empty");
		return 0;
	}
	text_init(&recorded, trace, sizeof(trace));
	init(&told, &recorded);
	ace_playbook_recall(&book, key, &told, record_line);
	fuzz_check_controller(&told);
	adopts_what_it_says();
	FUZZ_REQUIRE(recorded.length < sizeof(trace), "a trace of %zu bytes", recorded.length);
	FUZZ_REQUIRE(ace_replay(&result, &replayed, trace, recorded.length),
		     "replay: line %llu: %s; found %s", (unsigned long long)result.line,
		     result.error, result.found);
	same_learnt(&told, &replayed, "replayed");

	snprintf(path, sizeof(path), "%s/playbook", fuzz_dir());
	err = ace_playbook_save(&book, path, key, &told);
	FUZZ_REQUIRE(err == 0, "saving fails with %d", err);
	wrong = ace_playbook_load(&again, path);
	FUZZ_REQUIRE(wrong == NULL, "what was saved is refused: %s", wrong);
	init(&told_again, NULL);
	ace_playbook_recall(&again, key, &told_again, ignore_line);
	same_learnt(&told, &told_again, "saved and read");
	return 0;
}
