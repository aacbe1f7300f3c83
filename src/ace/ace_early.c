#include "ace/ace_early.h"

#include "ace/ace_cost.h"

enum {
	/* Bursts that come every few steps are to weigh the same in each window. */
	WINDOW_STEPS = 6,
	/* A mean of so much must have gone back per second for it to be worth a trial. */
	MIN_RETURNED_BYTES = 4 << 20,
	MUCH_CPU = PPM / 2,
	LITTLE_CPU = PPM / 50, /* of less, no part is worth saving */
	SHORT_DELAY_MS = 10,
	TOLERATED_COST = PPM / 200, /* of the processor time that the process uses */
	TOLERATED_PART = 8,         /* of the usual cost */
	BREAK_OFF_COST = PPM / 20,  /* in one step, above the usual highest */
	FIRST_HOLD_STEPS = 16,
	MAX_HOLD_STEPS = 1024,
};

#define KNOB HAK_KNOB_PURGE_DELAY_MS

void ace_early_init(struct ace_early *y)
{
	*y = (struct ace_early){ .next_hold_steps = FIRST_HOLD_STEPS };
}

static void window_begin(struct ace_early *y, enum ace_early_phase phase)
{
	y->phase = phase;
	y->steps = 0;
	y->cost_sum = y->highest_cost = 0;
	y->returned_sum = y->cpu_sum = 0;
}

/* At the end of a window. */
static bool was_busy(const struct ace_early *y)
{
	return y->cpu_sum / WINDOW_STEPS > MUCH_CPU;
}

static void put(struct ace_explorer *e, struct ace_settings *s, int32_t delay_ms,
		enum ace_reason reason)
{
	ace_explorer_put(e, s, KNOB, ace_candidate_index(KNOB, delay_ms), reason);
}

static void give_up(struct ace_early *y, struct ace_explorer *e, struct ace_settings *s)
{
	put(e, s, s->start[KNOB], ACE_BECAUSE_WORSE);
	y->hold_steps = y->next_hold_steps;
	if (y->next_hold_steps < MAX_HOLD_STEPS)
		y->next_hold_steps *= 2;
	window_begin(y, ACE_EARLY_WATCHING);
}

void ace_early_interrupt(struct ace_early *y, struct ace_explorer *e, struct ace_settings *s)
{
	if (y->phase == ACE_EARLY_TRYING)
		put(e, s, s->start[KNOB], ACE_BECAUSE_INTERRUPTED);
	window_begin(y, y->phase == ACE_EARLY_KEPT ? ACE_EARLY_KEPT : ACE_EARLY_WATCHING);
}

void ace_early_pause(struct ace_early *y)
{
	window_begin(y, y->phase);
}

void ace_early_again(struct ace_early *y, struct ace_explorer *e, struct ace_settings *s)
{
	if (y->phase == ACE_EARLY_WATCHING)
		return;
	if (y->phase == ACE_EARLY_KEPT)
		put(e, s, SHORT_DELAY_MS, ACE_BECAUSE_RETURNED);
	else
		window_begin(y, ACE_EARLY_WATCHING);
}

/* The window is over. */
static void watched(struct ace_early *y, struct ace_explorer *e, struct ace_settings *s)
{
	const bool in_vain = y->returned_sum / WINDOW_STEPS >= MIN_RETURNED_BYTES;
	if (!in_vain || was_busy(y) || y->hold_steps > 0 || s->pinned[KNOB] ||
	    s->value[KNOB][0] <= SHORT_DELAY_MS) {
		window_begin(y, ACE_EARLY_WATCHING);
		return;
	}
	y->usual_cost = y->cost_sum / WINDOW_STEPS;
	y->usual_highest = y->highest_cost;
	y->usual_cpu = (int64_t)(y->cpu_sum / WINDOW_STEPS);
	y->usual_cpu = y->usual_cpu > LITTLE_CPU ? y->usual_cpu : LITTLE_CPU;
	window_begin(y, ACE_EARLY_TRYING);
	ace_explorer_interrupt(e, s);
	put(e, s, SHORT_DELAY_MS, ACE_BECAUSE_RETURNED);
}

static bool too_costly(const struct ace_early *y)
{
	int64_t tolerated = y->usual_cost + y->usual_cost / TOLERATED_PART +
			    ppm_mul(TOLERATED_COST, y->usual_cpu);
	int64_t highest = y->usual_highest + y->usual_highest / TOLERATED_PART +
			  ppm_mul(BREAK_OFF_COST, y->usual_cpu);
	if (y->highest_cost > highest)
		return true;
	return y->steps == WINDOW_STEPS && (was_busy(y) || y->cost_sum / WINDOW_STEPS > tolerated);
}

void ace_early_fast(struct ace_early *y, struct ace_explorer *e, struct ace_settings *s,
		    const struct ace_sample *sample)
{
	int64_t cost = ace_cost_of_pages(sample);
	y->steps++;
	y->cost_sum += cost;
	if (!ace_is_idle(sample)) /* what goes back in rests is ace_rest.h's */
		y->returned_sum += sample->returned_bytes_per_s - sample->early_bytes_per_s;
	y->cpu_sum += sample->cpu_ppm;
	if (cost > y->highest_cost)
		y->highest_cost = cost;
	if (y->hold_steps > 0)
		y->hold_steps--;
	if (y->phase == ACE_EARLY_WATCHING) {
		if (y->steps == WINDOW_STEPS)
			watched(y, e, s);
	} else if (too_costly(y)) {
		give_up(y, e, s);
	} else if (y->steps == WINDOW_STEPS) {
		window_begin(y, ACE_EARLY_KEPT);
	}
}
