/* The learner: which of a knob's candidate values pays best.
 *
 * UCB1 (Auer, Cesa-Bianchi, Fischer, "Finite-time Analysis of the Multiarmed Bandit
 * Problem", 2002): play the arm with the highest mean + sqrt(2 ln n / n_i). For
 * rewards in [0, 1] its regret after n plays is at most
 *   8 * sum over worse arms of (ln n / gap_i) + (1 + pi^2 / 3) * sum of gap_i.
 *
 * Discounted UCB (Garivier, Moulines, "On Upper-Confidence Bound Policies for
 * Switching Bandit Problems", 2011): each play multiplies what was seen before by a
 * discount below 1, so the learner follows a workload that changes. The bonus is
 * 2 B sqrt(xi ln n / n_i) with discounted counts; xi = 1/2 without discount is UCB1.
 *
 * B, the range of rewards, is a parameter: measured rewards spread over a few per
 * cent only, and with B = 1 the bonus would hide such differences for thousands of
 * plays.
 *
 * Owned by one controller; no locking. All figures in ppm.
 */
#ifndef HAK_ACE_UCB1_H
#define HAK_ACE_UCB1_H

#include "ace/ace_fixed.h"

enum { ACE_MAX_ARMS = 8, ACE_ALL_ARMS = (1 << ACE_MAX_ARMS) - 1 };

struct ace_ucb {
	uint32_t narms;
	int32_t discount_ppm;          /* PPM: plain UCB1 */
	int32_t range_ppm;             /* B */
	int64_t weight[ACE_MAX_ARMS];  /* discounted plays, ppm */
	int64_t reward[ACE_MAX_ARMS];  /* discounted sum of rewards, ppm */
};

void ace_ucb_init(struct ace_ucb *u, uint32_t narms, int32_t discount_ppm, int32_t range_ppm);

/* Forget all plays. */
void ace_ucb_reset(struct ace_ucb *u);

/* Arm `arm` was played and paid reward_ppm, 0 .. PPM. */
void ace_ucb_add(struct ace_ucb *u, uint32_t arm, int64_t reward_ppm);

/* The arm to play next, of those whose bits are set in `eligible` (not 0): the first one
 * never played, else the highest index, the lowest arm of equals. */
uint32_t ace_ucb_pick(const struct ace_ucb *u, uint32_t eligible);

/* Add to the mean of every arm that was played: rewards are measured from another
 * base from now on. Means stay within 0 .. PPM. */
void ace_ucb_shift(struct ace_ucb *u, int64_t by_ppm);

/* Mean reward; 0 if never played. */
int64_t ace_ucb_mean(const struct ace_ucb *u, uint32_t arm);

/* Discounted plays of all arms. */
int64_t ace_ucb_total(const struct ace_ucb *u);

/* mean + bonus of an arm that was played. */
int64_t ace_ucb_index(const struct ace_ucb *u, uint32_t arm);

#endif
