#include "ace/ace_scavenge.h"

#include "ace/ace_cost.h"

enum {
	IDLE_STEPS = 2,
	MIN_WASTE_BYTES = 4 << 20,
	MUCH_WASTE_BYTES = 16 << 20,

	/* Memory pressure: begins above the first mark, ends below the second. Use is the
	 * process's own: what the cgroup counts has the page cache in it, which is there to be
	 * given up. The guard stops ACE at 90 % of the limit. */
	PRESSED_USE = PPM * 3 / 4,
	RELAXED_USE = PPM * 13 / 20,
	PRESSED_STALL = PPM / 20,
	RELAXED_STALL = PPM / 100,
	PRESSED_PURGE_DELAY_MS = 10,

	GROWTH = PPM / 10,
	FRAGMENTED = PPM * 3 / 10,
	FRAGMENTED_STEPS = 2,
};

bool ace_scavenge_is_pressed(const struct ace_scavenger *v, const struct ace_sample *sample)
{
	int64_t use = ppm_ratio(sample->rss_bytes, sample->cgroup_limit_bytes);
	if (v->pressed)
		return use >= RELAXED_USE || sample->pressure_ppm >= RELAXED_STALL;
	return use >= PRESSED_USE || sample->pressure_ppm >= PRESSED_STALL;
}

static void follow_pressure(struct ace_scavenger *v, struct ace_settings *s, bool pressed)
{
	const int32_t delay_ms = s->value[HAK_KNOB_PURGE_DELAY_MS][0];
	if (pressed == v->pressed)
		return;
	v->pressed = pressed;
	if (!pressed) {
		ace_settings_move(s, HAK_KNOB_PURGE_DELAY_MS, 0, v->relaxed_delay_ms,
				  ACE_BECAUSE_PRESSURE_GONE);
		return;
	}
	v->relaxed_delay_ms = delay_ms;
	if (delay_ms > PRESSED_PURGE_DELAY_MS)
		ace_settings_move(s, HAK_KNOB_PURGE_DELAY_MS, 0, PRESSED_PURGE_DELAY_MS,
				  ACE_BECAUSE_PRESSURE);
}

void ace_scavenge_fast(struct ace_scavenger *v, struct ace_settings *s,
		       const struct ace_sample *sample)
{
	v->idle_steps = ace_is_idle(sample) ? v->idle_steps + 1 : 0;
	follow_pressure(v, s, ace_scavenge_is_pressed(v, sample));
	if (sample->waste_bytes < MIN_WASTE_BYTES)
		return;
	if (v->pressed)
		ace_settings_scavenge(s, ACE_SCAVENGE_BUDGET_NS, ACE_BECAUSE_PRESSURE);
	else if (v->idle_steps >= IDLE_STEPS)
		ace_settings_scavenge(s, ACE_SCAVENGE_BUDGET_NS, ACE_BECAUSE_IDLE);
}

bool ace_scavenge_slow(struct ace_scavenger *v, struct ace_settings *s,
		       const struct ace_sample *sample)
{
	bool fragmented = sample->frag_ppm >= FRAGMENTED && sample->waste_bytes >= MUCH_WASTE_BYTES;
	bool grown = v->last_rss_bytes > 0 &&
		     ppm_ratio(sample->rss_bytes, v->last_rss_bytes) > PPM + GROWTH;
	v->last_rss_bytes = sample->rss_bytes;
	v->frag_steps = fragmented ? v->frag_steps + 1 : 0;
	if (grown && sample->waste_bytes >= MUCH_WASTE_BYTES)
		ace_settings_scavenge(s, ACE_SCAVENGE_BUDGET_NS, ACE_BECAUSE_RSS_GROWTH);
	else if (v->frag_steps >= FRAGMENTED_STEPS)
		ace_settings_scavenge(s, ACE_SCAVENGE_BUDGET_NS, ACE_BECAUSE_FRAGMENTATION);
	return v->frag_steps >= FRAGMENTED_STEPS;
}
