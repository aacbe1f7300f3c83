#include "ace/ace_thrift.h"

#include "ace/ace_cost.h"

enum {
	IDLE_OPS_PER_S = 1000,
	FEW_OPS = PPM / 100,
	MANY_OPS = PPM / 50,
	FEW_PAGES = PPM / 100,
	MANY_PAGES = PPM / 50,
	COSTLY_STEPS = 2,
	FIRST_STEPS = 2,
	/* After an end so many times as many steps, to a maximum. A step in which pages come back is
	 * dear, one with small caches is not. */
	CACHES_TIMES = 2,
	CACHES_MAX_STEPS = 64,
	PAGES_TIMES = 8,
	PAGES_MAX_STEPS = 1024,
	/* So long without an end, and the next beginning is as soon as the first. */
	TRUSTED_STEPS = 64,
	MIN_WASTE_BYTES = 4 << 20,
	/* Less than this in caches is not worth that the first step of the next load is slower. */
	MIN_CACHED_BYTES = 8 << 20,

	/* Not 4: blocks that other threads free would pile up. */
	CAPACITY = 8,
	PURGE_DELAY_MS = 10,
};

static void saving_init(struct ace_saving *v)
{
	*v = (struct ace_saving){ .needed_steps = FIRST_STEPS };
}

void ace_thrift_init(struct ace_thrift *t)
{
	*t = (struct ace_thrift){ .on = false };
	saving_init(&t->caches);
	saving_init(&t->pages);
}

/* A step passes in which it may be on, or not. True: it may begin. */
static bool saving_may_begin(struct ace_saving *v, bool cheap)
{
	v->steps = cheap ? v->steps + 1 : 0;
	return v->steps >= v->needed_steps;
}

static void saving_ended(struct ace_saving *v, uint32_t on_steps, uint32_t times,
			 uint32_t max_steps)
{
	v->steps = 0;
	if (on_steps >= TRUSTED_STEPS)
		v->needed_steps = FIRST_STEPS;
	else if (v->needed_steps < max_steps)
		v->needed_steps *= times;
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

static void begin(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s)
{
	t->on = true;
	t->on_steps = 0;
	ace_explorer_interrupt(e, s);
	e->reward_ppm = -1;
}

static void stop_early(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		       enum ace_reason reason)
{
	if (!t->early)
		return;
	t->early = false;
	saving_ended(&t->pages, t->early_steps, PAGES_TIMES, PAGES_MAX_STEPS);
	put_back(e, s, HAK_KNOB_PURGE_DELAY_MS, reason);
}

void ace_thrift_end(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		    enum ace_reason reason)
{
	if (!t->on)
		return;
	t->on = false;
	saving_ended(&t->caches, t->on_steps, CACHES_TIMES, CACHES_MAX_STEPS);
	put_back(e, s, HAK_KNOB_TCACHE_CAPACITY, reason);
	stop_early(t, e, s, reason);
	ace_explorer_rebase(e);
}

/* Whether free memory goes back at once. */
static void follow_pages(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
			 const struct ace_sample *sample)
{
	const int64_t cost = ace_cost_of_pages(sample);
	if (!t->early) {
		t->early_steps = t->costly_steps = 0;
		t->early = saving_may_begin(&t->pages, cost <= FEW_PAGES) && t->on;
		if (t->early)
			lower(s, HAK_KNOB_PURGE_DELAY_MS, PURGE_DELAY_MS);
		return;
	}
	t->early_steps++;
	/* What is let go when it begins is no sign of pages that come back. */
	t->costly_steps = t->early_steps > 1 && cost > MANY_PAGES ? t->costly_steps + 1 : 0;
	if (t->costly_steps >= COSTLY_STEPS)
		stop_early(t, e, s, ACE_BECAUSE_PAGES);
}

static bool is_light(const struct ace_sample *sample)
{
	return sample->ops_per_s >= IDLE_OPS_PER_S && ace_cost_of_ops(sample) <= FEW_OPS;
}

void ace_thrift_fast(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		     const struct ace_sample *sample)
{
	if (!t->on) {
		if (saving_may_begin(&t->caches, is_light(sample)) &&
		    sample->waste_bytes >= MIN_WASTE_BYTES)
			begin(t, e, s);
	} else {
		t->on_steps++;
		if (ace_cost_of_ops(sample) > MANY_OPS)
			ace_thrift_end(t, e, s, ACE_BECAUSE_LOAD);
	}
	follow_pages(t, e, s, sample);
	if (t->on && sample->cached_bytes >= MIN_CACHED_BYTES)
		lower(s, HAK_KNOB_TCACHE_CAPACITY, CAPACITY);
}
