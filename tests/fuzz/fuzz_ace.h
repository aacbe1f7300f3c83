/* What must hold of ACE's controller, whatever it was told. */
#ifndef HAK_TESTS_FUZZ_ACE_H
#define HAK_TESTS_FUZZ_ACE_H

#include "ace/ace_controller.h"
#include "fuzz.h"

static inline bool fuzz_is_candidate(enum hak_knob k, int32_t value)
{
	const struct hak_knob_info *info = knob_info(k);
	for (unsigned i = 0; i < info->ncandidates; i++)
		if (info->candidates[i] == value)
			return true;
	return false;
}

static inline void fuzz_check_controller(const struct ace_controller *a)
{
	for (unsigned k = 0; k < HAK_KNOB_COUNT; k++) {
		const struct ace_learner *l = &a->explorer.learners[k];
		for (unsigned c = 0; c < ACE_CLASSES; c++)
			FUZZ_REQUIRE(fuzz_is_candidate((enum hak_knob)k, a->settings.value[k][c]),
				     "%s of class %u is %d", ace_knob_name(k), c,
				     a->settings.value[k][c]);
		FUZZ_REQUIRE(l->arm < l->ucb.narms, "%s is at its candidate %u", ace_knob_name(k),
			     l->arm);
		for (unsigned arm = 0; arm < l->ucb.narms; arm++)
			FUZZ_REQUIRE(l->ucb.reward[arm] >= 0 &&
					     l->ucb.reward[arm] <= l->ucb.weight[arm],
				     "%s: arm %u paid %lld of %lld", ace_knob_name(k), arm,
				     (long long)l->ucb.reward[arm], (long long)l->ucb.weight[arm]);
	}
}

#endif
