/* hakmem: run programs on the allocator, look into them, and turn its knobs. */
#include <string.h>

#include "commands.h"
#include "say.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *arguments;
	const char *summary;
	const char *help;
};

static const struct command commands[] = {
	{ "run", command_run, "[OPTION]... [--] PROGRAM [ARGUMENT]...", "run a program on hakmem",
	  "Preloads libhakmem.so into the program, shows its statistics page while it runs, and\n"
	  "says at its end, on standard error, what became of its memory. Ends as the program\n"
	  "does.\n"
	  "\n"
	  "  -o, --option NAME=VALUE   set HAKMEM_NAME (docs/options.md); may be given more\n"
	  "                            than once\n"
	  "  -a, --ace                 let the knobs be turned while it runs\n"
	  "                            (HAKMEM_ACE_ENABLED=1)\n"
	  "  -p, --profile[=BYTES]     sample allocations, one in BYTES (524288); heap profile\n"
	  "                            at exit\n"
	  "  -L, --leaks[=FILE]        list what is live at exit, by who allocated it\n"
	  "  -r, --report FILE         write a report, and into it the profile if there is one,\n"
	  "                            at its end\n"
	  "  -l, --library FILE        this libhakmem.so, not the one found\n"
	  "  -q, --quiet               say nothing at its end\n" },
	{ "doctor", command_doctor, "[PROGRAM | PID]",
	  "is hakmem loaded, can it be, and what is in the way",
	  "Looks at a program file, or at a live process, and at the system. Exit code 1:\n"
	  "something is wrong (BAD); notes do not count.\n" },
	{ "top", command_top, "[-d MS] [-n TIMES] [-p] [PID]", "watch a process",
	  "Size classes, fragmentation, memory, knobs and why they were changed. The process is\n"
	  "not disturbed: its page is read. Without PID: the only process that shows one.\n"
	  "\n"
	  "  -d, --delay MS    between two looks (1000)\n"
	  "  -n, --times N     look so often, then end; 1 when not on a terminal\n"
	  "  -p, --plain       lines of text, one look after the other\n" },
	{ "list", command_list, "", "processes that show a page",
	  "Pages of processes that are gone are removed.\n" },
	{ "ctl", command_ctl, "PID COMMAND", "command a process",
	  "  purge                      give free memory back now\n"
	  "  set KNOB VALUE             for all classes; KNOB[CLASS] for one\n"
	  "  reset                      every knob to its default\n"
	  "  freeze | unfreeze          ACE leaves the knobs alone, or no more\n"
	  "  profile on [BYTES] | off   sample allocations, one in BYTES (524288)\n"
	  "  profile dump FILE          write the heap profile; FILE must not exist\n" },
	{ "advise", command_advise, "[PID] | --playbook FILE [PROGRAM]",
	  "settings that a process has come to",
	  "As variables of the environment that pin them for its next start.\n"
	  "\n"
	  "  -b, --playbook FILE   what earlier runs of the program, or of all programs, have\n"
	  "                        written to their playbook (HAKMEM_ACE_PLAYBOOK)\n" },
	{ "replay", command_replay, "TRACE", "make the decisions of a trace once more",
	  "A trace is what a run with HAKMEM_ACE_TRACE has written. Prints its decisions, and how\n"
	  "many were reproduced; exit code 1: one differs, and both are shown, or the file is\n"
	  "damaged.\n" },
	{ "report", command_report, "[-o FILE] [--profile FILE] [PID | PAGE-FILE]",
	  "one HTML file of all that a page says",
	  "History, decisions, size classes, superslabs, figures, as a file to look at and to\n"
	  "keep, which needs no network. Without PID: the only process that shows a page.\n"
	  "`hakmem run --report FILE` writes one at the program's end.\n"
	  "\n"
	  "  -o, --output FILE    to the file, which is replaced as a whole\n"
	  "  -p, --profile FILE   with the heap profile (docs/profiling.md) as a flame graph\n" },
	{ "export", command_export, "[-o FILE] [-m] [PID]...", "metrics for Prometheus",
	  "The pages of the processes, or of all, as text for node_exporter's textfile collector.\n"
	  "\n"
	  "  -o, --output FILE    to the file, which is replaced as a whole\n"
	  "  -m, --openmetrics    as OpenMetrics\n" },
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static const struct command *find(const char *name)
{
	for (unsigned i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int help_all(FILE *out)
{
	fprintf(out, "Usage: hakmem COMMAND [ARGUMENT]...\n\n");
	for (unsigned i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fprintf(out,
		"\n`hakmem help COMMAND` explains one; exit codes: 0 done, 1 failed, 2 wrong use,\n"
		"3 no such process or no page, 4 a page of another build.\n");
	return EXIT_OK;
}

static int help(const char *name)
{
	const struct command *c = name == NULL ? NULL : find(name);
	if (name == NULL)
		return help_all(stdout);
	if (c == NULL)
		return usage_error("", "there is no command '%s'", name);
	printf("Usage: hakmem %s %s\n\n%s", c->name, c->arguments, c->help);
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	const struct command *c;
	if (argc < 2) {
		help_all(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		puts("hakmem " HAKMEM_BUILD_ID);
		return EXIT_OK;
	}
	if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
	    strcmp(argv[1], "-h") == 0)
		return help(argc > 2 ? argv[2] : NULL);
	c = find(argv[1]);
	if (c == NULL)
		return usage_error("", "there is no command '%s'", argv[1]);
	if (argc == 3 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0))
		return help(c->name);
	return c->run(argc - 1, argv + 1);
}
