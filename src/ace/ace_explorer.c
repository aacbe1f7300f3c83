#include "ace/ace_explorer.h"

enum {
	/* Below this allocation is no part of what the program does, and its speed no
	 * measure of the allocator. */
	MIN_OPS_PER_S = 20000,

	/* Reward: throughput of the settings in force counts 2/3, so that a gain of up to
	 * one half shows. */
	USUAL_THROUGHPUT = PPM * 2 / 3,
	/* Misses and locks slow the program down and so are in the throughput already: their
	 * own weight is small. Memory is in nothing else. */
	WEIGHT_MISSES = PPM / 20,
	WEIGHT_LOCKS = PPM / 10,
	WEIGHT_FRAGMENTATION = PPM / 4,
	NS_PER_S = 1000000000,

	WARM_UP_STEPS = 4,
	COMPARE_STEPS = 2,
	MIN_TRIALS = 3,
	MIN_GAIN = PPM / 100,
	/* A trial is broken off when it pays less than the base by this or by four times the
	 * noise. */
	BREAK_OFF_LOSS = PPM / 10,
	NOISES = 4,
	START_NOISE = PPM / 50,
	MIN_RANGE = PPM / 50,

	/* 1 %: see ace_budget.h. What is measured costs something, too, and a program is not to
	 * lose more than 2 % in all. */
	ALPHA = PPM / 100,
	SLACK_CAP = 2 * PPM,

	BASE_SHIFT = 2,  /* the base follows by a quarter */
	SLOW_SHIFT = 3,  /* noise and usual throughput by an eighth */

	TURN_DECISIONS = 12,
	MAX_RECALLED_WEIGHT = 1000 * PPM,
	FIRST_REST_STEPS = 2,
	MAX_REST_STEPS = 64,
	FIRST_HOLD_STEPS = 16,
	MAX_HOLD_STEPS = 1024,
};

/* What is explored, knobs with the most leverage first (docs/ace.md has the measurements).
 * `steps`: how long a setting takes to show its effect; of several the first is not
 * counted. `worst_loss_ppm`: the most that one candidate away cost where it was measured. */
static const struct {
	enum hak_knob knob;
	uint32_t steps;
	int32_t worst_loss_ppm;
} order[] = {
	{ HAK_KNOB_HUGE_PAGES, 4, 400000 },
	{ HAK_KNOB_PURGE_DELAY_MS, 4, 300000 },
	{ HAK_KNOB_PARTIAL_RELEASE_PAGES, 4, 200000 },
	{ HAK_KNOB_BUNDLE_WIDTH, 1, 300000 },
	{ HAK_KNOB_TCACHE_CAPACITY, 1, 350000 },
	{ HAK_KNOB_DIET_FACTOR, 2, 200000 },
	{ HAK_KNOB_DRAIN_THRESHOLD, 2, 100000 },
	{ HAK_KNOB_NT_THRESHOLD, 2, 150000 },
};

static uint32_t order_of(enum hak_knob k)
{
	uint32_t i = 0;
	while (i + 1 < HAK_ARRAY_LEN(order) && order[i].knob != k)
		i++;
	return i;
}

void ace_explorer_init(struct ace_explorer *e, const struct ace_settings *s, int32_t discount_ppm)
{
	*e = (struct ace_explorer){ .noise_ppm = START_NOISE,
				    .reward_ppm = -1,
				    .rest_steps = FIRST_REST_STEPS,
				    .next_rest_steps = FIRST_REST_STEPS,
				    .discount_ppm = discount_ppm };
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		struct ace_learner *l = &e->learners[k];
		l->arm = ace_candidate_index((enum hak_knob)k, s->start[k]);
		l->next_hold_steps = FIRST_HOLD_STEPS;
		ace_ucb_init(&l->ucb, knob_info((enum hak_knob)k)->ncandidates, discount_ppm, PPM);
	}
	ace_budget_init(&e->budget, ALPHA, SLACK_CAP);
}

/* The settings in force are others, or the workload is: what they pay is to be measured
 * anew. 0 ops: from the next judged step on. */
static void base_restart(struct ace_explorer *e, uint64_t ops)
{
	e->usual_ops = ops;
	e->base_steps = 0;
	ace_change_reset(&e->change);
}

static int32_t candidate(enum hak_knob k, uint32_t arm)
{
	return knob_info(k)->candidates[arm];
}

void ace_explorer_recall(struct ace_explorer *e, enum hak_knob k, uint32_t arm, int64_t weight_ppm,
			 int64_t reward_ppm)
{
	struct ace_ucb *u = &e->learners[k].ucb;
	if (arm >= u->narms)
		return;
	u->weight[arm] = clamp_i64(weight_ppm, 0, MAX_RECALLED_WEIGHT);
	u->reward[arm] = clamp_i64(reward_ppm, 0, u->weight[arm]);
}

void ace_explorer_rebase(struct ace_explorer *e)
{
	base_restart(e, 0);
}

void ace_explorer_put(struct ace_explorer *e, struct ace_settings *s, enum hak_knob k, uint32_t arm,
		      enum ace_reason reason)
{
	if (s->pinned[k] || arm >= knob_info(k)->ncandidates)
		return;
	e->learners[k].arm = arm;
	base_restart(e, 0);
	ace_settings_move(s, k, 0, candidate(k, arm), reason);
}

void ace_explorer_adopt(struct ace_explorer *e, struct ace_settings *s, enum hak_knob k,
			uint32_t arm)
{
	ace_explorer_put(e, s, k, arm, ACE_BECAUSE_PLAYBOOK);
}

/* ---- reward */

static bool is_judgeable(const struct ace_sample *sample)
{
	return sample->ops_per_s >= MIN_OPS_PER_S && sample->ops_per_cpu_s > 0;
}

static int64_t penalties(const struct ace_sample *sample)
{
	int64_t misses = sample->llc_miss_ppm < 0 ? 0 : sample->llc_miss_ppm;
	int64_t locks = ppm_ratio(sample->lock_wait_ns_per_s, NS_PER_S);
	return ppm_mul(WEIGHT_MISSES, misses) +
	       ppm_mul(WEIGHT_LOCKS, clamp_i64(locks, 0, PPM)) +
	       ppm_mul(WEIGHT_FRAGMENTATION, sample->frag_ppm);
}

static int64_t reward_of(const struct ace_sample *sample, uint64_t usual_ops)
{
	int64_t throughput = ppm_ratio(sample->ops_per_cpu_s, usual_ops);
	throughput = clamp_i64(ppm_mul(throughput, USUAL_THROUGHPUT), 0, PPM);
	return clamp_i64(throughput - penalties(sample), 0, PPM);
}

/* ---- the base: how the settings in force do */

static void base_follow(struct ace_explorer *e, const struct ace_sample *sample, int64_t reward)
{
	int64_t deviation = reward - e->base_ppm;
	if (e->base_steps++ == 0) {
		e->base_ppm = reward;
	} else {
		e->base_ppm += deviation / (1 << BASE_SHIFT);
		deviation = deviation < 0 ? -deviation : deviation;
		e->noise_ppm += (deviation - e->noise_ppm) / (1 << SLOW_SHIFT);
	}
	e->usual_ops += (uint64_t)(((int64_t)sample->ops_per_cpu_s - (int64_t)e->usual_ops) /
				   (1 << SLOW_SHIFT));
	ace_budget_default_played(&e->budget, e->base_ppm);
}

/* ---- trials */

static int64_t tolerated_loss(const struct ace_explorer *e)
{
	int64_t loss = NOISES * e->noise_ppm;
	return loss > BREAK_OFF_LOSS ? loss : BREAK_OFF_LOSS;
}

static int64_t break_off_below(const struct ace_explorer *e)
{
	return e->base_ppm - tolerated_loss(e);
}

static void trial_begin(struct ace_explorer *e, struct ace_settings *s, enum hak_knob k,
			uint32_t arm, enum ace_keep keep, enum ace_reason reason)
{
	e->trial = (struct ace_trial){ .phase = ACE_TRYING, .knob = k, .arm = arm, .keep = keep,
				       .before_ppm = e->base_ppm };
	ace_settings_move(s, k, 0, candidate(k, arm), reason);
}

static void back_to_force(struct ace_explorer *e, struct ace_settings *s, enum ace_reason reason)
{
	enum hak_knob k = e->trial.knob;
	ace_settings_move(s, k, 0, candidate(k, e->learners[k].arm), reason);
}

void ace_explorer_interrupt(struct ace_explorer *e, struct ace_settings *s)
{
	if (e->trial.phase == ACE_TRYING)
		back_to_force(e, s, ACE_BECAUSE_INTERRUPTED);
	e->trial.phase = ACE_NO_TRIAL;
}

/* The arm is in force from now on; rewards are measured from it. */
static void promote(struct ace_explorer *e, struct ace_settings *s, int64_t gain_ppm)
{
	struct ace_learner *l = &e->learners[e->trial.knob];
	l->arm = e->trial.arm;
	l->next_hold_steps = FIRST_HOLD_STEPS;
	ace_ucb_shift(&l->ucb, -gain_ppm);
	base_restart(e, 0); /* to be measured before the next trial */
	e->next_rest_steps = FIRST_REST_STEPS;
	ace_settings_move(s, e->trial.knob, 0, candidate(e->trial.knob, l->arm), ACE_BECAUSE_KEPT);
}

static void hold_off(struct ace_learner *l)
{
	l->hold_steps = l->next_hold_steps;
	if (l->next_hold_steps < MAX_HOLD_STEPS)
		l->next_hold_steps *= 2;
}

/* What a mean gain of so many trials must exceed to be no chance. The mean deviation is 0.8
 * to 0.87 of the standard deviation, and a trial's gain has 1.1 times that of a step: three
 * of the one are 2.3 of the other, one chance in a hundred. */
static int64_t margin(const struct ace_explorer *e, int64_t trials_ppm)
{
	int64_t noise = 3 * e->noise_ppm * PPM / ppm_sqrt(trials_ppm);
	return noise > MIN_GAIN ? noise : MIN_GAIN;
}

static bool should_keep(const struct ace_explorer *e, int64_t gain_ppm, int64_t *learnt_gain)
{
	const struct ace_trial *t = &e->trial;
	const struct ace_ucb *u = &e->learners[t->knob].ucb;
	*learnt_gain = ace_ucb_mean(u, t->arm) - PPM / 2;
	switch (t->keep) {
	case ACE_KEEP_IF_BETTER:
		return gain_ppm >= margin(e, PPM);
	case ACE_KEEP_UNLESS_WORSE:
		return gain_ppm >= -e->noise_ppm;
	case ACE_KEEP_IF_LEARNT:
		return u->weight[t->arm] >= MIN_TRIALS * (int64_t)PPM * 9 / 10 &&
		       *learnt_gain >= margin(e, u->weight[t->arm]);
	}
	return false;
}

/* The trial is over and what followed it is known. */
static void verdict(struct ace_explorer *e, struct ace_settings *s, int64_t after_ppm)
{
	struct ace_trial *t = &e->trial;
	struct ace_learner *l = &e->learners[t->knob];
	int64_t drift = after_ppm - t->before_ppm, learnt_gain;
	int64_t gain = t->tried_ppm - (t->before_ppm + after_ppm) / 2;
	t->phase = ACE_NO_TRIAL;
	/* Something else happened meanwhile: the trial says nothing. */
	if (drift > tolerated_loss(e) || -drift > tolerated_loss(e))
		return;
	l->ucb.range_ppm = (int32_t)clamp_i64(NOISES * e->noise_ppm, MIN_RANGE, PPM);
	ace_ucb_add(&l->ucb, t->arm, clamp_i64(PPM / 2 + gain, 0, PPM));
	if (should_keep(e, gain, &learnt_gain))
		promote(e, s, learnt_gain);
	else if (t->keep != ACE_KEEP_IF_LEARNT)
		hold_off(l);
}

static void trying_step(struct ace_explorer *e, struct ace_settings *s, int64_t reward)
{
	struct ace_trial *t = &e->trial;
	const uint32_t steps = order[order_of(t->knob)].steps;
	const bool worse = reward < break_off_below(e);
	ace_budget_other_played(&e->budget, reward, e->base_ppm);
	if (t->steps++ > 0 || steps == 1 || worse) {
		t->reward_sum += reward;
		t->counted++;
	}
	if (!worse && t->steps < steps)
		return;
	t->tried_ppm = t->reward_sum / t->counted;
	t->phase = ACE_COMPARING;
	t->steps = t->counted = 0;
	t->reward_sum = 0;
	back_to_force(e, s, worse ? ACE_BECAUSE_WORSE : ACE_BECAUSE_TRIAL);
}

static void comparing_step(struct ace_explorer *e, struct ace_settings *s, int64_t reward)
{
	struct ace_trial *t = &e->trial;
	t->reward_sum += reward;
	if (++t->steps == COMPARE_STEPS)
		verdict(e, s, t->reward_sum / COMPARE_STEPS);
}

/* ---- what the controller calls */

static void forget(struct ace_explorer *e, struct ace_settings *s, uint64_t ops)
{
	e->trial.phase = ACE_NO_TRIAL;
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		struct ace_learner *l = &e->learners[k];
		ace_ucb_reset(&l->ucb);
		l->arm = ace_candidate_index((enum hak_knob)k, s->start[k]);
		l->hold_steps = 0;
		l->next_hold_steps = FIRST_HOLD_STEPS;
	}
	e->turn = e->decisions = 0;
	e->next_rest_steps = e->rest_steps = FIRST_REST_STEPS;
	e->noise_ppm = START_NOISE;
	base_restart(e, ops);
	ace_settings_restore(s, ACE_BECAUSE_CHANGED);
}

bool ace_explorer_judge(struct ace_explorer *e, struct ace_settings *s,
			const struct ace_sample *sample)
{
	e->reward_ppm = -1;
	if (!is_judgeable(sample)) {
		ace_explorer_interrupt(e, s);
		return false;
	}
	if (e->usual_ops == 0)
		base_restart(e, sample->ops_per_cpu_s);
	e->reward_ppm = reward_of(sample, e->usual_ops);
	s->seen.reward_ppm = e->reward_ppm;
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++)
		if (e->learners[k].hold_steps > 0)
			e->learners[k].hold_steps--;
	if (e->trial.phase == ACE_TRYING) {
		trying_step(e, s, e->reward_ppm);
		return false;
	}
	if (ace_change_add(&e->change, ppm_ratio(sample->ops_per_cpu_s, e->usual_ops))) {
		forget(e, s, sample->ops_per_cpu_s);
		return true;
	}
	base_follow(e, sample, e->reward_ppm);
	if (e->trial.phase == ACE_COMPARING)
		comparing_step(e, s, e->reward_ppm);
	return false;
}

static bool affordable(const struct ace_explorer *e, enum hak_knob k)
{
	const uint32_t i = order_of(k);
	int64_t worst = ppm_mul(e->base_ppm, PPM - order[i].worst_loss_ppm);
	return ace_budget_allows(&e->budget, worst, order[i].steps - 1, break_off_below(e),
				 e->base_ppm);
}

static bool may_begin(const struct ace_explorer *e, const struct ace_settings *s, enum hak_knob k)
{
	return e->reward_ppm >= 0 && e->trial.phase == ACE_NO_TRIAL &&
	       e->base_steps >= WARM_UP_STEPS && !s->pinned[k] && affordable(e, k);
}

bool ace_explorer_request(struct ace_explorer *e, struct ace_settings *s, enum hak_knob k, int by,
			  enum ace_keep keep, enum ace_reason reason)
{
	const struct ace_learner *l = &e->learners[k];
	int64_t arm = (int64_t)l->arm + by;
	if (arm < 0 || arm >= knob_info(k)->ncandidates || l->hold_steps > 0 || !may_begin(e, s, k))
		return false;
	trial_begin(e, s, k, (uint32_t)arm, keep, reason);
	return true;
}

static uint32_t neighbours(const struct ace_learner *l)
{
	uint32_t mask = 1u << l->arm;
	if (l->arm > 0)
		mask |= 1u << (l->arm - 1);
	if (l->arm + 1 < l->ucb.narms)
		mask |= 1u << (l->arm + 1);
	return mask;
}

static void next_turn(struct ace_explorer *e)
{
	e->decisions = 0;
	e->turn = (e->turn + 1) % HAK_ARRAY_LEN(order);
	if (e->turn != 0)
		return;
	/* A whole round found nothing: look less often. */
	if (e->next_rest_steps < MAX_REST_STEPS)
		e->next_rest_steps *= 2;
}

void ace_explorer_explore(struct ace_explorer *e, struct ace_settings *s)
{
	enum hak_knob k = order[e->turn].knob;
	struct ace_learner *l = &e->learners[k];
	uint32_t arm;
	if (s->pinned[k] || !ace_settings_uniform(s, k)) {
		next_turn(e);
		return;
	}
	if (e->rest_steps > 0)
		e->rest_steps--;
	if (e->rest_steps > 0 || !may_begin(e, s, k))
		return;
	e->rest_steps = e->next_rest_steps;
	arm = ace_ucb_pick(&l->ucb, neighbours(l));
	if (arm == l->arm)
		ace_ucb_add(&l->ucb, arm, PPM / 2);
	else
		trial_begin(e, s, k, arm, ACE_KEEP_IF_LEARNT, ACE_BECAUSE_TRIAL);
	if (++e->decisions >= TURN_DECISIONS)
		next_turn(e);
}
