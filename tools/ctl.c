/* hakmem ctl: one command to a live process, through its page's mailbox, and its
 * answer. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "page.h"
#include "say.h"

enum {
	ANSWER_TRIES = 100, /* of WAIT_NS: the process looks into its mailbox each 500 ms */
	WAIT_NS = 100000000,
	DEFAULT_PROFILE_RATE = 512 * 1024,
};

/* ---- what is asked for */

static const struct statpage_knob *find_knob(const struct statpage *p, const char *name,
					     int32_t *index)
{
	if (strncasecmp(name, "HAKMEM_", strlen("HAKMEM_")) == 0)
		name += strlen("HAKMEM_");
	for (unsigned k = 0; k < p->nknobs; k++) {
		if (strcasecmp(p->knobs[k].name, name) == 0) {
			*index = (int32_t)k;
			return &p->knobs[k];
		}
	}
	return NULL;
}

static void print_knobs(const struct statpage *p)
{
	for (unsigned k = 0; k < p->nknobs; k++) {
		const struct statpage_knob *knob = &p->knobs[k];
		fprintf(stderr, "  %-24s %s%s:", knob->name, knob->unit,
			knob->per_class ? ", per class" : "");
		for (unsigned i = 0; i < knob->ncandidates; i++)
			fprintf(stderr, " %d", knob->candidates[i]);
		fputc('\n', stderr);
	}
}

static bool is_candidate(const struct statpage_knob *knob, long long value)
{
	for (unsigned i = 0; i < knob->ncandidates; i++)
		if (knob->candidates[i] == value)
			return true;
	return false;
}

/* set KNOB VALUE, or set KNOB[CLASS] VALUE */
static int parse_set(const struct statpage *p, const char *name, const char *value,
		     struct statpage_mailbox *m)
{
	char knob_name[64];
	const char *bracket = strchr(name, '[');
	const struct statpage_knob *knob;
	long long number, cls = 0;
	snprintf(knob_name, sizeof(knob_name), "%.*s",
		 (int)(bracket != NULL ? bracket - name : (long)strlen(name)), name);
	knob = find_knob(p, knob_name, &m->knob);
	if (knob == NULL) {
		complain("there is no knob '%s'; there are:", knob_name);
		print_knobs(p);
		return EXIT_USAGE;
	}
	if (bracket != NULL) {
		char digits[16];
		snprintf(digits, sizeof(digits), "%.*s", (int)strcspn(bracket + 1, "]"),
			 bracket + 1);
		if (!knob->per_class || !parse_number(digits, p->nclasses, &cls) || cls == 0) {
			complain("%s: %s", name,
				 knob->per_class ? "no such class" : "this knob has no classes");
			return EXIT_USAGE;
		}
	}
	if (!parse_number(value, INT32_MAX, &number) || !is_candidate(knob, number)) {
		complain("%s: '%s' is no value of it; the knobs and their values are:", knob->name,
			 value);
		print_knobs(p);
		return EXIT_USAGE;
	}
	m->command = STATPAGE_SET_KNOB;
	m->cls = (uint32_t)cls;
	m->value = (int32_t)number;
	return EXIT_OK;
}

static int parse_profile(int argc, char **argv, struct statpage_mailbox *m)
{
	long long rate = DEFAULT_PROFILE_RATE;
	const char *what = argc > 0 ? argv[0] : "";
	if (strcmp(what, "off") == 0 && argc == 1) {
		rate = 0;
	} else if (strcmp(what, "dump") == 0 && argc == 2) {
		m->command = STATPAGE_PROFILE_DUMP;
		if (argv[1][0] == '/' && strlen(argv[1]) < sizeof(m->path)) {
			strcpy(m->path, argv[1]);
		} else if (getcwd(m->path, sizeof(m->path)) != NULL &&
			   strlen(m->path) + strlen(argv[1]) + 1 < sizeof(m->path)) {
			strcat(strcat(m->path, "/"), argv[1]);
		} else {
			complain("the path of the file is too long");
			return EXIT_USAGE;
		}
		return EXIT_OK;
	} else if (strcmp(what, "on") != 0 || argc > 2 ||
		   (argc == 2 && (!parse_number(argv[1], INT32_MAX, &rate) || rate == 0))) {
		return usage_error("ctl", "profile on [BYTES], profile off, or profile dump FILE "
					  "is meant");
	}
	m->command = STATPAGE_PROFILE;
	m->value = (int32_t)rate;
	return EXIT_OK;
}

static int parse_command(const struct statpage *p, int argc, char **argv,
			 struct statpage_mailbox *m)
{
	const char *what = argc > 0 ? argv[0] : "";
	if (strcmp(what, "purge") == 0 && argc == 1) {
		m->command = STATPAGE_PURGE;
		return EXIT_OK;
	}
	if (strcmp(what, "reset") == 0 && argc == 1) {
		m->command = STATPAGE_RESET_KNOBS;
		return EXIT_OK;
	}
	if ((strcmp(what, "freeze") == 0 || strcmp(what, "unfreeze") == 0) && argc == 1) {
		m->command = STATPAGE_FREEZE;
		m->value = what[0] == 'f';
		return EXIT_OK;
	}
	if (strcmp(what, "set") == 0 && argc == 3)
		return parse_set(p, argv[1], argv[2], m);
	if (strcmp(what, "profile") == 0)
		return parse_profile(argc - 1, argv + 1, m);
	return usage_error("ctl",
			   "purge, set KNOB VALUE, reset, freeze, unfreeze or profile is meant");
}

/* ---- to and fro */

static bool write_at(int fd, const void *from, size_t n, size_t offset)
{
	return pwrite(fd, from, n, (off_t)offset) == (ssize_t)n;
}

/* The command first, then the number that says that it is there. */
static bool post(int fd, const struct statpage_mailbox *m, uint32_t request)
{
	const size_t box = offsetof(struct statpage, mailbox);
	const size_t command = offsetof(struct statpage_mailbox, command);
	return write_at(fd, (const char *)m + command, sizeof(*m) - command, box + command) &&
	       write_at(fd, &request, sizeof(request),
			box + offsetof(struct statpage_mailbox, request));
}

static bool take(int fd, struct statpage_mailbox *m)
{
	return pread(fd, m, sizeof(*m), offsetof(struct statpage, mailbox)) == (ssize_t)sizeof(*m);
}

static int print_answer(const struct statpage_mailbox *sent, const struct statpage_mailbox *m)
{
	char a[SIZE_TEXT_BYTES];
	switch (m->result) {
	case 0:
		break;
	case -ENOSYS:
		complain("this build of hakmem cannot do that");
		return EXIT_FAILED;
	case -ENODATA:
		complain("it has taken no samples yet: `hakmem ctl PID profile on` first");
		return EXIT_FAILED;
	case -EEXIST:
		complain("%s exists already: it was not touched", sent->path);
		return EXIT_FAILED;
	default:
		complain("the process refused: %s",
			 m->result < 0 ? strerror(-m->result) : "no reason given");
		return EXIT_FAILED;
	}
	if (sent->command == STATPAGE_PURGE)
		printf("%s given back to the kernel\n", size_text(a, (double)m->bytes));
	else if (sent->command == STATPAGE_PROFILE_DUMP)
		printf("%s written to %s\n", size_text(a, (double)m->bytes), sent->path);
	else
		puts("done");
	return EXIT_OK;
}

static int converse(const struct page_file *f, const struct statpage_mailbox *sent)
{
	const struct timespec wait = { 0, WAIT_NS };
	struct statpage_mailbox m;
	uint32_t request;
	/* One conversation at a time. */
	if (flock(f->fd, LOCK_EX) != 0 || !take(f->fd, &m))
		return EXIT_FAILED;
	request = m.request + 1;
	if (!post(f->fd, sent, request)) {
		complain("the mailbox of process %d cannot be written: %s", (int)f->pid,
			 strerror(errno));
		return EXIT_FAILED;
	}
	for (int i = 0; i < ANSWER_TRIES; i++) {
		nanosleep(&wait, NULL);
		if (!take(f->fd, &m))
			break;
		if (m.answer == request)
			return print_answer(sent, &m);
	}
	complain("process %d does not answer: it may be stopped, or have no maintenance thread and "
		 "be idle",
		 (int)f->pid);
	return EXIT_FAILED;
}

int command_ctl(int argc, char **argv)
{
	static struct statpage page;
	struct statpage_mailbox m;
	struct page_file file;
	enum page_error e;
	pid_t pid;
	int code;
	memset(&m, 0, sizeof(m));
	if (argc < 3)
		return usage_error("ctl", "a process number and a command are meant");
	pid = page_choose(argv[1], "ctl", &code);
	if (pid == 0)
		return code;
	e = page_open(&file, pid, true);
	if (e == PAGE_OK)
		e = page_read(&file, &page);
	if (e != PAGE_OK) {
		page_close(&file);
		return page_explain(e, pid);
	}
	code = parse_command(&page, argc - 2, argv + 2, &m);
	if (code == EXIT_OK)
		code = converse(&file, &m);
	page_close(&file);
	return code;
}
