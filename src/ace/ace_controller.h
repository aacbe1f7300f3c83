/* The control loop as a plain function: one sample in, decisions out.
 *
 * ace_step() is called once per fast interval. It checks the guards, lets the
 * explorer judge the sample, applies the corrections of the fast loop and, when its
 * interval is over, those of the slow loop, and explores if nothing else is going on.
 * Which signal moves which knob, in which direction, and why it cannot oscillate:
 *
 *	signal                     knob                      judged by
 *	backlog of a class up      its drain threshold down  ace_drain.h: the backlog
 *	LLC misses up              diet factor down          a trial: must gain reward
 *	LLC misses stay up         NT threshold down         a trial: must gain reward
 *	lock wait up               bundle width up           a trial: must gain reward
 *	fragmentation up (slow)    release pages down        a trial: must not lose reward
 *	misses few again (slow)    both up again             a trial: must not lose reward
 *	huge blocks come and go    huge block cache up       ace_retain.h: the signal itself
 *	memory goes back anyway    purge delay down          ace_early.h: pages, counted
 *	long rests                 idle delay down           ace_rest.h: bytes, and rests
 *	few operations             capacity, delay down      ace_thrift.h: their share, pages
 *	memory pressure            purge delay down          high and low mark 10 % apart
 *	idle, RSS up, pressure     none: a scavenge pass     ace_scavenge.h
 *
 * A correction by trial that fails waits before it is tried again, twice as long each
 * time (16 steps at first, 1024 at most), so a signal that stays up cannot make a
 * knob swing. Every knob is at a candidate value at all times.
 *
 * No clock, no allocation, no system call, no floating point: the same samples give the
 * same decisions everywhere. Owned by one thread at a time.
 */
#ifndef HAK_ACE_CONTROLLER_H
#define HAK_ACE_CONTROLLER_H

#include "ace/ace_drain.h"
#include "ace/ace_early.h"
#include "ace/ace_explorer.h"
#include "ace/ace_guard.h"
#include "ace/ace_realloc.h"
#include "ace/ace_rest.h"
#include "ace/ace_retain.h"
#include "ace/ace_scavenge.h"
#include "ace/ace_thrift.h"

struct ace_config {
	uint64_t slow_interval_ns;
	int32_t discount_ppm; /* of the learner; PPM: none */
	struct ace_limits limits;
};

struct ace_controller {
	struct ace_config config;
	struct ace_settings settings;
	struct ace_explorer explorer;
	struct ace_guard guard;
	struct ace_scavenger scavenger;
	struct ace_thrift thrift;
	struct ace_early early;
	struct ace_rest rest;
	struct ace_retain retain;
	struct ace_drain drains[ACE_CLASSES]; /* [0] unused */
	uint64_t next_slow_ns;   /* 0: no step yet */
	uint32_t miss_steps;     /* consecutive ones with many LLC misses */
	uint32_t lock_steps;     /* with much waiting for locks */
	uint32_t few_miss_steps; /* slow ones */
	bool release_wanted;     /* the last slow step saw fragmentation */
	bool slow_step;          /* the last step was one of the slow loop too */
	bool changed;            /* the last step saw another workload */
	bool stopped;
	struct ace_guard_report stop; /* why, once stopped */
};

enum {
	/* What was learnt 100 plays ago counts 1/e: programs change. */
	ACE_DISCOUNT_DEFAULT = PPM - PPM / 100,
};

void ace_controller_init(struct ace_controller *a, const struct ace_config *config,
			 const struct ace_ports *ports, const int32_t *start, const bool *pinned);

/* One fast interval has passed. False: a guard stopped ACE, now or earlier. */
bool ace_step(struct ace_controller *a, uint64_t now_ns, const struct ace_sample *sample);

/* When the next step is due: after an interval, or sooner where what was begun is soon done. */
uint32_t ace_next_ms(const struct ace_controller *a, uint32_t interval_ms);

#endif
