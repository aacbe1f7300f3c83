#include "common/stats.h"

#include "arch/arch.h"
#include "common/diag.h"
#include "common/heap.h"
#include "common/huge.h"
#include "common/knobs.h"
#include "common/large.h"
#include "common/limit.h"
#include "common/meta.h"
#include "common/missrate.h"
#include "common/os.h"
#include "common/purge.h"
#include "common/remote.h"
#include "common/report.h"
#include "common/slab.h"
#include "common/stats_fields.h"
#include "common/superslab.h"
#include "common/thread.h"

enum { STATS_TEXT_BYTES = 4096 };

void stats_gather(struct hak_stats *out)
{
	struct slow_scope scope;
	struct os_counters os;
	struct heap_counters heaps;
	struct huge_counters huges;
	struct purge_counters purge;
	(void)slow_enter(&scope);
	os = os_counters();
	heaps = heap_counters();
	huges = huge_counters();
	purge = purge_counters();
	*out = (struct hak_stats){
		.struct_bytes = sizeof(*out),
		.mapped_bytes = os.mapped_bytes,
		.metadata_bytes = meta_bytes(),
		.small_bytes = heaps.small_bytes,
		.small_cached_bytes = min_size(heaps.cached_bytes, heaps.small_bytes),
		.large_bytes = large_bytes(),
		.huge_bytes = huges.live_bytes,
		.huge_cached_bytes = huges.cached_bytes,
		.free_dirty_bytes = superslab_dirty_bytes(),
		.superslabs = superslab_counters().superslabs,
		.slabs = slab_count(),
		.heaps = heaps.heaps,
		.purged_bytes_total = os.purged_bytes,
		.purge_failures = os.purge_failures,
		.map_failures = os.map_failures,
		.remote_batches = remote_batches_sent(),
		.bad_pointers = report_count(),
		.held_bytes = limit_held_bytes(),
		.purge_passes = purge.passes,
		.purge_longest_ns = purge.longest_ns,
		.purge_longest_cpu_ns = purge.longest_cpu_ns,
	};
	slow_leave(&scope);
}

static void text_knobs(struct text *t, const char *format, const char *separator)
{
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		const struct hak_knob_info *info = knob_info((enum hak_knob)k);
		text_printf(t, "%s", k == 0 ? "" : separator);
		text_printf(t, *format == '"' ? "\"%s\":%d" : "%s=%d", info->name,
			    knob_get((enum hak_knob)k, 0));
	}
}

static void text_miss_rate(struct text *t)
{
	struct missrate r = missrate_total();
	text_printf(t, "misses of the last-level cache: ");
	if (r.ppm < 0)
		text_printf(t, "not known");
	else
		text_printf(t, "%d in a million of %lu loads", r.ppm, (unsigned long)r.samples);
	text_printf(t, " (source: %s, %u ps per operation)\n", counter_source_name(r.source),
		    r.overhead_ps_per_op);
}

static void json_miss_rate(struct text *t)
{
	struct missrate r = missrate_total();
	text_printf(t, ",\"llc\":{\"source\":\"%s\",\"overhead_ps_per_op\":%u",
		    counter_source_name(r.source), r.overhead_ps_per_op);
	if (r.ppm >= 0)
		text_printf(t, ",\"miss_ppm\":%d,\"error_ppm\":%u,\"samples\":%lu", r.ppm,
			    r.error_ppm, (unsigned long)r.samples);
	text_printf(t, "}");
}

void stats_text(struct text *t)
{
	struct hak_stats s;
	stats_gather(&s);
	text_printf(t, "hakmem %s, pages of %zu bytes, on ", hak_version(), os_page_bytes());
	arch_text_choice(t);
	text_printf(t, "\n");
#define LINE(field, words) text_printf(t, "%-32s %14lu\n", words, (unsigned long)s.field);
	STATS_FIELDS(LINE)
#undef LINE
	text_miss_rate(t);
	text_printf(t, "knobs: ");
	text_knobs(t, "text", " ");
	text_printf(t, "\n");
}

/* Passes by their length, as an array: element i counts those from 2^i ns on. */
static void text_passes(struct text *t, const char *name, const uint64_t *buckets)
{
	text_printf(t, ",\"%s\":[", name);
	for (unsigned i = 0; i < PURGE_BUCKETS; i++)
		text_printf(t, i == 0 ? "%lu" : ",%lu", (unsigned long)buckets[i]);
	text_printf(t, "]");
}

void stats_json(struct text *t)
{
	struct hak_stats s;
	struct purge_counters purge = purge_counters();
	stats_gather(&s);
	text_printf(t, "{\"version\":\"%s\",\"page_bytes\":%zu,", hak_version(), os_page_bytes());
	arch_json_choice(t);
#define MEMBER(field, words) text_printf(t, ",\"" #field "\":%lu", (unsigned long)s.field);
	STATS_FIELDS(MEMBER)
#undef MEMBER
	json_miss_rate(t);
	text_passes(t, "purge_passes_by_log2_ns", purge.by_ns);
	text_passes(t, "purge_passes_by_log2_cpu_ns", purge.by_cpu_ns);
	text_printf(t, ",\"knobs\":{");
	text_knobs(t, "\"json\"", ",");
	text_printf(t, "}}");
}

void stats_print_to_stderr(void)
{
	char buf[STATS_TEXT_BYTES];
	struct text t;
	text_init(&t, buf, sizeof(buf));
	stats_text(&t);
	diag_write(&t);
}

static void check_units(void)
{
	struct superslab_counters pool = superslab_counters();
	size_t used = heap_counters().slab_bytes + large_bytes();
	HAK_VERIFY((pool.units - pool.free_units) * HAK_UNIT_BYTES == used);
}

/* What is charged is what is held. */
static void check_held(void)
{
	struct superslab_counters pool = superslab_counters();
	struct huge_counters huges = huge_counters();
	size_t units = pool.units - pool.free_units + pool.dirty_units;
	size_t held = units * HAK_UNIT_BYTES + huges.live_bytes + huges.cached_bytes +
		      huges.stuck_bytes + meta_mapped_bytes();
	HAK_VERIFY(held == limit_held_bytes());
}

bool hak_check_all(void)
{
	struct slow_scope scope;
	(void)slow_enter(&scope);
	/* A purge holds units for a moment: not now. */
	lock_acquire(purge_lock());
	superslab_check();
	heap_check_all();
	huge_check();
	check_units();
	check_held();
	lock_release(purge_lock());
	slow_leave(&scope);
	return true;
}
