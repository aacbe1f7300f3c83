/* When memory is asked back before its purge delay is over, and for how long.
 *
 * A pass is a few milliseconds at most and gives back what is free already; it changes no
 * setting. It pays where nobody waits for the processor (idle), where the system needs
 * the memory (the cgroup's limit is near, or its processes stall for memory), and where
 * memory grows while much of it is free. No judgement of throughput stands behind it, so
 * it is rationed: by its budget, by the interval, and by a least amount to gain.
 */
#ifndef HAK_ACE_SCAVENGE_H
#define HAK_ACE_SCAVENGE_H

#include "ace/ace_settings.h"

enum { ACE_SCAVENGE_BUDGET_NS = 5000000 };

struct ace_scavenger {
	bool pressed;           /* since the high mark of memory pressure, until the low one */
	int32_t relaxed_delay_ms; /* the purge delay that was in force before */
	uint32_t idle_steps;    /* consecutive steps without work */
	uint32_t frag_steps;    /* consecutive slow steps with fragmentation */
	uint64_t last_rss_bytes; /* at the last slow step; 0: none yet */
};

/* Is memory short, seen from the state before? */
bool ace_scavenge_is_pressed(const struct ace_scavenger *v, const struct ace_sample *sample);

/* Each step. */
void ace_scavenge_fast(struct ace_scavenger *v, struct ace_settings *s,
		       const struct ace_sample *sample);

/* Each slow step. True: fragmentation has lasted, and smaller runs of pages should be
 * released. */
bool ace_scavenge_slow(struct ace_scavenger *v, struct ace_settings *s,
		       const struct ace_sample *sample);

#endif
