#include "ace/ace_thrift.h"

#include "ace/ace_cost.h"

enum {
	MIN_OPS_PER_S = 1000,
	FEW_OPS = PPM / 100,
	MANY_OPS = PPM / 50,
	FIRST_STEPS = 2,
	MAX_STEPS = 64,
	/* So long without an end, and the next beginning is as soon as the first. */
	TRUSTED_STEPS = 64,
	MIN_WASTE_BYTES = 4 << 20,
	/* Less than this in caches is not worth that the first step of the next load is slower. */
	MIN_CACHED_BYTES = 8 << 20,

	/* Not 4: blocks that other threads free would pile up. */
	CAPACITY = 8,
	PURGE_DELAY_MS = 10,
	COUNTED_STEPS = 3, /* that in which memory goes is the first */
	PAUSE_STEPS = 64,
	REPAID_PART = 100, /* of the processor time that the program uses */
	NS_PER_US = 1000,
};

void ace_thrift_init(struct ace_thrift *t)
{
	*t = (struct ace_thrift){ .needed_steps = FIRST_STEPS };
}

void ace_thrift_again(struct ace_thrift *t)
{
	t->light_steps = 0;
	t->needed_steps = FIRST_STEPS;
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

static void stop_letting_go(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
			    enum ace_reason reason)
{
	if (t->letting_go)
		put_back(e, s, HAK_KNOB_PURGE_DELAY_MS, reason);
	t->letting_go = false;
}

void ace_thrift_end(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		    enum ace_reason reason)
{
	if (!t->on)
		return;
	t->on = false;
	t->light_steps = 0;
	if (t->on_steps >= TRUSTED_STEPS)
		t->needed_steps = FIRST_STEPS;
	else if (t->needed_steps < MAX_STEPS)
		t->needed_steps *= 2;
	put_back(e, s, HAK_KNOB_TCACHE_CAPACITY, reason);
	stop_letting_go(t, e, s, reason);
	ace_explorer_rebase(e);
}

/* Of a share of one processor in this step. */
static uint64_t time_us(uint64_t share_ppm, const struct ace_sample *sample)
{
	return share_ppm * (sample->interval_ns / NS_PER_US) / PPM;
}

/* A step has passed. */
static void count_pages(struct ace_thrift *t, const struct ace_sample *sample)
{
	const uint64_t repaid_us = time_us(sample->cpu_ppm, sample) / REPAID_PART;
	if (t->counted_steps > 0) {
		t->counted_steps--;
		t->owed_us += time_us((uint64_t)ace_cost_of_pages(sample), sample);
	} else {
		t->owed_us -= t->owed_us < repaid_us ? t->owed_us : repaid_us;
	}
	if (t->pause_steps > 0)
		t->pause_steps--;
}

/* What is in caches does not go back. */
static bool should_let_go(const struct ace_thrift *t, const struct ace_sample *sample)
{
	return t->pause_steps == 0 && t->owed_us == 0 &&
	       sample->waste_bytes >= sample->cached_bytes + MIN_WASTE_BYTES;
}

static void let_go(struct ace_thrift *t, struct ace_settings *s)
{
	t->letting_go = true;
	t->counted_steps = COUNTED_STEPS;
	t->pause_steps = PAUSE_STEPS;
	lower(s, HAK_KNOB_PURGE_DELAY_MS, PURGE_DELAY_MS);
}

static bool is_light(const struct ace_sample *sample)
{
	return sample->ops_per_s >= MIN_OPS_PER_S && ace_cost_of_ops(sample) <= FEW_OPS;
}

/* While it is on; after the first step, in which the caches give up what they have. */
static void follow(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		   const struct ace_sample *sample)
{
	const bool was_short = t->letting_go; /* too short to say what the load is */
	t->on_steps++;
	stop_letting_go(t, e, s, ACE_BECAUSE_LET_GO);
	if (!was_short && ace_cost_of_ops(sample) > MANY_OPS)
		ace_thrift_end(t, e, s, ACE_BECAUSE_LOAD);
	else if (should_let_go(t, sample))
		let_go(t, s);
}

void ace_thrift_fast(struct ace_thrift *t, struct ace_explorer *e, struct ace_settings *s,
		     const struct ace_sample *sample)
{
	count_pages(t, sample);
	if (t->on) {
		follow(t, e, s, sample);
	} else {
		t->light_steps = is_light(sample) ? t->light_steps + 1 : 0;
		if (t->light_steps >= t->needed_steps && sample->waste_bytes >= MIN_WASTE_BYTES)
			begin(t, e, s);
	}
	if (t->on && sample->cached_bytes >= MIN_CACHED_BYTES)
		lower(s, HAK_KNOB_TCACHE_CAPACITY, CAPACITY);
}
