#include "report_series.h"

#include <math.h>

#include "report.h"

static double known(double value, double divisor)
{
	return value < 0 ? NAN : value / divisor;
}

/* Of two samples, what happened per second between them. */
static double rate(int64_t before, int64_t now, int64_t ms)
{
	return before < 0 || now < before || ms <= 0 ? NAN
						     : (double)(now - before) * 1000 / (double)ms;
}

static void begin(struct chart *c, const char *title, enum chart_unit unit)
{
	c->title = title;
	c->unit = unit;
	c->unit_text = "";
	c->knob = CHART_NO_KNOB;
	c->nseries = 0;
}

static double *add_series(struct chart *c, const char *name)
{
	c->names[c->nseries] = name;
	return c->values[c->nseries++];
}

static void memory_chart(const struct statpage *p, struct chart *c)
{
	double *rss, *held, *live;
	begin(c, "Memory", CHART_BYTES);
	rss = add_series(c, "resident");
	held = add_series(c, "held");
	live = add_series(c, "live");
	for (unsigned i = 0; i < p->nsamples; i++) {
		rss[i] = known((double)p->samples[i].rss_bytes, 1);
		held[i] = known((double)p->samples[i].held_bytes, 1);
		live[i] = known((double)p->samples[i].live_bytes, 1);
	}
}

static void malloc_chart(const struct statpage *p, struct chart *c)
{
	double *mallocs;
	begin(c, "Allocations per second", CHART_RATE);
	mallocs = add_series(c, "allocations");
	for (unsigned i = 0; i < p->nsamples; i++)
		mallocs[i] = i == 0 ? NAN
				    : rate(p->samples[i - 1].mallocs, p->samples[i].mallocs,
					   p->samples[i].time_ms - p->samples[i - 1].time_ms);
}

static void waste_chart(const struct statpage *p, struct chart *c)
{
	double *fragmentation, *misses;
	bool any = false;
	begin(c, "Fragmentation", CHART_PERCENT);
	fragmentation = add_series(c, "fragmentation");
	misses = c->values[1];
	for (unsigned i = 0; i < p->nsamples; i++) {
		fragmentation[i] = known(p->samples[i].fragmentation_permille, 10);
		misses[i] = known(p->samples[i].cache_miss_ppm, 10000);
		any |= !isnan(misses[i]);
	}
	if (any) {
		add_series(c, "cache misses");
		c->title = "Fragmentation and cache misses";
	}
}

static void purge_chart(const struct statpage *p, struct chart *c)
{
	double *purged;
	begin(c, "Given back to the kernel, per second", CHART_BYTES);
	purged = add_series(c, "given back");
	for (unsigned i = 0; i < p->nsamples; i++)
		purged[i] =
			i == 0 ? NAN
			       : rate(p->samples[i - 1].purged_bytes, p->samples[i].purged_bytes,
				      p->samples[i].time_ms - p->samples[i - 1].time_ms);
}

static void knob_chart(const struct statpage *p, unsigned knob, struct chart *c)
{
	double *values;
	begin(c, p->knobs[knob].name, CHART_KNOB);
	c->unit_text = p->knobs[knob].unit;
	c->knob = (int)knob;
	values = add_series(c, "value");
	for (unsigned i = 0; i < p->nsamples; i++)
		values[i] = p->samples[i].knobs[knob];
}

/* One that stood still says nothing. */
static bool has_moved(const struct statpage *p, unsigned knob)
{
	for (unsigned i = 1; i < p->nsamples; i++)
		if (p->samples[i].knobs[knob] != p->samples[0].knobs[knob])
			return true;
	for (uint64_t n = report_first_decision(p); n < p->ndecisions; n++)
		if (report_decision(p, n)->knob == (int32_t)knob)
			return true;
	return false;
}

bool report_chart(const struct statpage *p, unsigned n, struct chart *c)
{
	static void (*const charts[])(const struct statpage *p,
				      struct chart *c) = { memory_chart, malloc_chart, waste_chart,
							   purge_chart };
	enum { CHARTS = sizeof(charts) / sizeof(charts[0]) };
	if (n < CHARTS) {
		charts[n](p, c);
		return true;
	}
	n -= CHARTS;
	for (unsigned knob = 0; knob < p->nknobs; knob++) {
		if (has_moved(p, knob) && n-- == 0) {
			knob_chart(p, knob, c);
			return true;
		}
	}
	return false;
}
