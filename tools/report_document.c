/* The document around the parts: head, the figures that matter most, and what is inlined. */
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "html.h"
#include "report.h"
#include "report_assets.h"
#include "say.h"

enum { NONCE_BYTES = 16 };

/* Scripts run only if they have it, and nobody who wrote the page could know it. */
static void make_nonce(char text[2 * NONCE_BYTES + 1])
{
	unsigned char bytes[NONCE_BYTES] = { 0 };
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		memcpy(bytes, &now.tv_nsec, sizeof(now.tv_nsec));
	}
	for (unsigned i = 0; i < NONCE_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

static void print_asset(const struct report *r, const struct report_asset *a)
{
	fwrite(a->text, 1, a->length, r->out);
}

static void print_head(const struct report *r, const char *nonce)
{
	fprintf(r->out,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		"style-src 'unsafe-inline'; script-src 'nonce-%s'\">\n"
		"<meta name=\"viewport\" content=\"width=device-width\">\n"
		"<meta name=\"color-scheme\" content=\"light dark\">\n<title>hakmem: ",
		nonce);
	html_text(r->out, r->page->exe);
	fputs("</title>\n<style>\n", r->out);
	print_asset(r, &report_uplot_css);
	print_asset(r, &report_css);
	fputs("</style>\n</head>\n", r->out);
}

static void print_tile(const struct report *r, const char *name, const char *value)
{
	fprintf(r->out, "<div><b>%s</b><span>%s</span></div>\n", value, name);
}

static void print_size_tile(const struct report *r, const char *name, double bytes)
{
	char text[SIZE_TEXT_BYTES];
	print_tile(r, name, size_text(text, bytes));
}

static void print_tiles(const struct report *r)
{
	const struct statpage_now *now = &r->page->now;
	char text[SIZE_TEXT_BYTES];
	fputs("<div class=\"tiles\">\n", r->out);
	print_size_tile(r, "resident", (double)now->metrics.rss_bytes);
	print_size_tile(r, "live", (double)now->metrics.live_bytes);
	print_size_tile(r, "in slabs and blocks", (double)now->metrics.occupied_bytes);
	print_size_tile(r, "free, not given back",
			(double)now->stats.free_dirty_bytes + (double)now->stats.huge_cached_bytes);
	snprintf(text, sizeof(text), "%.1f %%", (double)now->metrics.fragmentation_permille / 10);
	print_tile(r, "fragmentation", now->metrics.fragmentation_permille < 0 ? "-" : text);
	print_tile(r, "allocations", count_text(text, (double)now->metrics.mallocs));
	print_tile(r, "changes of knobs", count_text(text, (double)r->page->ndecisions));
	fputs("</div>\n", r->out);
}

static void print_title(const struct report *r)
{
	const struct statpage *p = r->page;
	const char *slash = strrchr(p->exe, '/');
	char text[SIZE_TEXT_BYTES], begun[32] = "at an unknown time";
	time_t start = (time_t)(p->start_realtime_ns / 1000000000);
	struct tm tm;
	if (start > 0 && start < ((time_t)1 << 36) && gmtime_r(&start, &tm) != NULL)
		strftime(begun, sizeof(begun), "%Y-%m-%d %H:%M:%S UTC", &tm);
	fputs("<header>\n<h1>", r->out);
	html_text(r->out, slash != NULL ? slash + 1 : p->exe);
	fprintf(r->out, "</h1>\n<p><span class=\"code\">");
	html_text(r->out, p->exe);
	fprintf(r->out,
		"</span>, process %d, begun %s, seen after %s%s</p>\n<p class=\"faint\">hakmem ",
		p->pid, begun, time_text(text, (double)p->now.time_ms / 1000),
		(p->now.flags & STATPAGE_ENDED) != 0 ? ", at its exit" : "");
	html_text(r->out, p->build);
	fputs(", backend ", r->out);
	html_text(r->out, p->backend);
	fprintf(r->out, ", ACE %s%s</p>\n</header>\n",
		(p->now.flags & STATPAGE_ACE) != 0 ? "on" : "off",
		(p->now.flags & STATPAGE_FROZEN) != 0 ? ", frozen" : "");
}

void report_document(const struct report *r)
{
	char nonce[2 * NONCE_BYTES + 1];
	make_nonce(nonce);
	print_head(r, nonce);
	fputs("<body>\n<main>\n", r->out);
	print_title(r);
	print_tiles(r);
	fputs("<section id=\"timeline\">\n<h2>Timeline</h2>\n", r->out);
	report_charts(r);
	fputs("</section>\n", r->out);
	if (r->profile != NULL)
		report_functions(r);
	report_tables(r);
	fputs("</main>\n<div id=\"tip\" hidden></div>\n<script type=\"application/json\" "
	      "id=\"data\">\n",
	      r->out);
	report_data(r);
	fprintf(r->out, "</script>\n<script nonce=\"%s\">\n", nonce);
	print_asset(r, &report_uplot_js);
	print_asset(r, &report_js);
	fputs("</script>\n</body>\n</html>\n", r->out);
}
