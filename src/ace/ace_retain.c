#include "ace/ace_retain.h"

enum {
	HOT_STEPS = 2,
	FIRST_FUTILE_STEPS = 64,
	MAX_FUTILE_STEPS = 8192,
	/* Clearing that much again takes at least a hundredth of a processor. */
	MANY_BYTES_PER_S = 128 << 20,
};

#define KNOB HAK_KNOB_HUGE_CACHE_MB

void ace_retain_init(struct ace_retain *r)
{
	*r = (struct ace_retain){ .next_futile_steps = FIRST_FUTILE_STEPS };
}

bool ace_retain_is_raised(const struct ace_settings *s)
{
	return s->value[KNOB][0] > s->start[KNOB];
}

static void put_back(struct ace_explorer *e, struct ace_settings *s, enum ace_reason reason)
{
	ace_explorer_put(e, s, KNOB, ace_candidate_index(KNOB, s->start[KNOB]), reason);
}

void ace_retain_pressed(struct ace_explorer *e, struct ace_settings *s)
{
	if (ace_retain_is_raised(s))
		put_back(e, s, ACE_BECAUSE_PRESSURE);
}

static void give_up(struct ace_retain *r, struct ace_explorer *e, struct ace_settings *s)
{
	r->futile_steps = r->next_futile_steps;
	if (r->next_futile_steps < MAX_FUTILE_STEPS)
		r->next_futile_steps *= 2;
	put_back(e, s, ACE_BECAUSE_NOT_BETTER);
}

void ace_retain_fast(struct ace_retain *r, struct ace_explorer *e, struct ace_settings *s,
		     const struct ace_sample *sample)
{
	const uint32_t arm = ace_candidate_index(KNOB, s->value[KNOB][0]);
	bool hot = sample->declined_bytes_per_s >= MANY_BYTES_PER_S;
	if (r->futile_steps > 0) {
		r->futile_steps--;
		return;
	}
	r->hot_steps = hot ? r->hot_steps + 1 : 0;
	if (s->pinned[KNOB] || r->hot_steps < HOT_STEPS)
		return;
	r->hot_steps = 0;
	if (arm + 1u < knob_info(KNOB)->ncandidates)
		ace_explorer_put(e, s, KNOB, arm + 1, ACE_BECAUSE_DECLINED);
	else
		give_up(r, e, s);
}
