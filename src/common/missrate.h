/* The process's rate of last level cache misses, from the best source there is: each thread's
 * hardware counters, read at its sample points, else loads timed there. The allocator calls
 * missrate_sample() once per MISSRATE_SAMPLE_OPS operations or so, if somebody wants the rate;
 * who does calls missrate_take(). Nothing is opened or measured before the first sample. */
#ifndef HAK_COMMON_MISSRATE_H
#define HAK_COMMON_MISSRATE_H

#include "common/counters.h"

enum { MISSRATE_SAMPLE_OPS = 1024 };

/* The calling thread has made MISSRATE_SAMPLE_OPS operations since the last call, and `block`, of
 * 8 bytes at least, is about to be handed out, not touched yet. Between slow_enter and
 * slow_leave only. */
void missrate_sample(const void *block);

void missrate_after_fork(void);

struct missrate {
	int32_t ppm;        /* misses per million loads; -1: not known */
	uint32_t error_ppm; /* twice the standard error, of a sampled rate; 0 of a counted one */
	uint64_t samples;   /* loads that were timed, or counted */
	enum counter_source source;
	uint32_t overhead_ps_per_op; /* what this costs a malloc */
};

/* Since the last call. One caller at a time. */
struct missrate missrate_take(void);
/* Since the first sample. */
struct missrate missrate_total(void);

#if HAKMEM_TESTING
struct hak_pmu;
/* As if there had been no sample; loads are timed by `pmu` from now on (NULL: the machine's). */
void missrate_reset(const struct hak_pmu *pmu);
#endif

#endif
