/* The history of a page as charts: the same for the still ones and for the script. */
#ifndef HAKMEM_TOOLS_REPORT_SERIES_H
#define HAKMEM_TOOLS_REPORT_SERIES_H

#include "page.h"

enum chart_unit { CHART_BYTES, CHART_RATE, CHART_PERCENT, CHART_KNOB };

enum { CHART_SERIES = 3, CHART_NO_KNOB = -1 };

struct chart {
	const char *title;
	const char *unit_text; /* of a knob */
	enum chart_unit unit;
	int knob; /* whose values it shows; or CHART_NO_KNOB */
	unsigned nseries;
	const char *names[CHART_SERIES];
	double values[CHART_SERIES][STATPAGE_SAMPLES]; /* NAN: not known */
};

/* The nth chart of a page; false: there are not so many. */
bool report_chart(const struct statpage *p, unsigned n, struct chart *c);

#endif
