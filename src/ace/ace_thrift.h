/* Thrift: while allocation is a small part of what the program does, memory is worth more
 * than the allocator's speed. Thread caches shrink, and free memory goes back at once.
 *
 * No trial is needed: it begins only where malloc would be 1 % of the work even if no call was a
 * hit, and it ends when that is 2 %. Free memory goes back at once where the pages that come and go
 * are 1 % of the work, until they are more than 2 % for several steps; caches stay small then.
 * Each end doubles the steps that the next beginning takes, of those of pages makes them eight times as
 * many, so a load that comes and goes cannot make the knobs swing. Nothing is judged meanwhile.
 *
 * Not for a program that does nothing at all: what it has freed goes back as it is, caches of
 * threads that sleep cannot be reached, and the next burst would find everything slow.
 */
#ifndef HAK_ACE_THRIFT_H
#define HAK_ACE_THRIFT_H

#include "ace/ace_explorer.h"

/* When something begins that costs little for a while. */
struct ace_saving {
	uint32_t steps; /* consecutive ones in which it would be cheap */
	uint32_t needed_steps;
};

struct ace_thrift {
	bool on;
	bool early; /* free memory goes back at once; only while on */
	struct ace_saving caches, pages;
	uint32_t on_steps, early_steps; /* since they began */
	uint32_t costly_steps;          /* consecutive ones, by pages */
};

void ace_thrift_init(struct ace_thrift *t);

/* Each step but those under pressure. */
void ace_thrift_fast(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		     const struct ace_sample *sample);

/* End it, if it is on. */
void ace_thrift_end(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		    enum ace_reason reason);

#endif
