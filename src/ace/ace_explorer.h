/* Learning by trial: which setting of a knob pays best here.
 *
 * One knob is tried at a time, against the settings in force before and after the trial
 * (so a slow drift of the workload cancels out):
 *
 *	in force ... | trial, some steps | in force again | verdict
 *
 * The reward of a step, in [0, 1], is throughput - (misses + locks + fragmentation), each
 * normalised; throughput is relative to the usual one of the settings in force and
 * counted per second of CPU time, so that neither waiting for work nor a busy machine
 * looks like a slow allocator. A trial's reward as learnt is 1/2 plus what it gained over
 * the settings in force, which therefore are at 1/2.
 *
 * What is tried: an arm's learner (ace_ucb1.h) chooses between the setting in force and
 * its two neighbours. That is OSUB (Combes, Proutiere, "Unimodal Bandits", 2014): where
 * rewards fall off on both sides of the best value, only the leader's neighbours need to be
 * tried, and the far ends (a capacity of 4) are not met unless each step on the
 * way was an improvement. When it may be tried: when the budget allows (ace_budget.h).
 * Its default is the settings in force; these were the real default until something else was
 * measured to be better, so the bound holds against the real default too.
 *
 * A setting replaces the one in force when it gained more than the noise in several
 * trials. Steps without work are not judged. A change of the workload forgets all.
 */
#ifndef HAK_ACE_EXPLORER_H
#define HAK_ACE_EXPLORER_H

#include "ace/ace_budget.h"
#include "ace/ace_change.h"
#include "ace/ace_settings.h"
#include "ace/ace_ucb1.h"

enum ace_keep {
	ACE_KEEP_IF_LEARNT,    /* after several trials: exploration */
	ACE_KEEP_IF_BETTER,    /* after this one: a correction that must show its effect */
	ACE_KEEP_UNLESS_WORSE, /* after this one: a step that saves memory or restores */
};

enum ace_trial_phase { ACE_NO_TRIAL, ACE_TRYING, ACE_COMPARING };

struct ace_trial {
	enum ace_trial_phase phase;
	enum hak_knob knob;
	uint32_t arm;
	enum ace_keep keep;
	uint32_t steps;       /* done in this phase */
	uint32_t counted;     /* of them, in the sum */
	int64_t reward_sum;   /* of this phase */
	int64_t tried_ppm;    /* mean of the trial, once comparing */
	int64_t before_ppm;   /* base when the trial began */
};

struct ace_learner {
	struct ace_ucb ucb;
	uint32_t arm;             /* in force */
	uint32_t hold_steps;      /* corrections of this knob wait so long */
	uint32_t next_hold_steps; /* doubles with each failure */
};

struct ace_explorer {
	struct ace_learner learners[HAK_KNOB_COUNT];
	struct ace_budget budget;
	struct ace_change change;
	struct ace_trial trial;
	uint64_t usual_ops;  /* per CPU second, with the settings in force */
	int64_t base_ppm;    /* reward of the settings in force */
	int64_t noise_ppm;   /* its mean deviation */
	int64_t reward_ppm;  /* of the last judged step; -1: it was not judged */
	uint32_t base_steps; /* judged with the settings in force since the last change */
	uint32_t turn;       /* whose turn it is to be explored: index into an order */
	uint32_t decisions;  /* in this turn */
	uint32_t rest_steps; /* until the next exploration */
	uint32_t next_rest_steps; /* doubles with each round over all knobs without a gain */
	int32_t discount_ppm;
};

void ace_explorer_init(struct ace_explorer *e, const struct ace_settings *s, int32_t discount_ppm);

/* What a playbook knows of an arm: discounted plays and the sum of their rewards. */
void ace_explorer_recall(struct ace_explorer *e, enum hak_knob k, uint32_t arm, int64_t weight_ppm,
			 int64_t reward_ppm);

/* The setting that a playbook knows as the best: in force from now on. */
void ace_explorer_adopt(struct ace_explorer *e, struct ace_settings *s, enum hak_knob k,
			uint32_t arm);

/* A rule with evidence of its own puts an arm in force. */
void ace_explorer_put(struct ace_explorer *e, struct ace_settings *s, enum hak_knob k, uint32_t arm,
		      enum ace_reason reason);

/* What the settings in force pay is to be measured anew. */
void ace_explorer_rebase(struct ace_explorer *e);

/* Judge one sample. True: the workload has changed, everything was put back. */
bool ace_explorer_judge(struct ace_explorer *e, struct ace_settings *s,
			const struct ace_sample *sample);

/* Ask for a trial `by` candidates up or down from the setting in force. False: not now. */
bool ace_explorer_request(struct ace_explorer *e, struct ace_settings *s, enum hak_knob k, int by,
			  enum ace_keep keep, enum ace_reason reason);

/* Explore, if nothing is being tried. */
void ace_explorer_explore(struct ace_explorer *e, struct ace_settings *s);

/* Forget the trial that runs, if any. */
void ace_explorer_interrupt(struct ace_explorer *e, struct ace_settings *s);

#endif
