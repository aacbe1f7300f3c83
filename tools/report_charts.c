/* The history as still charts, in SVG. */
#include <math.h>

#include "html.h"
#include "report.h"
#include "report_series.h"
#include "say.h"

enum {
	WIDTH = 720,
	LEFT = 76,
	RIGHT = 8,
	TOP = 8,
	BOTTOM = 22,
	HEIGHT = 160,
	KNOB_HEIGHT = 84,
	MAX_LINES = 4
};

struct scale {
	double first_ms, span_ms;
	double top, step;
	int height;
};

static double x_of(const struct scale *s, double ms)
{
	return LEFT + (ms - s->first_ms) / s->span_ms * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct scale *s, double value)
{
	return TOP + (1 - value / s->top) * (s->height - TOP - BOTTOM);
}

static double largest_of(const struct statpage *p, const struct chart *c)
{
	double largest = 0;
	for (unsigned s = 0; s < c->nseries; s++)
		for (unsigned i = 0; i < p->nsamples; i++)
			if (c->values[s][i] > largest)
				largest = c->values[s][i];
	return largest > 0 ? largest : 1;
}

/* At most MAX_LINES steps up to the largest value, whose figures are short. */
static double step_of(const struct chart *c, double largest)
{
	static const double steps[] = { 1, 2, 2.5, 5, 10 };
	double unit = pow(10, floor(log10(largest / MAX_LINES)));
	if (c->unit == CHART_KNOB)
		return largest;
	if (c->unit == CHART_BYTES)
		return pow(2, ceil(log2(largest / MAX_LINES)));
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (unit * steps[i] * MAX_LINES >= largest)
			return unit * steps[i];
	return largest;
}

static const char *value_text(char buf[SIZE_TEXT_BYTES], const struct chart *c, double value)
{
	switch (c->unit) {
	case CHART_BYTES:
		return size_text(buf, value);
	case CHART_RATE:
		return count_text(buf, value);
	case CHART_PERCENT:
		snprintf(buf, SIZE_TEXT_BYTES, "%.3g %%", value);
		return buf;
	case CHART_KNOB:
		break;
	}
	snprintf(buf, SIZE_TEXT_BYTES, "%.6g", value);
	return buf;
}

static void draw_grid(const struct report *r, const struct chart *c, const struct scale *s)
{
	char text[SIZE_TEXT_BYTES];
	for (int i = 0; i <= MAX_LINES && i * s->step <= s->top * 1.001; i++) {
		double value = s->step * i, y = y_of(s, value);
		fprintf(r->out,
			"<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
			WIDTH - RIGHT, y, y);
		fprintf(r->out, "<text class=\"end\" x=\"%d\" y=\"%.1f\">%s</text>\n", LEFT - 6,
			y + 4, value_text(text, c, value));
	}
	for (int i = 0; i <= 4; i++) {
		double ms = s->first_ms + s->span_ms * i / 4;
		fprintf(r->out, "<text class=\"%s\" x=\"%.1f\" y=\"%d\">%s</text>\n",
			i == 0   ? "start"
			: i == 4 ? "end"
				 : "middle",
			x_of(s, ms), s->height - 5, time_text(text, ms / 1000));
	}
}

static void draw_series(const struct report *r, const struct chart *c, unsigned series,
			const struct scale *s)
{
	const double *values = c->values[series];
	bool drawing = false;
	fprintf(r->out, "<path class=\"s%u\" d=\"", series);
	for (unsigned i = 0; i < r->page->nsamples; i++) {
		double x = x_of(s, (double)r->page->samples[i].time_ms);
		if (isnan(values[i])) {
			drawing = false;
			continue;
		}
		/* A knob keeps its value until it gets another. */
		if (drawing && c->unit == CHART_KNOB)
			fprintf(r->out, "H%.1f", x);
		fprintf(r->out, "%c%.1f %.1f", drawing ? 'L' : 'M', x, y_of(s, values[i]));
		drawing = true;
	}
	fputs("\"/>\n", r->out);
}

static void draw_marks(const struct report *r, const struct chart *c, const struct scale *s)
{
	const struct statpage *p = r->page;
	for (uint64_t n = report_first_decision(p); n < p->ndecisions; n++) {
		const struct statpage_decision *d = report_decision(p, n);
		double ms = (double)d->time_ms, x = x_of(s, ms);
		if (ms < s->first_ms || ms > s->first_ms + s->span_ms ||
		    (c->knob != CHART_NO_KNOB && c->knob != d->knob))
			continue;
		fprintf(r->out,
			"<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"><title>",
			x, x, TOP, s->height - BOTTOM);
		fprintf(r->out, "%.1f s: ", ms / 1000);
		html_text(r->out, p->knobs[d->knob].name);
		fprintf(r->out, " %d to %d: ", d->old_value, d->new_value);
		html_text(r->out, d->reason);
		fputs("</title></line>\n", r->out);
	}
}

static void draw_chart(const struct report *r, const struct chart *c, unsigned n)
{
	const struct statpage *p = r->page;
	struct scale s = { .first_ms = (double)p->samples[0].time_ms,
			   .span_ms = (double)(p->samples[p->nsamples - 1].time_ms -
					       p->samples[0].time_ms),
			   .height = c->unit == CHART_KNOB ? KNOB_HEIGHT : HEIGHT };
	double largest = largest_of(p, c);
	if (s.span_ms <= 0)
		s.span_ms = 1;
	s.step = step_of(c, largest);
	s.top = s.step * ceil(largest / s.step);
	fputs("<figure>\n<figcaption><b>", r->out);
	html_text(r->out, c->title);
	fputs("</b> ", r->out);
	html_text(r->out, c->unit_text);
	for (unsigned i = 0; c->nseries > 1 && i < c->nseries; i++)
		fprintf(r->out, "<span class=\"key s%u\">%s</span>", i, c->names[i]);
	fprintf(r->out, "</figcaption>\n<div class=\"chart\" data-chart=\"%u\">\n", n);
	fprintf(r->out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDTH, s.height);
	draw_grid(r, c, &s);
	draw_marks(r, c, &s);
	for (unsigned i = 0; i < c->nseries; i++)
		draw_series(r, c, i, &s);
	fputs("</svg>\n</div>\n</figure>\n", r->out);
}

void report_charts(const struct report *r)
{
	static struct chart c;
	if (r->page->nsamples < 2) {
		fputs("<p>There are no samples yet: they are taken twice a second.</p>\n", r->out);
		return;
	}
	for (unsigned n = 0; report_chart(r->page, n, &c); n++)
		draw_chart(r, &c, n);
}
