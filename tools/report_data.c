/* The page and the profile as JSON, for the script. */
#include <math.h>

#include "html.h"
#include "report.h"
#include "report_series.h"

/* Of all that is live, or was allocated, smaller parts cannot be seen. */
static const double smallest_part = 1.0 / 2000;

static void json_number(FILE *out, double value)
{
	if (isfinite(value))
		fprintf(out, "%.10g", value);
	else
		fputs("null", out);
}

static void print_charts(const struct report *r)
{
	static struct chart c;
	const struct statpage *p = r->page;
	fputs("\"times\":[", r->out);
	for (unsigned i = 0; i < p->nsamples; i++)
		fprintf(r->out, "%s%.10g", i > 0 ? "," : "", (double)p->samples[i].time_ms / 1000);
	fputs("],\n\"charts\":[", r->out);
	for (unsigned n = 0; p->nsamples > 1 && report_chart(p, n, &c); n++) {
		fprintf(r->out, "%s\n{\"unit\":%d,\"knob\":%d,\"series\":[", n > 0 ? "," : "",
			(int)c.unit, c.knob);
		for (unsigned s = 0; s < c.nseries; s++) {
			fprintf(r->out, "%s{\"name\":\"%s\",\"values\":[", s > 0 ? "," : "",
				c.names[s]);
			for (unsigned i = 0; i < p->nsamples; i++) {
				fputs(i > 0 ? "," : "", r->out);
				json_number(r->out, c.values[s][i]);
			}
			fputs("]}", r->out);
		}
		fputs("]}", r->out);
	}
	fputs("],\n", r->out);
}

static void print_decisions(const struct report *r)
{
	const struct statpage *p = r->page;
	uint64_t first = report_first_decision(p);
	fputs("\"decisions\":[", r->out);
	for (uint64_t n = first; n < p->ndecisions; n++) {
		const struct statpage_decision *d = report_decision(p, n);
		fprintf(r->out,
			"%s\n{\"time\":%.10g,\"knob\":%d,\"class\":%d,\"from\":%d,\"to\":%d,"
			"\"name\":",
			n > first ? "," : "", (double)d->time_ms / 1000, d->knob, d->cls,
			d->old_value, d->new_value);
		json_text(r->out, p->knobs[d->knob].name);
		fputs(",\"why\":", r->out);
		json_text(r->out, d->reason);
		fputc('}', r->out);
	}
	fputs("],\n", r->out);
}

static void print_superslabs(const struct report *r)
{
	const struct statpage_now *now = &r->page->now;
	fputs("\"superslabs\":[", r->out);
	for (unsigned i = 0; i < now->nsuperslabs && i < STATPAGE_SUPERSLABS; i++) {
		const struct statpage_superslab *s = &now->superslabs[i];
		fprintf(r->out, "%s\n[\"%llx\",%u,%u,\"", i > 0 ? "," : "",
			(unsigned long long)s->base, s->present_mask, s->dirty_mask);
		for (unsigned u = 0; u < STATPAGE_UNITS; u++)
			fprintf(r->out, "%x", s->fill[u / 2] >> (u % 2 * 4) & 15);
		fputs("\"]", r->out);
	}
	fputs("]", r->out);
}

/* [name, live, allocated, [children]]. No deeper than the profile's stacks. */
static void print_node(const struct report *r, uint32_t n)
{
	const struct heap_profile *p = r->profile;
	const struct heap_node *node = &p->nodes[n];
	const struct heap_figures *all = &p->nodes[0].sum;
	bool any = false;
	fprintf(r->out, "[%u,%.0f,%.0f,[", node->name, node->sum.live_bytes,
		node->sum.allocated_bytes);
	for (uint32_t child = node->child; child != 0; child = p->nodes[child].sibling) {
		const struct heap_figures *sum = &p->nodes[child].sum;
		if (sum->live_bytes < all->live_bytes * smallest_part &&
		    sum->allocated_bytes < all->allocated_bytes * smallest_part)
			continue;
		fputs(any ? ",\n" : "\n", r->out);
		print_node(r, child);
		any = true;
	}
	fputs("]]", r->out);
}

static void print_profile(const struct report *r)
{
	fputs(",\n\"functions\":[", r->out);
	for (uint32_t i = 0; i < r->profile->nnames; i++) {
		fputs(i > 0 ? ",\n" : "\n", r->out);
		json_text(r->out, r->profile->names[i]);
	}
	fputs("],\n\"flame\":", r->out);
	print_node(r, 0);
}

void report_data(const struct report *r)
{
	fputs("{", r->out);
	print_charts(r);
	print_decisions(r);
	print_superslabs(r);
	if (r->profile != NULL)
		print_profile(r);
	fputs("}\n", r->out);
}
