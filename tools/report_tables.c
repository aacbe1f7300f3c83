/* What is read as tables, and needs no script. */
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "report.h"
#include "say.h"

enum { MAX_FUNCTIONS = 30, PERCENT = 100 };

static void number_cell(const struct report *r, double value)
{
	fprintf(r->out, "<td class=\"n\">%.0f</td>", value);
}

/* ---- size classes */

static double bytes_of(const struct statpage_class *c)
{
	return ((double)c->live + (double)c->cached + (double)c->free) * c->block_bytes;
}

static void bar_part(const struct report *r, const char *kind, double bytes, double largest)
{
	if (bytes > 0)
		fprintf(r->out, "<i class=\"%s\" style=\"width:%.2f%%\"></i>", kind,
			bytes / largest * PERCENT);
}

static void class_row(const struct report *r, const struct statpage_class *c, double largest)
{
	char text[SIZE_TEXT_BYTES];
	fprintf(r->out, "<tr><td class=\"n\">%u</td><td class=\"n\">%u</td>", c->block_bytes,
		c->slabs);
	number_cell(r, (double)c->live);
	number_cell(r, (double)c->cached);
	number_cell(r, (double)c->free);
	fprintf(r->out, "<td class=\"n\">%s</td><td class=\"bar\">", size_text(text, bytes_of(c)));
	bar_part(r, "live", (double)c->live * c->block_bytes, largest);
	bar_part(r, "cached", (double)c->cached * c->block_bytes, largest);
	bar_part(r, "free", (double)c->free * c->block_bytes, largest);
	fputs("</td></tr>\n", r->out);
}

static void class_table(const struct report *r)
{
	const struct statpage_class *classes = r->page->now.classes;
	double largest = 1;
	unsigned rows = 0;
	for (unsigned i = 1; i <= r->page->nclasses; i++)
		if (bytes_of(&classes[i]) > largest)
			largest = bytes_of(&classes[i]);
	fputs("<section id=\"classes\">\n<h2>Size classes</h2>\n<p class=\"keys\"><span "
	      "class=\"key live\">live</span>"
	      "<span class=\"key cached\">in thread caches</span><span class=\"key "
	      "free\">free</span></p>\n"
	      "<table>\n<thead><tr><th>block</th><th>slabs</th><th>live</th><th>cached</"
	      "th><th>free</th>"
	      "<th>memory</th><th class=\"wide\"></th></tr></thead>\n<tbody>\n",
	      r->out);
	for (unsigned i = 1; i <= r->page->nclasses; i++) {
		if (classes[i].slabs > 0) {
			class_row(r, &classes[i], largest);
			rows++;
		}
	}
	if (rows == 0)
		fputs("<tr><td colspan=\"7\">there are no small blocks</td></tr>\n", r->out);
	fputs("</tbody>\n</table>\n</section>\n", r->out);
}

/* ---- superslabs */

static unsigned shown_superslabs(const struct statpage *p)
{
	return p->now.nsuperslabs < STATPAGE_SUPERSLABS ? p->now.nsuperslabs : STATPAGE_SUPERSLABS;
}

/* Units by how full they are; the map itself is the script's. */
static void superslab_table(const struct report *r)
{
	static const char *const rows[] = { "free, given back",          "free, still in memory",
					    "up to a quarter full",      "up to half full",
					    "up to three quarters full", "fuller" };
	enum { QUARTER = 4, ROWS = sizeof(rows) / sizeof(rows[0]) };
	const struct statpage *p = r->page;
	unsigned counts[ROWS] = { 0 }, n = shown_superslabs(p);
	char text[SIZE_TEXT_BYTES];
	for (unsigned i = 0; i < n; i++) {
		const struct statpage_superslab *s = &p->now.superslabs[i];
		for (unsigned u = 0; u < STATPAGE_UNITS; u++) {
			unsigned fill = s->fill[u / 2] >> (u % 2 * 4) & 15;
			if (s->present_mask >> u & 1)
				counts[fill == 0 ? s->dirty_mask >> u & 1
						 : 2 + (fill - 1) / QUARTER]++;
		}
	}
	fprintf(r->out, "<section id=\"superslabs\">\n<h2>Superslabs</h2>\n<p>%u superslabs",
		p->now.nsuperslabs);
	if (n < p->now.nsuperslabs)
		fprintf(r->out, ", of which the page has the first %u", n);
	fprintf(r->out,
		"; each is a cell of %u units of %s.</p>\n<div "
		"id=\"map\"></div>\n<table>\n<thead><tr>"
		"<th class=\"l\">units</th><th>number</th><th>memory</th></tr></thead>\n<tbody>\n",
		(unsigned)STATPAGE_UNITS, size_text(text, STATPAGE_UNIT_BYTES));
	for (unsigned i = 0; i < ROWS; i++)
		fprintf(r->out,
			"<tr><td>%s</td><td class=\"n\">%u</td><td class=\"n\">%s</td></tr>\n",
			rows[i], counts[i],
			size_text(text, (double)counts[i] * STATPAGE_UNIT_BYTES));
	fputs("</tbody>\n</table>\n</section>\n", r->out);
}

/* ---- decisions and knobs */

static void decision_table(const struct report *r)
{
	const struct statpage *p = r->page;
	uint64_t first = report_first_decision(p);
	fprintf(r->out, "<section id=\"decisions\">\n<h2>Changes of knobs</h2>\n<p>%llu so far",
		(unsigned long long)p->ndecisions);
	if (first > 0)
		fprintf(r->out, "; the last %u are kept", (unsigned)STATPAGE_DECISIONS);
	fputs(".</p>\n", r->out);
	if (p->ndecisions > 0)
		fputs("<div class=\"tall\"><table>\n<thead><tr><th>time</th><th "
		      "class=\"l\">knob</th><th>from</th>"
		      "<th>to</th><th class=\"l\">why</th></tr></thead>\n<tbody>\n",
		      r->out);
	for (uint64_t n = first; n < p->ndecisions; n++) {
		const struct statpage_decision *d = report_decision(p, n);
		fprintf(r->out, "<tr><td class=\"n\">%.1f s</td><td>", (double)d->time_ms / 1000);
		html_text(r->out, p->knobs[d->knob].name);
		if (d->cls > 0)
			fprintf(r->out, "[%d]", d->cls);
		fprintf(r->out, "</td><td class=\"n\">%d</td><td class=\"n\">%d</td><td>",
			d->old_value, d->new_value);
		html_text(r->out, d->reason);
		fputs("</td></tr>\n", r->out);
	}
	if (p->ndecisions > 0)
		fputs("</tbody>\n</table></div>\n", r->out);
	fputs("</section>\n", r->out);
}

static void knob_table(const struct report *r)
{
	const struct statpage *p = r->page;
	fputs("<section id=\"knobs\">\n<h2>Knobs</h2>\n<table>\n<thead><tr><th "
	      "class=\"l\">knob</th><th>value</th>"
	      "<th>default</th><th class=\"l\">unit</th><th class=\"l\">other "
	      "values</th></tr></thead>\n<tbody>\n",
	      r->out);
	for (unsigned k = 0; k < p->nknobs; k++) {
		const struct statpage_knob *knob = &p->knobs[k];
		fprintf(r->out, "<tr%s><td>",
			p->now.knobs[k][0] != knob->default_value ? " class=\"moved\"" : "");
		html_text(r->out, knob->name);
		fprintf(r->out, "</td><td class=\"n\">%d</td><td class=\"n\">%d</td><td>",
			p->now.knobs[k][0], knob->default_value);
		html_text(r->out, knob->unit);
		fputs("</td><td>", r->out);
		for (unsigned i = 0; i < knob->ncandidates; i++)
			fprintf(r->out, "%d ", knob->candidates[i]);
		fputs("</td></tr>\n", r->out);
	}
	fputs("</tbody>\n</table>\n</section>\n", r->out);
}

/* ---- all figures */

static void figure_row(const struct report *r, const char *name, const char *words, double value)
{
	char text[SIZE_TEXT_BYTES];
	bool is_part = words[0] == ' ';
	words += strspn(words, " ");
	fprintf(r->out, "<tr><td%s>%s</td><td class=\"code\">%s</td>",
		is_part ? " class=\"part\"" : "", words, name);
	if (value < 0) {
		fputs("<td class=\"n\">not known</td><td></td></tr>\n", r->out);
		return;
	}
	number_cell(r, value);
	fprintf(r->out, "<td class=\"n\">%s</td></tr>\n",
		strstr(name, "_bytes") != NULL ? size_text(text, value) : "");
}

static void figure_table(const struct report *r)
{
	const struct statpage_now *now = &r->page->now;
	fputs("<section id=\"figures\">\n<h2>Figures</h2>\n<table>\n<thead><tr><th "
	      "class=\"l\">what</th>"
	      "<th class=\"l\">name</th><th>value</th><th></th></tr></thead>\n<tbody>\n",
	      r->out);
#define ROW(field, words) figure_row(r, #field, words, (double)now->metrics.field);
	STATPAGE_METRICS(ROW)
#undef ROW
#define ROW(field, words) figure_row(r, #field, words, (double)now->stats.field);
	STATS_FIELDS(ROW)
#undef ROW
	fputs("</tbody>\n</table>\n<p>Cache misses are counted by ", r->out);
	html_text(r->out, now->counter_source);
	if (now->counter_reason[0] != '\0') {
		fputs(": ", r->out);
		html_text(r->out, now->counter_reason);
	}
	fputs(".</p>\n</section>\n", r->out);
}

static void history_cell(const struct report *r, int64_t value)
{
	if (value < 0)
		fputs("<td></td>", r->out);
	else
		number_cell(r, (double)value);
}

static void history_table(const struct report *r)
{
	const struct statpage *p = r->page;
	fputs("<section id=\"history\">\n<h2>History</h2>\n<details><summary>all samples as a "
	      "table</summary>\n"
	      "<table>\n<thead><tr><th>time</th><th>resident, bytes</th><th>held</th><th>live</th>"
	      "<th>fragmentation, permille</th><th>cache misses, ppm</th><th>allocations</th>"
	      "<th>given back, bytes</th></tr></thead>\n<tbody>\n",
	      r->out);
	for (unsigned i = 0; i < p->nsamples; i++) {
		const struct statpage_sample *s = &p->samples[i];
		fprintf(r->out, "<tr><td class=\"n\">%.1f s</td>", (double)s->time_ms / 1000);
		history_cell(r, s->rss_bytes);
		history_cell(r, s->held_bytes);
		history_cell(r, s->live_bytes);
		history_cell(r, s->fragmentation_permille);
		history_cell(r, s->cache_miss_ppm);
		history_cell(r, s->mallocs);
		history_cell(r, s->purged_bytes);
		fputs("</tr>\n", r->out);
	}
	fputs("</tbody>\n</table>\n</details>\n</section>\n", r->out);
}

/* ---- functions of the profile */

static int by_live(const void *a, const void *b)
{
	const struct heap_function *x = *(const struct heap_function *const *)a;
	const struct heap_function *y = *(const struct heap_function *const *)b;
	return x->total.live_bytes < y->total.live_bytes   ? 1
	       : x->total.live_bytes > y->total.live_bytes ? -1
							   : 0;
}

static void size_cell(const struct report *r, double bytes)
{
	char text[SIZE_TEXT_BYTES];
	fprintf(r->out, "<td class=\"n\">%s</td>", size_text(text, bytes));
}

void report_functions(const struct report *r)
{
	const struct heap_profile *p = r->profile;
	const struct heap_function **sorted = calloc(p->nnames + 1, sizeof(*sorted));
	char live[SIZE_TEXT_BYTES], all[SIZE_TEXT_BYTES];
	fprintf(r->out,
		"<section id=\"profile\">\n<h2>Who allocates</h2>\n<p>%s live, %s allocated, by "
		"samples of one "
		"byte in %u; %llu stacks.</p>\n<div id=\"flame\"></div>\n",
		size_text(live, p->nodes[0].sum.live_bytes),
		size_text(all, p->nodes[0].sum.allocated_bytes), p->rate,
		(unsigned long long)p->nstacks);
	fputs("<table>\n<thead><tr><th>live</th><th>of these by "
	      "itself</th><th>allocated</th><th>by itself</th>"
	      "<th class=\"l\">function</th></tr></thead>\n<tbody>\n",
	      r->out);
	for (uint32_t i = 0; sorted != NULL && i < p->nnames; i++)
		sorted[i] = &p->functions[i];
	if (sorted != NULL)
		qsort(sorted, p->nnames, sizeof(*sorted), by_live);
	for (uint32_t i = 0; sorted != NULL && i < p->nnames && i < MAX_FUNCTIONS; i++) {
		fputs("<tr>", r->out);
		size_cell(r, sorted[i]->total.live_bytes);
		size_cell(r, sorted[i]->self.live_bytes);
		size_cell(r, sorted[i]->total.allocated_bytes);
		size_cell(r, sorted[i]->self.allocated_bytes);
		fputs("<td class=\"code\">", r->out);
		html_text(r->out, p->names[sorted[i] - p->functions]);
		fputs("</td></tr>\n", r->out);
	}
	fputs("</tbody>\n</table>\n</section>\n", r->out);
	free(sorted);
}

void report_tables(const struct report *r)
{
	class_table(r);
	superslab_table(r);
	decision_table(r);
	knob_table(r);
	figure_table(r);
	history_table(r);
}
