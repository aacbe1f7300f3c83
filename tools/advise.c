/* hakmem advise: the settings that a process has come to, or those of a playbook, as
 * variables that pin them for the next start. */
#include <ctype.h>
#include <getopt.h>
#include <string.h>

#include "commands.h"
#include "page.h"
#include "playbook.h"
#include "say.h"

static void print_variable(const char *knob, int32_t value, const char *words)
{
	char name[64];
	unsigned i = 0;
	for (; knob[i] != '\0' && i + 1 < sizeof(name); i++)
		name[i] = (char)toupper((unsigned char)knob[i]);
	name[i] = '\0';
	if (words != NULL)
		printf("export HAKMEM_%s=%s\n", name, words);
	else
		printf("export HAKMEM_%s=%d\n", name, value);
}

/* The one knob whose values are words. */
static const char *word_of(const char *knob, int32_t value)
{
	static const char *const huge_pages[] = { "off", "filling", "always" };
	if (strcmp(knob, "huge_pages") != 0 || value < 0 || value > 2)
		return NULL;
	return huge_pages[value];
}

/* The last reason that was given for a knob, or NULL. */
static const char *last_reason(const struct statpage *p, unsigned knob)
{
	uint64_t first =
		p->ndecisions < STATPAGE_DECISIONS ? 0 : p->ndecisions - STATPAGE_DECISIONS;
	for (uint64_t n = p->ndecisions; n-- > first;)
		if (p->decisions[n % STATPAGE_DECISIONS].knob == (int32_t)knob)
			return p->decisions[n % STATPAGE_DECISIONS].reason;
	return NULL;
}

static unsigned classes_apart(const struct statpage *p, unsigned knob)
{
	unsigned n = 0;
	for (unsigned cls = 1; cls <= p->nclasses; cls++)
		n += p->now.knobs[knob][cls] != p->now.knobs[knob][0];
	return n;
}

static void print_advice(const struct statpage *p)
{
	unsigned printed = 0;
	char t[SIZE_TEXT_BYTES];
	printf("# %s, process %d, after %s\n", p->exe, p->pid,
	       time_text(t, (double)p->now.time_ms / 1000));
	for (unsigned k = 0; k < p->nknobs; k++) {
		const struct statpage_knob *knob = &p->knobs[k];
		const char *reason = last_reason(p, k);
		unsigned apart = knob->per_class ? classes_apart(p, k) : 0;
		if (p->now.knobs[k][0] != knob->default_value &&
		    strcmp(knob->name, "diet_factor") == 0) {
			printf("# %s is %d, which no variable can say\n", knob->name,
			       p->now.knobs[k][0]);
			printed++;
		} else if (p->now.knobs[k][0] != knob->default_value) {
			if (reason != NULL)
				printf("# %s\n", reason);
			print_variable(knob->name, p->now.knobs[k][0],
				       word_of(knob->name, p->now.knobs[k][0]));
			printed++;
		}
		if (apart > 0) {
			printf("# %s is different in %u classes, which no variable can say\n",
			       knob->name, apart);
			printed++;
		}
	}
	if (printed == 0)
		puts("# every knob is at its default: nothing to set");
}

static int advise_process(const char *which)
{
	static struct statpage page;
	int code = page_copy_chosen(which, "advise", &page);
	if (code == EXIT_OK)
		print_advice(&page);
	return code;
}

int command_advise(int argc, char **argv)
{
	static const struct option names[] = {
		{ "playbook", required_argument, NULL, 'b' },
		{ NULL, 0, NULL, 0 },
	};
	const char *playbook = NULL;
	int c;
	while ((c = getopt_long(argc, argv, "b:", names, NULL)) != -1) {
		if (c != 'b')
			return usage_error("advise", "that is not how it is used");
		playbook = optarg;
	}
	if (argc - optind > 1)
		return usage_error("advise", "one process or program is meant, or none");
	if (playbook != NULL)
		return playbook_advise(playbook, argv[optind]);
	return advise_process(argv[optind]);
}
