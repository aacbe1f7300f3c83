/* The process's rate of last level cache misses, from the best source there is: each thread's
 * hardware counters, read when an allocation of its is sampled, else the first load of
 * that block, timed. Who wants the rate calls missrate_start() once, and missrate_take()
 * now and then. Nothing is opened or measured before the first sample. */
#ifndef HAK_COMMON_MISSRATE_H
#define HAK_COMMON_MISSRATE_H

#include "common/counters.h"

/* Rare enough to cost a hit of malloc under 1 %, and still some hundred samples in half a second
 * of a program that the rate matters to. */
enum { MISSRATE_SAMPLE_OPS = 8192 };

/* Sample one allocation in MISSRATE_SAMPLE_OPS from now on. Thread-safe. */
void missrate_start(void);

/* The sampler: `block`, of 8 bytes at least, is about to be handed out, not touched yet. In a slow
 * path only. */
void missrate_sample(const void *block);

/* In the child of a fork. */
void missrate_after_fork(void);

struct missrate {
	int32_t ppm;        /* misses per million loads; -1: not known */
	uint32_t error_ppm; /* twice the standard error, of a sampled rate; 0 of a counted one */
	uint64_t samples;   /* loads that were timed, or counted */
	enum counter_source source;
	uint32_t overhead_ps_per_op; /* what this costs a malloc */
};

/* Since the last call, by whomever: there should be one who does. Thread-safe. */
struct missrate missrate_take(void);
/* Since the first sample. */
struct missrate missrate_total(void);

#if HAKMEM_TESTING
struct hak_pmu;
/* As if there had been no sample; loads are timed by `pmu` from now on (NULL: the machine's). */
void missrate_reset(const struct hak_pmu *pmu);
#endif

#endif
