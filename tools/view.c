#include "view.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "say.h"

enum {
	BAR_COLUMNS = 20,
	HEAD_LINES = 12,    /* beside classes and decisions */
	MIN_DECISIONS = 3,
	MAX_DECISIONS = 8,
};

static void line(struct view *v, enum view_style style, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void line(struct view *v, enum view_style style, const char *format, ...)
{
	va_list ap;
	if (v->count == VIEW_LINES)
		return;
	va_start(ap, format);
	vsnprintf(v->text[v->count], VIEW_COLUMNS, format, ap);
	va_end(ap);
	v->style[v->count++] = style;
}

static const char *bar(char *buf, double part)
{
	int full = part < 0 ? 0 : part > 1 ? BAR_COLUMNS : (int)(part * BAR_COLUMNS + 0.5);
	memset(buf, '#', (size_t)full);
	memset(buf + full, '.', (size_t)(BAR_COLUMNS - full));
	buf[BAR_COLUMNS] = '\0';
	return buf;
}

/* Per second between two readings; -1: not known. */
static double rate(const struct statpage *now, const struct statpage *before, int64_t a, int64_t b)
{
	int64_t ms = now->now.time_ms - before->now.time_ms;
	if (ms <= 0 || a < 0 || b < 0 || a < b)
		return -1;
	return (double)(a - b) * 1000 / (double)ms;
}

static void draw_head(struct view *v, const struct statpage *p, const struct statpage *before)
{
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES], c[SIZE_TEXT_BYTES], d[SIZE_TEXT_BYTES];
	char drawn[BAR_COLUMNS + 1];
	const struct statpage_now *n = &p->now;
	double mallocs = rate(p, before, n->metrics.mallocs, before->now.metrics.mallocs);
	line(v, VIEW_TITLE, "%s  pid %d  up %s%s%s%s%s", p->exe, p->pid,
	     time_text(a, (double)n->time_ms / 1000), n->flags & STATPAGE_ACE ? "  ACE" : "",
	     n->flags & STATPAGE_FROZEN ? " (frozen)" : "",
	     n->flags & STATPAGE_PROFILING ? "  profiling" : "",
	     n->flags & STATPAGE_ENDED ? "  ENDED" : "");
	line(v, VIEW_PLAIN, "resident %-10s  live %-10s  held %-10s  cached %-10s",
	     size_text(a, (double)n->metrics.rss_bytes),
	     size_text(b, (double)n->metrics.live_bytes),
	     size_text(c, (double)n->metrics.occupied_bytes),
	     size_text(d, (double)n->stats.small_cached_bytes));
	line(v, VIEW_PLAIN, "fragmentation [%s] %.1f %%   free, not given back %s", 
	     bar(drawn, (double)n->metrics.fragmentation_permille / 1000),
	     (double)n->metrics.fragmentation_permille / 10,
	     size_text(a, (double)n->stats.free_dirty_bytes + (double)n->stats.huge_cached_bytes));
	line(v, VIEW_PLAIN, "large %s  huge %s  given back %s/s  remote backlog %s  mallocs %s/s",
	     size_text(a, (double)n->stats.large_bytes), size_text(b, (double)n->stats.huge_bytes),
	     size_text(c, rate(p, before, (int64_t)n->stats.purged_bytes_total,
			       (int64_t)before->now.stats.purged_bytes_total)),
	     count_text(d, (double)n->metrics.remote_backlog),
	     mallocs < 0 ? "-" : count_text(drawn, mallocs));
	if (n->metrics.cache_miss_ppm >= 0)
		line(v, VIEW_PLAIN, "cache misses %.2f %% (%s, confidence %d %%)",
		     (double)n->metrics.cache_miss_ppm / 10000, n->counter_source,
		     (int)n->metrics.counter_confidence);
	else
		line(v, VIEW_FAINT, "cache misses: not counted (%s)", n->counter_source);
}

static void draw_knobs(struct view *v, const struct statpage *p)
{
	char text[VIEW_COLUMNS];
	size_t used = 0;
	for (unsigned k = 0; k < p->nknobs; k++) {
		char one[80];
		int n = snprintf(one, sizeof(one), "%s%s=%d", used > 0 ? "  " : "",
				 p->knobs[k].name, p->now.knobs[k][0]);
		if (used + (size_t)n >= 100) {
			line(v, VIEW_PLAIN, "%s", text);
			used = 0;
			n = snprintf(one, sizeof(one), "%s=%d", p->knobs[k].name,
				     p->now.knobs[k][0]);
		}
		memcpy(text + used, one, (size_t)n + 1);
		used += (size_t)n;
	}
	if (used > 0)
		line(v, VIEW_PLAIN, "%s", text);
}

static uint64_t weight(const struct statpage_class *c)
{
	return (c->live + c->cached + c->free) * c->block_bytes;
}

static int by_weight(const void *a, const void *b)
{
	uint64_t x = weight(*(const struct statpage_class *const *)a);
	uint64_t y = weight(*(const struct statpage_class *const *)b);
	return x < y ? 1 : x > y ? -1 : 0;
}

static void draw_classes(struct view *v, const struct statpage *p, unsigned rows)
{
	const struct statpage_class *sorted[STATPAGE_CLASSES];
	char a[SIZE_TEXT_BYTES], drawn[BAR_COLUMNS + 1];
	unsigned n = 0;
	for (unsigned cls = 1; cls <= p->nclasses; cls++)
		if (p->now.classes[cls].slabs > 0)
			sorted[n++] = &p->now.classes[cls];
	qsort(sorted, n, sizeof(sorted[0]), by_weight);
	line(v, VIEW_TITLE, "%7s %8s %12s %10s %10s %10s  %s", "block", "slabs", "live", "cached",
	     "free", "memory", "live part");
	for (unsigned i = 0; i < n && i < rows; i++) {
		const struct statpage_class *c = sorted[i];
		uint64_t all = c->live + c->cached + c->free;
		line(v, VIEW_PLAIN, "%7u %8u %12llu %10llu %10llu %10s  %s", c->block_bytes,
		     c->slabs, (unsigned long long)c->live, (unsigned long long)c->cached,
		     (unsigned long long)c->free, size_text(a, (double)weight(c)),
		     bar(drawn, all > 0 ? (double)c->live / (double)all : 0));
	}
	if (n > rows)
		line(v, VIEW_FAINT, "%7s %u more classes", "", n - rows);
}

static void draw_decisions(struct view *v, const struct statpage *p, unsigned rows)
{
	uint64_t n = p->ndecisions < rows ? p->ndecisions : rows;
	line(v, VIEW_TITLE, "changes of knobs: %llu", (unsigned long long)p->ndecisions);
	for (uint64_t i = 0; i < n && i < STATPAGE_DECISIONS; i++) {
		const struct statpage_decision *d =
			&p->decisions[(p->ndecisions - 1 - i) % STATPAGE_DECISIONS];
		char cls[16] = "";
		if (d->cls > 0)
			snprintf(cls, sizeof(cls), "[%d]", d->cls);
		line(v, VIEW_PLAIN, "%9.1f s  %s%s %d -> %d  %s", (double)d->time_ms / 1000,
		     p->knobs[d->knob].name, cls, d->old_value, d->new_value, d->reason);
	}
}

void view_draw(struct view *v, const struct statpage *now, const struct statpage *before,
	       unsigned rows)
{
	unsigned rest = rows > HEAD_LINES ? rows - HEAD_LINES : 0;
	unsigned decisions = rest / 3 < MIN_DECISIONS ? MIN_DECISIONS
			     : rest / 3 > MAX_DECISIONS ? MAX_DECISIONS
							: rest / 3;
	unsigned known = now->ndecisions < decisions ? (unsigned)now->ndecisions : decisions;
	v->count = 0;
	draw_head(v, now, before);
	draw_knobs(v, now);
	draw_classes(v, now, rest > known ? rest - known : 1);
	draw_decisions(v, now, decisions);
}
