/* hakmem export: the pages of one or all processes as metrics, in the text format of
 * Prometheus, which node_exporter's textfile collector reads, or in OpenMetrics. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "file.h"
#include "page.h"
#include "say.h"

enum { MAX_PROCESSES = 256 };

static struct {
	struct statpage *pages[MAX_PROCESSES];
	pid_t pids[MAX_PROCESSES];
	unsigned count;
	bool open_metrics;
	FILE *out;
} job;

static bool add_process(pid_t pid, void *error)
{
	struct statpage *p;
	enum page_error e;
	if (job.count == MAX_PROCESSES)
		return false;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return false;
	e = page_copy(pid, p);
	if (e == PAGE_OK) {
		job.pages[job.count] = p;
		job.pids[job.count++] = pid;
	} else {
		free(p);
	}
	if (error != NULL)
		*(enum page_error *)error = e;
	return true;
}

/* Backslash, quote and line end have to be escaped in a label's value. */
static void print_label(const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '\\' || *s == '"')
			fputc('\\', job.out);
		fputc(*s, job.out);
	}
}

/* Name, type and help of a family. A counter's samples end in _total; in OpenMetrics its
 * family does not. */
static void begin_family(const char *name, bool counter, const char *help)
{
	const char *suffix = counter && !job.open_metrics ? "_total" : "";
	while (*help == ' ')
		help++;
	fprintf(job.out, "# HELP hakmem_%s%s %c%s.\n# TYPE hakmem_%s%s %s\n", name, suffix,
		help[0] >= 'a' && help[0] <= 'z' ? help[0] - 'a' + 'A' : help[0], help + 1, name,
		suffix, counter ? "counter" : "gauge");
}

static void begin_sample(const char *name, bool counter, unsigned i)
{
	fprintf(job.out, "hakmem_%s%s{pid=\"%d\",exe=\"", name, counter ? "_total" : "",
		(int)job.pids[i]);
	print_label(job.pages[i]->exe);
	fputc('"', job.out);
}

/* Prometheus wants base units: what our units, at a name's end, become, and divided by
 * what. */
static double convert_unit(char *name, size_t size)
{
	static const struct {
		const char *ours, *theirs;
		double divisor;
	} units[] = {
		{ "_ns", "_seconds", 1e9 },
		{ "_permille", "_ratio", 1e3 },
		{ "_ppm", "_ratio", 1e6 },
		{ "_percent", "_ratio", 1e2 },
	};
	size_t n = strlen(name);
	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t unit = strlen(units[i].ours);
		if (n > unit && strcmp(name + n - unit, units[i].ours) == 0) {
			snprintf(name + n - unit, size - (n - unit), "%s", units[i].theirs);
			return units[i].divisor;
		}
	}
	return 1;
}

static bool is_total(const char *name, char *stem, size_t size)
{
	static const char *const counters[] = { "purge_failures", "map_failures", "remote_batches",
						"bad_pointers", "purge_passes", "mallocs",
						"slow_mallocs", "lock_wait_ns", "page_faults" };
	const char *total = strstr(name, "_total");
	snprintf(stem, size, "%.*s", total != NULL ? (int)(total - name) : (int)strlen(name), name);
	if (total != NULL)
		return true;
	for (unsigned i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		if (strcmp(name, counters[i]) == 0)
			return true;
	return false;
}

/* One figure of all processes; `value` is that of a page, negative if not known. */
static void print_figure(const char *name, const char *help,
			 double (*value)(const struct statpage *p))
{
	char stem[64];
	bool counter = is_total(name, stem, sizeof(stem)), begun = false;
	double divisor = convert_unit(stem, sizeof(stem));
	for (unsigned i = 0; i < job.count; i++) {
		double v = value(job.pages[i]);
		if (v < 0)
			continue;
		if (!begun)
			begin_family(stem, counter, help);
		begun = true;
		begin_sample(stem, counter, i);
		fprintf(job.out, "} %.15g\n", v / divisor);
	}
}

#define VALUE(field, words)                                                                        \
	static double value_##field(const struct statpage *p)                                      \
	{                                                                                          \
		return (double)p->now.stats.field;                                                 \
	}
STATS_FIELDS(VALUE)
#undef VALUE
#define VALUE(field, words)                                                                        \
	static double metric_##field(const struct statpage *p)                                     \
	{                                                                                          \
		return (double)p->now.metrics.field;                                               \
	}
STATPAGE_METRICS(VALUE)
#undef VALUE

static void print_knobs(void)
{
	if (job.count == 0)
		return;
	begin_family("knob", false, "value of a knob, as last set for all classes");
	for (unsigned i = 0; i < job.count; i++) {
		for (unsigned k = 0; k < job.pages[i]->nknobs; k++) {
			begin_sample("knob", false, i);
			fputs(",knob=\"", job.out);
			print_label(job.pages[i]->knobs[k].name);
			fprintf(job.out, "\"} %d\n", job.pages[i]->now.knobs[k][0]);
		}
	}
	begin_family("knob_changes", true, "changes of knobs so far");
	for (unsigned i = 0; i < job.count; i++) {
		begin_sample("knob_changes", true, i);
		fprintf(job.out, "} %llu\n", (unsigned long long)job.pages[i]->ndecisions);
	}
}

static void print_classes(void)
{
	static const char *const states[] = { "live", "cached", "free" };
	if (job.count == 0)
		return;
	begin_family("class_blocks", false, "blocks of a size class, by state");
	for (unsigned i = 0; i < job.count; i++) {
		for (unsigned cls = 1; cls <= job.pages[i]->nclasses; cls++) {
			const struct statpage_class *c = &job.pages[i]->now.classes[cls];
			const uint64_t n[] = { c->live, c->cached, c->free };
			if (c->slabs == 0)
				continue;
			for (unsigned s = 0; s < 3; s++) {
				begin_sample("class_blocks", false, i);
				fprintf(job.out, ",bytes=\"%u\",state=\"%s\"} %llu\n",
					c->block_bytes, states[s], (unsigned long long)n[s]);
			}
		}
	}
}

static void print_all(void)
{
#define PRINT(field, words) print_figure(#field, words, value_##field);
	STATS_FIELDS(PRINT)
#undef PRINT
#define PRINT(field, words) print_figure(#field, words, metric_##field);
	STATPAGE_METRICS(PRINT)
#undef PRINT
	print_knobs();
	print_classes();
	if (job.open_metrics)
		fputs("# EOF\n", job.out);
}

/* A collector must never see half a file. */
static int print_to_file(const char *path)
{
	struct new_file f;
	if (!file_begin(&f, path))
		return EXIT_FAILED;
	job.out = f.out;
	print_all();
	return file_end(&f) ? EXIT_OK : EXIT_FAILED;
}

static int export_job(int argc, char **argv)
{
	static const struct option names[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "openmetrics", no_argument, NULL, 'm' },
		{ NULL, 0, NULL, 0 },
	};
	const char *path = NULL;
	enum page_error e = PAGE_OK;
	int c, code;
	pid_t pid;
	while ((c = getopt_long(argc, argv, "o:m", names, NULL)) != -1) {
		if (c == 'o')
			path = optarg;
		else if (c == 'm')
			job.open_metrics = true;
		else
			return usage_error("export", "that is not how it is used");
	}
	if (optind == argc) {
		page_for_each(add_process, NULL);
	} else {
		for (; optind < argc; optind++) {
			pid = page_choose(argv[optind], "export", &code);
			if (pid == 0)
				return code;
			add_process(pid, &e);
			if (e != PAGE_OK)
				return page_explain(e, pid);
		}
	}
	if (path != NULL)
		return print_to_file(path);
	job.out = stdout;
	print_all();
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

int command_export(int argc, char **argv)
{
	int code = export_job(argc, argv);
	while (job.count > 0)
		free(job.pages[--job.count]);
	job.open_metrics = false;
	return code;
}
