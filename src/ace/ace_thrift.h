/* Thrift: while allocation is a small part of what the program does, memory is worth more
 * than the allocator's speed. Thread caches shrink, and free memory goes back once.
 *
 * No trial is needed: it begins only where malloc would be 1 % of the work even if no call was a
 * hit, and it ends when that is 2 %; each end doubles the steps that the next beginning takes,
 * so a load that comes and goes cannot make the knobs swing. Nothing is judged meanwhile.
 *
 * What is free, and what the caches have given up, is spread over all pages that were ever used.
 * The purge delay is short for one short step then: all of it goes back, and what comes again is
 * as much as the program needs. The pages that go and come in that step and in those after it are
 * owed; 1 % of the processor time that the program uses repays them, and only then, and not
 * within 64 steps, memory goes back again. So in the long run this costs 1 % at most, whatever the
 * program does.
 *
 * Not for a program that does nothing at all: what it has freed goes back as it is, caches of
 * threads that sleep cannot be reached, and the next burst would find everything slow.
 */
#ifndef HAK_ACE_THRIFT_H
#define HAK_ACE_THRIFT_H

#include "ace/ace_explorer.h"

struct ace_thrift {
	bool on;
	bool letting_go;         /* free memory goes back at once; only while on */
	uint32_t light_steps;    /* consecutive ones in which it would be cheap */
	uint32_t needed_steps;
	uint32_t on_steps;       /* since it began */
	uint32_t counted_steps;  /* to go, in which pages come back */
	uint32_t pause_steps;    /* to go, until memory may go back again */
	uint64_t owed_us;        /* for pages */
};

void ace_thrift_init(struct ace_thrift *t);

/* The workload changed and every knob went back. What is owed stays. */
void ace_thrift_again(struct ace_thrift *t);

/* Each step but those under pressure. */
void ace_thrift_fast(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		     const struct ace_sample *sample);

/* End it, if it is on. */
void ace_thrift_end(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		    enum ace_reason reason);

#endif
