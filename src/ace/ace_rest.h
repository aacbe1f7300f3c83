/* Giving memory back as soon as the program rests.
 *
 * The purge delay lets memory wait for its reuse. Where a program has rested for twice as long and
 * memory went back meanwhile, waiting was in vain: in later rests it goes back after 10 ms in which
 * the process did nothing (knob idle_delay_ms). That costs the pages which would have gone anyway,
 * and while the program works nothing is different. Where it works again before the purge
 * delay would have been over, and at least 4 MiB went back early, that was wrong: the knob
 * goes back for 16 steps, then 32 ... 1024, so that it cannot swing.
 *
 * Blocks that are kept because they come and go (ace_retain.h) are nothing to keep in a rest: the
 * knob is set with them, without a rest having been seen.
 */
#ifndef HAK_ACE_REST_H
#define HAK_ACE_REST_H

#include "ace/ace_explorer.h"

struct ace_rest {
	bool on;
	uint64_t rest_ns;        /* since when there have been only steps without work */
	uint64_t returned_bytes; /* in this rest */
	uint64_t early_bytes;    /* gone early; whether too early is not known yet */
	uint32_t hold_steps, next_hold_steps;
};

void ace_rest_init(struct ace_rest *r);

/* Each step. */
void ace_rest_fast(struct ace_rest *r, struct ace_explorer *e, struct ace_settings *s,
		   const struct ace_sample *sample);

/* Every knob went back, since the workload changed: what costs nothing stays. */
void ace_rest_again(const struct ace_rest *r, struct ace_explorer *e, struct ace_settings *s);

/* Large blocks are kept from now on. */
void ace_rest_for_retained(struct ace_rest *r, struct ace_explorer *e, struct ace_settings *s);

#endif
