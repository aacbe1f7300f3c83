/* The report: one HTML file of a page and, if there is one, a heap profile. Tables and still charts
 * are in it as they are; report/report.js draws over them what can be looked into. */
#ifndef HAKMEM_TOOLS_REPORT_H
#define HAKMEM_TOOLS_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "heap_profile.h"
#include "page.h"

struct report {
	const struct statpage *page;
	const struct heap_profile *profile; /* or NULL */
	FILE *out;
};

/* Read the profile, if there is one, and write the report to the file, or to standard output
 * if `path` is NULL. False: complain() has said why. */
bool report_write(const struct statpage *page, const char *profile, const char *path);

/* ---- its parts, a source each */

void report_document(const struct report *r);  /* report_document.c: all of it */
void report_charts(const struct report *r);    /* report_charts.c: the history, drawn */
void report_tables(const struct report *r);    /* report_tables.c: classes, decisions, figures */
void report_functions(const struct report *r); /* report_tables.c: those of the profile */
void report_data(const struct report *r);      /* report_data.c: for the script, as JSON */

/* The decisions that the page still has are first .. ndecisions - 1. */
uint64_t report_first_decision(const struct statpage *p);
const struct statpage_decision *report_decision(const struct statpage *p, uint64_t n);

#endif
