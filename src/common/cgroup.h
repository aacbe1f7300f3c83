/* Limits and pressure of the control group that the process runs in (cgroup v2), as a
 * container sets them.
 *
 * The group is looked for once, by /proc/self/cgroup and /proc/self/mountinfo, and its files are
 * read anew at most every CGROUP_INTERVAL_MS. A limit of a group above ours counts as well: the
 * smallest is reported. No malloc, no stdio.
 */
#ifndef HAK_COMMON_CGROUP_H
#define HAK_COMMON_CGROUP_H

#include "common/base.h"

enum { CGROUP_INTERVAL_MS = 1000 };

#define CGROUP_NO_LIMIT UINT64_MAX

struct cgroup_figures {
	bool found; /* false: no cgroup v2, or not visible; nothing else is set */
	uint64_t memory_max, memory_high; /* bytes, or CGROUP_NO_LIMIT */
	uint64_t memory_current;          /* bytes, of all processes in it; 0: unknown */
	uint32_t cpu_percent;             /* of one CPU; 0: no limit */
	/* Pressure stall information of memory: share of the last 10 s in which some, or
	 * all, processes waited for memory, in ppm; -1: unknown. */
	int32_t psi_some_ppm, psi_full_ppm;
	uint64_t psi_some_us, psi_full_us; /* counters: time of such waiting */
};

/* The figures, not older than CGROUP_INTERVAL_MS. Thread-safe. */
void cgroup_read(struct cgroup_figures *out);

/* Memory that the process may use: the least of memory.max and the machine's. 0: unknown. */
uint64_t cgroup_memory_bytes(void);

struct lock;
struct lock *cgroup_lock(void); /* for fork */

#if HAKMEM_TESTING
/* Look for everything under this folder instead of /, from now on; NULL: as usual. */
void cgroup_set_root(const char *folder);
#endif

#endif
