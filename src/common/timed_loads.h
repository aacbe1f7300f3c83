/* How often loads miss the caches, without counters: single loads are timed, and the CPU's own
 * hits and misses, measured at calibration, tell which is which.
 *
 * With a clock much finer than a miss each load is judged by a threshold midway. With a coarse
 * clock (25 to 62 MHz on many aarch64) a single time says nothing, but the mean of many is
 * right, since the phase of the clock is random: the rate is where the mean lies between
 * those of hits and of misses. Integers only. */
#ifndef HAK_COMMON_TIMED_LOADS_H
#define HAK_COMMON_TIMED_LOADS_H

#include "common/base.h"

struct hak_pmu;

enum { TIMED_LOADS_FRACTION_BITS = 8 }; /* of means, in ticks */

struct timed_loads {
	bool by_mean;
	uint32_t threshold_ticks; /* from here on a load is a miss */
	uint32_t clip_ticks;      /* from here on it is a page fault or an interrupt */
	uint64_t hit_mean, miss_mean;
	uint32_t cost_ns; /* of timing one load that hits */
};

struct timed_sum {
	uint64_t loads, misses, ticks;
};

/* Some 300 us. False: hits and misses cannot be told apart here, or the machine has nothing
 * to time loads with. */
bool timed_loads_calibrate(struct timed_loads *t, const struct hak_pmu *pmu);

/* Time the load of 8 bytes at p and add it to *sum; false: it was clipped. */
bool timed_loads_add(const struct timed_loads *t, const struct hak_pmu *pmu, const void *p,
		     struct timed_sum *sum);

/* Misses per million loads; sum->loads > 0. */
uint32_t timed_loads_ppm(const struct timed_loads *t, const struct timed_sum *sum);

#endif
