#include "common/statpage_fill.h"

#include <string.h>

#include "arch/arch.h"
#include "common/heap.h"
#include "common/knobs.h"
#include "common/metrics.h"
#include "common/options.h"
#include "common/os.h"
#include "common/profile.h"
#include "common/stats.h"
#include "common/superslab.h"

HAK_STATIC_ASSERT((int)HAK_CLASS_COUNT < (int)STATPAGE_CLASSES, "the page has room for each class");
HAK_STATIC_ASSERT((int)HAK_KNOB_COUNT <= (int)STATPAGE_KNOBS, "and for each knob");
HAK_STATIC_ASSERT((int)HAK_KNOB_MAX_CANDIDATES == (int)STATPAGE_CANDIDATES, "with its candidates");
HAK_STATIC_ASSERT((int)HAK_SUPERSLAB_UNITS == (int)STATPAGE_UNITS, "and for a superslab's units");
HAK_STATIC_ASSERT((int)HAK_UNIT_BYTES == (int)STATPAGE_UNIT_BYTES, "of this size");

enum { FULL_SIXTEENTHS = 15, PPM_PER_PERMILLE = 1000 };

static void copy_text(char *to, size_t size, const char *from)
{
	size_t n = min_size(strlen(from), size - 1);
	memcpy(to, from, n);
	memset(to + n, 0, size - n);
}

/* ---- what never changes */

static void describe_knob(struct statpage_knob *to, const struct hak_knob_info *info)
{
	copy_text(to->name, sizeof(to->name), info->name);
	copy_text(to->unit, sizeof(to->unit), info->unit);
	to->default_value = info->candidates[info->default_index];
	to->per_class = info->per_class;
	to->ncandidates = info->ncandidates;
	memcpy(to->candidates, info->candidates, sizeof(to->candidates));
}

void statpage_describe(struct statpage *page)
{
	page->nclasses = HAK_CLASS_COUNT;
	page->nknobs = HAK_KNOB_COUNT;
	page->page_bytes = (uint32_t)os_page_bytes();
	copy_text(page->backend, sizeof(page->backend), arch_get()->name);
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++)
		describe_knob(&page->knobs[k], knob_info((enum hak_knob)k));
}

/* ---- slabs */

/* The map of the superslabs while it is being drawn. One caller at a time. */
static struct superslab_state states[STATPAGE_SUPERSLABS];
static uint16_t by_base[STATPAGE_SUPERSLABS]; /* indices of states[], by rising base */

/* Put states[0..n) in order. They mostly are in runs of falling or rising addresses;
 * a heap sort does not care, and has no bad case. */
static void sift_down(size_t root, size_t n)
{
	for (size_t child; (child = 2 * root + 1) < n; root = child) {
		uint16_t moved = by_base[root];
		if (child + 1 < n && states[by_base[child + 1]].base > states[by_base[child]].base)
			child++;
		if (states[moved].base >= states[by_base[child]].base)
			return;
		by_base[root] = by_base[child];
		by_base[child] = moved;
	}
}

static void sort_by_base(size_t n)
{
	for (size_t i = 0; i < n; i++)
		by_base[i] = (uint16_t)i;
	for (size_t i = n / 2; i-- > 0;)
		sift_down(i, n);
	for (size_t end = n; end-- > 1;) {
		uint16_t last = by_base[end];
		by_base[end] = by_base[0];
		by_base[0] = last;
		sift_down(0, end);
	}
}

struct survey {
	struct statpage_now *now;
	size_t nsuperslabs;
};

static struct statpage_superslab *superslab_at(const struct survey *survey, uintptr_t base)
{
	size_t low = 0, high = survey->nsuperslabs;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (states[by_base[middle]].base < base)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == survey->nsuperslabs || states[by_base[low]].base != base)
		return NULL;
	return &survey->now->superslabs[by_base[low]];
}

static void set_fill(struct statpage_superslab *s, unsigned unit, unsigned sixteenths)
{
	unsigned shift = unit % 2 * 4;
	s->fill[unit / 2] = (uint8_t)((s->fill[unit / 2] & ~(15u << shift)) | sixteenths << shift);
}

static void draw_superslabs(struct survey *survey)
{
	size_t n = superslab_list(states, STATPAGE_SUPERSLABS);
	survey->nsuperslabs = n;
	sort_by_base(n);
	for (size_t i = 0; i < n; i++) {
		struct statpage_superslab *s = &survey->now->superslabs[i];
		uint32_t used = states[i].present_mask & ~states[i].free_mask;
		*s = (struct statpage_superslab){ .base = states[i].base,
						  .present_mask = states[i].present_mask,
						  .dirty_mask = states[i].dirty_mask };
		/* Those of large blocks are full; slabs say how much they are. */
		for (unsigned unit = 0; unit < STATPAGE_UNITS; unit++)
			if (used >> unit & 1)
				set_fill(s, unit, FULL_SIXTEENTHS);
	}
}

static void count_slab(const struct slab *s, void *arg)
{
	const struct survey *survey = arg;
	struct statpage_class *c = &survey->now->classes[s->cls];
	unsigned out = (unsigned)(s->capacity - s->free_count);
	struct statpage_superslab *super = superslab_at(survey, s->superslab->base);
	c->slabs++;
	c->live += out;
	c->free += s->free_count;
	if (super == NULL)
		return;
	for (unsigned u = s->first_unit; u < s->first_unit + s->units; u++)
		set_fill(super, u, (out * FULL_SIXTEENTHS + s->capacity - 1) / s->capacity);
}

static void fill_classes(struct statpage_now *now)
{
	struct survey survey = { .now = now };
	uint64_t cached[HAK_CLASS_COUNT + 1];
	memset(now->classes, 0, sizeof(now->classes));
	draw_superslabs(&survey);
	heap_survey(count_slab, &survey, cached);
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++) {
		struct statpage_class *c = &now->classes[cls];
		c->block_bytes = (uint32_t)class_bytes(cls);
		/* The owner's cache moves while it is counted. */
		c->cached = cached[cls] < c->live ? cached[cls] : c->live;
		c->live -= c->cached;
	}
}

/* ---- figures */

static void fill_stats(struct statpage_now *now)
{
	struct hak_stats s;
	stats_gather(&s);
#define COPY(field, words) now->stats.field = (uint64_t)s.field;
	STATS_FIELDS(COPY)
#undef COPY
}

/* Slow paths since the last call: 99 of 100 took less than the upper end of this bucket.
 * -1: there were none. */
static int64_t slow_path_p99_ns(const struct hak_metrics *m)
{
	static uint64_t before[LATENCY_BUCKETS];
	uint64_t fresh[LATENCY_BUCKETS], all = 0, below = 0;
	unsigned i;
	for (i = 0; i < LATENCY_BUCKETS; i++) {
		fresh[i] = m->latency[i] - before[i];
		before[i] = m->latency[i];
		all += fresh[i];
	}
	for (i = 0; i < LATENCY_BUCKETS; i++) {
		below += fresh[i];
		if (below > all - all / 100 - (all % 100 != 0))
			break;
	}
	return all == 0 ? -1 : (int64_t)latency_bucket_ns(i + 1);
}

static int64_t known(uint64_t n, uint64_t unknown)
{
	return n == unknown || n > INT64_MAX ? -1 : (int64_t)n;
}

static void fill_metrics(struct statpage_now *now)
{
	struct hak_metrics m;
	uint64_t slab_live = 0, slab_bytes = 0;
	metrics_read(&m);
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++) {
		const struct statpage_class *c = &now->classes[cls];
		slab_live += c->live * c->block_bytes;
		slab_bytes += (uint64_t)c->slabs * class_layout[cls].units * HAK_UNIT_BYTES;
	}
	now->metrics.rss_bytes = known(m.rss_bytes, 0);
	now->metrics.live_bytes =
		(int64_t)(slab_live + now->stats.large_bytes + now->stats.huge_bytes);
	now->metrics.occupied_bytes =
		(int64_t)(slab_bytes + now->stats.large_bytes + now->stats.huge_bytes);
	now->metrics.fragmentation_permille = m.fragmentation_ppm / PPM_PER_PERMILLE;
	now->metrics.mallocs = (int64_t)m.ops;
	now->metrics.slow_mallocs = (int64_t)m.slow_allocs;
	now->metrics.lock_wait_ns = (int64_t)m.lock_wait_ns;
	now->metrics.slow_path_p99_ns = slow_path_p99_ns(&m);
	now->metrics.remote_backlog = (int64_t)m.backlog;
	now->metrics.page_faults = (int64_t)(m.minor_faults + m.major_faults);
	now->metrics.cache_miss_ppm = m.llc_miss_ppm;
	now->metrics.counter_confidence = m.llc_confidence;
	now->metrics.memory_limit_bytes =
		m.cgroup.found ? known(m.cgroup.memory_max, CGROUP_NO_LIMIT) : -1;
	now->metrics.memory_pressure_ppm = m.cgroup.found ? m.cgroup.psi_some_ppm : -1;
	now->metrics.cpu_limit_percent = m.cgroup.found ? known(m.cgroup.cpu_percent, 0) : -1;
	copy_text(now->counter_source, sizeof(now->counter_source), m.llc_source);
	copy_text(now->counter_reason, sizeof(now->counter_reason), "");
}

static void fill_knobs(struct statpage_now *now)
{
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++)
		for (unsigned cls = 0; cls <= HAK_CLASS_COUNT; cls++)
			now->knobs[k][cls] = knob_get((enum hak_knob)k, cls);
}

void statpage_fill(struct statpage_now *now)
{
	fill_classes(now);
	fill_stats(now);
	fill_metrics(now);
	fill_knobs(now);
	now->flags = (options.ace_enabled ? (uint32_t)STATPAGE_ACE : 0) |
		     (profile_is_on() ? (uint32_t)STATPAGE_PROFILING : 0) |
		     (knobs_are_frozen() ? (uint32_t)STATPAGE_FROZEN : 0);
	now->profile_rate = profile_rate();
	now->profile_samples = (int64_t)profile_samples();
	now->nsuperslabs = (uint32_t)now->stats.superslabs;
}
