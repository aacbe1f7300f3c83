#include "playbook.h"

#include <stdlib.h>
#include <string.h>

#include "ace/ace_playbook.h"
#include "file.h"
#include "say.h"

enum {
	MAX_KEYS = 256,
	ADVICE_BYTES = 1024,
	FINGERPRINTS = 3, /* ".m10.t2.r0" */
	MIB_LOG4 = 10,
};

/* The program's part of a key, its length; 0: it is no key. */
static size_t name_length(const char *key)
{
	unsigned live, heaps, remote;
	size_t n = strlen(key);
	for (unsigned i = 0; i < FINGERPRINTS; i++)
		while (n > 0 && key[--n] != '.') {
		}
	if (sscanf(key + n, ".m%2u.t%2u.r%1u", &live, &heaps, &remote) != FINGERPRINTS)
		return 0;
	return live < 32 && heaps < 31 ? n : 0;
}

/* ---- the keys of a book */

struct keys {
	unsigned count;
	char key[MAX_KEYS][ACE_KEY_BYTES];
};

static void add_key(struct keys *keys, const char *key, size_t n)
{
	char *new_key = keys->key[keys->count];
	if (keys->count == MAX_KEYS || n >= ACE_KEY_BYTES)
		return;
	memcpy(new_key, key, n);
	new_key[n] = '\0';
	clean_text(new_key, ACE_KEY_BYTES);
	if (name_length(new_key) == 0)
		return;
	for (unsigned i = 0; i < keys->count; i++)
		if (strcmp(keys->key[i], new_key) == 0)
			return;
	keys->count++;
}

/* The second word of each line is a key. */
static void find_keys(struct keys *keys, const struct ace_playbook *b)
{
	const char *end = b->text + b->length;
	for (const char *at = b->text; at < end;) {
		const char *eol = memchr(at, '\n', (size_t)(end - at));
		const char *key, *key_end;
		if (eol == NULL)
			return;
		key = memchr(at, ' ', (size_t)(eol - at));
		key_end = key == NULL ? NULL : memchr(key + 1, ' ', (size_t)(eol - key - 1));
		if (key_end != NULL)
			add_key(keys, key + 1, (size_t)(key_end - key - 1));
		at = eol + 1;
	}
}

/* The names in a playbook have but plain characters; of a path the last part counts. */
static void name_of(char name[ACE_KEY_BYTES], const char *program)
{
	static const struct ace_sample none;
	const char *slash = strrchr(program, '/');
	ace_playbook_key(name, slash != NULL ? slash + 1 : program, &none);
	name[name_length(name)] = '\0';
}

static void keep_program(struct keys *keys, const char *name)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < keys->count; i++) {
		const char *key = keys->key[i];
		if (strlen(name) == name_length(key) && strncmp(key, name, strlen(name)) == 0)
			memmove(keys->key[kept++], key, ACE_KEY_BYTES);
	}
	keys->count = kept;
}

/* ---- what is known under a key */

static void no_set(void *context, enum hak_knob k, unsigned cls, int32_t value)
{
	(void)context, (void)k, (void)cls, (void)value;
}

static void no_scavenge(void *context, uint64_t budget_ns)
{
	(void)context, (void)budget_ns;
}

static void no_decision(void *context, const struct ace_decision *d)
{
	(void)context, (void)d;
}

static void no_line(const struct text *line)
{
	(void)line;
}

/* A controller that has begun with the playbook and done nothing since. */
static void recall(struct ace_controller *a, const struct ace_playbook *b, const char *key)
{
	const struct ace_ports ports = { NULL, no_set, no_scavenge, no_decision };
	const struct ace_config config = { .discount_ppm = ACE_DISCOUNT_DEFAULT };
	static const bool pinned[HAK_KNOB_COUNT];
	int32_t start[HAK_KNOB_COUNT];
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		const struct hak_knob_info *info = knob_info((enum hak_knob)k);
		start[k] = info->candidates[info->default_index];
	}
	ace_controller_init(a, &config, &ports, start, pinned);
	ace_playbook_recall(b, key, a, no_line);
}

static int64_t trials(const struct ace_controller *a)
{
	int64_t ppm = 0;
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++)
		for (uint32_t arm = 0; arm < a->explorer.learners[k].ucb.narms; arm++)
			ppm += a->explorer.learners[k].ucb.weight[arm];
	return (ppm + PPM / 2) / PPM;
}

/* 4^n bytes. */
static const char *live_text(char *buf, unsigned n)
{
	double bytes = 1;
	while (n-- > 0)
		bytes *= 4;
	return size_text(buf, bytes);
}

static void print_title(const char *key, const struct ace_controller *a)
{
	size_t n = name_length(key);
	unsigned live = 0, heaps = 0, remote = 0;
	char from[SIZE_TEXT_BYTES], to[SIZE_TEXT_BYTES];
	sscanf(key + n, ".m%2u.t%2u.r%1u", &live, &heaps, &remote);
	printf("# %.*s, with %s to %s live, ", (int)n, key, live_text(from, live),
	       live_text(to, live + 1));
	if (heaps == 0)
		printf("1 heap, ");
	else
		printf("%u to %u heaps, ", 1U << heaps, (2U << heaps) - 1);
	printf("%s; %lld trials count\n",
	       remote != 0 ? "blocks freed by other threads" : "no remote frees",
	       (long long)trials(a));
}

static void print_entry(const struct ace_playbook *b, const char *key, bool comment)
{
	static struct ace_controller a;
	const struct ace_learner *diet = &a.explorer.learners[HAK_KNOB_DIET_FACTOR];
	char advice[ADVICE_BYTES], *rest = NULL;
	struct text t;
	recall(&a, b, key);
	print_title(key, &a);
	text_init(&t, advice, sizeof(advice));
	ace_advise(&t, &a);
	for (char *s = strtok_r(advice, " ", &rest); s != NULL; s = strtok_r(NULL, " ", &rest))
		printf("%sexport %s\n", comment ? "#" : "", s);
	if (diet->arm != knob_info(HAK_KNOB_DIET_FACTOR)->default_index)
		printf("# diet_factor is at %d, which no variable can say\n",
		       knob_info(HAK_KNOB_DIET_FACTOR)->candidates[diet->arm]);
	else if (t.length == 0)
		puts("# every knob is at its default: nothing to set");
}

/* ---- the command */

static int complain_unknown(const char *path, const char *name, const struct keys *all)
{
	complain("%s knows nothing of '%s'%s", path, name,
		 all->count > 0 ? "; it knows:" : ", nor of others");
	for (unsigned i = 0; i < all->count; i++)
		fprintf(stderr, "  %.*s\n", (int)name_length(all->key[i]), all->key[i]);
	return EXIT_FAILED;
}

static bool load(struct ace_playbook *b, const char *path)
{
	size_t n;
	const char *wrong;
	char *text = file_read(path, sizeof(b->text), &n);
	if (text == NULL)
		return false;
	memcpy(b->text, text, n);
	free(text);
	wrong = ace_playbook_take(b, n);
	if (wrong != NULL)
		complain("%s: %s", path, wrong);
	return wrong == NULL;
}

int playbook_advise(const char *path, const char *program)
{
	static struct ace_playbook book;
	static struct keys all, keys;
	all.count = 0;
	if (!load(&book, path))
		return EXIT_FAILED;
	find_keys(&all, &book);
	keys = all;
	if (program != NULL) {
		char name[ACE_KEY_BYTES];
		name_of(name, program);
		keep_program(&keys, name);
		if (keys.count == 0)
			return complain_unknown(path, name, &all);
	}
	if (keys.count == 0)
		puts("# nothing has been learnt");
	if (keys.count > 1)
		printf("# %u kinds of work are known: take the lines of one\n", keys.count);
	for (unsigned i = 0; i < keys.count; i++)
		print_entry(&book, keys.key[i], keys.count > 1);
	return EXIT_OK;
}
