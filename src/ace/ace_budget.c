#include "ace/ace_budget.h"

void ace_budget_init(struct ace_budget *b, int32_t alpha_ppm, int64_t cap_ppm)
{
	*b = (struct ace_budget){ .alpha_ppm = alpha_ppm, .cap_ppm = cap_ppm };
}

static int64_t owed(const struct ace_budget *b, int64_t default_ppm)
{
	return ppm_mul(PPM - b->alpha_ppm, default_ppm);
}

static void earn(struct ace_budget *b, int64_t amount_ppm)
{
	b->slack_ppm += amount_ppm;
	if (b->slack_ppm > b->cap_ppm)
		b->slack_ppm = b->cap_ppm;
}

void ace_budget_default_played(struct ace_budget *b, int64_t default_ppm)
{
	earn(b, default_ppm - owed(b, default_ppm));
}

void ace_budget_other_played(struct ace_budget *b, int64_t reward_ppm, int64_t default_ppm)
{
	earn(b, reward_ppm - owed(b, default_ppm));
}

bool ace_budget_allows(const struct ace_budget *b, int64_t worst_ppm, uint32_t more,
		       int64_t tolerated_ppm, int64_t default_ppm)
{
	int64_t first = worst_ppm - owed(b, default_ppm);
	int64_t further = tolerated_ppm - owed(b, default_ppm);
	return b->slack_ppm + first + more * further >= 0;
}
