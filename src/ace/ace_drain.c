#include "ace/ace_drain.h"

enum {
	HIGH_FACTOR = 4,
	HOT_STEPS = 2,
	HOLD_STEPS = 2,
	FUTILE_FALLS = 3,
	FIRST_CALM_STEPS = 2,
	MAX_CALM_STEPS = 64,
	FIRST_FUTILE_STEPS = 64,
	MAX_FUTILE_STEPS = 8192,
};

#define KNOB HAK_KNOB_DRAIN_THRESHOLD

void ace_drain_init(struct ace_drain *d)
{
	*d = (struct ace_drain){ .calm_needed = FIRST_CALM_STEPS,
				 .next_futile_steps = FIRST_FUTILE_STEPS };
}

static void move_by(struct ace_settings *s, unsigned cls, int by, enum ace_reason reason)
{
	uint32_t arm = ace_candidate_index(KNOB, s->value[KNOB][cls]);
	ace_settings_move(s, KNOB, cls, knob_info(KNOB)->candidates[(int)arm + by], reason);
}

static void fall(struct ace_drain *d, struct ace_settings *s, uint32_t backlog, unsigned cls)
{
	if (d->falls++ == 0)
		d->first_backlog = backlog;
	if (d->risen && d->calm_needed < MAX_CALM_STEPS)
		d->calm_needed *= 2;
	d->risen = false;
	d->hot_steps = d->calm_steps = 0;
	d->hold_steps = HOLD_STEPS;
	move_by(s, cls, -1, ACE_BECAUSE_HIGH_BACKLOG);
}

/* Falling did not help: back to the start. */
static void give_up(struct ace_drain *d, struct ace_settings *s, unsigned cls)
{
	d->futile_steps = d->next_futile_steps;
	if (d->next_futile_steps < MAX_FUTILE_STEPS)
		d->next_futile_steps *= 2;
	d->falls = d->hot_steps = 0;
	ace_settings_move(s, KNOB, cls, s->start[KNOB], ACE_BECAUSE_NOT_BETTER);
}

void ace_drain_fast(struct ace_drain *d, struct ace_settings *s, const struct ace_sample *sample,
		    unsigned cls)
{
	const uint32_t backlog = sample->class_backlog[cls];
	const int32_t threshold = s->value[KNOB][cls];
	const bool lowest = threshold == knob_info(KNOB)->candidates[0];
	if (d->futile_steps > 0) {
		if (d->futile_steps > 1 || backlog < (uint32_t)threshold)
			d->futile_steps--;
		return;
	}
	d->hot_steps = backlog >= (uint32_t)threshold * HIGH_FACTOR ? d->hot_steps + 1 : 0;
	if (d->hold_steps > 0) {
		d->hold_steps--;
		return;
	}
	if (d->hot_steps < HOT_STEPS)
		return;
	if (d->falls > 0 && (lowest || d->falls >= FUTILE_FALLS)) {
		if (backlog > d->first_backlog / 2)
			give_up(d, s, cls);
	} else if (!lowest) {
		fall(d, s, backlog, cls);
	}
}

void ace_drain_slow(struct ace_drain *d, struct ace_settings *s, const struct ace_sample *sample,
		    unsigned cls)
{
	const int32_t threshold = s->value[KNOB][cls];
	if (d->falls == 0 || threshold >= s->start[KNOB])
		return;
	d->calm_steps = sample->class_backlog[cls] < (uint32_t)threshold ? d->calm_steps + 1 : 0;
	if (d->calm_steps < d->calm_needed)
		return;
	d->calm_steps = 0;
	d->risen = true;
	d->falls--;
	move_by(s, cls, 1, ACE_BECAUSE_LOW_BACKLOG);
}
