#include "ace/ace_rest.h"

#include "ace/ace_cost.h"

enum {
	SHORT_DELAY_MS = 10,
	/* Less is not worth a change, and no harm. */
	MIN_BYTES = 4 << 20,
	/* A rest is long from so many purge delays on. */
	LONG_REST_DELAYS = 2,
	FIRST_HOLD_STEPS = 16,
	MAX_HOLD_STEPS = 1024,
	NS_PER_MS = 1000000,
	NS_PER_US = 1000,
	US_PER_S = 1000000,
};

#define KNOB HAK_KNOB_IDLE_DELAY_MS

void ace_rest_init(struct ace_rest *r)
{
	*r = (struct ace_rest){ .next_hold_steps = FIRST_HOLD_STEPS };
}

/* In the step. Figures are below ACE_MAX_NUMBER; a step is an hour at most. */
static uint64_t bytes_of(uint64_t bytes_per_s, const struct ace_sample *sample)
{
	return bytes_per_s / US_PER_S * (sample->interval_ns / NS_PER_US);
}

static uint64_t purge_delay_ns(const struct ace_settings *s)
{
	return (uint64_t)s->start[HAK_KNOB_PURGE_DELAY_MS] * NS_PER_MS;
}

static void put_short(struct ace_explorer *e, struct ace_settings *s, enum ace_reason reason)
{
	ace_explorer_put(e, s, KNOB, ace_candidate_index(KNOB, SHORT_DELAY_MS), reason);
}

static void begin(struct ace_rest *r, struct ace_explorer *e, struct ace_settings *s,
		  enum ace_reason reason)
{
	if (r->on || r->hold_steps > 0 || s->pinned[KNOB])
		return;
	r->on = true;
	put_short(e, s, reason);
}

static void give_up(struct ace_rest *r, struct ace_explorer *e, struct ace_settings *s)
{
	ace_explorer_put(e, s, KNOB, ace_candidate_index(KNOB, s->start[KNOB]),
			 ACE_BECAUSE_SHORT_RESTS);
	r->on = false;
	r->early_bytes = 0;
	r->hold_steps = r->next_hold_steps;
	if (r->next_hold_steps < MAX_HOLD_STEPS)
		r->next_hold_steps *= 2;
}

void ace_rest_again(const struct ace_rest *r, struct ace_explorer *e, struct ace_settings *s)
{
	if (r->on)
		put_short(e, s, ACE_BECAUSE_RESTED);
}

void ace_rest_for_retained(struct ace_rest *r, struct ace_explorer *e, struct ace_settings *s)
{
	begin(r, e, s, ACE_BECAUSE_DECLINED);
}

/* While the knob is as it was found. */
static void watch(struct ace_rest *r, struct ace_explorer *e, struct ace_settings *s,
		  const struct ace_sample *sample)
{
	r->returned_bytes += bytes_of(sample->returned_bytes_per_s, sample);
	if (r->rest_ns == 0)
		r->returned_bytes = 0;
	if (r->rest_ns >= LONG_REST_DELAYS * purge_delay_ns(s) && r->returned_bytes >= MIN_BYTES)
		begin(r, e, s, ACE_BECAUSE_RESTED);
}

/* While memory goes back early. */
static void judge(struct ace_rest *r, struct ace_explorer *e, struct ace_settings *s,
		  const struct ace_sample *sample)
{
	if (r->rest_ns >= purge_delay_ns(s))
		r->early_bytes = 0;
	if (r->rest_ns == 0 && r->early_bytes >= MIN_BYTES)
		give_up(r, e, s);
	else
		r->early_bytes += bytes_of(sample->early_bytes_per_s, sample);
}

void ace_rest_fast(struct ace_rest *r, struct ace_explorer *e, struct ace_settings *s,
		   const struct ace_sample *sample)
{
	r->rest_ns = ace_is_idle(sample) ? r->rest_ns + sample->interval_ns : 0;
	if (r->hold_steps > 0)
		r->hold_steps--;
	/* A playbook may have set it. */
	r->on = r->on || s->value[KNOB][0] < s->start[KNOB];
	if (r->on)
		judge(r, e, s, sample);
	else
		watch(r, e, s, sample);
}
