/* hakmem replay: the decisions of a trace of ACE made once more, and compared. */
#include <stdlib.h>
#include <string.h>

#include "ace/ace_trace.h"
#include "commands.h"
#include "file.h"
#include "say.h"

enum { MAX_TRACE_BYTES = 1 << 30, SHOWN_BYTES = 200 };

static const char mark[] = "hakmem-ace-trace ";
static uint64_t first_ns; /* when the first sample was taken */

static void print_decision(const struct ace_decision *d)
{
	char buf[ACE_LINE_BYTES];
	struct text line;
	text_init(&line, buf, sizeof(buf));
	ace_log_line(&line, d);
	/* What a playbook says comes before the first sample. */
	printf("%9.1f s  %s", d->time_ns > first_ns ? (double)(d->time_ns - first_ns) / 1e9 : 0,
	       buf + strlen("[ACE] "));
}

static uint64_t first_time(const char *trace)
{
	static const char word[] = "\nsample ";
	const char *sample = strstr(trace, word);
	return sample == NULL ? 0 : strtoull(sample + strlen(word), NULL, 10);
}

/* A line of the trace, from 1, as far as it can be shown. True: no line follows. */
static bool copy_line(char shown[SHOWN_BYTES], const char *trace, uint64_t line)
{
	const char *at = trace;
	while (at != NULL && --line > 0) {
		at = strchr(at, '\n');
		at = at == NULL ? NULL : at + 1;
	}
	if (at == NULL)
		at = "";
	snprintf(shown, SHOWN_BYTES, "%.*s", (int)strcspn(at, "\n"), at);
	clean_text(shown, SHOWN_BYTES);
	return strchr(at, '\n') == NULL;
}

static bool is_decision(const char *line)
{
	return strncmp(line, "decision ", strlen("decision ")) == 0;
}

static void explain(const char *path, const char *trace, size_t length, const struct ace_replay *r)
{
	char recorded[SHOWN_BYTES];
	const unsigned long long line = r->line;
	bool is_last = copy_line(recorded, trace, r->line);
	if (strncmp(trace, mark, strlen(mark)) != 0) {
		complain("%s: this is no trace of ACE (HAKMEM_ACE_TRACE writes one)", path);
	} else if (is_last && trace[length - 1] != '\n') {
		complain("%s: cut off in line %llu, after %llu decisions that are reproduced", path,
			 line, (unsigned long long)r->decisions);
	} else if (r->found[0] == '\0' && !is_decision(recorded)) {
		complain("%s: line %llu: %s", path, line, r->error);
	} else {
		complain("%s: line %llu: decision %llu differs", path, line,
			 (unsigned long long)r->decisions + 1);
		fprintf(stderr, "  recorded: %s\n", is_decision(recorded) ? recorded : "none");
		fprintf(stderr, "  made now: %s", r->found[0] != '\0' ? r->found : "none\n");
	}
}

int command_replay(int argc, char **argv)
{
	static struct ace_controller working;
	static struct ace_replay r;
	size_t length;
	char *trace;
	bool same;
	if (argc != 2 || (argv[1][0] == '-' && argv[1][1] != '\0'))
		return usage_error("replay", "one trace file is meant");
	trace = file_read(argv[1], MAX_TRACE_BYTES, &length);
	if (trace == NULL)
		return EXIT_FAILED;
	first_ns = first_time(trace);
	same = ace_replay_each(&r, &working, trace, length, print_decision);
	if (same)
		printf("%llu decisions reproduced, on %llu samples\n",
		       (unsigned long long)r.decisions, (unsigned long long)r.samples);
	else
		explain(argv[1], trace, length, &r);
	free(trace);
	return fflush(stdout) == 0 && same ? EXIT_OK : EXIT_FAILED;
}
