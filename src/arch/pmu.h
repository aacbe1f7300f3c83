/* What a CPU offers to see cache misses with: its counters, read in user space, and
 * loads that are timed. One constant table per machine; a member is NULL where
 * the machine has nothing. common/counters.c and common/missrate.c use it. */
#ifndef HAK_ARCH_PMU_H
#define HAK_ARCH_PMU_H

#include "common/base.h"

struct hak_pmu {
	/* A counter's raw value by the index in its perf_event_mmap_page, which is > 0.
	 * False: the CPU would refuse, and the program die of it. */
	bool (*read_counter)(uint32_t index, uint64_t *raw);
	/* What attr.config1 must ask for, so that user space may read the event. */
	uint64_t user_config1;

	/* Ticks of a clock of constant rate that a load of 8 bytes takes. */
	uint32_t (*timed_load)(const void *p);
	/* Throw the cache line of p out of all caches, and wait for it. */
	void (*flush_line)(const void *p);
};

/* The machine's. */
const struct hak_pmu *pmu_get(void);

extern const struct hak_pmu pmu_generic;
extern const struct hak_pmu pmu_native; /* none for generic targets */

#endif
