#include "common/metrics.h"

#include <string.h>

#include "common/entry.h"
#include "common/heap.h"
#include "common/huge.h"
#include "common/knobs.h"
#include "common/large.h"
#include "common/limit.h"
#include "common/lock.h"
#include "common/missrate.h"
#include "common/os.h"
#include "common/remote.h"
#include "common/slab.h"
#include "common/superslab.h"
#include "common/thread.h"

enum { PPM = 1000000, PPM_PER_PERCENT = PPM / 100 };

static void read_heaps(struct hak_metrics *m)
{
	struct heap_sums sums;
	size_t touched;
	heap_sums(&sums);
	m->heaps = sums.heaps;
	m->ops = sums.ops + entry_heapless_ops();
	m->slow_allocs = sums.slow_allocs;
	m->slow_frees = sums.slow_frees;
	memcpy(m->latency, sums.latency, sizeof(m->latency));
	memcpy(m->class_backlog, sums.class_backlog, sizeof(m->class_backlog));
	for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++)
		m->backlog += sums.class_backlog[cls];

	m->cached_bytes = sums.cached_bytes;
	/* The sums are not of one moment. */
	touched = sums.touched_bytes - min_size(sums.touched_bytes, slab_purged_bytes());
	m->live_bytes =
		sums.used_bytes - min_size(sums.used_bytes, sums.cached_bytes) + large_bytes();
	m->kept_bytes = touched + large_bytes() + superslab_dirty_bytes() + huge_cached_bytes();
	m->kept_bytes = max_size(m->kept_bytes, m->live_bytes);
	if (m->kept_bytes > 0)
		m->fragmentation_ppm =
			(uint32_t)((m->kept_bytes - m->live_bytes) * PPM / m->kept_bytes);
}

static void read_process(struct hak_metrics *m)
{
	struct os_faults faults = os_faults();
	struct os_counters os = os_counters();
	struct lock_waits waits = lock_waits();
	m->now_ns = os_now_ns();
	m->minor_faults = faults.minor;
	m->major_faults = faults.major;
	m->rss_bytes = os_resident_bytes();
	m->mapped_bytes = os.mapped_bytes;
	m->held_bytes = limit_held_bytes();
	m->purge = purge_counters();
	m->purged_bytes = os.purged_bytes + huge_unmapped_bytes();
	m->early_bytes = purge_early_bytes();
	m->declined_bytes = huge_declined_bytes();
	m->lock_waits = waits.count;
	m->lock_wait_ns = waits.ns;
	m->remote_batches = remote_batches_sent();
}

static void read_cache_misses(struct hak_metrics *m)
{
	struct missrate r = missrate_take();
	m->llc_miss_ppm = r.ppm;
	m->llc_confidence = r.ppm < 0 ? -1 : 100 - (int32_t)(r.error_ppm / PPM_PER_PERCENT);
	m->llc_source = counter_source_name(r.source);
}

void metrics_read(struct hak_metrics *out)
{
	struct slow_scope scope;
	(void)slow_enter(&scope);
	*out = (struct hak_metrics){ 0 };
	read_heaps(out);
	read_process(out);
	read_cache_misses(out);
	cgroup_read(&out->cgroup);
	out->knob_epoch = knob_epoch();
	slow_leave(&scope);
}
