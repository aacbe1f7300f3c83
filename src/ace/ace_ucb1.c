#include "ace/ace_ucb1.h"

enum {
	/* An arm whose discounted plays fell below this counts as never played. */
	FORGOTTEN_WEIGHT = PPM / 100,
	/* 4 * xi, in ppm: the bonus is B * sqrt(4 xi ln n / n_i). The theorem for a
	 * discount below 1 asks for xi > 1/2; the paper plays with 0.6. */
	FOUR_XI_UCB1 = 2 * PPM,
	FOUR_XI_DISCOUNTED = 2 * PPM + 4 * PPM / 10,
};

void ace_ucb_init(struct ace_ucb *u, uint32_t narms, int32_t discount_ppm, int32_t range_ppm)
{
	*u = (struct ace_ucb){
		.narms = narms, .discount_ppm = discount_ppm, .range_ppm = range_ppm
	};
}

void ace_ucb_reset(struct ace_ucb *u)
{
	ace_ucb_init(u, u->narms, u->discount_ppm, u->range_ppm);
}

void ace_ucb_add(struct ace_ucb *u, uint32_t arm, int64_t reward_ppm)
{
	HAK_ASSERT(arm < u->narms && reward_ppm >= 0 && reward_ppm <= PPM);
	if (u->discount_ppm < PPM) {
		for (uint32_t i = 0; i < u->narms; i++) {
			u->weight[i] = ppm_mul(u->weight[i], u->discount_ppm);
			u->reward[i] = ppm_mul(u->reward[i], u->discount_ppm);
		}
	}
	u->weight[arm] += PPM;
	u->reward[arm] += reward_ppm;
}

int64_t ace_ucb_total(const struct ace_ucb *u)
{
	int64_t total = 0;
	for (uint32_t i = 0; i < u->narms; i++)
		total += u->weight[i];
	return total;
}

static bool was_played(const struct ace_ucb *u, uint32_t arm)
{
	return u->weight[arm] >= FORGOTTEN_WEIGHT;
}

int64_t ace_ucb_mean(const struct ace_ucb *u, uint32_t arm)
{
	return was_played(u, arm) ? u->reward[arm] * PPM / u->weight[arm] : 0;
}

int64_t ace_ucb_index(const struct ace_ucb *u, uint32_t arm)
{
	int64_t four_xi = u->discount_ppm < PPM ? FOUR_XI_DISCOUNTED : FOUR_XI_UCB1;
	int64_t spread = ppm_mul(four_xi, ppm_ln(ace_ucb_total(u))) * PPM / u->weight[arm];
	return ace_ucb_mean(u, arm) + ppm_mul(u->range_ppm, ppm_sqrt(spread));
}

uint32_t ace_ucb_pick(const struct ace_ucb *u, uint32_t eligible)
{
	uint32_t best = 0;
	int64_t best_index = INT64_MIN;
	for (uint32_t i = 0; i < u->narms; i++) {
		int64_t index;
		if ((eligible >> i & 1) == 0)
			continue;
		if (!was_played(u, i))
			return i;
		index = ace_ucb_index(u, i);
		if (index > best_index) {
			best = i;
			best_index = index;
		}
	}
	return best;
}

void ace_ucb_shift(struct ace_ucb *u, int64_t by_ppm)
{
	for (uint32_t i = 0; i < u->narms; i++)
		u->reward[i] = clamp_i64(u->reward[i] + ppm_mul(u->weight[i], by_ppm), 0,
					 u->weight[i]);
}
