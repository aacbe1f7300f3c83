#include "ace/ace_controller.h"

enum {
	/* A correction needs its signal this often in a row. */
	SIGNAL_STEPS = 2,
	MANY_MISSES = PPM / 5,
	FEW_MISSES = PPM / 10,
	FEW_MISS_STEPS = 2,
	/* Waiting for locks, of all threads together, per second. */
	MUCH_WAIT_NS_PER_S = 20000000,
	/* So long free memory goes back at once: a few passes of the maintenance. */
	LET_GO_PART = 2, /* of an interval */
};

void ace_controller_init(struct ace_controller *a, const struct ace_config *config,
			 const struct ace_ports *ports, const int32_t *start, const bool *pinned)
{
	*a = (struct ace_controller){ .config = *config };
	ace_settings_init(&a->settings, ports, start, pinned);
	ace_explorer_init(&a->explorer, &a->settings, config->discount_ppm);
	ace_guard_init(&a->guard, &config->limits);
	ace_thrift_init(&a->thrift);
	ace_early_init(&a->early);
	ace_rest_init(&a->rest);
	ace_retain_init(&a->retain);
	for (unsigned c = 0; c < ACE_CLASSES; c++)
		ace_drain_init(&a->drains[c]);
}

static void see(struct ace_controller *a, uint64_t now_ns, const struct ace_sample *sample)
{
	a->settings.seen = (struct ace_decision){
		.time_ns = now_ns,
		.reward_ppm = -1,
		.llc_miss_ppm = sample->llc_miss_ppm,
		.backlog = sample->backlog,
		.frag_ppm = sample->frag_ppm,
		.rss_bytes = sample->rss_bytes,
	};
}

static bool guard_stops(struct ace_controller *a, const struct ace_sample *sample)
{
	struct ace_guard_report report = ace_guard_check(&a->guard, sample);
	if (report.verdict == ACE_GUARD_OK)
		return false;
	a->stopped = true;
	a->stop = report;
	ace_settings_restore(&a->settings, ACE_BECAUSE_GUARD);
	return true;
}

static void correct_diet(struct ace_controller *a, const struct ace_sample *sample)
{
	a->miss_steps = sample->llc_miss_ppm >= MANY_MISSES ? a->miss_steps + 1 : 0;
	if (a->miss_steps >= SIGNAL_STEPS)
		ace_explorer_request(&a->explorer, &a->settings, HAK_KNOB_DIET_FACTOR, -1,
				     ACE_KEEP_IF_BETTER, ACE_BECAUSE_LLC_MISSES);
}

static void correct_bundles(struct ace_controller *a, const struct ace_sample *sample)
{
	a->lock_steps = sample->lock_wait_ns_per_s >= MUCH_WAIT_NS_PER_S ? a->lock_steps + 1 : 0;
	if (a->lock_steps >= SIGNAL_STEPS)
		ace_explorer_request(&a->explorer, &a->settings, HAK_KNOB_BUNDLE_WIDTH, 1,
				     ACE_KEEP_IF_BETTER, ACE_BECAUSE_LOCK_WAIT);
}

/* Wanted since the slow loop saw few misses. */
static void restore_diet(struct ace_controller *a)
{
	const int32_t diet = a->settings.value[HAK_KNOB_DIET_FACTOR][0];
	if (a->few_miss_steps >= FEW_MISS_STEPS && diet < a->settings.start[HAK_KNOB_DIET_FACTOR])
		ace_explorer_request(&a->explorer, &a->settings, HAK_KNOB_DIET_FACTOR, 1,
				     ACE_KEEP_UNLESS_WORSE, ACE_BECAUSE_FEW_MISSES);
}

/* Wanted since the slow loop saw fragmentation. */
static void release_smaller_runs(struct ace_controller *a)
{
	if (a->release_wanted &&
	    ace_explorer_request(&a->explorer, &a->settings, HAK_KNOB_PARTIAL_RELEASE_PAGES, -1,
				 ACE_KEEP_UNLESS_WORSE, ACE_BECAUSE_FRAGMENTATION))
		a->release_wanted = false;
}

/* The purge delay may be on trial or short, and nothing is judged under pressure. */
static void make_way_for_pressure(struct ace_controller *a)
{
	ace_thrift_end(&a->thrift, &a->explorer, &a->settings, ACE_BECAUSE_PRESSURE);
	ace_early_interrupt(&a->early, &a->explorer, &a->settings);
	ace_retain_pressed(&a->explorer, &a->settings);
	ace_explorer_interrupt(&a->explorer, &a->settings);
}

/* Those that know by counts, without judging throughput. */
static void correct_memory(struct ace_controller *a, const struct ace_sample *sample)
{
	const bool was_thrifty = a->thrift.on;
	ace_retain_fast(&a->retain, &a->explorer, &a->settings, sample);
	/* Who works on huge blocks has few operations, and is not idle. */
	if (ace_retain_is_raised(&a->settings)) {
		ace_rest_for_retained(&a->rest, &a->explorer, &a->settings);
		ace_thrift_end(&a->thrift, &a->explorer, &a->settings, ACE_BECAUSE_DECLINED);
	} else {
		ace_thrift_fast(&a->thrift, &a->explorer, &a->settings, sample);
	}
	if (ace_retain_is_raised(&a->settings)) /* what goes back is large blocks, at their time */
		ace_early_interrupt(&a->early, &a->explorer, &a->settings);
	else if (!was_thrifty && a->thrift.on)
		ace_early_pause(&a->early);
	else if (!a->thrift.on)
		ace_early_fast(&a->early, &a->explorer, &a->settings, sample);
}

static void fast_loop(struct ace_controller *a, const struct ace_sample *sample)
{
	const struct ace_trial *trial = &a->explorer.trial;
	if (ace_scavenge_is_pressed(&a->scavenger, sample))
		make_way_for_pressure(a);
	ace_scavenge_fast(&a->scavenger, &a->settings, sample);
	ace_rest_fast(&a->rest, &a->explorer, &a->settings, sample);
	if (trial->phase != ACE_TRYING || trial->knob != HAK_KNOB_DRAIN_THRESHOLD)
		for (unsigned c = 1; c < ACE_CLASSES; c++)
			ace_drain_fast(&a->drains[c], &a->settings, sample, c);
	if (a->scavenger.pressed)
		return;
	correct_memory(a, sample);
	if (a->thrift.on)
		return;
	correct_diet(a, sample);
	correct_bundles(a, sample);
	ace_realloc_correct(&a->explorer, &a->settings, a->miss_steps, a->few_miss_steps);
	restore_diet(a);
	release_smaller_runs(a);
}

static void slow_loop(struct ace_controller *a, const struct ace_sample *sample)
{
	bool few_misses = sample->llc_miss_ppm >= 0 && sample->llc_miss_ppm < FEW_MISSES;
	a->few_miss_steps = few_misses ? a->few_miss_steps + 1 : 0;
	a->release_wanted = ace_scavenge_slow(&a->scavenger, &a->settings, sample);
	for (unsigned c = 1; c < ACE_CLASSES; c++)
		ace_drain_slow(&a->drains[c], &a->settings, sample, c);
}

/* The workload changed and every knob went back. */
static void start_rules_again(struct ace_controller *a)
{
	a->scavenger.pressed = false;
	ace_thrift_again(&a->thrift);
	ace_early_again(&a->early, &a->explorer, &a->settings);
	ace_rest_again(&a->rest, &a->explorer, &a->settings);
	for (unsigned c = 1; c < ACE_CLASSES; c++)
		ace_drain_init(&a->drains[c]);
}

static bool slow_interval_over(struct ace_controller *a, uint64_t now_ns)
{
	bool first = a->next_slow_ns == 0;
	if (!first && now_ns < a->next_slow_ns)
		return false;
	a->next_slow_ns = now_ns + a->config.slow_interval_ns;
	return !first;
}

bool ace_step(struct ace_controller *a, uint64_t now_ns, const struct ace_sample *sample)
{
	a->slow_step = false;
	if (a->stopped)
		return false;
	see(a, now_ns, sample);
	if (guard_stops(a, sample))
		return false;
	/* Thrift is not meant to be fast. */
	a->changed = !a->thrift.on && ace_explorer_judge(&a->explorer, &a->settings, sample);
	if (a->changed)
		start_rules_again(a);
	fast_loop(a, sample);
	a->slow_step = slow_interval_over(a, now_ns);
	if (a->slow_step)
		slow_loop(a, sample);
	if (!a->scavenger.pressed && !a->thrift.on && a->early.phase != ACE_EARLY_TRYING)
		ace_explorer_explore(&a->explorer, &a->settings);
	return true;
}

uint32_t ace_next_ms(const struct ace_controller *a, uint32_t interval_ms)
{
	return a->thrift.letting_go ? interval_ms / LET_GO_PART : interval_ms;
}
