/* Conservative exploration: what trying a setting may cost in all.
 *
 * Wu, Shariff, Lattimore, Szepesvari, "Conservative Bandits" (2016): an arm other
 * than the default is played only if, whatever it pays at worst, the rewards so far
 * still come to (1 - alpha) of what the default would have paid. Here
 *
 *   slack = sum of rewards - (1 - alpha) * sum of what the default pays,
 *
 * which a play of the default raises by alpha times its reward, and a trial may
 * start only if slack + worst - (1 - alpha) * default >= 0. So slack never falls below 0
 * by a trial that pays at least its assumed worst; one that pays less than that
 * is a debt which is earned back before the next trial.
 *
 * Slack is kept below a cap: a day without trials is no licence for an hour of loss.
 */
#ifndef HAK_ACE_BUDGET_H
#define HAK_ACE_BUDGET_H

#include "ace/ace_fixed.h"

struct ace_budget {
	int32_t alpha_ppm;
	int64_t slack_ppm;
	int64_t cap_ppm;
};

void ace_budget_init(struct ace_budget *b, int32_t alpha_ppm, int64_t cap_ppm);

/* A play of the default, which pays default_ppm. */
void ace_budget_default_played(struct ace_budget *b, int64_t default_ppm);

/* A play of something else paid reward_ppm where the default pays default_ppm. */
void ace_budget_other_played(struct ace_budget *b, int64_t reward_ppm, int64_t default_ppm);

/* May a trial start that pays worst_ppm or more in its first play, and in each of
 * `more` further ones tolerated_ppm or more (it is broken off otherwise)? */
bool ace_budget_allows(const struct ace_budget *b, int64_t worst_ppm, uint32_t more,
		       int64_t tolerated_ppm, int64_t default_ppm);

#endif
