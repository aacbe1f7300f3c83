/* Thrift: while allocation is a small part of what the program does, memory is worth more
 * than the allocator's speed. Thread caches shrink, and free memory goes back at once.
 *
 * No trial is needed: it begins only where malloc would be 1 % of the work even if no call was a
 * hit, and it ends when that is 2 %, or when the memory that goes back and comes again costs
 * more than 2 % for several steps. Each return doubles the steps that the next beginning takes,
 * so a load that comes and goes cannot make the knobs swing. Nothing is judged meanwhile.
 */
#ifndef HAK_ACE_THRIFT_H
#define HAK_ACE_THRIFT_H

#include "ace/ace_explorer.h"

struct ace_thrift {
	bool on;
	uint32_t light_steps;  /* consecutive ones, until it begins */
	uint32_t needed_steps;
	uint32_t costly_steps; /* consecutive ones, until it ends */
	uint32_t on_steps;     /* since it began */
};

void ace_thrift_init(struct ace_thrift *t);

/* Each step but those under pressure. */
void ace_thrift_fast(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		     const struct ace_sample *sample);

/* End it, if it is on. */
void ace_thrift_end(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		    enum ace_reason reason);

#endif
