/* The files that a report has in it, made from tools/report/ by cmake/HakmemEmbed.cmake. */
#ifndef HAKMEM_TOOLS_REPORT_ASSETS_H
#define HAKMEM_TOOLS_REPORT_ASSETS_H

#include <stddef.h>

struct report_asset {
	const char *text;
	size_t length;
};

extern const struct report_asset report_css, report_js;
/* Of uPlot; empty in builds without it. */
extern const struct report_asset report_uplot_css, report_uplot_js;

#endif
