/* hakmem run: a program on hakmem, and at its end what became of its memory, in at most
 * 25 lines. */
#include <elf.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "elf_file.h"
#include "file.h"
#include "library.h"
#include "page.h"
#include "report.h"
#include "say.h"

enum { SUMMARY_CLASSES = 5, SUMMARY_DECISIONS = 3, KIB = 1024 };

struct run_options {
	const char *library;
	const char *report;
	bool quiet;
};

static volatile sig_atomic_t child_pid;

static void pass_on(int sig)
{
	if (child_pid > 0)
		kill((pid_t)child_pid, sig);
}

/* ---- before */

/* LD_PRELOAD has no way to quote these. */
static bool set_preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	char *value;
	bool ok;
	if (strpbrk(library, " :") != NULL) {
		complain("%s: the loader cannot preload a path with a blank or a colon in it; "
			 "move it, or link to it from elsewhere",
			 library);
		return false;
	}
	if (old == NULL || old[0] == '\0')
		return setenv("LD_PRELOAD", library, 1) == 0;
	ok = asprintf(&value, "%s:%s", library, old) > 0;
	ok = ok && setenv("LD_PRELOAD", value, 1) == 0;
	if (ok)
		free(value);
	return ok;
}

/* Say what will keep the program from running on hakmem. */
static void warn_of_program(const char *path, const char *library)
{
	struct elf_file program, lib;
	elf_examine(path, &program);
	elf_examine(library, &lib);
	if (program.interpreter[0] != '\0')
		elf_examine(program.interpreter, &program);
	if (!program.is_elf)
		return;
	if (program.set_id && geteuid() != 0)
		complain("%s runs with raised privileges: the loader ignores the preload, and "
			 "hakmem its variables",
			 path);
	else if (!program.is_dynamic)
		complain("%s is linked statically: it cannot be preloaded and keeps its own malloc",
			 path);
	else if (program.machine != lib.machine)
		complain("%s is for %s, %s for %s: the loader will not preload it", path,
			 elf_machine_name(program.machine), library, elf_machine_name(lib.machine));
	else if (program.defines_malloc && program.own_allocator[0] == '\0')
		complain("%s has a malloc of its own inside; what it exports of it goes to hakmem",
			 path);
}

/* NAME=VALUE; the prefix may be left out: tcache_capacity=16. */
static bool set_option(const char *text)
{
	char name[64];
	const char *equals = strchr(text, '=');
	int n = equals == NULL ? 0 : (int)(equals - text);
	const char *prefix = strncmp(text, "HAKMEM_", strlen("HAKMEM_")) == 0 ? "" : "HAKMEM_";
	if (n == 0 || snprintf(name, sizeof(name), "%s%.*s", prefix, n, text) >= (int)sizeof(name))
		return false;
	for (char *s = name; *s != '\0'; s++)
		if (*s >= 'a' && *s <= 'z')
			*s = (char)(*s - 'a' + 'A');
	return setenv(name, equals + 1, 1) == 0;
}

/* The program may be elsewhere at its end: a file is meant from here. */
static bool set_leaks(const char *file)
{
	char here[PATH_MAX], *path;
	bool ok;
	if (file == NULL)
		return setenv("HAKMEM_LEAKS", "1", 1) == 0;
	if (file[0] == '/' || getcwd(here, sizeof(here)) == NULL)
		return setenv("HAKMEM_LEAKS", file, 1) == 0;
	if (asprintf(&path, "%s/%s", here, file) < 0)
		return false;
	ok = setenv("HAKMEM_LEAKS", path, 1) == 0;
	free(path);
	return ok;
}

static int parse_options(int argc, char **argv, struct run_options *o)
{
	static const struct option names[] = {
		{ "option", required_argument, NULL, 'o' },
		{ "ace", no_argument, NULL, 'a' },
		{ "profile", optional_argument, NULL, 'p' },
		{ "leaks", optional_argument, NULL, 'L' },
		{ "report", required_argument, NULL, 'r' },
		{ "library", required_argument, NULL, 'l' },
		{ "quiet", no_argument, NULL, 'q' },
		{ NULL, 0, NULL, 0 },
	};
	int c;
	while ((c = getopt_long(argc, argv, "+o:ap::L::r:l:q", names, NULL)) != -1) {
		switch (c) {
		case 'o':
			if (!set_option(optarg))
				return usage_error("run", "-o %s: NAME=VALUE is meant", optarg);
			break;
		case 'a':
			setenv("HAKMEM_ACE_ENABLED", "1", 1);
			break;
		case 'p':
			/* -p=N is meant as --profile=N is. */
			setenv("HAKMEM_PROFILE",
			       optarg != NULL ? optarg + (*optarg == '=') : "524288", 1);
			break;
		case 'L':
			if (!set_leaks(optarg != NULL ? optarg + (*optarg == '=') : NULL))
				return usage_error("run", "--leaks[=FILE] is meant");
			break;
		case 'r':
			o->report = optarg;
			break;
		case 'l':
			o->library = optarg;
			break;
		case 'q':
			o->quiet = true;
			break;
		default:
			return usage_error("run", "that is not how it is used");
		}
	}
	if (optind >= argc)
		return usage_error("run", "what program?");
	return EXIT_OK;
}

/* ---- the program */

static _Noreturn void become(char **argv)
{
	char pid[16];
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("HAKMEM_STATS_PAGE", "1", 1);
	setenv("HAKMEM_STATS_PAGE_KEEP", pid, 1);
	execvp(argv[0], argv);
	complain("%s: %s", argv[0], strerror(errno));
	_exit(errno == ENOENT ? EXIT_NO_PROGRAM : EXIT_CANNOT_RUN);
}

static pid_t start(char **argv)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	const struct sigaction pass = { .sa_handler = pass_on, .sa_flags = SA_RESTART };
	struct sigaction old_int, old_quit;
	pid_t pid;
	sigaction(SIGINT, NULL, &old_int);
	sigaction(SIGQUIT, NULL, &old_quit);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become(argv);
	child_pid = pid;
	/* The terminal sends these two to the program as well. */
	sigaction(SIGINT, &ignore, NULL);
	sigaction(SIGQUIT, &ignore, NULL);
	sigaction(SIGTERM, &pass, NULL);
	sigaction(SIGHUP, &pass, NULL);
	sigaction(SIGUSR1, &pass, NULL);
	sigaction(SIGUSR2, &pass, NULL);
	return pid;
}

/* ---- after */

static int by_bytes(const void *a, const void *b)
{
	const struct statpage_class *x = a, *y = b;
	uint64_t bx = (x->live + x->cached) * x->block_bytes,
		 by = (y->live + y->cached) * y->block_bytes;
	return bx < by ? 1 : bx > by ? -1 : 0;
}

static void print_classes(struct statpage *p)
{
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES];
	qsort(p->now.classes + 1, p->nclasses, sizeof(p->now.classes[0]), by_bytes);
	for (unsigned i = 1; i <= SUMMARY_CLASSES && i <= p->nclasses; i++) {
		const struct statpage_class *c = &p->now.classes[i];
		if (c->live + c->cached == 0)
			break;
		fprintf(stderr, "    blocks of %6u bytes: %10llu live, %s, and %s cached\n",
			c->block_bytes, (unsigned long long)c->live,
			size_text(a, (double)c->live * c->block_bytes),
			size_text(b, (double)c->cached * c->block_bytes));
	}
}

static void print_decisions(const struct statpage *p)
{
	uint64_t shown = p->ndecisions < SUMMARY_DECISIONS ? p->ndecisions : SUMMARY_DECISIONS;
	if (p->ndecisions == 0)
		return;
	fprintf(stderr, "  %llu changes of knobs; the last:\n", (unsigned long long)p->ndecisions);
	for (uint64_t n = p->ndecisions - shown; n < p->ndecisions; n++) {
		const struct statpage_decision *d = &p->decisions[n % STATPAGE_DECISIONS];
		fprintf(stderr, "    %.1f s: %s[%d] %d -> %d: %s\n", (double)d->time_ms / 1000,
			p->knobs[d->knob].name, d->cls, d->old_value, d->new_value, d->reason);
	}
}

static void print_page(struct statpage *p)
{
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES], c[SIZE_TEXT_BYTES];
	const struct statpage_now *now = &p->now;
	bool ended = (now->flags & STATPAGE_ENDED) != 0;
	int64_t most_live = 0;
	for (unsigned i = 0; i < p->nsamples; i++)
		if (p->samples[i].live_bytes > most_live)
			most_live = p->samples[i].live_bytes;
	fprintf(stderr, "  most live at one time %s; ran %s on backend %s\n",
		size_text(a, (double)most_live), time_text(b, (double)now->time_ms / 1000),
		p->backend);
	fprintf(stderr, "  %s: %s live in %s of slabs and blocks (fragmentation %.1f %%)\n",
		ended ? "at its exit" : "when last seen, since it ended without exit()",
		size_text(a, (double)now->metrics.live_bytes),
		size_text(b, (double)now->metrics.occupied_bytes),
		(double)now->metrics.fragmentation_permille / 10);
	fprintf(stderr, "  resident %s; free and kept %s; given back to the kernel so far %s\n",
		size_text(a, (double)now->metrics.rss_bytes),
		size_text(b, (double)now->stats.free_dirty_bytes +
				     (double)now->stats.huge_cached_bytes),
		size_text(c, (double)now->stats.purged_bytes_total));
	print_classes(p);
	print_decisions(p);
	if (now->stats.bad_pointers > 0)
		fprintf(stderr, "  %s%llu bad pointers were reported%s\n",
			colour_on(stderr, COLOUR_BAD), (unsigned long long)now->stats.bad_pointers,
			colour_off(stderr));
	if (now->stats.map_failures > 0)
		fprintf(stderr, "  the kernel refused memory %llu times\n",
			(unsigned long long)now->stats.map_failures);
}

static void print_summary(const char *name, pid_t pid, const struct rusage *use, struct statpage *p,
			  enum page_error e)
{
	char peak[SIZE_TEXT_BYTES], user[SIZE_TEXT_BYTES], kernel[SIZE_TEXT_BYTES];
	fprintf(stderr, "%shakmem: %s (process %d)%s: peak resident memory %s, CPU %s + %s\n",
		colour_on(stderr, COLOUR_TITLE), name, (int)pid, colour_off(stderr),
		size_text(peak, (double)use->ru_maxrss * KIB),
		time_text(user, (double)use->ru_utime.tv_sec + (double)use->ru_utime.tv_usec / 1e6),
		time_text(kernel,
			  (double)use->ru_stime.tv_sec + (double)use->ru_stime.tv_usec / 1e6));
	if (e == PAGE_OK)
		print_page(p);
	else if (e == PAGE_NONE)
		fprintf(stderr, "  it did not run on hakmem, or another program took its place: "
				"`hakmem doctor %s` says what is in the way\n", name);
	else
		page_explain(e, pid);
}

/* Before the program runs, which may take hours. */
static bool can_report(const char *path)
{
	struct new_file f;
	if (!file_begin(&f, path))
		return false;
	file_cancel(&f);
	return true;
}

static void write_report(const char *path, pid_t pid, const struct statpage *p, enum page_error e,
			 bool quiet)
{
	char profile[64];
	bool has_profile;
	if (e != PAGE_OK) {
		complain("%s: no report, since process %d has left no page of this build", path,
			 (int)pid);
		return;
	}
	/* As the library names it. */
	snprintf(profile, sizeof(profile), "hakmem.%d.heap", (int)pid);
	has_profile = getenv("HAKMEM_PROFILE") != NULL && access(profile, R_OK) == 0;
	if (report_write(p, has_profile ? profile : NULL, path) && !quiet)
		fprintf(stderr, "  report: %s\n", path);
}

static int exit_code_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNAL_BASE + WTERMSIG(status);
}

int command_run(int argc, char **argv)
{
	struct run_options o = { 0 };
	static struct statpage page, shown;
	char library[PATH_MAX], program[PATH_MAX];
	struct page_file file;
	struct rusage use;
	enum page_error e;
	int status, code = parse_options(argc, argv, &o);
	pid_t pid;

	if (code != EXIT_OK)
		return code;
	argv += optind;
	if (!library_find(o.library, library, sizeof(library)))
		return EXIT_FAILED;
	if (!program_find(argv[0], program, sizeof(program))) {
		complain("%s: no such program", argv[0]);
		return EXIT_NO_PROGRAM;
	}
	if (o.report != NULL && !can_report(o.report))
		return EXIT_FAILED;
	warn_of_program(program, library);
	if (!set_preload(library))
		return EXIT_FAILED;
	pid = start(argv);
	if (pid < 0) {
		complain("no process can be made: %s", strerror(errno));
		return EXIT_CANNOT_RUN;
	}
	while (wait4(pid, &status, 0, &use) < 0)
		if (errno != EINTR)
			return EXIT_FAILED;
	code = exit_code_of(status);
	e = page_open_left(&file, pid, geteuid());
	if (e == PAGE_OK) {
		e = page_read(&file, &page);
		page_close(&file);
		unlink(file.path);
	}
	/* The summary sorts the classes. */
	shown = page;
	if (!o.quiet)
		print_summary(argv[0], pid, &use, &shown, e);
	if (o.report != NULL)
		write_report(o.report, pid, &page, e, o.quiet);
	return code;
}
