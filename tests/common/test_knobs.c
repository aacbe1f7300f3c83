/* common/knobs.c: candidates and nothing else, classes, the epoch, the reset. */
#include "unit.h"

#include "common/knobs.h"

static unsigned classes_of(enum hak_knob k)
{
	return knob_info(k)->per_class ? HAK_CLASS_COUNT : 0;
}

static int32_t default_of(enum hak_knob k)
{
	const struct hak_knob_info *info = knob_info(k);
	return info->candidates[info->default_index];
}

static bool is_candidate(enum hak_knob k, int64_t value)
{
	const struct hak_knob_info *info = knob_info(k);
	for (unsigned i = 0; i < info->ncandidates; i++)
		if (info->candidates[i] == value)
			return true;
	return false;
}

#define FOR_EACH_KNOB(k) for (enum hak_knob k = 0; k < HAK_KNOB_COUNT; k++)

static void table(void)
{
	FOR_EACH_KNOB(k)
	{
		const struct hak_knob_info *info = knob_info(k);
		CHECK(info->name != NULL && info->name[0] && info->unit != NULL && info->unit[0],
		      "knob %u has no name or unit", k);
		CHECK(info->ncandidates >= 2 && info->ncandidates <= HAK_KNOB_MAX_CANDIDATES,
		      "%s has %u candidates", info->name, info->ncandidates);
		CHECK(info->default_index < info->ncandidates, "%s has no default", info->name);
		for (unsigned i = 1; i < info->ncandidates; i++)
			CHECK(info->candidates[i] > info->candidates[i - 1],
			      "candidates of %s rise", info->name);
		for (enum hak_knob o = 0; o < k; o++)
			CHECK(strcmp(info->name, knob_info(o)->name) != 0, "%s is there twice",
			      info->name);
	}
}

static void defaults(void)
{
	FOR_EACH_KNOB(k)
	for (unsigned cls = 0; cls <= classes_of(k); cls++)
		CHECK_I64(knob_get(k, cls), default_of(k), knob_info(k)->name);
}

static void every_candidate(void)
{
	FOR_EACH_KNOB(k)
	{
		const struct hak_knob_info *info = knob_info(k);
		for (unsigned i = 0; i < info->ncandidates; i++) {
			uint32_t epoch = knob_epoch();
			CHECK_I64(knob_set(k, 0, info->candidates[i]), 0, info->name);
			CHECK(knob_epoch() != epoch, "%s was set and the epoch stays", info->name);
			for (unsigned cls = 0; cls <= classes_of(k); cls++)
				CHECK_I64(knob_get(k, cls), info->candidates[i], info->name);
		}
	}
	knob_reset_all();
	defaults();
}

static void one_class(void)
{
	FOR_EACH_KNOB(k)
	{
		const struct hak_knob_info *info = knob_info(k);
		int32_t other = info->candidates[info->default_index == 0];
		if (!info->per_class)
			continue;
		for (unsigned cls = 1; cls <= HAK_CLASS_COUNT; cls++) {
			CHECK_I64(knob_set(k, cls, other), 0, info->name);
			for (unsigned c = 0; c <= HAK_CLASS_COUNT; c++)
				CHECK_I64(knob_get(k, c), c == cls ? other : default_of(k),
					  info->name);
			CHECK_I64(knob_set(k, cls, default_of(k)), 0, info->name);
		}
	}
	defaults();
}

/* Refused, and nothing has changed, the epoch neither. */
static void refused(enum hak_knob k, unsigned cls, int32_t value)
{
	static int32_t before[HAK_KNOB_COUNT][HAK_CLASS_COUNT + 1];
	uint32_t epoch = knob_epoch();
	FOR_EACH_KNOB(o)
	for (unsigned c = 0; c <= HAK_CLASS_COUNT; c++)
		before[o][c] = knob_get(o, c);
	CHECK(knob_set(k, cls, value) == -EINVAL, "knob %u, class %u, value %d is taken", k, cls,
	      value);
	CHECK(knob_epoch() == epoch, "knob %u, class %u, value %d: refused, and the epoch moves", k,
	      cls, value);
	FOR_EACH_KNOB(o)
	for (unsigned c = 0; c <= HAK_CLASS_COUNT; c++)
		CHECK_I64(knob_get(o, c), before[o][c], "a knob after a refusal");
}

static void refusals(void)
{
	FOR_EACH_KNOB(k)
	{
		const struct hak_knob_info *info = knob_info(k);
		for (unsigned i = 0; i < info->ncandidates; i++)
			for (int32_t d = -1; d <= 1; d++)
				if (!is_candidate(k, (int64_t)info->candidates[i] + d))
					refused(k, 0, info->candidates[i] + d);
		refused(k, 0, -1);
		refused(k, 0, INT32_MIN);
		refused(k, 0, INT32_MAX);
		/* 0 is what unused places of the table hold. */
		if (!is_candidate(k, 0))
			refused(k, 0, 0);
		refused(k, classes_of(k) + 1, default_of(k));
		refused(k, UINT32_MAX, default_of(k));
	}
	refused(HAK_KNOB_COUNT, 0, 0);
	refused((enum hak_knob) - 1, 0, 1);
}

static void *set_all(void *arg)
{
	uint64_t rng = *(const uint64_t *)arg;
	for (unsigned i = 0; i < test_scaled(5000, 500); i++) {
		enum hak_knob k = (enum hak_knob)unit_below(&rng, HAK_KNOB_COUNT);
		const struct hak_knob_info *info = knob_info(k);
		unsigned cls = unit_below(&rng, classes_of(k) + 1);
		uint32_t epoch = knob_epoch();
		CHECK_I64(knob_set(k, cls, info->candidates[unit_below(&rng, info->ncandidates)]),
			  0, info->name);
		CHECK(knob_epoch() != epoch, "the epoch stays");
		CHECK(is_candidate(k, knob_get(k, cls)), "%s is %d", info->name, knob_get(k, cls));
	}
	return NULL;
}

static void threads(void)
{
	uint64_t seeds[4] = { 1, 2, 3, 4 };
	unit_threads(4, set_all, seeds, sizeof(seeds[0]));
	knob_reset_all();
	defaults();
}

static const struct test_case cases[] = {
	{ "table", table },
	{ "defaults", defaults },
	{ "every_candidate", every_candidate },
	{ "one_class", one_class },
	{ "refusals", refusals },
	{ "threads", threads },
};

UNIT_MAIN(cases)
