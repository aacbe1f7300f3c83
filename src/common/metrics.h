/* What ACE, or anyone who watches, can know of the allocator: one of the two doors between
 * it and ACE (knobs.h is the other).
 *
 * Counters grow for the life of the process and are read by difference; gauges are of the
 * moment. All are integers. They are kept by slow paths, per thread cache or lock, and
 * summed here, so that a program which nobody watches pays for none of it but the count
 * in malloc's hit. Figures of ended threads stay in the sums.
 */
#ifndef HAK_COMMON_METRICS_H
#define HAK_COMMON_METRICS_H

#include "common/base.h"
#include "common/cgroup.h"
#include "common/latency.h"
#include "common/purge.h"
#include "common/size_class.h"

struct hak_metrics {
	uint64_t now_ns; /* os_now_ns() */

	/* ---- counters */
	uint64_t ops;         /* allocations asked for; exact when no thread is in the allocator */
	uint64_t slow_allocs; /* of these, not from their thread's cache */
	uint64_t slow_frees;  /* frees that did not go into it */
	/* Slow allocations and frees by their time: bucket i from latency_bucket_ns(i) on. */
	uint64_t latency[LATENCY_BUCKETS];
	uint64_t lock_waits;   /* locks that were not free at once */
	uint64_t lock_wait_ns; /* time spent waiting for them, by all threads */
	uint64_t remote_batches;
	uint64_t minor_faults, major_faults; /* of the process */
	uint64_t purged_bytes;               /* given back to the kernel */
	uint64_t early_bytes;    /* of these, in idle moments, before the purge delay was over */
	uint64_t declined_bytes; /* of these, huge blocks at their free: no room to keep them */
	struct purge_counters purge;         /* passes of the maintenance, by their length */

	/* ---- gauges */
	uint32_t class_backlog[HAK_CLASS_COUNT + 1]; /* blocks in inboxes, for their owners */
	uint64_t backlog;                            /* of all classes */
	uint64_t heaps;
	uint64_t mapped_bytes; /* address space */
	uint64_t held_bytes;   /* what limits are compared with; see limit.h */
	uint64_t rss_bytes;    /* of the process; 0: unknown */
	/* Slabs, large blocks, and what is free but not given back; not live huge blocks,
	 * which have no neighbours to be scattered among. kept_bytes are in memory as far
	 * as we know, live_bytes are the program's. */
	uint64_t live_bytes, kept_bytes;
	uint64_t cached_bytes; /* of kept_bytes: in thread caches, depots and inboxes */
	uint32_t fragmentation_ppm; /* (kept - live) / kept */

	/* ---- the last-level cache */
	/* Since the last call of metrics_read(), if missrate_start() has been called. */
	int32_t llc_miss_ppm;   /* of its accesses; -1: unknown */
	int32_t llc_confidence; /* 100 less twice the standard error in percent; -1: unknown */
	const char *llc_source; /* what counts; "none" */

	struct cgroup_figures cgroup;
	uint32_t knob_epoch;
};

/* Fill *out. Thread-safe; takes the lock of each heap in turn; allocates nothing. Some
 * system calls: meant for a few times a second. */
void metrics_read(struct hak_metrics *out);

#endif
