/* ace/ace_ucb1.c and ace_budget.c on simulated arms: the bounds that were published for
 * the algorithms hold for what is built here. */
#include "ace/ace_budget.h"
#include "ace/ace_ucb1.h"
#include "testing.h"

static uint64_t rng;

/* Rewards 0 or 1 with this mean: the largest noise there is in [0, 1]. */
static int64_t bernoulli(int64_t mean_ppm)
{
	return (int64_t)(test_random(&rng) % PPM) < mean_ppm ? PPM : 0;
}

/* Even in mean - half .. mean + half. */
static int64_t narrow(int64_t mean_ppm, int64_t half_ppm)
{
	return mean_ppm - half_ppm + (int64_t)(test_random(&rng) % (uint64_t)(2 * half_ppm + 1));
}

/* ---- UCB1: Theorem 1 of Auer, Cesa-Bianchi, Fischer */

static const int64_t arm_sets[][ACE_MAX_ARMS] = {
	{ 900000, 600000 },
	{ 900000, 800000 },
	{ 550000, 450000, 300000 },
	{ 100000, 100000, 100000, 900000, 100000 },
	{ 100000, 200000, 300000, 400000, 500000, 600000, 700000, 900000 },
};

/* 8 sum(ln n / gap) + (1 + pi^2/3) sum(gap). */
static int64_t published_bound(const int64_t *means, uint32_t narms, int64_t plays)
{
	const int64_t one_and_pi2_thirds = 4289868;
	int64_t best = 0, bound = 0;
	for (uint32_t i = 0; i < narms; i++)
		best = means[i] > best ? means[i] : best;
	for (uint32_t i = 0; i < narms; i++) {
		int64_t gap = best - means[i];
		if (gap > 0)
			bound += 8 * ppm_ln(plays * PPM) * PPM / gap +
				 ppm_mul(one_and_pi2_thirds, gap);
	}
	return bound;
}

static int64_t regret(const int64_t *means, uint32_t narms, int64_t plays)
{
	struct ace_ucb u;
	int64_t best = 0, sum = 0;
	ace_ucb_init(&u, narms, PPM, PPM);
	for (uint32_t i = 0; i < narms; i++)
		best = means[i] > best ? means[i] : best;
	for (int64_t n = 0; n < plays; n++) {
		uint32_t arm = ace_ucb_pick(&u, ACE_ALL_ARMS);
		ace_ucb_add(&u, arm, bernoulli(means[arm]));
		sum += best - means[arm];
	}
	return sum;
}

/* The theorem bounds the expected regret: the mean of several runs stands for it. */
static void ucb1_regret(void)
{
	const int64_t lengths[] = { 100, 1000, test_scaled(10000, 2000) };
	const unsigned runs = test_scaled(20, 5);
	for (unsigned s = 0; s < sizeof(arm_sets) / sizeof(arm_sets[0]); s++) {
		uint32_t narms = 0;
		while (narms < ACE_MAX_ARMS && arm_sets[s][narms] > 0)
			narms++;
		for (unsigned l = 0; l < 3; l++) {
			int64_t sum = 0, bound = published_bound(arm_sets[s], narms, lengths[l]);
			for (unsigned run = 0; run < runs; run++)
				sum += regret(arm_sets[s], narms, lengths[l]);
			CHECK(sum / runs <= bound,
			      "arms %u, %lld plays: regret %lld ppm, bound %lld", s,
			      (long long)lengths[l], (long long)(sum / runs), (long long)bound);
			/* And it learns: far better than playing all arms alike. */
			if (lengths[l] >= 1000 && s == 0)
				CHECK(sum / runs < lengths[l] * 150000 / 2,
				      "no learning: regret %lld", (long long)(sum / runs));
		}
	}
}

/* Worked by hand: n = 4, means 0.5 and 0.75, plays 2 and 2. */
static void index_by_hand(void)
{
	struct ace_ucb u;
	ace_ucb_init(&u, 2, PPM, PPM);
	ace_ucb_add(&u, 0, PPM);
	ace_ucb_add(&u, 0, 0);
	ace_ucb_add(&u, 1, PPM);
	ace_ucb_add(&u, 1, PPM / 2);
	/* sqrt(2 ln 4 / 2) = 1.177410 */
	CHECK(llabs(ace_ucb_index(&u, 0) - 1677410) < 5, "index %lld",
	      (long long)ace_ucb_index(&u, 0));
	CHECK(llabs(ace_ucb_index(&u, 1) - 1927410) < 5, "index %lld",
	      (long long)ace_ucb_index(&u, 1));
	CHECK_U64(ace_ucb_pick(&u, ACE_ALL_ARMS), 1, "pick");
	CHECK_U64(ace_ucb_pick(&u, 1), 0, "pick of the only one eligible");
	ace_ucb_shift(&u, -PPM / 4);
	CHECK_I64(ace_ucb_mean(&u, 0), PPM / 4, "mean after a shift");
	CHECK_I64(ace_ucb_mean(&u, 1), PPM / 2, "mean after a shift");
}

/* ---- discounted UCB: recovery after a change
 *
 * Two arms, rewards in a range of B. They change places after a long time. What the
 * old rewards still weigh after D plays is at most gamma^D / (1 - gamma) plays, and
 * moves no mean further than that share of the gap. Garivier and Moulines' Lemma 1:
 * once the means are right, the worse arm is played at most
 *   A gamma^(-1/(1-gamma)) = A e times in any window of 1 / (1 - gamma) plays, with
 *   A = 16 B^2 xi ln(n) / gap^2,  n = 1 / (1 - gamma).
 * The bias is gone when gamma^D <= 1/16: D = ln 16 / (1 - gamma) = 2.8 windows. So
 * from the third window after the change on, the worse arm has at most A e + 1 plays.
 * Here B = 0.2, gap = 0.4, gamma = 0.99: A e = 16 * 0.04 * 0.6 * 4.61 / 0.16 * 2.72 = 30 of 100.
 */
enum { WINDOW = 100, BOUND = 31, BIAS_WINDOWS = 3 };
static const int64_t two_means[2] = { 700000, 300000 };

/* How often the worse arm is played in the window in question, both arms having a long
 * history when they change places. */
static unsigned worse_plays_after_change(int32_t discount_ppm, uint64_t seed)
{
	struct ace_ucb u;
	unsigned worse = 0;
	rng = seed;
	ace_ucb_init(&u, 2, discount_ppm, PPM / 5);
	for (unsigned n = 0; n < 20 * WINDOW; n++)
		ace_ucb_add(&u, n % 2, narrow(two_means[n % 2], PPM / 10));
	for (unsigned n = 0; n < (BIAS_WINDOWS + 1) * WINDOW; n++) {
		uint32_t arm = ace_ucb_pick(&u, ACE_ALL_ARMS);
		ace_ucb_add(&u, arm, narrow(two_means[1 - arm], PPM / 10));
		worse += n >= BIAS_WINDOWS * WINDOW && arm == 0;
	}
	return worse;
}

static void discounted_recovers(void)
{
	for (unsigned seed = 1; seed <= 20; seed++) {
		unsigned worse = worse_plays_after_change(PPM - PPM / WINDOW, seed);
		CHECK(worse <= BOUND, "seed %u: the worse arm %u times in the window", seed, worse);
	}
}

/* Without discount the same change is not followed in that time: the test can tell. */
static void plain_does_not(void)
{
	unsigned worse = worse_plays_after_change(PPM, 1);
	CHECK(worse > BOUND, "plain UCB1 followed the change too: %u", worse);
}

/* ---- conservative exploration */

/* Whatever the arms pay, from their assumed worst upwards, at no time is the sum of
 * rewards below 98 % of the default's. */
static void budget_holds(void)
{
	enum { ALPHA = PPM / 50 };
	for (unsigned seed = 1; seed <= 50; seed++) {
		struct ace_budget b;
		int64_t sum = 0, owed = 0;
		unsigned trials = 0;
		rng = seed;
		ace_budget_init(&b, ALPHA, 2 * PPM);
		for (unsigned n = 0; n < 5000; n++) {
			int64_t base = 600000, worst = (int64_t)(test_random(&rng) % 600000);
			owed += base;
			if (ace_budget_allows(&b, worst, 0, 0, base)) {
				int64_t reward =
					seed % 2 ? worst
						 : narrow((base + worst) / 2, (base - worst) / 2);
				sum += reward;
				trials++;
				ace_budget_other_played(&b, reward, base);
			} else {
				sum += base;
				ace_budget_default_played(&b, base);
			}
			if (!CHECK(sum >= ppm_mul(PPM - ALPHA, owed) - (int64_t)n - 1,
				   "seed %u, play %u: %lld of %lld", seed, n, (long long)sum,
				   (long long)owed))
				return;
		}
		CHECK(trials > 50, "seed %u: only %u trials", seed, trials);
	}
}

static const struct test_case cases[] = {
	{ "ucb1_regret", ucb1_regret },
	{ "index_by_hand", index_by_hand },
	{ "discounted_recovers", discounted_recovers },
	{ "plain_does_not", plain_does_not },
	{ "budget_holds", budget_holds },
};

int main(int argc, char **argv)
{
	rng = 1;
	return TEST_MAIN(argc, argv, cases);
}
