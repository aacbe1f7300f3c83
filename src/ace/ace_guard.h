/* The guards: limits above which ACE stops itself. They are the user's:
 * HAKMEM_ACE_MAX_P99_LAT_NS, HAKMEM_ACE_MAX_RSS_MB, HAKMEM_ACE_MAX_CPU_PERCENT.
 *
 * A single value may be chance (a preempted thread, a first touch): latency and
 * CPU must be above their limits GUARD_STEPS times in a row. Memory needs no such
 * patience: it does not jitter.
 */
#ifndef HAK_ACE_GUARD_H
#define HAK_ACE_GUARD_H

#include "ace/ace_metrics.h"

enum { ACE_GUARD_STEPS = 2 };

struct ace_limits {
	uint64_t max_p99_ns;
	uint64_t max_rss_mb;
	uint32_t max_cpu_percent;
	bool rss_is_default; /* then 90 % of the cgroup's limit counts too, if smaller */
};

struct ace_guard {
	struct ace_limits limits;
	uint32_t slow_steps, busy_steps; /* consecutive ones above the limit */
};

enum ace_guard_verdict { ACE_GUARD_OK, ACE_GUARD_LATENCY, ACE_GUARD_RSS, ACE_GUARD_CPU };

/* Which guard fired, and the figure and the limit for the message. */
struct ace_guard_report {
	enum ace_guard_verdict verdict;
	const char *what, *unit, *variable;
	uint64_t figure, limit;
};

void ace_guard_init(struct ace_guard *g, const struct ace_limits *limits);
struct ace_guard_report ace_guard_check(struct ace_guard *g, const struct ace_sample *s);

#endif
