#include "ace/ace_log.h"

enum { PERCENT = 100, MB_SHIFT = 20, US_PER_MS = 1000 };

static const char *const reasons[ACE_BECAUSE_COUNT] = {
	[ACE_BECAUSE_HIGH_BACKLOG] = "high backlog",
	[ACE_BECAUSE_LOW_BACKLOG] = "low backlog",
	[ACE_BECAUSE_LLC_MISSES] = "LLC misses",
	[ACE_BECAUSE_FEW_MISSES] = "few misses",
	[ACE_BECAUSE_LOCK_WAIT] = "lock wait",
	[ACE_BECAUSE_FRAGMENTATION] = "fragmentation",
	[ACE_BECAUSE_RSS_GROWTH] = "RSS growth",
	[ACE_BECAUSE_IDLE] = "idle",
	[ACE_BECAUSE_PRESSURE] = "memory pressure",
	[ACE_BECAUSE_PRESSURE_GONE] = "memory pressure gone",
	[ACE_BECAUSE_TRIAL] = "trial",
	[ACE_BECAUSE_KEPT] = "kept: better",
	[ACE_BECAUSE_NOT_BETTER] = "back: not better",
	[ACE_BECAUSE_WORSE] = "back: worse",
	[ACE_BECAUSE_INTERRUPTED] = "back: interrupted",
	[ACE_BECAUSE_CHANGED] = "back: workload changed",
	[ACE_BECAUSE_GUARD] = "back: stopped by a guard",
	[ACE_BECAUSE_PLAYBOOK] = "playbook",
	[ACE_BECAUSE_DECLINED] = "large blocks come and go",
	[ACE_BECAUSE_LIGHT_LOAD] = "light load",
	[ACE_BECAUSE_LOAD] = "load",
	[ACE_BECAUSE_RETURNED] = "memory goes back anyway",
	[ACE_BECAUSE_RESTED] = "long rests",
	[ACE_BECAUSE_SHORT_RESTS] = "short rests",
	[ACE_BECAUSE_LET_GO] = "back: free memory went",
};

/* In the log; the trace has the names of the knob table. */
static const char *const titles[] = {
	[HAK_KNOB_TCACHE_CAPACITY] = "Adjusting TLS cap",
	[HAK_KNOB_DRAIN_THRESHOLD] = "Drain threshold",
	[HAK_KNOB_PARTIAL_RELEASE_PAGES] = "Partial release pages",
	[HAK_KNOB_DIET_FACTOR] = "Diet factor",
	[HAK_KNOB_BUNDLE_WIDTH] = "Bundle width",
	[HAK_KNOB_PURGE_DELAY_MS] = "Purge delay",
	[HAK_KNOB_HUGE_PAGES] = "Huge pages",
	[HAK_KNOB_NT_THRESHOLD] = "NT copy threshold",
	[HAK_KNOB_HUGE_CACHE_MB] = "Huge block cache",
	[HAK_KNOB_IDLE_DELAY_MS] = "Idle delay",
};

void ace_ring_add(struct ace_ring *r, const struct ace_decision *d)
{
	r->decisions[r->count++ % ACE_RING_DECISIONS] = *d;
}

const char *ace_reason_text(enum ace_reason reason)
{
	return reasons[reason];
}

const char *ace_knob_name(uint32_t what)
{
	return what < HAK_KNOB_COUNT ? knob_info((enum hak_knob)what)->name : "scavenge";
}

static const char *title(uint32_t what)
{
	if (what < HAK_ARRAY_LEN(titles) && titles[what] != NULL)
		return titles[what];
	return ace_knob_name(what);
}

/* A ratio with two decimals. */
static void append_ratio(struct text *t, int64_t ppm)
{
	int64_t hundredths = (ppm + PPM / (2 * PERCENT)) / (PPM / PERCENT);
	if (ppm < 0)
		text_printf(t, "n/a");
	else
		text_printf(t, "%ld.%02ld", (long)(hundredths / PERCENT),
			    (long)(hundredths % PERCENT));
}

void ace_log_line(struct text *t, const struct ace_decision *d)
{
	if (d->what == ACE_SCAVENGE) {
		text_printf(t, "[ACE] Scavenge: up to %d ms (%s)\n", d->new_value / US_PER_MS,
			    reasons[d->reason]);
		return;
	}
	text_printf(t, "[ACE] %s", title(d->what));
	if (knob_info((enum hak_knob)d->what)->per_class)
		text_printf(t, "[%u]", d->cls);
	text_printf(t, ": %d → %d (%s)\n", d->old_value, d->new_value, reasons[d->reason]);
}

void ace_log_diet_line(struct text *t, const struct ace_decision *d, uint32_t cls, int32_t capacity)
{
	text_printf(t, "[ACE] Adjusting TLS cap[%u]: %d → %d (diet factor=%d.%02d)\n", cls,
		    capacity * d->old_value / PERCENT, capacity * d->new_value / PERCENT,
		    d->new_value / PERCENT, d->new_value % PERCENT);
}

void ace_log_fast_line(struct text *t, const struct ace_sample *s, int64_t reward_ppm)
{
	text_printf(t, "[ACE] Fast loop: reward=");
	append_ratio(t, reward_ppm);
	text_printf(t, ", llc_miss=");
	append_ratio(t, s->llc_miss_ppm);
	text_printf(t, ", backlog=%lu\n", (unsigned long)s->backlog);
}

void ace_log_slow_line(struct text *t, const struct ace_sample *s)
{
	text_printf(t, "[ACE] Slow loop: fragmentation=");
	append_ratio(t, s->frag_ppm);
	text_printf(t, ", rss_mb=%lu, pressure=", (unsigned long)(s->rss_bytes >> MB_SHIFT));
	append_ratio(t, s->pressure_ppm);
	text_printf(t, "\n");
}

void ace_log_record(struct text *t, const struct ace_decision *d)
{
	text_printf(t, "decision %lu %s %u %d %d %u %ld %d %lu %u %lu\n", (unsigned long)d->time_ns,
		    ace_knob_name(d->what), d->cls, d->old_value, d->new_value, (unsigned)d->reason,
		    (long)d->reward_ppm, d->llc_miss_ppm, (unsigned long)d->backlog, d->frag_ppm,
		    (unsigned long)d->rss_bytes);
}
