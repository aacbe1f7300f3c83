#include "ace/ace_thrift.h"

#include "ace/ace_cost.h"

enum {
	IDLE_OPS_PER_S = 1000,
	FEW_OPS = PPM / 100,
	MANY_OPS = PPM / 50,
	FEW_PAGES = PPM / 100,
	MANY_PAGES = PPM / 50,
	COSTLY_STEPS = 4,
	FIRST_LIGHT_STEPS = 2,
	MAX_LIGHT_STEPS = 64,
	/* So long without a return, and the next beginning is as soon as the first. */
	TRUSTED_STEPS = 64,
	MIN_WASTE_BYTES = 4 << 20,
	/* Less than this in caches is not worth that the first step of the next load is slower. */
	MIN_CACHED_BYTES = 8 << 20,

	/* Not 4: blocks that other threads free would pile up. */
	CAPACITY = 8,
	PURGE_DELAY_MS = 10,
};

void ace_thrift_init(struct ace_thrift *t)
{
	*t = (struct ace_thrift){ .needed_steps = FIRST_LIGHT_STEPS };
}

/* To the thrifty value; not up, if the user's default is below it. */
static void lower(struct ace_settings *s, enum hak_knob k, int32_t value)
{
	if (s->value[k][0] > value)
		ace_settings_move(s, k, 0, value, ACE_BECAUSE_LIGHT_LOAD);
}

/* To what the explorer has in force. */
static void put_back(struct ace_explorer *e, struct ace_settings *s, enum hak_knob k,
		     enum ace_reason reason)
{
	ace_settings_move(s, k, 0, knob_info(k)->candidates[e->learners[k].arm], reason);
}

static void begin(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		  const struct ace_sample *sample)
{
	t->on = true;
	t->on_steps = t->costly_steps = 0;
	ace_explorer_interrupt(e, s);
	e->reward_ppm = -1;
	if (sample->cached_bytes >= MIN_CACHED_BYTES)
		lower(s, HAK_KNOB_TCACHE_CAPACITY, CAPACITY);
	lower(s, HAK_KNOB_PURGE_DELAY_MS, PURGE_DELAY_MS);
}

void ace_thrift_end(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		    enum ace_reason reason)
{
	if (!t->on)
		return;
	t->on = false;
	t->light_steps = 0;
	if (t->on_steps >= TRUSTED_STEPS)
		t->needed_steps = FIRST_LIGHT_STEPS;
	else if (t->needed_steps < MAX_LIGHT_STEPS)
		t->needed_steps *= 2;
	put_back(e, s, HAK_KNOB_TCACHE_CAPACITY, reason);
	put_back(e, s, HAK_KNOB_PURGE_DELAY_MS, reason);
	ace_explorer_rebase(e);
}

static bool is_light(const struct ace_sample *sample)
{
	return sample->ops_per_s >= IDLE_OPS_PER_S && ace_cost_of_ops(sample) <= FEW_OPS &&
	       ace_cost_of_pages(sample) <= FEW_PAGES;
}

void ace_thrift_fast(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		     const struct ace_sample *sample)
{
	if (!t->on) {
		t->light_steps = is_light(sample) ? t->light_steps + 1 : 0;
		if (t->light_steps >= t->needed_steps && sample->waste_bytes >= MIN_WASTE_BYTES)
			begin(t, e, s, sample);
		return;
	}
	t->on_steps++;
	if (sample->cached_bytes >= MIN_CACHED_BYTES)
		lower(s, HAK_KNOB_TCACHE_CAPACITY, CAPACITY);
	t->costly_steps = ace_cost_of_pages(sample) > MANY_PAGES ? t->costly_steps + 1 : 0;
	if (ace_cost_of_ops(sample) > MANY_OPS || t->costly_steps >= COSTLY_STEPS)
		ace_thrift_end(t, e, s, ACE_BECAUSE_LOAD);
}
