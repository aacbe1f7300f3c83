#include "ace/ace_playbook.h"

#include <errno.h>
#include <string.h>

#include "ace/ace_file.h"
#include "ace/ace_trace.h"
#include "common/bits.h"
#include "common/scan.h"

static const char header[] = "hakmem-playbook 1\n";
static const char trailer[] = "checksum ";

enum {
	HEX_DIGITS = 16,
	TRAILER_BYTES = sizeof(trailer) - 1 + HEX_DIGITS + 1,
	/* So that what is saved is never too long to be read. */
	MAX_ENTRY_BYTES = ACE_PLAYBOOK_BYTES - (int)sizeof(header) - TRAILER_BYTES - 1,
};

static uint64_t fnv1a(const char *p, size_t n)
{
	uint64_t hash = 0xcbf29ce484222325u;
	for (; n > 0; n--, p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3u;
	return hash;
}

static void append_trailer(struct text *t)
{
	uint64_t sum = fnv1a(t->buf, t->length);
	text_printf(t, "%s%016lx\n", trailer, (unsigned long)sum);
}

/* ---- reading */

/* Is buf[0 .. n) a whole playbook? */
static const char *find_damage(const char *buf, size_t n)
{
	char expected[TRAILER_BYTES + 1];
	struct text t;
	size_t body = n - TRAILER_BYTES;
	if (n < sizeof(header) - 1 + TRAILER_BYTES ||
	    memcmp(buf, header, sizeof(header) - 1) != 0)
		return "not a playbook of this version";
	text_init(&t, expected, sizeof(expected));
	text_printf(&t, "%s%016lx\n", trailer, (unsigned long)fnv1a(buf, body));
	if (memcmp(buf + body, expected, TRAILER_BYTES) != 0)
		return "its checksum is wrong";
	return NULL;
}

const char *ace_playbook_take(struct ace_playbook *b, size_t n)
{
	const char *damage = find_damage(b->text, n);
	b->length = 0;
	if (damage != NULL)
		return damage;
	b->length = n - TRAILER_BYTES - (sizeof(header) - 1);
	memmove(b->text, b->text + sizeof(header) - 1, b->length);
	return NULL;
}

const char *ace_playbook_load(struct ace_playbook *b, const char *path)
{
	long n = ace_file_read(path, b->text, sizeof(b->text));
	b->length = 0;
	if (n == -ENOENT)
		return NULL;
	if (n == -EFBIG)
		return "it is too long";
	if (n == -EPERM)
		return "it belongs to another user, or others may write it";
	if (n == -ELOOP)
		return "it is a symbolic link";
	if (n < 0)
		return "it cannot be read";
	return ace_playbook_take(b, (size_t)n);
}

/* ---- lines */

struct line {
	const char *at, *end; /* end: its newline */
	const char *next;
};

static struct line before_lines(const struct ace_playbook *b)
{
	return (struct line){ .next = b->text };
}

static bool next_line(const struct ace_playbook *b, struct line *l)
{
	size_t left = (size_t)(b->text + b->length - l->next);
	l->at = l->next;
	l->end = left > 0 ? memchr(l->at, '\n', left) : NULL;
	if (l->end == NULL)
		return false;
	l->next = l->end + 1;
	return true;
}

/* Go past the next word if it is this one. */
static bool take_word(struct line *l, const char *word)
{
	size_t n = strlen(word);
	if ((size_t)(l->end - l->at) <= n || memcmp(l->at, word, n) != 0 || l->at[n] != ' ')
		return false;
	l->at += n + 1;
	return true;
}

static bool take_knob(struct line *l, enum hak_knob *k)
{
	for (unsigned i = 0; i < HAK_KNOB_COUNT; i++) {
		if (take_word(l, ace_knob_name(i))) {
			*k = (enum hak_knob)i;
			return true;
		}
	}
	return false;
}

/* A number at the end of the line or before a blank. */
static bool take_number(struct line *l, int64_t *out)
{
	uint64_t v;
	const char *rest = scan_u64(l->at, &v);
	if (rest == NULL || rest > l->end || (rest < l->end && *rest != ' ') || v > ACE_MAX_NUMBER)
		return false;
	l->at = rest < l->end ? rest + 1 : rest;
	*out = (int64_t)v;
	return true;
}

/* Lines of another build's knobs and values are passed over. */
static bool recall_line(struct line l, const char *key, struct ace_controller *a,
			void (*used)(const struct text *line))
{
	char buf[ACE_LINE_BYTES];
	struct text t;
	enum hak_knob k;
	int64_t first, weight, reward;
	text_init(&t, buf, sizeof(buf));
	if (take_word(&l, "learnt")) {
		if (!take_word(&l, key) || !take_knob(&l, &k) || !take_number(&l, &first) ||
		    !take_number(&l, &weight) || !take_number(&l, &reward) ||
		    first >= knob_info(k)->ncandidates)
			return false;
		ace_trace_learnt(&t, k, (uint32_t)first, weight, reward);
		used(&t);
		ace_explorer_recall(&a->explorer, k, (uint32_t)first, weight, reward);
		return true;
	}
	if (!take_word(&l, "adopt") || !take_word(&l, key) || !take_knob(&l, &k) ||
	    !take_number(&l, &first) || first > INT32_MAX ||
	    ace_candidate_index(k, (int32_t)first) == knob_info(k)->ncandidates)
		return false;
	ace_trace_adopt(&t, k, (int32_t)first);
	used(&t);
	ace_explorer_adopt(&a->explorer, &a->settings, k, ace_candidate_index(k, (int32_t)first));
	return true;
}

bool ace_playbook_recall(const struct ace_playbook *b, const char *key, struct ace_controller *a,
			 void (*used)(const struct text *line))
{
	struct line l = before_lines(b);
	bool any = false;
	while (next_line(b, &l))
		any |= recall_line(l, key, a, used);
	return any;
}

/* ---- the key */

static unsigned log2_of(uint64_t v)
{
	unsigned n = 0;
	while (v >>= 1)
		n++;
	return n;
}

void ace_playbook_key(char key[ACE_KEY_BYTES], const char *program, const struct ace_sample *sample)
{
	enum { NAME_BYTES = 48 };
	struct text t;
	text_init(&t, key, ACE_KEY_BYTES);
	for (unsigned i = 0; program[i] != '\0' && i < NAME_BYTES; i++) {
		char c = program[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+';
		text_printf(&t, "%c", plain ? c : '_');
	}
	text_printf(&t, ".m%u.t%u.r%d", log2_of(sample->live_bytes) / 2, log2_of(sample->heaps),
		    sample->backlog > 0);
}

/* ---- writing */

static void append_own(struct text *t, const char *key, const struct ace_controller *a)
{
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		const struct ace_learner *l = &a->explorer.learners[k];
		const int32_t value = knob_info((enum hak_knob)k)->candidates[l->arm];
		for (uint32_t arm = 0; arm < l->ucb.narms; arm++)
			if (l->ucb.weight[arm] > 0)
				text_printf(t, "learnt %s %s %u %ld %ld\n", key, ace_knob_name(k),
					    arm, (long)l->ucb.weight[arm],
					    (long)l->ucb.reward[arm]);
		if (value != a->settings.start[k])
			text_printf(t, "adopt %s %s %d\n", key, ace_knob_name(k), value);
	}
}

static bool is_of_key(struct line l, const char *key)
{
	return (take_word(&l, "learnt") || take_word(&l, "adopt")) && take_word(&l, key);
}

/* Lines of other keys, but for the first `skip` bytes of them. */
static void append_others(struct text *t, const struct ace_playbook *b, const char *key,
			  size_t skip)
{
	struct line l = before_lines(b);
	size_t passed = 0;
	while (next_line(b, &l)) {
		if (is_of_key(l, key))
			continue;
		if (passed >= skip)
			for (const char *p = l.at; p <= l.end; p++)
				text_printf(t, "%c", *p);
		passed += (size_t)(l.end + 1 - l.at);
	}
}

int ace_playbook_save(struct ace_playbook *b, const char *path, const char *key,
		      const struct ace_controller *a)
{
	static char buf[2 * ACE_PLAYBOOK_BYTES]; /* at exit, by one thread */
	struct text t;
	size_t excess;
	text_init(&t, buf, sizeof(buf));
	append_others(&t, b, key, 0);
	append_own(&t, key, a);
	excess = t.length > MAX_ENTRY_BYTES ? t.length - MAX_ENTRY_BYTES : 0;
	text_init(&t, buf, sizeof(buf));
	text_printf(&t, "%s", header);
	append_others(&t, b, key, excess);
	append_own(&t, key, a);
	append_trailer(&t);
	return ace_file_replace(path, buf, t.length);
}

/* ---- advice */

static void append_variable(struct text *t, enum hak_knob k, int32_t value)
{
	static const char *const policies[] = { "off", "filling", "always" };
	text_printf(t, "%sHAKMEM_", t->length > 0 ? " " : "");
	for (const char *p = ace_knob_name(k); *p != '\0'; p++)
		text_printf(t, "%c", *p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
	if (k == HAK_KNOB_HUGE_PAGES)
		text_printf(t, "=%s", policies[value]);
	else
		text_printf(t, "=%d", value);
}

void ace_advise(struct text *t, const struct ace_controller *a)
{
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		int32_t value =
			knob_info((enum hak_knob)k)->candidates[a->explorer.learners[k].arm];
		/* The diet has no variable. */
		if (value != a->settings.start[k] && k != HAK_KNOB_DIET_FACTOR)
			append_variable(t, (enum hak_knob)k, value);
	}
}
