#include "ace/ace_guard.h"

#include "ace/ace_fixed.h"

enum { MB_SHIFT = 20, CGROUP_PERCENT = 90, PERCENT = 100 };

void ace_guard_init(struct ace_guard *g, const struct ace_limits *limits)
{
	*g = (struct ace_guard){ .limits = *limits };
}

static uint64_t rss_limit_mb(const struct ace_guard *g, const struct ace_sample *s)
{
	uint64_t cgroup_mb = s->cgroup_limit_bytes / PERCENT * CGROUP_PERCENT >> MB_SHIFT;
	if (g->limits.rss_is_default && s->cgroup_limit_bytes > 0 &&
	    cgroup_mb < g->limits.max_rss_mb)
		return cgroup_mb;
	return g->limits.max_rss_mb;
}

/* Count consecutive steps above a limit; true when there were enough. */
static bool persists(uint32_t *steps, bool above)
{
	*steps = above ? *steps + 1 : 0;
	return *steps >= ACE_GUARD_STEPS;
}

struct ace_guard_report ace_guard_check(struct ace_guard *g, const struct ace_sample *s)
{
	const uint64_t rss_mb = s->rss_bytes >> MB_SHIFT, rss_limit = rss_limit_mb(g, s);
	const uint32_t cpu_limit = g->limits.max_cpu_percent;
	/* Rounded up: above the limit is above it in whole percents too. */
	const uint32_t cpu =
		(uint32_t)(((uint64_t)s->ace_cpu_ppm + PPM / PERCENT - 1) / (PPM / PERCENT));
	bool latency = persists(&g->slow_steps, s->p99_ns > g->limits.max_p99_ns);
	bool busy = persists(&g->busy_steps, cpu > cpu_limit);
	if (latency)
		return (struct ace_guard_report){ ACE_GUARD_LATENCY, "p99 latency", "ns",
						  "HAKMEM_ACE_MAX_P99_LAT_NS", s->p99_ns,
						  g->limits.max_p99_ns };
	if (rss_mb > rss_limit)
		return (struct ace_guard_report){ ACE_GUARD_RSS, "resident memory", "MB",
						  "HAKMEM_ACE_MAX_RSS_MB", rss_mb, rss_limit };
	if (busy)
		return (struct ace_guard_report){ ACE_GUARD_CPU, "ACE's CPU time", "%",
						  "HAKMEM_ACE_MAX_CPU_PERCENT", cpu, cpu_limit };
	return (struct ace_guard_report){ .verdict = ACE_GUARD_OK };
}
