/* Giving freed memory back early, where waiting for its reuse is in vain.
 *
 * The purge delay is a bet that memory is used again before it is over. If memory goes back to
 * the kernel all the same, window after window, the bet is being lost, and a short delay may cost
 * nothing. That is tried, and judged by what it costs: pages that come from and go back to
 * the kernel. They are counted, so the verdict has none of the noise of throughput. The short
 * delay is kept while a window costs no more than those before did; a failure holds off
 * 16 steps, then 32 ... 1024, so it cannot swing.
 *
 * Only for a process that uses less than half a processor: releasing parts of huge pages costs
 * a busy one more than the pages show.
 */
#ifndef HAK_ACE_EARLY_H
#define HAK_ACE_EARLY_H

#include "ace/ace_explorer.h"

enum ace_early_phase { ACE_EARLY_WATCHING, ACE_EARLY_TRYING, ACE_EARLY_KEPT };

struct ace_early {
	enum ace_early_phase phase;
	uint32_t steps;          /* of this window */
	int64_t cost_sum;        /* of this window */
	int64_t highest_cost;    /* of its steps */
	uint64_t returned_sum;   /* bytes per second, in steps with work */
	uint64_t cpu_sum;        /* of one processor */
	int64_t usual_cost;      /* mean of the window before the trial */
	int64_t usual_highest;
	int64_t usual_cpu;       /* of one processor */
	uint32_t hold_steps, next_hold_steps;
};

void ace_early_init(struct ace_early *y);

/* Each step that is neither under pressure nor in thrift. */
void ace_early_fast(struct ace_early *y, struct ace_explorer *e, struct ace_settings *s,
		    const struct ace_sample *sample);

/* Every knob went back, since the workload changed: what costs nothing stays. */
void ace_early_again(struct ace_early *y, struct ace_explorer *e, struct ace_settings *s);

/* Steps that do not count follow: the window begins anew after them. */
void ace_early_pause(struct ace_early *y);

/* Something else takes over: a trial that runs is forgotten. */
void ace_early_interrupt(struct ace_early *y, struct ace_explorer *e, struct ace_settings *s);

#endif
