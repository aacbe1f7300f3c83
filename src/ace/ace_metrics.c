#include "ace/ace_metrics.h"

#include <string.h>

#define NS_PER_S ((uint64_t)1000000000)

/* A rate that may be half off is none. */
enum { MIN_CONFIDENCE_PERCENT = 50 };

static uint64_t per_second(uint64_t count, uint64_t interval_ns)
{
	while (count > UINT64_MAX / NS_PER_S) {
		count >>= 1;
		interval_ns >>= 1;
	}
	return interval_ns == 0 ? 0 : count * NS_PER_S / interval_ns;
}

/* A lower bound of the latency that one operation in a hundred exceeds. Operations that
 * stayed on the hot path are below any bucket. */
static uint64_t p99_ns(const struct hak_metrics *last, const struct hak_metrics *now)
{
	const uint64_t allowed = (now->ops - last->ops) / 100;
	uint64_t above = 0;
	for (unsigned i = LATENCY_BUCKETS; i-- > 0;) {
		above += now->latency[i] - last->latency[i];
		if (above > allowed)
			return latency_bucket_ns(i);
	}
	return 0;
}

static uint64_t cgroup_limit(const struct cgroup_figures *c)
{
	uint64_t limit = c->memory_max < c->memory_high ? c->memory_max : c->memory_high;
	return !c->found || limit == CGROUP_NO_LIMIT ? 0 : limit;
}

static void read_rates(struct ace_sample *out, const struct ace_meter *m,
		       const struct hak_metrics *now, uint64_t process_cpu_ns, uint64_t ace_cpu_ns)
{
	const uint64_t interval_ns = now->now_ns - m->last.now_ns;
	const uint64_t ops = now->ops - m->last.ops;
	out->interval_ns = interval_ns;
	out->ops_per_s = per_second(ops, interval_ns);
	out->ops_per_cpu_s = per_second(ops, process_cpu_ns - m->last_process_cpu_ns);
	out->lock_wait_ns_per_s =
		per_second(now->lock_wait_ns - m->last.lock_wait_ns, interval_ns);
	out->ace_cpu_ppm = (uint32_t)ppm_ratio(ace_cpu_ns, interval_ns);
	out->p99_ns = p99_ns(&m->last, now);
	out->cpu_ppm = (uint64_t)ppm_ratio(process_cpu_ns - m->last_process_cpu_ns, interval_ns);
	out->faults_per_s = per_second(now->minor_faults - m->last.minor_faults, interval_ns);
	out->returned_bytes_per_s =
		per_second(now->purged_bytes - m->last.purged_bytes, interval_ns);
	out->early_bytes_per_s = per_second(now->early_bytes - m->last.early_bytes, interval_ns);
	out->declined_bytes_per_s =
		per_second(now->declined_bytes - m->last.declined_bytes, interval_ns);
}

static void read_gauges(struct ace_sample *out, const struct hak_metrics *now)
{
	out->llc_miss_ppm = now->llc_confidence >= MIN_CONFIDENCE_PERCENT ? now->llc_miss_ppm : -1;
	out->backlog = now->backlog;
	memcpy(out->class_backlog, now->class_backlog, sizeof(out->class_backlog));
	out->frag_ppm = now->fragmentation_ppm;
	out->rss_bytes = now->rss_bytes;
	out->waste_bytes = now->kept_bytes - now->live_bytes;
	out->cached_bytes = now->cached_bytes;
	out->live_bytes = now->live_bytes;
	out->heaps = (uint32_t)now->heaps;
	out->cgroup_limit_bytes = cgroup_limit(&now->cgroup);
	out->pressure_ppm = now->cgroup.found ? now->cgroup.psi_some_ppm : -1;
}

bool ace_sample_make(struct ace_sample *out, struct ace_meter *m, const struct hak_metrics *now,
		     uint64_t process_cpu_ns, uint64_t ace_cpu_ns)
{
	bool usable = m->started && now->now_ns > m->last.now_ns;
	if (usable) {
		*out = (struct ace_sample){ 0 };
		read_rates(out, m, now, process_cpu_ns, ace_cpu_ns);
		read_gauges(out, now);
	}
	m->started = true;
	m->last = *now;
	m->last_process_cpu_ns = process_cpu_ns;
	return usable;
}
