/* Keeping larger huge blocks: a program whose buffers come and go, each too large to be kept,
 * pays the kernel for every page of every one of them.
 *
 * The signal is bytes that go back at their free for want of room. While it is high the knob
 * goes up, a candidate at a time. If it is still high with the largest, keeping does not help:
 * back to the start, for 64 steps, then 128 ... 8192. It goes back under memory pressure,
 * too. While nothing is freed nothing is kept, so a high value needs no end of its own.
 */
#ifndef HAK_ACE_RETAIN_H
#define HAK_ACE_RETAIN_H

#include "ace/ace_explorer.h"

struct ace_retain {
	uint32_t hot_steps;    /* consecutive ones with the signal */
	uint32_t futile_steps; /* to go, in which nothing is done */
	uint32_t next_futile_steps;
};

void ace_retain_init(struct ace_retain *r);

/* Each step but those under pressure. */
void ace_retain_fast(struct ace_retain *r, struct ace_explorer *e, struct ace_settings *s,
		     const struct ace_sample *sample);

void ace_retain_pressed(struct ace_explorer *e, struct ace_settings *s);

/* Are larger blocks kept than by default? */
bool ace_retain_is_raised(const struct ace_settings *s);

#endif
